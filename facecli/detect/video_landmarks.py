"""The landmarks of a whole video, collected frame by frame in flat memory, one person a column."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facecli.detect.face import Face
from facecli.detect.formats import Landmarks, face_extras
from facecli.detect.tracking import FaceTracker
from facecli.errors import OutputError


class VideoLandmarks:
    """Collects a video's faces, frame by frame. The points lie in temporary files: memory stays flat however long the
    video. Close it in the end.

    Args:
        size: (width, height) of the frames.
        fps: average frame rate.
    """

    def __init__(self, size: tuple[int, int], fps: float):
        self.size, self.fps = size, fps
        self.times: list[float] = []
        self._records: list[_Record] = []
        self._blendshape_names: list[str] = []
        self._tracker = FaceTracker()
        self._shape: tuple[int, ...] = ()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object

    def close(self) -> None:
        self._file.close()

    def __bool__(self) -> bool:
        """Was there any face?"""
        return bool(self._records)

    def add(self, time: float, faces: list[Face], appearances: list[np.ndarray]) -> None:
        """The faces of the next frame, `time` seconds into the video. `appearances`: `tracking.describe` of each."""
        frame = len(self.times)
        self.times.append(time)
        for face, person in zip(faces, self._tracker.update(frame, faces, appearances), strict=True):
            extras = {name: value[0] for name, value in face_extras([face]).items()}
            self._records.append(_Record(frame, person, face.score, face.box, extras))
            self._blendshape_names = self._blendshape_names or list(face.blendshapes or {})
            points = np.ascontiguousarray(face.points, np.float32)
            self._shape = points.shape
            with _temporary_file_errors():
                self._file.write(points.data)

    def landmarks(self, point_set: str, faces: str | int) -> Landmarks:
        """What was collected of the set `point_set`; not for a video without any face.

        People come by their area summed over the video, the largest first. `faces` keeps "all" of them, the first N,
        or the "largest": that is the first of them, and in frames without him or her the largest face there is, as
        the official scripts take one face of every frame.

        Its arrays may lie on disk; they live on after this object.
        """
        places, count = self._places(faces)
        frames = len(self.times)
        points = _nan_on_disk((frames, count, *self._shape))
        scores = np.full((frames, count), np.nan)
        boxes = np.full((frames, count, 4), np.nan)
        extras = self._nan_extras(frames, count)
        with _temporary_file_errors():
            self._file.flush()
        stored = np.memmap(self._file, np.float32, "r", shape=(len(self._records), *self._shape))
        for index, place in places.items():
            record = self._records[index]
            at = record.frame, place
            points[at], scores[at], boxes[at] = stored[index], record.score, record.box
            for name, values in extras.items():
                values[at] = record.extras[name]
        if "blendshapes" in extras:
            extras["blendshape_names"] = np.array(self._blendshape_names)
        return Landmarks(points, scores, boxes, point_set, self.size, np.array(self.times), self.fps, extras)

    def _places(self, faces: str | int) -> tuple[dict[int, int], int]:
        """Record → place on the axis of faces, and the number of places."""
        areas: dict[int, float] = defaultdict(float)
        for record in self._records:
            areas[record.person] += record.area
        order = sorted(areas, key=lambda person: (-areas[person], person))
        if faces == "largest":
            return self._one_a_frame(order[0]), 1
        kept = order if faces == "all" else order[: int(faces)]
        place = {person: index for index, person in enumerate(kept)}
        return {i: place[r.person] for i, r in enumerate(self._records) if r.person in place}, len(kept)

    def _one_a_frame(self, person: int) -> dict[int, int]:
        """Record → 0 for one record of each frame: that of `person`, else the largest."""
        best: dict[int, tuple[bool, float, int]] = {}
        for index, record in enumerate(self._records):
            candidate = (record.person == person, record.area, index)
            best[record.frame] = max(candidate, best.get(record.frame, candidate))
        return {index: 0 for _, _, index in best.values()}

    def _nan_extras(self, frames: int, count: int) -> dict[str, np.ndarray]:
        """NaN arrays for what came with every face."""
        first = self._records[0].extras
        names = set.intersection(*(set(record.extras) for record in self._records))
        return {name: np.full((frames, count, *first[name].shape), np.nan, np.float32) for name in sorted(names)}


@dataclass
class _Record:
    """One face in one frame of a video; its points are in the store's file."""

    frame: int
    person: int
    score: float
    box: np.ndarray
    extras: dict[str, np.ndarray]

    @property
    def area(self) -> float:
        x0, y0, x1, y1 = self.box
        return float((x1 - x0) * (y1 - y0))


def _nan_on_disk(shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array of NaN in a temporary file instead of memory."""
    with _temporary_file_errors(), tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # a disk found full now is an error; found full later, it would be a crash
            os.posix_fallocate(file.fileno(), 0, 4 * math.prod(shape))
        array = np.memmap(file, np.float32, "w+", shape=shape)
    array[:] = np.nan
    return array


@contextlib.contextmanager
def _temporary_file_errors() -> Iterator[None]:
    """Translates what a full disk does."""
    try:
        yield
    except OSError as error:
        folder, reason = tempfile.gettempdir(), error.strerror or str(error)
        raise OutputError(f"{folder}: no room for temporary files: {reason} (set TMPDIR to another folder)") from error
