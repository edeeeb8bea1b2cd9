"""Landmark sets, what can be turned into what, and mirroring.

A set is a name, a number of points and their order. `Face.point_set` holds such a name; consumers ask for the one that
they need through :func:`convert`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecli.errors import UsageError


@dataclass(frozen=True)
class PointSet:
    """A landmark set.

    Args:
        count: number of points.
        dimensions: columns that its usual detector gives: 2, or 3 with depth. Conversions keep what they get.
        description: one line for people.
    """

    count: int
    dimensions: int
    description: str


POINT_SETS: dict[str, PointSet] = {
    "mediapipe478": PointSet(478, 3, "MediaPipe face mesh and irises (refine_landmarks, or the Tasks API)"),
    "mediapipe468": PointSet(468, 3, "MediaPipe face mesh without irises"),
    "mediapipe105": PointSet(105, 3, "the brows, eyes, nose and lips that SMIRK and EMOCA v2 train with"),
    "ibug68": PointSet(68, 2, "iBUG's 68 points, as FAN and dlib give them"),
    "five": PointSet(5, 2, "eyes, nose tip, mouth corners; image-left first, as MTCNN and Deep3D have them"),
    "now7": PointSet(7, 2, "the NoW benchmark's eye corners, nose base and mouth corners"),
}

IBUG68_GROUPS: dict[str, slice] = {
    "jaw": slice(0, 17),
    "right_brow": slice(17, 22),
    "left_brow": slice(22, 27),
    "nose_bridge": slice(27, 31),
    "nose_bottom": slice(31, 36),
    "right_eye": slice(36, 42),
    "left_eye": slice(42, 48),
    "outer_lips": slice(48, 60),
    "inner_lips": slice(60, 68),
}
"""Parts of ibug68. Right and left are the subject's."""

