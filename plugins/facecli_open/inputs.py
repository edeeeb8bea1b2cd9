"""The first look: where MediaPipe's points are, and what the picture is like around them.

MediaPipe's points alone say little of a person: they lie where an average face of that pose and expression would have
them. How light changes around each of them says where the face really is, and how it is bent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facecli_mediapipe.surface import ALL_POINTS, FACE_POINTS, load_surface, similarity_fit
from facecli_open.seen import Seen

SAMPLED = 180
"""Of MediaPipe's face points, spread evenly."""
RINGS = (1.12, 1.3)
"""The face's outline moved outwards by these factors: hair, ears, neck and what is behind them."""
OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""MediaPipe's points around the face."""


def sampled_points() -> np.ndarray:
    """[180] numbers of MediaPipe's face points, each as far from those before it as can be; the nose's tip first."""
    mean = load_surface().mean[:FACE_POINTS]
    chosen, distance = [1], np.linalg.norm(mean - mean[1], axis=1)
    while len(chosen) < SAMPLED:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(mean - mean[chosen[-1]], axis=1))
    return np.array(chosen)


_CHOSEN = sampled_points()
PLACES = SAMPLED + len(RINGS) * len(OUTLINE)
GEOMETRY = 3 * ALL_POINTS + 9


class Look(NamedTuple):
    """What a network is told of one face.

    Args:
        geometry: float32 [G]. picture: float32 [P, NUMBERS], blocks of gradients at P places.
    """

    geometry: np.ndarray
    picture: np.ndarray


def first_look(seen: Seen) -> Look:
    """Of one face: the points in the head's frame and its turn, [GEOMETRY]; the picture at [PLACES] around them."""
    mean, points = load_surface().mean, seen.points * (1, -1, -1)
    scale, turn, shift = similarity_fit(mean[:FACE_POINTS], points[:FACE_POINTS])
    straight = (points - shift) @ turn / scale - mean
    picture = seen.gradients.at(_places(seen.in_crop(seen.points[:, :2])))
    return Look(np.concatenate([straight.ravel(), (seen.upright @ turn).ravel()]).astype(np.float32), picture)


def _places(points: np.ndarray) -> np.ndarray:
    """[PLACES, 2] where the crop is looked at, of the points [478, 2] in it."""
    middle = points[:FACE_POINTS].mean(0)
    rings = [middle + (points[list(OUTLINE)] - middle) * factor for factor in RINGS]
    return np.concatenate([points[_CHOSEN], *rings])
