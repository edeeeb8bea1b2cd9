"""Where lips, brows, lids and beards are on a mean head, from its 68 landmarks: distances in millimetres.

Each function takes the mean head's vertices [V, 3] and its iBUG points [68, 3], and gives how far inside a region each
vertex lies, negative outside.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.interpolate import CubicSpline


def lip_outline(points: np.ndarray) -> np.ndarray:
    """[N, 2] the red's outer edge in the frontal plane, through iBUG's 12 outer points."""
    upper = curve(points[48:55, :2], 60)
    lower = curve(points[[54, 55, 56, 57, 58, 59, 48], :2], 60)
    return np.concatenate([upper[:-1], lower[:-1]])


def curve(points: np.ndarray, count: int) -> np.ndarray:
    """[count, D] along a smooth curve through `points` [K, D]."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return CubicSpline(along, points)(np.linspace(0, along[-1], count))


def inside(mean: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """[V] signed distance in the frontal plane to a closed `outline` [N, 2], positive inside."""
    polygon = outline.astype(np.float32).reshape(-1, 1, 2)
    return np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), True) for x, y in mean[:, :2]])


def brows(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] how far inside a brow: a band along iBUG's points, thick at its inner third and thin at the temple."""
    best = np.full(len(mean), -99.0)
    for line in (points[[21, 20, 19, 18, 17]], points[[22, 23, 24, 25, 26]]):
        line = curve(line - [0, 1.5, 0], 40)
        share = np.linspace(0, 1, len(line))
        half = 4.2 * np.clip(np.minimum(0.55 + 3 * share, 1.15 - 0.85 * share), 0, 1)
        distance = np.linalg.norm(mean[:, None] - line[None], axis=2)
        best = np.maximum(best, (half - distance).max(1))
    return best


def lashes(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] how far inside the dark edge of the lids, thicker above."""
    best = np.full(len(mean), -99.0)
    for line, half in (
        (points[[36, 37, 38, 39]], 0.7), (points[[42, 43, 44, 45]], 0.7),
        (points[[36, 41, 40, 39]], 0.1), (points[[42, 47, 46, 45]], 0.1),
    ):  # fmt: skip
        distance = np.linalg.norm(mean[:, None] - curve(line, 40)[None], axis=2).min(1)
        best = np.maximum(best, half - distance)
    return best


def beard(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] how far inside the part where a beard grows: jaw, chin, above the lip; not on the lips."""
    x, y, z = mean.T
    cheek = points[33, 1] + np.interp(np.abs(x), [0, 14, 30, 55, 72], [-2, -2, -8, -2, 32]) - y
    return np.minimum.reduce(
        [cheek, y - points[8, 1] + 16, z - points[0, 2] + 18, -inside(mean, lip_outline(points)) - 1]
    )


def flush(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] 0..1, how much blood shows: cheeks, tip of the nose, ears."""
    cheek = (points[[41, 46]] + points[[48, 54]]) / 2 + [[-8, 4, 0], [8, 4, 0]]
    ears = points[[0, 16]] + [[-8, -15, -48], [8, -15, -48]]
    spots = ((*cheek, 20.0), (points[30], 12.0), (*ears, 18.0))
    total = np.zeros(len(mean))
    for *centres, radius in spots:
        for centre in centres:
            total = np.maximum(total, np.exp(-((mean - centre) ** 2).sum(1) / (2 * radius**2)))
    return total
