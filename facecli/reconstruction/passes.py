"""The ways through a video's frames: people's codes are recorded, and clips drawn; at once, or one after the other.

What a person is like over the whole video (a held identity, Savitzky-Golay's smoothing) is known at its end only. Then
the first pass records codes and the second one, after the tracks were mixed, reads the video again and draws. Both go
on behind the last whole chunk of a run that was killed: earlier frames are replayed from their chunks (to the tracker
and the smoothing, so that results don't depend on where it was cut) and not computed again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facecli.detect.face import Face
from facecli.errors import FacecliError
from facecli.io.atomic import atomic_write
from facecli.io.video import VideoReader
from facecli.reconstruction.arkit import blendshape_row
from facecli.reconstruction.clip import Clip, Painted
from facecli.reconstruction.events import Event, FrameDone, InputFailed
from facecli.reconstruction.film import Film
from facecli.reconstruction.people import People
from facecli.reconstruction.stream import FaceStream, Frame
from facecli.reconstruction.tracks import Chunks, Tracks

CHUNK_FRAMES = 120
"""Frames between two points from which a killed run goes on: a few seconds of work."""


class _Pass:
    """Takes frames in, in order; every CHUNK_FRAMES of them become a chunk on disk."""

    stage = ""

    def __init__(self, name: str, clip: Clip | None):
        self.name, self.clip = name, clip
        self.chunks: Chunks | None = None
        self.frame_count_hint: int | None = None
        self._rows: list[dict[str, Any]] = []
        self._frames: list[tuple[int, int, float]] = []

    def mix(self, frame: Frame) -> None:
        """Nothing to mix."""

    def write(self, frame: Frame) -> Painted | None:
        if frame.skip or self.clip is None:
            return None
        if frame.error:  # the frame stays in the video, without a face
            frame.drop_faces()
        return self.clip.paint(frame)

    def events(self, frame: Frame, painted: Painted | None, error: FacecliError | None) -> Iterator[Event]:
        if frame.error or error:
            yield InputFailed(f"{self.name}: frame {frame.index}", frame.error or error)
        if error:  # drawing failed; the frame itself is as good as any
            frame.drop_faces()
            painted = self.write(frame)
        if not frame.skip:
            self._take(frame, painted)
        yield FrameDone(self.name, frame.index, self.frame_count_hint, self.stage)

    def _take(self, frame: Frame, painted: Painted | None) -> None:
        self._frames.append((frame.index, frame.pts, frame.time))
        if painted is not None:
            self.clip.take(painted)
        if not frame.error:
            self._rows += [self._row(frame, number) for number in range(len(frame.faces))]
        if len(self._frames) >= CHUNK_FRAMES:
            self.flush()

    def _row(self, frame: Frame, number: int) -> dict[str, Any]:
        """What a chunk keeps of a face."""
        face = frame.faces[number]
        row = {"frame": frame.index, "person": frame.people[number], "box": face.box, "score": face.score}
        pose = None if frame.reconstruction is None else frame.reconstruction.head_pose
        if pose is not None:
            row["head_pose"] = pose[number].numpy(force=True)
        return row

    def flush(self) -> None:
        """Puts what was taken in since the last chunk on disk, for good."""
        if not self._frames:
            return
        with contextlib.nullcontext() if self.clip is None else self.clip.folder.writing():
            if self.clip is not None:
                self.clip.commit()
            self.chunks.write(self._frames, self._rows)
        self._frames, self._rows = [], []


class Recording(_Pass):
    """Finds a video's people and their codes; with a `clip`, draws them in the same pass.

    Args:
        name: the video as the user named it.
        begin: called when the video is open: its working folder.

    Afterwards `problem` says how the file ended if not at its end.
    """

    def __init__(self, name: str, path: Path, begin: Callable[[], Path], stream: FaceStream, clip: Clip | None = None):
        super().__init__(name, clip)
        self.path, self._begin, self._stream = path, begin, stream
        self.stage = "" if clip else "finding faces"
        self.problem: str | None = None
        self._people = People(stream.settings, stream.model)

    def read(self) -> Iterator[Frame]:
        """All frames: those of whole chunks replayed, the others decoded.

        Raises:
            InputError: the video can't be opened.
        """
        with VideoReader(self.path) as reader:
            work = self._begin()
            self.chunks = Chunks(work)
            self.frame_count_hint = reader.frame_count_hint
            if self.clip is not None:
                self.clip.begin(reader, self.chunks)
            elif self._is_complete():
                return
            yield from self._replayed()
            for frame in reader.frames(start=self.chunks.frame_count):
                yield Frame(self.name, self, frame.index, frame.pts, frame.time, image=frame.image)
            self.problem = reader.problem

    def mix(self, frame: Frame) -> None:
        """Numbers the frame's people and smooths their codes, or leaves that to the end."""
        self._people(frame)
        if self.clip is None:
            frame.mixed = None

    def close(self) -> None:
        """All frames are through."""
        self.flush()
        if self.clip is None and not self._is_complete():
            with atomic_write(self._note) as temporary:
                temporary.write_text(json.dumps({"problem": self.problem}), "utf-8")

    @property
    def _note(self) -> Path:
        """Says that the first pass was at its end."""
        return self.chunks.work / "recorded.json"

    def _is_complete(self) -> bool:
        if not self._note.exists():
            return False
        self.problem = json.loads(self._note.read_text("utf-8"))["problem"]
        return True

    def _replayed(self) -> Iterator[Frame]:
        model = self._stream.model
        for chunk in self.chunks.read():
            rows_of = chunk.rows_by_frame()
            for index, time in zip(chunk["frame_index"].tolist(), chunk["frame_time"].tolist(), strict=True):
                rows = rows_of.get(index, [])
                yield Frame(
                    self.name, self, index, None, time, skip=True,
                    faces=[Face(chunk["box"][row], float(chunk["score"][row])) for row in rows],
                    codes=chunk.codes(rows, self._stream.plugin.name, model.family) if rows else None,
                    appearances=[chunk["appearance"][row] for row in rows],
                )  # fmt: skip

    def _row(self, frame: Frame, number: int) -> dict[str, Any]:
        row = super()._row(frame, number)
        row["appearance"] = frame.appearances[number] if frame.appearances else np.zeros(1, np.float32)
        row |= told_of(frame, number, points=self.clip is None)
        if frame.mixed is not None and frame.mixed is not frame.codes:
            row |= {f"mixed/{name}": value[number].numpy(force=True) for name, value in frame.mixed.values.items()}
        return row


