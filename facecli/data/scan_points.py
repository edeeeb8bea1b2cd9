"""What a scanner would see of a head: points spread evenly over its outer skin, at the same places for every head."""

from __future__ import annotations

import numpy as np

from facecli.data.head_model import HeadModel
from facecli.data.shading import openness

SPACING_MM2 = 4.0
"""A point stands for so much of the mean head's skin; a 3dMD scan has about one a square millimetre."""
HIDDEN = 0.12
"""Places less open than this are inside nostrils, lips or ears' folds, where no scanner sees."""
_SEED = 2021


class ScanPoints:
    """Points [S] as triangles and weights. The places are drawn once, from the mean head.

    Args:
        model: whose head.
        free: [V] :func:`facecli.data.shading.openness` of its mean head; None: found out here.
    """

    def __init__(self, model: HeadModel, free: np.ndarray | None = None):
        zeros = np.zeros((1, model.n_identity), np.float32), np.zeros((1, model.n_expression), np.float32)
        mean = model.vertices(*zeros)[0].astype(np.float64)
        free = openness(mean, np.asarray(model.triangles, np.int64)) if free is None else free
        triangles = np.asarray(model.triangles)[model.skin & (free[model.triangles].max(1) > HIDDEN)]
        a, b, c = (mean[triangles[:, corner]] for corner in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
        count = max(int(area.sum() / SPACING_MM2), 1)
        rng = np.random.default_rng(_SEED)
        # Even steps along the area, one point a step: no clumps, as plain random points have.
        steps = (np.arange(count) + rng.random(count)) / count
        chosen = np.searchsorted(np.cumsum(area), steps * area.sum()).clip(max=len(triangles) - 1)
        u, v = rng.random((2, count))
        over = u + v > 1
        u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
        self.corners = triangles[chosen]
        self.weights = np.stack([1 - u - v, u, v], 1)

    def of(self, vertices: np.ndarray) -> np.ndarray:
        """[S, 3] float64 of one head's `vertices` [V, 3]."""
        return np.einsum("sk,skc->sc", self.weights, vertices[self.corners].astype(np.float64))
