"""The *mix* step of a video: who is who, whom to keep, and codes smoothed over time."""

from __future__ import annotations

from collections import defaultdict

from facecli.codes import Codes
from facecli.detect.tracking import FaceTracker, describe
from facecli.plugin import Reconstructor
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import Frame
from facecli.smoothing import CodesSmoother


class People:
    """Called with each frame of one video in order.

    With ``--faces largest`` or N, those who were chosen first are followed while they are seen; the largest others
    take the places of who is away.
    """

    def __init__(self, settings: Settings, model: Reconstructor):
        self._smooth = settings.smoother == "one-euro" and not settings.two_passes
        self._limit = settings.most_faces
        self._only_one = not settings.crop
        self._tracker = FaceTracker()
        self._smoothers: dict[int, CodesSmoother] = defaultdict(lambda: CodesSmoother.of(model))

    def __call__(self, frame: Frame) -> None:
        """Sets the frame's `people` and, when smoothing, `mixed`; drops the faces that aren't wanted."""
        if self._only_one:  # each frame is this person's, wherever in it a face is recognised
            frame.people = [0] * len(frame.faces)
        else:
            self._number(frame)
        if self._smooth and frame.codes is not None:
            parts = [
                self._smoothers[person](frame.codes.select(number), frame.time)
                for number, person in enumerate(frame.people)
            ]
            frame.mixed = Codes.concatenate(parts)

    def _number(self, frame: Frame) -> None:
        if len(frame.appearances) != len(frame.faces):
            frame.appearances = [describe(frame.image, face) for face in frame.faces]
        if self._limit is not None and len(frame.faces) > self._limit:
            frame.keep_faces(self._chosen(frame, self._limit))
        frame.people = self._tracker.update(frame.index, frame.faces, frame.appearances)

    def _chosen(self, frame: Frame, limit: int) -> list[int]:
        known = self._tracker.recognised(frame.index, frame.faces, frame.appearances)
        order = sorted(range(len(frame.faces)), key=lambda n: (not known[n], -frame.faces[n].area))
        return sorted(order[:limit], key=lambda n: -frame.faces[n].area)
