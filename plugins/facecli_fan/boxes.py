"""Where FAN gets its face boxes from, other than the face-alignment package's own detectors."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from facecli import registry
from facecli.errors import UsageError
from facecli.nn import checkpoints, retinaface
from facecli_fan import files

SMALLEST = 4  # pixels, width and height together
LARGEST = 8  # times the picture's sides


class BoxFinder(Protocol):
    """Finds boxes only."""

    reference_scale: int
    """Width plus height of the box that the 200-pixel crop of FAN's training belonged to, for this kind of boxes."""

    def find(self, image: np.ndarray) -> np.ndarray:
        """Boxes and scores [N, 5] of the picture `image` (RGB uint8 [H, W, 3])."""
        ...

    def close(self) -> None: ...


class RetinaFaceBoxes:
    """ibug's detector. Raises MissingAssetError without its weights."""

    reference_scale = 165

    def __init__(self, confidence: float, device: str):
        self._confidence = confidence
        self._net = checkpoints.load_module(files.RETINAFACE, retinaface.RetinaFace, device)

    def find(self, image: np.ndarray) -> np.ndarray:
        boxes, scores, _ = retinaface.detect(self._net, image, self._confidence)
        return np.concatenate([boxes, scores[:, None]], 1)

    def close(self) -> None:
        self._net = None


class LandmarkerBoxes:
    """Boxes of any other installed landmarker or detector, e.g. mediapipe: hundreds of times faster than S3FD on a
    CPU."""

    reference_scale = 195

    def __init__(self, name: str, **options: Any):
        self._landmarker = registry.face_finder(name, **options)

    def find(self, image: np.ndarray) -> np.ndarray:
        faces = self._landmarker.detect([image])[0]
        return np.array([[*face.box, face.score] for face in faces]).reshape(-1, 5)

    def close(self) -> None:
        self._landmarker.close()


def landmarker_boxes(name: str, own: tuple[str, ...], **options: Any) -> LandmarkerBoxes:
    """Boxes of the landmarker, or the detector, called `name`; `own` are those to offer beside it when there is no such
    one."""
    others = [
        key
        for plugin in registry.plugins().values()
        if plugin.name != "fan"
        for key in (*plugin.landmarkers, *plugin.detectors)
    ]
    if name not in others:
        raise UsageError(f"unknown face detector {name!r}; there are {', '.join([*own, *others])}")
    return LandmarkerBoxes(name, **options)


def keep_usable(boxes: np.ndarray, image: np.ndarray, max_faces: int | None) -> np.ndarray:
    """Those of `boxes` [N, 5] that touch the picture and aren't degenerate; of these the `max_faces` largest, in the
    order given."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = boxes[:, :4].T
    sides = (x1 - x0) + (y1 - y0)
    touching = (x1 > 0) & (y1 > 0) & (x0 < width) & (y0 < height) & (x1 > x0) & (y1 > y0)
    boxes = boxes[touching & (sides >= SMALLEST) & (sides <= LARGEST * (height + width))]
    if max_faces is None or len(boxes) <= max_faces:
        return boxes
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return boxes[np.sort(np.argsort(-areas, kind="stable")[:max_faces])]
