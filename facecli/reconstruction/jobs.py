"""What is to be done with each input: a photograph, a video in one or two passes, a file of codes, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import FacecliError, InputError
from facecli.io.sources import OutputNames, Source
from facecli.io.video import VideoReader
from facecli.reconstruction.clip import Clip
from facecli.reconstruction.events import Event, InputDone, InputFailed
from facecli.reconstruction.film import Film
from facecli.reconstruction.folder import ResultFolder, with_paths
from facecli.reconstruction.layouts import Places
from facecli.reconstruction.passes import Drawing, Recording
from facecli.reconstruction.picture import FaceResult, write_layout, write_picture
from facecli.reconstruction.settings import Settings, default_model
from facecli.reconstruction.stored import decoder_of, film_for, photo_state, stored_faces, stored_tracks
from facecli.reconstruction.stream import FaceStream, Frame
from facecli.reconstruction.tracks import Shelf, Tracks, held_codes, hold_constants, mix_tracks, tracks_of

NO_FACE = "no face found"
NO_FACE_MEND = "is it upright? try --confidence 0.2"

Through = Callable[[Iterator[Frame]], Iterator[Event]]
"""Sends frames through the stream and tells what their origins say."""


@dataclass
class Work:
    """What all jobs of a run share.

    `person` is what results depend on beside their own input, where all inputs show one person.
    """

    output: Path
    settings: Settings
    overwrite: bool
    stream: Callable[[str], FaceStream]
    names: OutputNames = field(default_factory=OutputNames)
    places: Places = field(default_factory=Places)
    person: dict[str, Any] = field(default_factory=dict)
    clips: set[Clip] = field(default_factory=set)


class Job:
    """One input, and the origin of its frames (:class:`facecli.reconstruction.events.Origin`).

    `frames` is what it gives to a stream that other inputs go through, too; jobs that need a stream for themselves have
    `alone` set and are `run`.
    """

    alone = False
    detects = False

    def __init__(self, model: str):
        self.model = model

    def mix(self, frame: Frame) -> None:
        """Photographs have nothing to mix."""

    def write(self, frame: Frame) -> Any:
        """Nothing to write."""

    def frames(self) -> Iterator[Frame]:
        raise NotImplementedError

    def run(self, through: Through) -> Iterator[Event]:
        raise NotImplementedError


class Failed(Job):
    """An input that can't be used at all."""

    def __init__(self, model: str, error: InputError):
        super().__init__(model)
        self.error = error

    def frames(self) -> Iterator[Frame]:
        yield Frame(self.error.source, self, error=self.error)

    def events(self, frame: Frame, value: None, error: FacecliError | None) -> Iterator[Event]:
        yield InputFailed(frame.name, frame.error or error)


@dataclass
class Target:
    """An input and where its results go.

    Args:
        stem, file: what layouts call it by, without and with suffix.
    """

    source: Source
    folder: ResultFolder
    stem: str
    file: str
    video: bool


class _Targeted(Job):
    def __init__(self, stream: FaceStream, target: Target, work: Work):
        super().__init__(stream.plugin.name)
        self.stream, self.target, self.work = stream, target, work
        self.name, self.folder = target.source.name, target.folder

    def done(self, records: Iterable[dict[str, Any]], **further: Any) -> InputDone:
        source = self.target.source
        return InputDone(
            source.name, source.path, self.folder.final, records, self.model, video=self.target.video, **further
        )


class Finished(_Targeted):
    """An earlier run did it."""

    def frames(self) -> Iterator[Frame]:
        yield Frame(self.name, self, skip=True)

    def events(self, frame: Frame, value: None, error: FacecliError | None) -> Iterator[Event]:
        yield self.done(self.folder.records(), skipped=True, problem=self.folder.problem)


