"""Models at work on a benchmark's pictures: portraits in, faces as seen and at rest out, streaming."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import numpy as np

from facecli import registry
from facecli.benchmark.neutral import keeps_expression, neutral_codes
from facecli.benchmark.points import head_rotation, ibug68_pixels, in_millimetres, now_landmarks
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.detect.near_box import best_match, face_near
from facecli.errors import FacecliError, InputError, UsageError
from facecli.io.images import read_image
from facecli.plugin import Plugin, Reconstruction
from facecli.reconstruction.api import as_rgb
from facecli.reconstruction.arkit import NoWeights, Weights
from facecli.reconstruction.settings import Settings, parse_options
from facecli.reconstruction.stream import FaceStream, Frame, unmixed

__all__ = ["Portrait", "Predicted", "Predictor", "head_rotation", "ibug68_pixels", "now_landmarks"]


@dataclass
class Portrait:
    """A picture of one person.

    Args:
        name: what it is called in messages.
        image: RGB uint8 [H, W, 3], or its path; then it is read when its turn comes.
        box: [4] x0, y0, x1, y1 in pixels, of a detector that comes with the benchmark; None: the largest face.
    """

    name: str
    image: np.ndarray | str | PathLike[str]
    box: np.ndarray | None = None


@dataclass
class Predicted:
    """What a model makes of a portrait. Lengths are in millimetres.

    Args:
        error: why there is no face.
        face: [1, …] as the picture shows it.
        neutral: [1, …] the same person at rest, if that was asked for.
        codes: [1, …] of `face`.
        weights: ARKit's, if they were asked for and the model can give them.
    """

    portrait: Portrait
    error: FacecliError | None = None
    face: Reconstruction | None = None
    neutral: Reconstruction | None = None
    codes: Codes | None = None
    weights: Weights | None = None


class Predictor:
    """A model that predicts the faces of portraits. Use it in a `with` statement.

    A portrait's box is cropped as the model's authors do it, where the model tells how (`crop_box`); no landmarker is
    needed then. Else the face is the landmarker's that fits to the box, or, without a box, its largest.

    Args:
        model: its name, see `facecli models`.
        options: the model's own, by name or as ``NAME=VALUE``; before all others the description's `benchmark_options`.
        batch_size: faces at once; 0: the model's own choice.
        landmarker: another one than the model's own. It is asked for all portraits then; boxes say which face is meant.
        detector: asked for all portraits, too, before the landmarker.
        confidence: their threshold; None: the model's own.
        workers: threads that read and detect; None: one a core.
        boxes: ``"crop"``: as above; ``"choose"``: boxes only say which of the faces that the landmarker finds in the
            whole picture is meant.

    Raises:
        UsageError, PluginError, MissingAssetError: the model, or the landmarker that it needs, can't be had.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        options: Iterable[str] | Mapping[str, Any] = (),
        batch_size: int = 0,
        landmarker: str | None = None,
        detector: str | None = None,
        confidence: float | None = None,
        workers: int | None = None,
        boxes: Literal["crop", "choose"] = "crop",
    ):
        if boxes not in ("crop", "choose"):
            raise UsageError(f"boxes are to crop or to choose, not to {boxes}")
        chosen = dict(options) if isinstance(options, Mapping) else parse_options(options)
        self.plugin: Plugin = registry.plugin(model)
        settings = Settings(
            model=model,
            options={**self.plugin.benchmark_options, **chosen},
            faces="largest",
            landmarker=landmarker,
            detector=detector,
            confidence=confidence,
            device=device,
            batch_size=batch_size,
            workers=workers,
        )
        self._stream = _PortraitStream(settings, boxes)
        if not self._stream.crops_boxes:
            self._stream.prepare()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model's and the landmarkers' memory."""
        self._stream.close()

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self._stream.device

    @property
    def options(self) -> Mapping[str, Any]:
        """The model's options that were set, the description's for benchmarks included."""
        return self._stream.settings.options

    @property
    def notes(self) -> list[str]:
        """What has to be known of its neutral faces. Of a model that has no `neutral_note` this is complete when
        neutral faces were predicted."""
        return list(self._stream.notes)

    def predict(
        self, portraits: Iterable[Portrait], *, neutral: bool = False, arkit: bool = False
    ) -> Iterator[Predicted]:
        """One answer a portrait, in order, as they come; few portraits are in memory at a time.

        Args:
            neutral: predict people at rest, too.
            arkit: tell expressions in ARKit's weights, too.

        Raises:
            UsageError, PluginError, MissingAssetError: what every portrait would meet. All else is the portrait's own
                `error`.
        """
        frames = (Frame(portrait.name, _Task(portrait, neutral, arkit)) for portrait in portraits)
        with contextlib.closing(self._stream.frames(frames, unmixed)) as done:
            for frame in done:
                yield _predicted(frame)


@dataclass
class _Task:
    """A frame's origin."""

    portrait: Portrait
    neutral: bool
    arkit: bool
    weights: Weights | None = None


