"""Sources and targets: files to the codes of the faces in them, wholly, before anything is mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli.codes import Codes, summarize_codes
from facecli.detect.face import Face
from facecli.errors import FacecliError, InputError
from facecli.io.sources import Source
from facecli.io.video import VideoReader
from facecli.reconstruction.clip import NO_FACE_IN_FRAMES
from facecli.reconstruction.events import Event, InputFailed
from facecli.reconstruction.film import Film
from facecli.reconstruction.folder import ResultFolder
from facecli.reconstruction.jobs import NO_FACE, NO_FACE_MEND
from facecli.reconstruction.passes import Recording
from facecli.reconstruction.run import through
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stored import film_for, stored_faces, stored_tracks
from facecli.reconstruction.stream import FaceStream, Frame
from facecli.reconstruction.tracks import Shelf, Track, Tracks, main_person, mix_tracks, tracks_of
from facecli.reenactment.bridge import Bridge


@dataclass
class Given:
    """A source or target whose codes are known.

    Args:
        name: as the user named it.
        model, family: of the codes.
        stored: they came from a file, so that there is nothing to crop.
        blank: there is no photograph or video to them.
        problem: a video that ended before its end.
    """

    name: str
    model: str
    family: str
    stored: bool
    blank: bool
    problem: str | None


@dataclass
class Still(Given):
    """A photograph, or codes of one.

    Args:
        image: RGB uint8 [H, W, 3]. faces: B, largest first; codes: of them.
    """

    image: np.ndarray
    faces: list[Face]
    codes: Codes


@dataclass
class Moving(Given):
    """A video, or codes of one. `open_film` opens what it is drawn on."""

    tracks: Tracks
    open_film: Callable[[], Film]


class Room:
    """Where what is known of videos lies while the run lasts; a killed run's next one finds it again.

    `known` are those, by their folders, that are whole: a video may be both source and target.

    Args:
        output: the folder of the results. overwrite: begin anew.
    """

    def __init__(self, output: Path, *, overwrite: bool = False):
        self.output, self.overwrite = output, overwrite
        self.known: dict[Path, Moving] = {}
        self._open: dict[str, ResultFolder] = {}

    def folder(self, source: Source, settings: Settings) -> Path:
        """For what is recorded of `source`.

        Raises:
            InputError: another process is at work in it.
        """
        state = source.state()
        kind = settings.fingerprint(video=True) | {"save": []}
        name = hashlib.sha256(json.dumps([state, kind], sort_keys=True, default=str).encode()).hexdigest()[:16]
        if name in self._open:
            return self._open[name].work
        folder = ResultFolder(self.output / f"given-{name}", state | {"path": source.name}, kind, resumable=True)
        folder.resume(overwrite=self.overwrite)
        self._open[name] = folder
        return folder.work

    def clear(self, *, keep: bool = False) -> None:
        """The run is over; `keep` for the next one, where it wasn't to its end."""
        for folder in self._open.values():
            folder.release() if keep else folder.discard()
        self._open, self.known = {}, {}


class _Photo:
    """The origin of a photograph's frame: nothing is decoded yet, nothing written."""

    def mix(self, frame: Frame) -> None:
        frame.mixed = None

    def write(self, frame: Frame) -> Frame:
        return frame

    def events(self, frame: Frame, value: Frame | None, error: FacecliError | None) -> Iterator[Any]:
        frame.error = frame.error or error
        yield frame


def load_pictures(frames: Sequence[Frame], stream: FaceStream) -> Iterator[Still | InputFailed]:
    """Faces and codes of photographs, in order."""
    for frame in frames:
        frame.origin = _PHOTO
    for frame in through(stream, iter(frames)):
        error = frame.error
        if error is None and not frame.faces:
            error = InputError(frame.name, NO_FACE, NO_FACE_MEND)
        if error is not None:
            yield InputFailed(frame.name, error)
            continue
        codes = frame.codes.to("cpu")
        yield Still(frame.name, codes.model, codes.family, False, False, None, frame.image, frame.faces, codes)


_PHOTO = _Photo()


def load_codes(source: Source, settings: Settings, room: Room) -> Still | Moving:
    """What a file of codes holds.

    Args:
        settings: `model` is the plugin's name that decodes them.

    Raises:
        InputError: the file can't be used.
    """
    blank = settings.photo is None
    if not summarize_codes(source.path).of_video:
        frame = Frame(source.name)
        stored_faces(frame, source.path, settings)
        codes = frame.codes
        return Still(source.name, codes.model, codes.family, True, blank, None, frame.image, frame.faces, codes)
    work = room.folder(source, settings)
    if work not in room.known:
        tracks, size = stored_tracks(source.name, source.path, settings, work / "chunks/stored")
        room.known[work] = Moving(
            source.name, tracks.model, tracks.family, True, blank, None,
            tracks, lambda: film_for(tracks, size, settings),
        )  # fmt: skip
    return room.known[work]