class Photograph(_Targeted):
    """One picture with faces."""

    detects = True

    def frames(self) -> Iterator[Frame]:
        yield Frame(self.name, self, path=str(self.target.source.path))

    def write(self, frame: Frame) -> list[FaceResult] | None:
        if frame.error:
            return None
        if not frame.faces:
            raise InputError(frame.name, NO_FACE, NO_FACE_MEND)
        settings, folder, layout = self.stream.settings, self.folder, self.stream.layout
        work = folder.begin()
        try:
            with folder.writing():
                if layout is None:
                    results = write_picture(frame, work, settings)
                else:
                    root = folder.stage(self.work.places).root
                    results = write_layout(frame, layout, root, settings, self.target.stem, self.target.file)
            folder.finish((result.record for result in results), frame.problem)
        except BaseException:
            folder.discard()
            raise
        return results

    def events(self, frame: Frame, value: list[FaceResult] | None, error: FacecliError | None) -> Iterator[Event]:
        if frame.error or error:
            yield InputFailed(frame.name, frame.error or error)
            return
        files = self.folder.files
        records = [with_paths(result.record | files, self.folder.final) for result in value]
        meshes = {result.number: result.mesh for result in value}
        yield self.done(records, picture=frame.image, faces=value, meshes=meshes, problem=frame.problem)


class StoredFaces(Photograph):
    """A file with the codes of a photograph's faces."""

    detects = False

    def frames(self) -> Iterator[Frame]:
        frame = Frame(self.name, self)
        try:
            stored_faces(frame, self.target.source.path, self.stream.settings)
        except InputError as error:
            frame.error = error
        yield frame


class _Video(_Targeted):
    def __init__(self, stream: FaceStream, target: Target, work: Work):
        super().__init__(stream, target, work)
        self.path = target.source.path
        self.clip = Clip(
            self.name, self.folder, stream, self._open_film, stem=target.stem, source=target.file, places=work.places
        )
        work.clips.add(self.clip)

    def _open_film(self) -> Film:
        return VideoReader(self.path)

    def _begin(self) -> Path:
        self.folder.resume(overwrite=self.work.overwrite and not self.folder.is_begun)
        return self.folder.work

    def _shelf(self) -> Shelf:
        return Shelf(self.folder.work / "chunks/tracks")

    def _finish(self, tracks: Tracks) -> Iterator[Event]:
        clip = self.clip
        try:
            records = clip.finish(tracks)
        except InputError as error:
            yield InputFailed(clip.name, error)
        else:
            yield self.done(records, meshes=clip.meshes, problem=clip.problem, note=clip.note)
        self.work.clips.discard(clip)

    def fail(self, error: InputError) -> Iterator[Event]:
        """Tells why there is nothing (more) to do with it."""
        self.clip.abandon()
        self.work.clips.discard(self.clip)
        yield InputFailed(self.name, error)

    def drop(self) -> None:
        """Forgets what was found in it."""
        self.folder.discard()
        self.work.clips.discard(self.clip)

    def _recorded(self, recording: Recording) -> Tracks:
        return tracks_of(recording.chunks, self._shelf(), self.model, self.stream.model.family)


class OnePassVideo(_Video):
    """A video that is drawn while its codes come."""

    detects = True

    def frames(self) -> Iterator[Frame]:
        recording = Recording(self.name, self.path, self._begin, self.stream, self.clip)
        self.recording = recording
        try:
            yield from recording.read()
            yield Frame(self.name, self, skip=True)  # its end
        except InputError as error:
            yield Frame(self.name, self, error=error)

    def events(self, frame: Frame, value: None, error: FacecliError | None) -> Iterator[Event]:
        if frame.error:
            yield from self.fail(frame.error)
            return
        self.recording.close()
        with self.folder.writing():
            tracks = self._recorded(self.recording)
            known = tracks.people[0].values if tracks.people else ()
            held = held_codes(self.stream.settings, self.stream.model, tuple(known))
            # The film is drawn already, with what was known at each frame; what is written of the whole (GLB, codes)
            # is smooth already, and follows from there.
            tracks = hold_constants(tracks, held, self.stream.model, self._shelf())
        self.clip.problem = self.recording.problem
        yield from self._finish(tracks)


