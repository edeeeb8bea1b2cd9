"""`--same-person`: all inputs show one person, who keeps what the model says a person keeps in all of them.

That is known when all inputs are: in a first pass each gives its codes, which are kept on disk (photographs' in an
:class:`Album`, videos' where their first pass keeps them); in a second one all are decoded and written with what they
share. A killed run goes on in either pass. What was made is known again by the whole list of inputs: with another list
it is done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from facecli import registry
from facecli.errors import FacecliError, InputError, UsageError
from facecli.io.sources import Source
from facecli.reconstruction.album import Album, Shared, combined
from facecli.reconstruction.clip import NO_FACE_IN_FRAMES
from facecli.reconstruction.events import Event, FrameDone, InputFailed, Remark
from facecli.reconstruction.folder import ResultFolder
from facecli.reconstruction.jobs import (
    NO_FACE,
    NO_FACE_MEND,
    Failed,
    Finished,
    Job,
    Photograph,
    Through,
    TwoPassVideo,
    Work,
    jobs_of,
)
from facecli.reconstruction.settings import AUTO, Settings, default_model
from facecli.reconstruction.stream import FaceStream, Frame
from facecli.reconstruction.tracks import main_person

IDENTITY = "identity"
_STAGE = "finding faces"


def reconstruct_person(
    sources: Iterable[Source | InputError], work: Work, run: Callable[[Iterable[Job]], Iterator[Event]]
) -> Iterator[Event]:
    """Reconstructs all sources as pictures of one person. The list is read to its end first.

    Args:
        run: does jobs.

    Raises:
        UsageError: the model says of no code that a person keeps it.
        InputError: another facecli is at work on the same list.
    """
    stream = work.stream(work.settings.model or default_model())
    check_constants(stream)
    sources = list(sources)
    work.person = {"same_person": _digest(sources)}
    jobs = list(jobs_of(sources, work))
    yield from run(job for job in jobs if isinstance(job, Failed))
    jobs = [job for job in jobs if not isinstance(job, Failed)]
    pending = [job for job in jobs if not isinstance(job, Finished)]
    if pending:
        yield from _Person(jobs, pending, len(sources), stream, work, run).reconstruct()
    else:
        yield from run(jobs)


def _digest(sources: Iterable[Source | InputError]) -> str:
    """Of a list of inputs, in whatever order; by what files are known again, wherever they lie."""
    states = [source.state() | {"path": None} for source in sources if isinstance(source, Source)]
    lines = sorted(json.dumps(state, sort_keys=True) for state in states)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:32]


def check_constants(stream: FaceStream) -> None:
    """
    Raises:
        UsageError: there is nothing that inputs could share.
    """
    if stream.model.constants or set(stream.settings.hold) - {AUTO}:
        return
    others = ", ".join(_models_with_constants()) or "none"
    raise UsageError(
        f"the model {stream.plugin.name} names no codes that a person keeps, which --same-person shares; models that "
        f"do: {others}; --hold names codes"
    )


def _models_with_constants() -> Iterator[str]:
    for plugin in registry.plugins().values():
        if plugin.reconstructor:
            try:
                named = getattr(registry.attribute(plugin, plugin.reconstructor), "constants", ())
            except FacecliError:  # it can't be had here
                continue
            if named:
                yield plugin.name


def remark(shared: Shared, settings: Settings, total: int) -> str:
    """What the user should know of what was shared: one line."""
    codes = " and ".join(shared.values)
    counted = f"{shared.inputs} of {total} inputs" if shared.inputs < total else f"all {total} inputs"
    others = "" if settings.faces == "largest" else "; other faces keep their own"
    text = f"one person: {codes} from the largest face of {counted}{others}"
    if IDENTITY not in shared.values:
        text += f" ({settings.model} has no code for who somebody is)"
    return text


class _Person:
    """The run: `jobs` in order, and those `pending` among them that no earlier run has done, of `total` inputs."""

    def __init__(
        self,
        jobs: list[Job],
        pending: list[Job],
        total: int,
        stream: FaceStream,
        work: Work,
        run: Callable[[Iterable[Job]], Iterator[Event]],
    ):
        self.jobs, self.pending, self.total = jobs, pending, total
        self.stream, self.work, self.run = stream, work, run
        settings = stream.settings.fingerprint(video=True) | work.person | {"save": []}
        name = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self.folder = ResultFolder(work.output / f"person-{name}", {"path": "these inputs"}, settings, resumable=True)

    def reconstruct(self) -> Iterator[Event]:
        finished = False
        self.folder.resume(overwrite=self.work.overwrite)
        try:
            self.album = Album(self.folder.work / "album", self.stream.settings, self.stream.model)
            yield from self._both_passes()
            finished = True
        finally:
            self.folder.discard() if finished else self.folder.release()

    def _both_passes(self) -> Iterator[Event]:
        known = yield from self._look(self.pending)
        if known:  # those that are done are asked only where others need them
            rest = [job for job in self.jobs if isinstance(job, Finished)]
            told = known | (yield from self._look(rest))
            shared = combined(self.album.told(key_of(job)) for job in self.jobs if job in told)
            yield Remark(remark(shared, self.stream.settings, self.total))
        else:
            shared = Shared()
        yield from self.run(self._second(job, shared) for job in self.jobs if job in known or isinstance(job, Finished))

    def _look(self, jobs: list[Job]) -> Iterator[Event]:
        """The first pass. Returns those of `jobs` that showed a face."""
        looks = [self._first(job) for job in jobs if key_of(job) not in self.album]
        for number, look in enumerate(looks):
            look.place = (number, len(looks))
        yield from self.run(looks)
        return {job for job in jobs if key_of(job) in self.album}

    def _first(self, job: Any) -> _Look | _LookThrough:
        kind = _LookThrough if job.target.video else _Look
        return kind(job, self.album)

    def _second(self, job: Any, shared: Shared) -> Job:
        if isinstance(job, TwoPassVideo):
            job.shared = shared.values
        elif isinstance(job, Photograph):
            return _Known(job, self.album, shared)
        return job


def key_of(job: Any) -> str:
    """What an input is kept under."""
    state = json.dumps(job.target.source.state(), sort_keys=True)
    return hashlib.sha256(state.encode(errors="surrogatepass")).hexdigest()[:32]


class _Look(Job):
    """A photograph's first pass."""

    detects = True
    place = (0, 1)

    def __init__(self, job: Any, album: Album):
        super().__init__(job.model)
        self.name, self.source, self.key, self.album = job.name, job.target.source, key_of(job), album

    def frames(self) -> Iterator[Frame]:
        yield Frame(self.name, self, path=str(self.source.path))

    def mix(self, frame: Frame) -> None:
        frame.mixed = None  # nothing is decoded yet

    def write(self, frame: Frame) -> None:
        if frame.error:
            return
        if not frame.faces:
            raise InputError(frame.name, NO_FACE, NO_FACE_MEND)
        self.album.keep_photograph(self.key, frame)

    def events(self, frame: Frame, value: None, error: FacecliError | None) -> Iterator[Event]:
        if frame.error or error:
            yield InputFailed(frame.name, frame.error or error)
        else:
            yield FrameDone("pictures", *self.place, _STAGE)


