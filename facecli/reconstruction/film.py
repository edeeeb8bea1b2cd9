"""The pictures that a clip is drawn on: a video, or one picture that stays."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from facecli.errors import InputError
from facecli.io.video import VideoFrame, VideoReader


class Film(Protocol):
    """What :class:`facecli.io.video.VideoReader` offers, as far as clips need it."""

    path: Path | None
    average_rate: Fraction
    time_base: Fraction
    frame_count_hint: int | None
    has_audio: bool
    problem: str | None

    def __enter__(self) -> Film: ...

    def __exit__(self, *exception: object) -> None: ...

    def frames(self, start: int = 0) -> Iterator[VideoFrame]: ...


class Still:
    """One picture for all frames.

    Args:
        image: RGB uint8 [H, W, 3].
        pts: [T] times in ticks of `time_base`, rising.
        sound: a file whose sound goes with it.
    """

    def __init__(self, image: np.ndarray, pts: np.ndarray, time_base: Fraction, sound: Path | None = None):
        self.image, self.time_base = image, time_base
        self.path, self.has_audio = sound, sound is not None
        self.problem: str | None = None
        self.frame_count_hint: int | None = len(pts)
        self._pts = [int(value) for value in pts]
        span = (self._pts[-1] - self._pts[0]) * time_base if self._pts else 0
        rate = Fraction(len(self._pts) - 1) / span if span else Fraction(25)
        self.average_rate = min(max(rate, Fraction(1, 10)), Fraction(1000))

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def frames(self, start: int = 0) -> Iterator[VideoFrame]:
        for index, pts in enumerate(self._pts[start:], start):
            yield VideoFrame(index, pts, float(pts * self.time_base), self.image)


def video_of_size(path: Path, size: tuple[int, int], belongs: str) -> VideoReader:
    """A video whose frames are (height, width) `size`, as `belongs` ("the codes") ask.

    Raises:
        InputError: it can't be read, or has another size.
    """
    reader = VideoReader(path)
    check_size(path, reader.size[::-1], size, belongs)
    return reader


def check_size(path: Path, size: tuple[int, int], wanted: tuple[int, int], belongs: str) -> None:
    """
    Raises:
        InputError: the two (height, width) differ.
    """
    if tuple(size) != tuple(wanted):
        words = "{1}×{0} pixels, but {2} belong on {4}×{3}".format(*size, belongs, *wanted)
        raise InputError(path, f"has {words}", "give the photograph or video that they were made of")
