"""The Python side of `facecli reconstruct`: the same stream, results in memory."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facecli.codes import Codes
from facecli.errors import InputError
from facecli.export.arkit import NAMES
from facecli.export.detail import with_normal_map
from facecli.geometry.mesh import TriangleMesh
from facecli.io.images import on_white
from facecli.io.sources import Source, expand_sources
from facecli.io.video import VideoReader
from facecli.plugin import Reconstruction, Reconstructor
from facecli.reconstruction.album import Album, combined
from facecli.reconstruction.events import InputFailed
from facecli.reconstruction.jobs import no_codes
from facecli.reconstruction.passes import Recording, given_frames
from facecli.reconstruction.people import People
from facecli.reconstruction.picture import overlay_of, record_of, texture_of
from facecli.reconstruction.run import Streams
from facecli.reconstruction.same_person import check_constants
from facecli.reconstruction.settings import Settings, default_model
from facecli.reconstruction.stored import decoder_of, film_for, stored_faces, stored_tracks
from facecli.reconstruction.stream import FaceStream, Frame, unmixed
from facecli.reconstruction.tracks import Shelf, Tracks, main_person, mix_tracks, tracks_of

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
    stream: FaceStream | None = None

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
        """The mesh in the head frame, with its texture, and with its normal map where the model has detail."""
        reconstruction = self.frame.reconstruction
        mesh = reconstruction.mesh(self.number, texture_of(self.frame, self.number, self.settings))
        return with_normal_map(mesh, reconstruction, self.number)

    @cached_property
    def arkit(self) -> dict[str, float]:
        """Weights 0..1 of ARKit's 52 blend shapes, by :data:`facecli.export.arkit.NAMES`.

        Raises:
            UsageError: neither the model nor the landmarker tells them.
        """
        frame = self.frame
        faces = frame.faces[self.number : self.number + 1]
        (found,) = self.stream.arkit(self.codes, self.reconstruction, faces)
        return dict(zip(NAMES, found.weights[0].tolist(), strict=True))

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """The model's own pictures that `save` names, RGB uint8; those in the photograph end in ``_photo``."""
        found = {name: of_faces[self.number] for name, of_faces in self.frame.pictures.items()}
        return found | {f"{name}_photo": of_faces[self.number] for name, of_faces in self.frame.in_photo.items()}

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
    model: str | None = None,
    *,
    on_error: Literal["raise", "skip"] = "raise",
    recursive: bool = False,
    **settings: Any,
) -> Iterator[ReconstructedFace]:
    """Every face of every picture, largest first, as they come.

    Args:
        inputs: a photograph, video, folder or glob, a ``codes.npz``, an RGB uint8 array [H, W, 3], or several of these.
        model: see :func:`facecli.models`; None is open where ICT-FaceKit's file is there and mediapipe
            elsewhere, and for codes the model that they are of.
        on_error: at a bad input raise its :class:`InputError`, or skip it.
        settings: fields of :class:`facecli.reconstruction.settings.Settings`: faces, options, device, smooth, … With
            `same_person` all inputs are asked for, and looked at, before the first face comes.

    Raises:
        InputError: a bad input, unless `on_error` is "skip". A picture without a face is no error: it yields nothing.
        UsageError, PluginError, MissingAssetError: the model can't be had.
    """
    streams = Streams(Settings(model=model, **settings))
    try:
        if streams.settings.same_person:
            yield from _of_person(_listed(inputs), recursive, streams, on_error)
            return
        for (name, _), group in itertools.groupby(_items(_listed(inputs), recursive, streams.settings), _Item.key):
            stream = streams(name)
            with closing(_reconstructed(stream, group)) as frames:
                yield from _faces(frames, stream, on_error)
    finally:
        streams.close()


