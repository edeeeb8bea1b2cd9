"""Who is who from frame to frame: the same person keeps a number through a video."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from facecli.detect.face import Face

THUMBNAIL = 12
"""Side in pixels of the colour thumbnail that tells people apart."""

BESIDE, ABOVE, BELOW = 0.3, 0.5, 0.8
"""What the thumbnail shows beyond the face's box, in box widths: hair and clothes tell more than the face does.
Two people in one photograph came out 0.67 unlike each other with it and 0.21 without; one person at most 0.37
from frame to frame."""

ALIKE_HERE, ALIKE_ELSEWHERE = 0.5, 0.3
"""How unlike a face may be and still be the same person: where he or she was just now, and anywhere."""

FAR = 1e3
"""A cost that no match can have."""


def describe(image: np.ndarray, face: Face) -> np.ndarray:
    """[432] appearance of a person: a colour thumbnail of head and shoulders, brightness and contrast taken out.

    Args:
        image: RGB uint8 [H, W, 3], the photograph.
    """
    height, width = image.shape[:2]
    unit = max(face.box[2] - face.box[0], 1.0)
    x0, y0, x1, y1 = np.round(face.box + np.array([-BESIDE, -ABOVE, BESIDE, BELOW]) * unit).astype(int)
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    part = image[y0 : max(min(y1, height), y0 + 1), x0 : max(min(x1, width), x0 + 1)]
    part = part[:: max(len(part) // (8 * THUMBNAIL), 1), :: max(part.shape[1] // (8 * THUMBNAIL), 1)]  # plenty
    small = cv2.resize(part, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


@dataclass
class Track:
    """One person. `velocity`: [2] pixels a frame of the box's centre."""

    number: int
    box: np.ndarray
    appearance: np.ndarray
    last_frame: int
    velocity: np.ndarray


class FaceTracker:
    """Numbers the faces of a video's frames; frame by frame, deterministic.

    A face goes on with the person whose predicted box and appearance are nearest (Hungarian assignment). Somebody who
    was away comes back under the old number if looks allow it; newcomers get the next free one. Within the first
    frame, numbers go by size.

    Args:
        patience: frames after which position no longer tells who somebody is, only looks do.
    """

    def __init__(self, patience: int = 30):
        self.patience = patience
        self.tracks: list[Track] = []

    def update(self, frame: int, faces: list[Face], appearances: list[np.ndarray]) -> list[int]:
        """The person's number for each face of frame `frame`. `appearances`: :func:`describe` of each."""
        costs = np.array(
            [[self._cost(t, frame, f, a) for t in self.tracks] for f, a in zip(faces, appearances, strict=True)]
        )
        numbers: list[int | None] = [None] * len(faces)
        if costs.size:
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                if costs[row, column] < FAR:
                    numbers[row] = column
                    self._continue(self.tracks[column], frame, faces[row], appearances[row])
        for index in sorted(range(len(faces)), key=lambda i: -faces[i].area):
            if numbers[index] is None:
                numbers[index] = len(self.tracks)
                self.tracks.append(
                    Track(numbers[index], faces[index].box.copy(), appearances[index], frame, np.zeros(2))
                )
        return [int(number) for number in numbers]

    def recognised(self, frame: int, faces: list[Face], appearances: list[np.ndarray]) -> list[bool]:
        """Which faces are somebody's who was seen lately; nothing is remembered."""
        lately = [track for track in self.tracks if frame - track.last_frame <= self.patience]
        return [
            any(self._cost(track, frame, face, look) < FAR for track in lately)
            for face, look in zip(faces, appearances, strict=True)
        ]

    def _cost(self, track: Track, frame: int, face: Face, appearance: np.ndarray) -> float:
        """0 (surely the same) to about 2, or FAR where it can't be."""
        unlike = 1 - float(track.appearance @ appearance)
        away = frame - track.last_frame
        moved = _centre(face.box) - _centre(track.box) - track.velocity * away
        size = np.sqrt(max(face.area, 1.0))
        distance = float(np.linalg.norm(moved)) / size
        grown = abs(np.log(size / np.sqrt(max(_area(track.box), 1.0))))
        here = away <= self.patience and distance < 1 + 0.1 * away and grown < 1
        if unlike > (ALIKE_HERE if here else ALIKE_ELSEWHERE):
            return FAR
        return unlike + 0.5 * (min(distance + 0.4 * grown, 1.0) if here else 1.0)

    @staticmethod
    def _continue(track: Track, frame: int, face: Face, appearance: np.ndarray) -> None:
        away = max(frame - track.last_frame, 1)
        step = (_centre(face.box) - _centre(track.box)) / away
        track.velocity = 0.5 * track.velocity + 0.5 * step if away < 5 else np.zeros(2)
        track.box, track.last_frame = face.box.copy(), frame
        blended = 0.8 * track.appearance + 0.2 * appearance
        track.appearance = blended / max(float(np.linalg.norm(blended)), 1e-6)


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
