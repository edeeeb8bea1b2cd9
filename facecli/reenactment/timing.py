"""Which of the target's frames goes with which frame of the result, and what the result is drawn on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from facecli.io.video import VideoFrame
from facecli.reconstruction.film import Film, Still
from facecli.reenactment.inputs import Given, Moving, Performer

TAIL = 1.0
"""Seconds that the sound may go on behind the last picture."""


@dataclass
class Timeline:
    """The T frames of a result.

    Args:
        frames: [T] of :data:`facecli.reconstruction.tracks.FRAME_TYPE`: those of the source, or, where that is a
            photograph, of the target.
        target_frame: [T] the target's frame that is shown beside; None for a photograph.
        target_row: [T] the row of the performer's track: of that frame, or the nearest one that shows the face.
        open_film: opens what the result is drawn on.
    """

    frames: np.ndarray
    target_frame: np.ndarray | None
    target_row: np.ndarray | None
    open_film: Callable[[], Film]


def timeline(source: Given, performer: Performer, *, loop: bool = False) -> Timeline:
    """The times of a result of which at least one side is a video.

    A photograph lasts as long as the other side. Of two videos the one that is shorter ends the result, or with `loop`
    the target begins again. The sound is the target's, whose lips move; without it the source's.

    Raises:
        InputError: a video can't be opened.
    """
    target = performer.given
    if not isinstance(target, Moving):
        return Timeline(source.tracks.frames, None, None, source.open_film)
    theirs = target.tracks.frames
    time_base, sound = _time_and_sound(target)
    if not isinstance(source, Moving):
        index = np.arange(len(theirs))
        film = Still(source.image, theirs["pts"], time_base, sound)
        return Timeline(theirs, index, _rows(performer, index), lambda: film)
    ours = source.tracks.frames
    times, lasts = ours["time"] - ours["time"][0], _duration(theirs)
    if loop:
        times, sound = times % lasts, None
    else:
        ours, times = ours[times < lasts], times[times < lasts]
        if sound is not None and lasts - times[-1] > TAIL:
            sound = None
    index = _nearest(theirs["time"] - theirs["time"][0], times)
    count, cut = len(ours), len(ours) < len(source.tracks.frames)
    return Timeline(ours, index, _rows(performer, index), lambda: _Cut(source.open_film(), count, cut, sound))


def _time_and_sound(given: Moving) -> tuple[Fraction, Path | None]:
    with given.open_film() as film:
        return film.time_base, film.path if film.has_audio else None


def _duration(frames: np.ndarray) -> float:
    """Seconds until the last frame's end."""
    time = frames["time"]
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.04
    return float(time[-1] - time[0]) + step


def _rows(performer: Performer, frames: np.ndarray) -> np.ndarray:
    """Of the frames with these numbers, the track's nearest row."""
    return _nearest(np.asarray(performer.track.frames), frames)


def _nearest(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each of `wanted` the place of the nearest of `known`, which rise; of two the earlier."""
    right = np.searchsorted(known, wanted).clip(0, len(known) - 1)
    left = (right - 1).clip(0)
    return np.where(np.abs(wanted - known[left]) <= np.abs(known[right] - wanted), left, right)


class _Cut:
    """The first `count` frames of a film, with the sound of another one, if that is given."""

    def __init__(self, film: Film, count: int, cut: bool, sound: Path | None):
        self._film, self._count = film, count
        self.average_rate, self.time_base = film.average_rate, film.time_base
        self.frame_count_hint: int | None = count
        self.problem: str | None = None
        self.path = film.path if sound is None else sound
        self.has_audio = sound is not None or (film.has_audio and not cut)

    def __enter__(self) -> _Cut:
        self._film.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._film.__exit__(*exception)

    def frames(self, start: int = 0) -> Iterator[VideoFrame]:
        for frame in self._film.frames(start=start):
            if frame.index >= self._count:
                return
            yield frame