def told_of(frame: Frame, number: int, *, points: bool) -> dict[str, Any]:
    """What a chunk keeps of a face beside its place: codes, blend shapes, and `points`, by which it is cropped again in
    the second pass."""
    face = frame.faces[number]
    row = {f"codes/{name}": value[number].numpy(force=True) for name, value in frame.codes.values.items()}
    if face.blendshapes:
        row["blendshapes"] = blendshape_row(face.blendshapes)
    return row | ({"points": face.points, "point_set": face.point_set} if points else {})


class Drawing(_Pass):
    """Draws a clip from given tracks: those of a recording, of a file of codes, or mixed of several.

    Args:
        given: as in :class:`Frame`: ``"faces"`` where the film shows the people of the tracks, so that they can be
            cropped; else ``"codes"``.
        blank: the film shows nothing.
    """

    def __init__(
        self, clip: Clip, tracks: Tracks, *, given: str = "faces", blank: bool = False, stage: str = "drawing"
    ):
        super().__init__(clip.name, clip)
        self.tracks, self._given, self._blank, self.stage = tracks, given, blank, stage
        self.problem: str | None = None

    def read(self) -> Iterator[Frame]:
        """The frames that no whole chunk has yet.

        Raises:
            InputError: the film can't be opened.
        """
        with self.clip.open_film() as film:
            self.chunks = Chunks(self.clip.folder.work, "drawn")
            self.frame_count_hint = len(self.tracks.frames)
            self.clip.begin(film, self.chunks)
            start = self.chunks.frame_count
            yield from given_frames(
                film, self.tracks, self.name, self, given=self._given, blank=self._blank, start=start
            )
            self.problem = film.problem


def given_frames(
    film: Film, tracks: Tracks, name: str, origin: Any, *, given: str = "faces", blank: bool = False, start: int = 0
) -> Iterator[Frame]:
    """The frames of `film` from the one with index `start` on, with the faces and codes of `tracks`."""
    for frame in film.frames(start=start):
        people, faces, codes = tracks.at(frame.index)
        yield Frame(
            name, origin, frame.index, frame.pts, frame.time, image=frame.image, blank=blank,
            given=given, people=people, faces=faces, codes=codes, mixed=codes,
        )  # fmt: skip