def _faces(frames: Iterable[Frame], stream: FaceStream, on_error: str) -> Iterator[ReconstructedFace]:
    for frame in frames:
        if frame.error and on_error == "raise":
            raise frame.error
        if not frame.error:
            for number in range(len(frame.faces)):
                yield ReconstructedFace(frame, number, stream.settings, stream)


def _listed(inputs: Input | Iterable[Input]) -> Iterable[Input]:
    return [inputs] if isinstance(inputs, str | PathLike | np.ndarray) else inputs


@dataclass
class _Item:
    """An input and the model for it: an array's (or a bad input's) frame, or a source. What needs a stream for itself
    has a number of its own."""

    model: str
    frame: Frame | None = None
    source: Source | None = None
    of_video: bool = False
    alone: int = 0

    def key(self) -> tuple[str, int]:
        return self.model, self.alone


def _items(inputs: Iterable[Input], recursive: bool, settings: Settings) -> Iterator[_Item]:
    model, number = settings.model or default_model(), itertools.count(1)
    for place, item in enumerate(inputs):
        if isinstance(item, np.ndarray):
            name = f"array {place}"
            try:
                yield _Item(model, Frame(name, image=as_rgb(item, name)))
            except InputError as error:
                yield _Item(model, Frame(name, error=error))
            continue
        for source in expand_sources([str(item)], recursive=recursive):
            if isinstance(source, InputError):
                yield _Item(model, Frame(source.source, error=source))
            elif source.kind == "codes":
                try:
                    plugin, summary = decoder_of(source.name, source.path, settings.model)
                except InputError as error:
                    yield _Item(model, Frame(source.name, error=error))
                else:
                    yield _Item(plugin.name, None, source, summary.of_video, next(number))
            else:
                of_video = source.kind == "video"
                yield _Item(model, None, source, of_video, next(number) if of_video and settings.two_passes else 0)


def _reconstructed(stream: FaceStream, items: Iterator[_Item]) -> Iterator[Frame]:
    first = next(items)
    if first.source is None or first.source.kind != "codes":
        stream.prepare()
    if first.alone:
        yield from _alone(stream, first)
        return
    frames = itertools.chain.from_iterable(map(_frames, itertools.chain([first], items)))
    with closing(stream.frames(frames, _Mixer(stream.settings, stream.model))) as reconstructed:
        yield from reconstructed


def _alone(stream: FaceStream, item: _Item) -> Iterator[Frame]:
    """The frames of stored codes, and of a video that must be known to its end first."""
    with tempfile.TemporaryDirectory(prefix="facecli-", ignore_cleanup_errors=True) as folder:
        try:
            given = yield from _given(stream, item, Path(folder))
        except InputError as error:
            yield Frame(item.source.name, error=error)
            return
        with closing(stream.frames(given, unmixed)) as frames:
            yield from frames


def _given(stream: FaceStream, item: _Item, folder: Path) -> Iterator[Frame]:
    """Returns frames whose codes are given; yields what went wrong on the way to them."""
    source, settings = item.source, stream.settings
    if source.kind == "codes" and not item.of_video:
        frame = Frame(source.name)
        stored_faces(frame, source.path, settings)
        return iter([frame])
    shelf = Shelf(folder / "tracks")
    if source.kind == "codes":
        tracks, size = stored_tracks(source.name, source.path, settings, folder)
        film, given = film_for(tracks, size, settings), "codes"
    else:
        tracks = yield from _recorded(stream, source, folder, shelf)
        film, given = VideoReader(source.path), "faces"
    tracks = mix_tracks(tracks, settings, stream.model, shelf)
    blank = given == "codes" and settings.photo is None
    return given_frames(film, tracks, source.name, source, given=given, blank=blank)


def _recorded(stream: FaceStream, source: Source, folder: Path, shelf: Shelf) -> Generator[Frame, None, Tracks]:
    """Returns what a video's first pass finds; yields what went wrong in it.

    Raises:
        InputError: it can't be opened.
    """
    recording = Recording(source.name, source.path, lambda: folder, stream)
    with closing(stream.frames(recording.read(), recording.mix)) as frames:
        for frame in frames:
            for event in recording.events(frame, None, None):
                if isinstance(event, InputFailed):
                    yield Frame(source.name, source, error=event.error)
    recording.close()
    return tracks_of(recording.chunks, shelf, stream.plugin.name, stream.model.family)


