"""Reconstructs a list of inputs into a folder: what `facecli reconstruct` does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from facecli.errors import InputError
from facecli.io.sources import Source
from facecli.pipeline import cpu_count, parallel_map
from facecli.reconstruction.events import Event, FrameDone, InputDone, InputFailed
from facecli.reconstruction.jobs import Job, Work, jobs_of
from facecli.reconstruction.same_person import reconstruct_person
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import FaceStream, Frame

__all__ = ["Event", "FrameDone", "InputDone", "InputFailed", "reconstruct_files", "through"]


def reconstruct_files(
    sources: Iterable[Source | InputError],
    output: Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    streams: Streams | None = None,
) -> Iterator[Event]:
    """Reconstruct each source into a folder of its own below `output`, in order.

    Finished sources are not done again unless `overwrite`; a video that was interrupted goes on where it stopped.

    Args:
        streams: models that are loaded already, of the same settings; they stay open. (`rigged`, where GLBs are
            written.)

    Raises:
        OutputError: `output` can't be written to.
        UsageError, PluginError, MissingAssetError: the model can't be had.
    """
    keep, streams = streams is not None, streams or Streams(settings, rigged=True)
    work = Work(output, settings, overwrite, streams)
    try:
        if settings.model is not None:
            streams(settings.model)
        if settings.same_person:
            yield from reconstruct_person(sources, work, lambda jobs: _run_all(jobs, streams))
        else:
            yield from _run_all(jobs_of(sources, work), streams)
    finally:
        for clip in work.clips:
            clip.abandon()
        if not keep:
            streams.close()


class Streams:
    """A stream a model, made when it is asked for."""

    def __init__(self, settings: Settings, *, rigged: bool = False):
        self.settings, self._rigged = settings, rigged
        self._made: dict[str, FaceStream] = {}

    def __call__(self, model: str) -> FaceStream:
        if model not in self._made:
            self._made[model] = FaceStream(self.settings.with_model(model), rigged=self._rigged)
        return self._made[model]

    def close(self) -> None:
        for stream in self._made.values():
            stream.close()


class _Neighbours:
    """The key of jobs that go through a stream together."""

    def __init__(self):
        self._count = 0

    def __call__(self, job: Job) -> tuple[str, int]:
        self._count += job.alone
        return job.model, self._count if job.alone else -1


def _run_all(jobs: Iterable[Job], streams: Streams) -> Iterator[Event]:
    # Neighbours of one model share a stream. The group is used up by a stream's thread, and only then the next one is
    # asked for.
    for _, group in itertools.groupby(jobs, _Neighbours()):
        yield from _run(group, streams)


def _run(group: Iterator[Job], streams: Streams) -> Iterator[Event]:
    first = next(group)
    stream = streams(first.model)
    if first.detects:
        stream.prepare()
    if first.alone:
        yield from _noticed(stream, first.run(lambda frames: through(stream, frames)))
        return
    frames = itertools.chain.from_iterable(job.frames() for job in itertools.chain([first], group))
    yield from _noticed(stream, through(stream, frames))


def _noticed(stream: FaceStream, events: Iterator[Event]) -> Iterator[Event]:
    """The same `events`; the first result says what there is to know of the model."""
    with closing(events):
        for event in events:
            if stream.notice and isinstance(event, InputDone) and not event.skipped:
                event.note = f"{event.note}; {stream.notice}" if event.note else stream.notice
                stream.notice = ""
            yield event


def through(stream: FaceStream, frames: Iterable[Frame]) -> Iterator[Event]:
    """Sends `frames` through `stream` and their origins' writing (see :class:`facecli.reconstruction.events.Origin`),
    all at the same time; what the origins tell comes in order."""
    ready = stream.frames(frames, lambda frame: frame.origin.mix(frame))
    written = parallel_map(lambda frame: frame.origin.write(frame), ready, workers=max(2, cpu_count()))
    with closing(written):
        for outcome in written:
            yield from outcome.item.origin.events(outcome.item, outcome.value, outcome.error)
