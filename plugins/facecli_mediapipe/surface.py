"""MediaPipe's face surface: triangles, mirror twins, mean shape, UV layout. Made by ``make_surface.py``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

FACE_POINTS, ALL_POINTS = 468, 478
"""Points 468-477 are the irises (468 and 473 their centres); they have no triangles."""


@dataclass(frozen=True)
class Surface:
    """The topology and rest shape that all faces share.

    Args:
        triangles: [898, 3] int64, counter-clockwise from the front; eyes and mouth are closed.
        mirror: [478] int64, each point's twin.
        mean: [478, 3] float64, millimetres; x right in the picture, y up, z to the viewer; origin between the ears.
        uv: [468, 2] float64, origin bottom-left.
    """

    triangles: np.ndarray
    mirror: np.ndarray
    mean: np.ndarray
    uv: np.ndarray


@functools.cache
def load_surface() -> Surface:
    """The surface that comes with this plugin."""
    with files("facecli_mediapipe").joinpath("surface.npz").open("rb") as file, np.load(file) as arrays:
        return Surface(
            arrays["triangles"].astype(np.int64),
            arrays["mirror"].astype(np.int64),
            arrays["mean"].astype(np.float64),
            arrays["uv"].astype(np.float64),
        )


def similarity_fit(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation [3, 3] and shift [3] that take `source` [K, 3] closest to `target` [K, 3].

    Least squares (Umeyama 1991), weighted by `weights` [K].
    """
    w = np.ones(len(source)) if weights is None else weights
    w = w / w.sum()
    source_mean, target_mean = w @ source, w @ target
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd((b * w[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ (sign[:, None] * vt)
    scale = float((singular * sign).sum() / (w @ (a**2).sum(1)))
    return scale, rotation, target_mean - scale * rotation @ source_mean
