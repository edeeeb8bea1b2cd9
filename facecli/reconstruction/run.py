"""Reconstructs a list of inputs into a folder: what `facecli reconstruct` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import FacecliError, InputError
from facecli.geometry.mesh import TriangleMesh
from facecli.io.sources import OutputNames, Source
from facecli.pipeline import cpu_count, parallel_map
from facecli.reconstruction.clip import Clip
from facecli.reconstruction.folder import ResultFolder, with_paths
from facecli.reconstruction.picture import FaceResult, write_picture
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import FaceStream, Frame

NO_FACE = "no face found"
NO_FACE_MEND = "is it upright? try --confidence 0.2"


@dataclass
class FrameDone:
    """Progress inside a video."""

    name: str
    frame: int
    of: int | None


@dataclass
class InputDone:
    """An input's results are on disk.

    Args:
        records: one a face (and frame), with paths as the user can open them.
        video: whether the input is one.
        skipped: the results were there already.
        picture: the photograph, and `faces` what was written of it, for a report; not of videos and skipped inputs.
        meshes: by a face's number, as far as they are in memory.
        problem: a video that ended before its end: its frames were done, but it counts as failed.
        note: something less the user should know.
    """

    name: str
    path: Path
    folder: Path
    records: Iterable[dict[str, Any]]
    video: bool = False
    skipped: bool = False
    picture: np.ndarray | None = None
    faces: list[FaceResult] = field(default_factory=list)
    meshes: dict[int, TriangleMesh] = field(default_factory=dict)
    problem: str | None = None
    note: str | None = None


@dataclass
class InputFailed:
    """An input, or one frame of it, gave nothing."""

    name: str
    error: FacecliError


Event = FrameDone | InputDone | InputFailed


@dataclass
class _Photograph:
    source: Source
    folder: ResultFolder


@dataclass
class _ClipEnd:
    clip: Clip


@dataclass
class _Finished:
    source: Source
    folder: ResultFolder


def reconstruct_files(
    sources: Iterable[Source | InputError], output: Path, settings: Settings, *, overwrite: bool = False
) -> Iterator[Event]:
    """Reconstruct each source into a folder of its own below `output`, in order.

    Finished sources are not done again unless `overwrite`; a video that was interrupted goes on where it stopped.

    Raises:
        OutputError: `output` can't be written to.
        UsageError, PluginError, MissingAssetError: the model can't be had.
    """
    stream = FaceStream(settings)
    clips: set[Clip] = set()
    try:
        frames = _frames(sources, output, settings, stream, overwrite, clips)
        ready = stream.frames(frames, _mix)
        written = parallel_map(_write(settings), ready, workers=max(2, cpu_count()))
        with closing(written):
            for outcome in written:
                yield from _events(outcome.item, outcome.value, outcome.error, clips)
    finally:
        for clip in clips:
            clip.abandon()
        stream.close()


def _frames(
    sources: Iterable[Source | InputError],
    output: Path,
    settings: Settings,
    stream: FaceStream,
    overwrite: bool,
    clips: set[Clip],
) -> Iterator[Frame]:
    names = OutputNames()
    for source in sources:
        if isinstance(source, InputError):
            yield Frame(source.source, error=source)
            continue
        video = source.kind == "video"
        try:
            fingerprint = settings.fingerprint(video)
            folder = ResultFolder(output / names.claim(source), source.state(), fingerprint, resumable=video)
            if folder.is_done(overwrite=overwrite):
                yield Frame(source.name, _Finished(source, folder), skip=True)
            elif source.kind == "codes":
                raise InputError(source.name, "is a file of codes, not a picture or video")
            elif video:
                clip = Clip(source.name, source.path, folder, settings, stream.model)
                clips.add(clip)
                yield from clip.read(overwrite=overwrite)
                yield Frame(source.name, _ClipEnd(clip), skip=True)
            else:
                yield Frame(source.name, _Photograph(source, folder), path=str(source.path))
        except InputError as error:
            yield Frame(source.name, error=error)


def _mix(frame: Frame) -> None:
    if isinstance(frame.origin, Clip):
        frame.origin.mix(frame)


def _write(settings: Settings):
    """What a writing worker does with a frame."""

    def write(frame: Frame):
        if isinstance(frame.origin, Clip) and not frame.skip:
            if frame.error:  # the frame stays in the video, without a face
                frame.drop_faces()
            return frame.origin.render(frame)
        if frame.error or frame.skip:
            return None
        return _write_photograph(frame, frame.origin.folder, settings)

    return write


def _write_photograph(frame: Frame, folder: ResultFolder, settings: Settings) -> list[FaceResult]:
    if not frame.faces:
        raise InputError(frame.name, NO_FACE, NO_FACE_MEND)
    work = folder.begin()
    try:
        with folder.writing():
            results = write_picture(frame, work, settings)
        folder.finish(result.record for result in results)
    except BaseException:
        folder.discard()
        raise
    return results


def _events(frame: Frame, value: Any, error: FacecliError | None, clips: set[Clip]) -> Iterator[Event]:
    origin = frame.origin
    if isinstance(origin, _Finished):
        source, folder = origin.source, origin.folder
        yield InputDone(
            source.name,
            source.path,
            folder.final,
            folder.records(),
            video=source.kind == "video",
            skipped=True,
            problem=folder.problem,
        )
    elif isinstance(origin, _ClipEnd):
        event = _finished_clip(origin.clip)
        clips.discard(origin.clip)
        yield event
    elif isinstance(origin, Clip):
        if frame.error or error:
            yield InputFailed(f"{frame.name}: frame {frame.index}", frame.error or error)
        if error:  # drawing failed; the frame itself is as good as any
            frame.drop_faces()
            value = origin.render(frame)
        origin.add(frame, value)
        yield FrameDone(frame.name, frame.index, origin.frame_count_hint)
    elif frame.error or error:
        yield InputFailed(frame.name, frame.error or error)
    else:
        folder = origin.folder.final
        records = [with_paths(result.record, folder) for result in value]
        meshes = {result.number: result.mesh for result in value}
        yield InputDone(
            frame.name, origin.source.path, folder, records, picture=frame.image, faces=value, meshes=meshes
        )


def _finished_clip(clip: Clip) -> Event:
    try:
        records = clip.finish()
    except InputError as error:
        return InputFailed(clip.name, error)
    return InputDone(
        clip.name,
        clip.path,
        clip.folder.final,
        records,
        video=True,
        meshes=clip.meshes,
        problem=clip.problem,
        note=clip.note,
    )