def load_video(source: Source, stream: FaceStream, settings: Settings, room: Room) -> Generator[Event, None, Moving]:
    """Finds a video's people and their codes. Returns a :class:`Moving`.

    Raises:
        InputError: it can't be read, or there is no face in it.
    """
    work = room.folder(source, settings)
    if work in room.known:
        return room.known[work]
    recording = Recording(source.name, source.path, lambda: work, stream)
    yield from through(stream, recording.read())
    recording.close()
    shelf = Shelf(work / "chunks/tracks")
    tracks = tracks_of(recording.chunks, shelf, stream.plugin.name, stream.model.family)
    if not tracks.people:
        raise InputError(source.name, NO_FACE_IN_FRAMES.format(len(tracks.frames)), "try --confidence 0.2")
    tracks = mix_tracks(tracks, stream.settings, stream.model, shelf)
    room.known[work] = Moving(
        source.name, tracks.model, tracks.family, False, False, recording.problem,
        tracks, lambda: VideoReader(source.path),
    )  # fmt: skip
    return room.known[work]


# --- one face of a target --------------------------------------------------------------------------------------------


@dataclass
class Performer:
    """The face whose expressions are taken.

    Args:
        given: what it is in. number: of the face in it (the person's, in a video).
        still: its codes [1, ...]; None in a video. track: of a video.
        stream: of its own model, where that isn't of the source's family. bridge: what then makes its expressions the
            source's; None where nothing does, and `refusal` says why.
    """

    given: Still | Moving
    number: int
    still: Codes | None = None
    track: Track | None = None
    stream: FaceStream | None = None
    bridge: Bridge | None = None
    refusal: str = ""

    def codes(self, rows: Sequence[int] | np.ndarray) -> Codes:
        """The codes of rows of the track, or those of the photograph's face, [1, ...]; across a bridge the expression
        alone, in the source's numbers.

        Raises:
            UsageError: they hold no expression that could be carried over.
        """
        own = self.own_codes(rows)
        return own if self.bridge is None else self.bridge.carry(own)

    def own_codes(self, rows: Sequence[int] | np.ndarray) -> Codes:
        """The same as its own model has them."""
        if self.track is None:
            return self.still
        return self.track.codes(np.asarray(rows), self.given.model, self.given.family)

    def boxes(self) -> np.ndarray:
        """[N, 4] where it is."""
        if self.track is None:
            return self.given.faces[self.number].box[None]
        return np.asarray(self.track.faces["box"])


def performer(given: Still | Moving, wanted: str) -> Performer:
    """The face `wanted` of a target: ``"largest"`` (in a video, and longest seen) or a number.

    Raises:
        InputError: there is no such face.
    """
    if isinstance(given, Still):
        number = 0 if wanted == "largest" else int(wanted)
        if number >= len(given.faces):
            raise InputError(given.name, f"has no face {number}, only {_count(len(given.faces))}", "see --target-face")
        return Performer(given, number, still=given.codes.select(number))
    people = {track.person: track for track in given.tracks.people}
    number = main_person(given.tracks).person if wanted == "largest" else int(wanted)
    if number not in people:
        numbers = ", ".join(str(person) for person in people)
        raise InputError(given.name, f"has no face {number}, only {numbers}", "see --target-face")
    return Performer(given, number, track=people[number])


def _count(number: int) -> str:
    return f"{number} face" + ("" if number == 1 else "s")


SAMPLE = 2000
"""Frames among which the one at rest is looked for."""


def rest_of(performer: Performer, model: Any, neutral: str) -> Codes | None:
    """The target at rest, [1, ...]: the frame `neutral` (a number) of its video, or the one that `model` finds; None
    where nobody can know.

    Raises:
        InputError: there is no such frame, or not with this face.
    """
    track, name = performer.track, performer.given.name
    if neutral.isdecimal():
        if track is None:
            raise InputError(name, "is no video: it has no frame at rest to choose", "give --neutral a picture")
        rows = np.flatnonzero(np.asarray(track.frames) == int(neutral))
        if not len(rows):
            raise InputError(name, f"shows face {track.person} in no frame {neutral}", "choose another --neutral")
        return performer.codes(rows[:1])
    if track is None or not hasattr(model, "resting"):
        return None
    rows = np.unique(np.linspace(0, len(track) - 1, min(len(track), SAMPLE)).astype(int))
    with torch.inference_mode():
        best = model.resting(performer.codes(rows))
    return performer.codes(rows[best : best + 1])