class TwoPassVideo(_Video):
    """A video that is drawn when all its codes are known."""

    alone, detects = True, True
    shared: Mapping[str, np.ndarray] | None = None
    """What the main person is known for from other inputs."""

    def run(self, through: Through) -> Iterator[Event]:
        try:
            tracks = yield from self.record(through)
        except InputError as error:
            yield from self.fail(error)
            return
        with self.folder.writing():
            tracks = mix_tracks(tracks, self.stream.settings, self.stream.model, self._shelf(), self.shared)
        yield from draw(self.clip, tracks, through)
        yield from self._finish(tracks)

    def record(self, through: Through) -> Generator[Event, None, Tracks]:
        """The first pass, of which a second call finds everything on disk. Returns what the model gave.

        Raises:
            InputError: the video can't be opened, or another process is at work on it.
        """
        recording = Recording(self.name, self.path, self._begin, self.stream)
        yield from through(recording.read())
        with self.folder.writing():
            recording.close()
            tracks = self._recorded(recording)
        self.clip.problem = recording.problem
        return tracks


class StoredVideo(_Video):
    """A file with the codes of somebody in a video."""

    alone = True

    def run(self, through: Through) -> Iterator[Event]:
        settings = self.stream.settings
        try:
            self._begin()
            tracks, self._size = stored_tracks(self.name, self.path, settings, self.folder.work / "chunks/stored")
            with self.folder.writing():
                self._tracks = mix_tracks(tracks, settings, self.stream.model, self._shelf())
            drawing = yield from draw(self.clip, self._tracks, through, given="codes", blank=settings.photo is None)
        except InputError as error:
            yield from self.fail(error)
            return
        count, drawn = len(tracks.frames), drawing.chunks.frame_count
        if drawn != count:
            self.clip.problem = f"has {count} frames, {settings.photo} has {drawn}"
        yield from self._finish(self._tracks)

    def _open_film(self) -> Film:
        return film_for(self._tracks, self._size, self.stream.settings)


def draw(
    clip: Clip, tracks: Tracks, through: Through, *, given: str = "faces", blank: bool = False, stage: str = "drawing"
) -> Iterator[Event]:
    """Draws a clip from given tracks; `clip.finish` is what is left. Returns the finished :class:`Drawing`.

    Raises:
        InputError: what it is drawn on can't be opened.
    """
    drawing = Drawing(clip, tracks, given=given, blank=blank, stage=stage)
    yield from through(drawing.read())
    drawing.flush()
    return drawing


def no_codes(name: str) -> InputError:
    """Why a file of codes is no input of a person that several inputs show."""
    mend = "give the photograph or video that it is of"
    return InputError(name, "is a file of codes, which --same-person doesn't take", mend)


# --- from sources to jobs --------------------------------------------------------------------------------------------


def jobs_of(sources: Iterable[Source | InputError], work: Work) -> Iterator[Job]:
    """A job for each source, in order."""
    model = work.settings.model or default_model()
    for source in sources:
        if isinstance(source, InputError):
            yield Failed(model, source)
            continue
        try:
            job = _job(source, work)
        except InputError as error:
            job = Failed(model, error)
        model = job.model  # what failed goes with its neighbours
        yield job


def _job(source: Source, work: Work) -> Job:
    settings = work.settings
    if source.kind == "codes":
        if settings.same_person:
            raise no_codes(source.name)
        plugin, summary = decoder_of(source.name, source.path, settings.model)
        stream, video, further = work.stream(plugin.name), summary.of_video, photo_state(settings)
        kind = StoredVideo if video else StoredFaces
    else:
        if settings.photo is not None:
            raise InputError(source.name, "is no file of codes, which --photo goes with", "leave --photo away")
        stream, video, further = work.stream(settings.model or default_model()), source.kind == "video", work.person
        kind = Photograph if not video else TwoPassVideo if settings.two_passes else OnePassVideo
    target = _target(source, stream, video, further, work)
    if target.folder.is_done(overwrite=work.overwrite):
        return Finished(stream, target, work)
    return kind(stream, target, work)


def _target(source: Source, stream: FaceStream, video: bool, further: dict[str, Any], work: Work) -> Target:
    layout = stream.layout is not None
    name = work.names.claim(source, suffixes=not layout)
    file = work.names.claim_file(source, name) if layout else name.name
    fingerprint = stream.settings.fingerprint(video) | further
    folder = ResultFolder(work.output / name, source.state(), fingerprint, resumable=video)
    return Target(source, folder, name.name, file, video)
