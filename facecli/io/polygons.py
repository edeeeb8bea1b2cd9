"""Faces of any number of corners, as mesh files have them, to triangles."""

from __future__ import annotations

import numpy as np


def fans(corners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[F, 3] int64: each polygon as a fan of triangles around its first corner, in order.

    Args:
        corners: [N] vertex indices of all polygons, one behind the other.
        counts: [P] corners of each polygon; those of fewer than three (points, lines) give no triangle.
    """
    corners, counts = np.asarray(corners, np.int64), np.asarray(counts, np.int64)
    if len(corners) == 3 * len(counts) and (counts == 3).all():
        return corners.reshape(-1, 3)
    triangles = np.maximum(counts - 2, 0)
    first = np.repeat(np.cumsum(counts) - counts, triangles)
    step = np.arange(triangles.sum()) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return corners[np.stack([first, first + step + 1, first + step + 2], axis=1)]