class _LookThrough(Job):
    """A video's first pass."""

    alone, detects = True, True
    place = (0, 1)

    def __init__(self, job: Any, album: Album):
        super().__init__(job.model)
        self.key, self.album, self.once = key_of(job), album, isinstance(job, Finished)
        # A finished video's codes are found again, in a folder of their own.
        self.job = TwoPassVideo(job.stream, job.target, job.work) if self.once else job

    def run(self, through: Through) -> Iterator[Event]:
        video = self.job
        try:
            tracks = yield from video.record(through)
        except InputError as error:
            yield from video.fail(error)
            return
        if tracks.people:
            with video.folder.writing():
                self.album.keep_video(self.key, main_person(tracks))
        if tracks.people and not self.once:
            video.folder.release()  # the second pass goes on from here
            return
        video.drop()
        if not tracks.people:
            problem = NO_FACE_IN_FRAMES.format(len(tracks.frames))
            yield InputFailed(video.name, InputError(video.name, problem, "try --confidence 0.2"))


class _Known(Photograph):
    """A photograph's second pass."""

    detects = False

    def __init__(self, job: Photograph, album: Album, shared: Shared):
        super().__init__(job.stream, job.target, job.work)
        self.album, self.shared = album, shared

    def frames(self) -> Iterator[Frame]:
        frame = Frame(self.name, self, path=str(self.target.source.path))
        self.album.fill(key_of(self), frame, self.shared)
        yield frame
