"""The *mix* step of a video: who is who, and codes smoothed over time."""

from __future__ import annotations

from collections import defaultdict

from facecli.codes import Codes
from facecli.detect.tracking import FaceTracker, describe
from facecli.reconstruction.stream import Frame
from facecli.smoothing import CodesSmoother


class People:
    """Called with each frame of one video in order."""

    def __init__(self, smooth: bool):
        self.smooth = smooth
        self._tracker = FaceTracker()
        self._smoothers: dict[int, CodesSmoother] = defaultdict(CodesSmoother)

    def __call__(self, frame: Frame) -> None:
        """Sets the frame's `people` and, when smoothing, `mixed`."""
        if len(frame.appearances) != len(frame.faces):
            frame.appearances = [describe(frame.image, face) for face in frame.faces]
        frame.people = self._tracker.update(frame.index, frame.faces, frame.appearances)
        if self.smooth and frame.codes is not None:
            parts = [
                self._smoothers[person](frame.codes.select(number), frame.time)
                for number, person in enumerate(frame.people)
            ]
            frame.mixed = Codes.concatenate(parts)