MEDIAPIPE_TO_IBUG68 = (
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""The mesh point that lies nearest to each iBUG point; 0.055 of the eye distance off on average (docs/landmarks.md)."""

MEDIAPIPE_TO_FIVE = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (4,), (61,), (291,))
"""Each of the five points is the mean of these mesh points."""

MEDIAPIPE105 = (
    276, 282, 283, 285, 293, 295, 296, 300, 334, 336, 46, 52, 53, 55, 63, 65, 66, 70, 105, 107,
    249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466,
    7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246,
    168, 6, 197, 195, 5, 4, 129, 98, 97, 2, 326, 327, 358,
    0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191,
    267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415,
)  # fmt: skip
"""Mesh points in the order of FLAME's `mediapipe_landmark_embedding.npz`."""

IBUG68_TO_FIVE = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Deep3D's five points; each is the mean of these."""

IBUG68_TO_FIVE_SMIRK = ((36, 39), (42, 45), (32,), (48,), (54,))
"""SMIRK's ArcFace crop was trained with point 32, a nostril, for the nose; its loss needs the same."""

IBUG68_TO_NOW7 = (36, 39, 42, 45, 33, 48, 54)

FLIP_IBUG68 = (
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
    27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)  # fmt: skip
"""Point i of a mirrored face is point FLIP_IBUG68[i] of the face."""

MEDIAPIPE_MIDLINE = (
    0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 94, 151, 152, 164, 168, 175, 195, 197, 199, 200,
)  # fmt: skip
"""Mesh points on the plane of symmetry."""


def _flip_mediapipe() -> tuple[int, ...]:
    """Twins of the 478 points. The mesh numbers its halves alike: right side first, then the left from 248 on."""
    midline = set(MEDIAPIPE_MIDLINE)
    flip = list(range(478))
    right = [index for index in range(248) if index not in midline]
    for twin, index in enumerate(right, start=248):
        flip[index], flip[twin] = twin, index
    # Irises: centre, image-right, top, image-left, bottom for either eye, so the sides swap as well as the eyes.
    for index, twin in ((468, 473), (469, 476), (470, 475), (471, 474), (472, 477)):
        flip[index], flip[twin] = twin, index
    return tuple(flip)


FLIP_MEDIAPIPE478 = _flip_mediapipe()

_FLIPS: dict[str, tuple[int, ...]] = {
    "mediapipe478": FLIP_MEDIAPIPE478,
    "mediapipe468": FLIP_MEDIAPIPE478[:468],
    "mediapipe105": tuple(MEDIAPIPE105.index(FLIP_MEDIAPIPE478[index]) for index in MEDIAPIPE105),
    "ibug68": FLIP_IBUG68,
    "five": (1, 0, 2, 4, 3),
    "now7": (3, 2, 1, 0, 4, 6, 5),
}

# A point of the target is one source point (an int) or the mean of several (a tuple).
_FROM_MEDIAPIPE: dict[str, tuple] = {
    "mediapipe468": tuple(range(468)),
    "mediapipe105": MEDIAPIPE105,
    "ibug68": MEDIAPIPE_TO_IBUG68,
    "five": MEDIAPIPE_TO_FIVE,
    "now7": tuple(MEDIAPIPE_TO_IBUG68[index] for index in IBUG68_TO_NOW7),
}
_TABLES: dict[str, dict[str, tuple]] = {
    "mediapipe478": _FROM_MEDIAPIPE,
    "mediapipe468": {name: table for name, table in _FROM_MEDIAPIPE.items() if name != "mediapipe468"},
    "ibug68": {"five": IBUG68_TO_FIVE, "now7": IBUG68_TO_NOW7},
}


def convertible_to(from_set: str) -> tuple[str, ...]:
    """The sets that points of `from_set` can be turned into, itself first."""
    point_set(from_set)
    return (from_set, *_TABLES.get(from_set, {}))


def convert(points: np.ndarray, from_set: str, to_set: str) -> np.ndarray:
    """Points of one set as points of another.

    Args:
        points: [..., K, D], K as `from_set` says; all D columns are converted alike, NaN stays NaN.
        from_set, to_set: keys of :data:`POINT_SETS`.

    Returns:
        [..., K', D] of the same dtype (float64 where integers are averaged).

    Raises:
        UsageError: unknown set, wrong number of points, or no way from one set to the other.
    """
    points = np.asarray(points)
    _check_count(points, from_set)
    point_set(to_set)
    if from_set == to_set:
        return points.copy()
    table = _TABLES.get(from_set, {}).get(to_set)
    if table is None:
        raise UsageError(_no_way(from_set, to_set))
    if all(isinstance(entry, int) for entry in table):
        return points[..., list(table), :]
    means = [points[..., np.atleast_1d(entry).tolist(), :].mean(axis=-2) for entry in table]
    return np.stack(means, axis=-2)


def flip_indices(name: str) -> tuple[int, ...]:
    """Point i of a mirrored face is point `flip_indices(name)[i]` of the face."""
    point_set(name)
    return _FLIPS[name]


def mirror(points: np.ndarray, name: str, width: float) -> np.ndarray:
    """The points [..., K, D] of the picture mirrored left to right (`image[:, ::-1]`), in the set's order.

    `width`: of the picture in pixels; the middle of pixel 0 goes to the middle of pixel width − 1.
    """
    _check_count(points, name)
    mirrored = np.array(points[..., list(_FLIPS[name]), :])
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored


def point_set(name: str) -> PointSet:
    """The set called `name`.

    Raises:
        UsageError: there is none.
    """
    try:
        return POINT_SETS[name]
    except KeyError:
        raise UsageError(f"unknown landmark set {name!r}; known: {', '.join(POINT_SETS)}") from None


def _check_count(points: np.ndarray, name: str) -> None:
    expected = point_set(name).count
    if points.ndim < 2 or points.shape[-2] != expected:
        raise UsageError(f"{name} has {expected} points, but an array of shape {list(points.shape)} was given")


def _no_way(from_set: str, to_set: str) -> str:
    if (from_set, to_set) == ("mediapipe468", "mediapipe478"):
        return "mediapipe468 points have no irises, which mediapipe478 needs (run MediaPipe with refined landmarks)"
    sources = [name for name in POINT_SETS if to_set in convertible_to(name)]
    return f"{from_set} points can't be turned into {to_set}; that can be made from: {', '.join(sources)}"
