"""The Python side of `facecli reconstruct`: the same stream, results in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facecli.codes import Codes
from facecli.errors import InputError
from facecli.geometry.mesh import TriangleMesh
from facecli.io.images import on_white
from facecli.io.sources import Source, expand_sources
from facecli.io.video import VideoReader
from facecli.plugin import Reconstruction, Reconstructor
from facecli.reconstruction.people import People
from facecli.reconstruction.picture import overlay_of, record_of, texture_of
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import FaceStream, Frame

Input = str | PathLike[str] | np.ndarray


@dataclass
class ReconstructedFace:
    """One face of one picture. What costs time (texture, overlay) is made when it is asked for.

    Args:
        frame: the picture that it is in, with all its faces.
        number: its place among them, largest first.
    """

    frame: Frame
    number: int
    settings: Settings

    @property
    def input(self) -> str:
        """The photograph or video, as named in the call."""
        return self.frame.name

    @property
    def index(self) -> int:
        """The frame's number in its video; 0 for a photograph."""
        return self.frame.index or 0

    @property
    def face(self) -> int:
        """The face's number; in a video the person's, the same in all frames."""
        return self.frame.people[self.number] if self.frame.people else self.number

    @property
    def box(self) -> np.ndarray:
        """[4] x0, y0, x1, y1 in pixels."""
        return self.frame.faces[self.number].box

    @property
    def score(self) -> float:
        """The detector's confidence."""
        return self.frame.faces[self.number].score

    @property
    def codes(self) -> Codes:
        """The codes of this face, each [1, ...]; smoothed where that was asked for."""
        return self.frame.mixed.select(self.number)

    @property
    def reconstruction(self) -> Reconstruction:
        """All that the model decoded, [1, ...] each."""
        return self.frame.reconstruction.select(slice(self.number, self.number + 1))

    @property
    def head_pose(self) -> np.ndarray | None:
        """[4, 4] head frame -> camera frame."""
        pose = self.frame.reconstruction.head_pose
        return None if pose is None else pose[self.number].numpy(force=True)

    @cached_property
    def mesh(self) -> TriangleMesh:
        """The mesh in the head frame, with its texture."""
        return self.frame.reconstruction.mesh(self.number, texture_of(self.frame, self.number, self.settings))

    @property
    def photo(self) -> np.ndarray:
        """The picture, RGB uint8 [H, W, 3]."""
        return self.frame.image

    @property
    def landmarks(self) -> dict[str, np.ndarray]:
        """Point-set name -> [K, 2 or 3] pixels."""
        found = self.frame.reconstruction.landmarks
        return {name: points[self.number].numpy(force=True) for name, points in found.items()}

    def overlay(self) -> np.ndarray:
        """The picture with this face's mesh on it."""
        return overlay_of(self.frame, self.settings, [self.number])

    def record(self) -> dict[str, Any]:
        """What face.json would say."""
        return record_of(self.frame, self.number, self.settings)


def reconstruct(
    inputs: Input | Iterable[Input],
    model: str = "mediapipe",
    *,
    on_error: Literal["raise", "skip"] = "raise",
    recursive: bool = False,
    **settings: Any,
) -> Iterator[ReconstructedFace]:
    """Every face of every picture, largest first, as they come.

    Args:
        inputs: a photograph, video, folder or glob, an RGB uint8 array [H, W, 3], or several of these.
        model: see :func:`facecli.models`.
        on_error: at a bad input raise its :class:`InputError`, or skip it.
        settings: fields of :class:`facecli.reconstruction.settings.Settings`: faces, device, smooth, …

    Raises:
        InputError: a bad input, unless `on_error` is "skip". A picture without a face is no error: it yields nothing.
        UsageError, PluginError, MissingAssetError: the model can't be had.
    """
    chosen = Settings(model=model, **settings)
    stream = FaceStream(chosen)
    mixer = _Mixer(chosen, stream.model)
    try:
        with closing(stream.frames(_frames(_listed(inputs), recursive), mixer)) as frames:
            for frame in frames:
                if frame.error and on_error == "raise":
                    raise frame.error
                if not frame.error:
                    yield from (ReconstructedFace(frame, number, chosen) for number in range(len(frame.faces)))
    finally:
        stream.close()


def _listed(inputs: Input | Iterable[Input]) -> Iterable[Input]:
    return [inputs] if isinstance(inputs, str | PathLike | np.ndarray) else inputs


def _frames(inputs: Iterable[Input], recursive: bool) -> Iterator[Frame]:
    for number, item in enumerate(inputs):
        if isinstance(item, np.ndarray):
            name = f"array {number}"
            try:
                yield Frame(name, image=_rgb(item, name))
            except InputError as error:
                yield Frame(name, error=error)
            continue
        for source in expand_sources([str(item)], recursive=recursive):
            if isinstance(source, InputError):
                yield Frame(source.source, error=source)
            elif source.kind == "video":
                yield from _video_frames(source)
            else:
                yield Frame(source.name, path=str(source.path))


def _video_frames(source: Source) -> Iterator[Frame]:
    try:
        with VideoReader(Path(source.path)) as reader:
            for frame in reader.frames():
                yield Frame(source.name, source, frame.index, frame.pts, frame.time, image=frame.image)
            if reader.problem:
                yield Frame(source.name, source, error=InputError(source.name, reader.problem))
    except InputError as error:
        yield Frame(source.name, source, error=error)


class _Mixer:
    """A new :class:`People` for each video."""

    def __init__(self, settings: Settings, model: Reconstructor):
        self._settings, self._model = settings, model
        self._source: Any = None
        self._people: People | None = None

    def __call__(self, frame: Frame) -> None:
        if frame.index is None:
            return
        if self._people is None or frame.origin is not self._source:
            self._source, self._people = frame.origin, People(self._settings, self._model)
        self._people(frame)


def _rgb(image: np.ndarray, name: str) -> np.ndarray:
    """Grey, RGBA and 16-bit pictures as RGB uint8 [H, W, 3].

    Raises:
        InputError: it is no picture.
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise InputError(name, f"is {image.dtype} {list(image.shape)}, not a picture", "give uint8 [H, W, 3]")
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] == 4:
        return on_white(image)
    if image.shape[2] not in (1, 3):
        raise InputError(name, f"has {image.shape[2]} channels", "give uint8 [H, W, 3]")
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