class _PortraitStream(FaceStream):
    """Frames of one face each, found by a box where there is one. A frame's `beside` is the face at rest."""

    def __init__(self, settings: Settings, boxes: str):
        super().__init__(settings)
        self.choosing = boxes == "choose"
        own_finder = settings.landmarker is None and settings.detector is None
        self.crops_boxes = own_finder and hasattr(self.model, "crop_box") and not self.choosing
        note = getattr(self.model, "neutral_note", "")
        self.notes: dict[str, None] = {note: None} if note else {}

    def find(self, frame: Frame) -> Frame:
        """Sets the frame's face and crop. Its picture is not kept: crops are all that is needed of it."""
        portrait = frame.origin.portrait
        image, box = _picture(portrait), portrait.box
        if box is not None:
            box = _checked_box(portrait, image)
        if box is not None and self.crops_boxes:
            crop = self.model.crop_box(image, box)
        else:
            crop = self.model.crop(image, self._face(portrait, image, box))
        frame.faces, frame.crops = [crop.face], [crop]
        return frame

    def _face(self, portrait: Portrait, image: np.ndarray, box: np.ndarray | None) -> Face:
        if box is not None:
            face = best_match(self.detect(image), box) if self.choosing else face_near(self.detect, image, box)
            if face is None:
                raise InputError(portrait.name, "no face found near the box", "is one there, upright?")
            return face
        path = None if isinstance(portrait.image, np.ndarray) else str(portrait.image)
        faces = self.faces_of(Frame(portrait.name, path=path, image=image))
        if not faces:
            raise InputError(portrait.name, "no face found", "is one there, upright?")
        return faces[0]

    def _decode(self, frames: list[Frame]) -> None:
        super()._decode(frames)
        for frame in frames:
            if frame.origin.arkit:
                with contextlib.suppress(NoWeights):
                    (frame.origin.weights,) = self.arkit(frame.codes, frame.reconstruction, frame.faces)
            frame.reconstruction = self._checked(frame, frame.reconstruction)
        resting = [frame for frame in frames if frame.origin.neutral]
        if not resting:
            return
        codes = Codes.concatenate([frame.codes for frame in resting])
        if keeps_expression(self.model, codes) and not self.notes:
            self.notes[f"{self.plugin.name} keeps the expression: it has no code of identity alone"] = None
        decoded = self.decode(neutral_codes(self.model, codes))
        for number, frame in enumerate(resting):
            frame.beside = self._checked(frame, decoded.select(slice(number, number + 1)))

    def _checked(self, frame: Frame, found: Reconstruction) -> Reconstruction:
        if not found.vertices.isfinite().all():
            raise InputError(frame.name, f"the model {self.plugin.name} gave a mesh with numbers that aren't finite")
        return in_millimetres(found)


def _predicted(frame: Frame) -> Predicted:
    portrait = frame.origin.portrait
    if frame.error:
        return Predicted(portrait, frame.error)
    return Predicted(portrait, None, frame.reconstruction, frame.beside, frame.codes, frame.origin.weights)


def _picture(portrait: Portrait) -> np.ndarray:
    if isinstance(portrait.image, np.ndarray):
        return as_rgb(portrait.image, portrait.name)
    return read_image(portrait.image)


def _checked_box(portrait: Portrait, image: np.ndarray) -> np.ndarray:
    """The portrait's box as [4] float64.

    Raises:
        InputError: it has no area, or nothing of the picture lies in it.
    """
    box = np.asarray(portrait.box, np.float64)
    height, width = image.shape[:2]
    words = ", ".join(f"{number:g}" for number in box.ravel())
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] - box[:2]).min() < 1:
        raise InputError(portrait.name, f"its box ({words}) has no area", "left, top, right, bottom in pixels")
    if (box[2:] <= 0).any() or (box[:2] >= (width, height)).any():
        problem = f"its box ({words}) lies outside the picture of {width}×{height} pixels"
        raise InputError(portrait.name, problem, "is it the box of another picture, or of this one turned?")
    return box