# --- several inputs of one person ------------------------------------------------------------------------------------


def _of_person(
    inputs: Iterable[Input], recursive: bool, streams: Streams, on_error: str
) -> Iterator[ReconstructedFace]:
    stream = streams(streams.settings.model or default_model())
    check_constants(stream)
    items = [_without_codes(item) for item in _items(inputs, recursive, streams.settings)]
    with tempfile.TemporaryDirectory(prefix="facecli-", ignore_cleanup_errors=True) as folder:
        person = _Person(stream, Path(folder))
        yield from _faces(person.look(items), stream, on_error)
        with closing(stream.frames(person.frames(), unmixed)) as frames:
            yield from _faces(frames, stream, on_error)


def _without_codes(item: _Item) -> _Item:
    if item.source is None or item.source.kind != "codes":
        return item
    return _Item(item.model, Frame(item.source.name, error=no_codes(item.source.name)))


class _Person:
    """What the inputs told of their person, below `folder`."""

    def __init__(self, stream: FaceStream, folder: Path):
        self._stream, self._folder = stream, folder
        self._album = Album(folder / "album", stream.settings, stream.model)
        self._known: dict[str, Frame | tuple[Source, Tracks]] = {}

    def look(self, items: list[_Item]) -> Iterator[Frame]:
        """The first pass; yields what went wrong."""
        self._stream.prepare()
        stills = (frame for key, item in enumerate(items) if not item.of_video for frame in self._still(str(key), item))
        with closing(self._stream.frames(stills, _undecoded)) as frames:
            for frame in frames:
                if frame.error:
                    yield frame
                elif frame.faces:
                    self._album.keep_photograph(frame.origin, frame)
        for key, item in enumerate(items):
            if item.of_video:
                yield from self._video(str(key), item.source)
        self._order = [str(key) for key in range(len(items)) if str(key) in self._album]
        self._shared = combined(self._album.told(key) for key in self._order)

    def _still(self, key: str, item: _Item) -> Iterator[Frame]:
        for frame in _frames(item):
            frame.origin = key
            self._known[key] = Frame(frame.name, path=frame.path, image=frame.image)
            yield frame

    def _video(self, key: str, source: Source) -> Iterator[Frame]:
        shelf = Shelf(self._folder / key / "tracks")
        try:
            tracks = yield from _recorded(self._stream, source, self._folder / key, shelf)
        except InputError as error:
            yield Frame(source.name, source, error=error)
            return
        if tracks.people:
            self._album.keep_video(key, main_person(tracks))
            self._known[key] = (source, tracks)

    def frames(self) -> Iterator[Frame]:
        """The second pass."""
        for key in self._order:
            known = self._known[key]
            if isinstance(known, Frame):
                self._album.fill(key, known, self._shared)
                yield known
                continue
            source, tracks = known
            shelf = Shelf(self._folder / key / "mixed")
            tracks = mix_tracks(tracks, self._stream.settings, self._stream.model, shelf, self._shared.values)
            try:
                yield from given_frames(VideoReader(source.path), tracks, source.name, source)
            except InputError as error:
                yield Frame(source.name, source, error=error)


def _undecoded(frame: Frame) -> None:
    frame.mixed = None


# --- pictures --------------------------------------------------------------------------------------------------------


def _frames(item: _Item) -> Iterator[Frame]:
    if item.frame is not None:
        yield item.frame
    elif item.of_video:
        yield from _video_frames(item.source)
    else:
        yield Frame(item.source.name, path=str(item.source.path))


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


def as_rgb(image: np.ndarray, name: str) -> np.ndarray:
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
