"""A detector and a landmarker as one landmarker: the first says which faces there are, the second where their points
lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from facecli import registry
from facecli.detect.face import Face
from facecli.detect.near_box import faces_near
from facecli.errors import UsageError
from facecli.plugin import Detector, Landmarker


class WithinBoxes:
    """The landmarks of `landmarker` for the faces of `detector`. Keeps the protocol :class:`facecli.plugin.Landmarker`.

    A box in which the landmarker finds nobody is no face, and neither is a face outside all boxes. Box and score stay
    the detector's: it is the one that was asked for, and models that crop by the box know the boxes of a certain
    detector. Those that crop by the points do so whatever the box.
    """

    def __init__(self, detector: Detector, landmarker: Landmarker):
        self.point_set = landmarker.point_set
        self._detector, self._landmarker = detector, landmarker

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture (RGB uint8 [H, W, 3]), in the detector's order."""
        return [self._within(*pair) for pair in zip(images, self._detector.detect(images), strict=True)]

    def close(self) -> None:
        """Free both."""
        self._detector.close()
        self._landmarker.close()

    def _within(self, image: np.ndarray, detected: list[Face]) -> list[Face]:
        if not detected:
            return []
        found = faces_near(self._look, image, [face.box for face in detected])
        return [
            replace(face, box=boxed.box, score=boxed.score)
            for boxed, face in zip(detected, found, strict=True)
            if face is not None
        ]

    def _look(self, image: np.ndarray) -> list[Face]:
        return self._landmarker.detect([image])[0]


def landmarker_within(
    detector: str,
    landmarker: str,
    options: Mapping[str, Any] = MappingProxyType({}),
    *,
    confidence: float | None = None,
    device: str = "cpu",
) -> Landmarker:
    """The landmarker called `landmarker` for the faces of the detector called `detector`.

    A landmarker that has an option ``detector`` (FAN, which begins with boxes) is given its name, and looks for no
    faces of its own.

    Args:
        options: the landmarker's own, its threshold among them.
        confidence: the detector's threshold; None leaves its own.

    Raises:
        UsageError: there is no such detector or landmarker. (And what the registry raises.)
    """
    threshold = {} if confidence is None else {"confidence": confidence}
    if registry.takes_detector(landmarker):
        return registry.landmarker(landmarker, **{**options, **threshold, "device": device, "detector": detector})
    boxes = registry.detector(detector, device=device, **threshold)
    try:
        return WithinBoxes(boxes, registry.landmarker(landmarker, **{**options, "device": device}))
    except BaseException:
        boxes.close()
        raise


def face_finder(
    model: str,
    own: str,
    own_options: Mapping[str, Any],
    *,
    landmarker: str | None = None,
    detector: str | None = None,
    confidence: float | None = None,
    device: str = "cpu",
) -> Landmarker | Detector:
    """What finds the faces of a model.

    Args:
        model: its name, for messages.
        own, own_options: its own landmarker, or the detector whose boxes are all it needs, and options for that.
        landmarker, detector, confidence: the user's choice; None leaves it to the model.

    Raises:
        UsageError: the choice can't be. (And what the registry raises.)
    """
    name, options = landmarker or own, dict(own_options) if landmarker is None else {}
    if confidence is not None or detector is not None:
        options.pop("further_confidence", None)  # what the user, or the detector, says holds for all faces
    if landmarker is not None and registry.finds_boxes_alone(landmarker):
        _check_detector_for_landmarker(model, own, landmarker, detector)
    if detector is not None and not registry.finds_boxes_alone(name):
        return landmarker_within(detector, name, options, confidence=confidence, device=device)
    if detector is not None and detector != name:
        name, options = detector, {}
    if confidence is not None:
        options["confidence"] = confidence
    find = registry.face_finder if detector is None else registry.detector
    return find(name, **{**options, "device": device})


def _check_detector_for_landmarker(model: str, own: str, landmarker: str, detector: str | None) -> None:
    if not registry.finds_boxes_alone(own):
        raise UsageError(
            f"{landmarker} finds boxes, and the model {model} needs landmarks: --detector {landmarker} puts it before "
            f"{own}"
        )
    if detector not in (None, landmarker):
        raise UsageError(f"--landmarker {landmarker} is a detector, and so is --detector {detector}: choose one")
