"""iBUG's 68 points on a mesh of a unit sphere, which the ellipsoids are stretched from."""

from __future__ import annotations

import numpy as np


def ibug68_on_mesh(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners [68, 3] (vertex numbers) and weights [68, 3] of the triangles that the points lie in.

    A point is where a ray from the sphere's middle leaves the mesh: there all three weights are positive.
    """
    frames = vertices[triangles].transpose(0, 2, 1)  # columns are corners
    weights = np.einsum("tij,kj->tki", np.linalg.inv(frames), _directions())
    place = weights.min(2).argmax(0)
    weights = weights[place, np.arange(len(place))]
    return triangles[place], weights / weights.sum(1, keepdims=True)


def _directions() -> np.ndarray:
    """[68, 3] on the unit sphere: x to the picture's right, y up, z to the viewer; in units of half a face."""
    eye, lips, inner = (_arc(*sides) for sides in ((180, -60, 6), (180, -30, 12), (180, -45, 8)))
    brow = np.stack([np.linspace(-0.2, 0.2, 5), 0.4 + 0.08 * np.cos(np.linspace(-1, 1, 5))], 1)
    parts = [
        0.93 * _arc(180, 11.25, 17),  # the jaw, from the subject's right ear
        np.subtract(brow, (0.4, 0)),
        np.add(brow, (0.4, 0)),
        np.stack([np.zeros(4), np.linspace(0.25, -0.05, 4)], 1),
        np.stack([np.linspace(-0.15, 0.15, 5), np.full(5, -0.15)], 1),
        (0.15, 0.07) * eye + (-0.4, 0.25),
        (0.15, 0.07) * eye + (0.4, 0.25),
        (0.3, 0.12) * lips - (0, 0.45),
        (0.22, 0.04) * inner - (0, 0.45),
    ]
    xy = np.concatenate(parts)
    return np.column_stack([xy, np.sqrt(1 - (xy**2).sum(1))])


def _arc(start: float, step: float, count: int) -> np.ndarray:
    """[count, 2] points of the unit circle, in degrees."""
    angles = np.radians(start + step * np.arange(count))
    return np.stack([np.cos(angles), np.sin(angles)], 1)
