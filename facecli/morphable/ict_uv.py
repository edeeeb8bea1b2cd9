"""ICT-FaceKit's UV layout in one texture.

ICT-FaceKit spreads its layout over tiles (UDIM): the face and, over it, each eyeball on the first tile, the back of the
head on the second. Here every tile has a rectangle of its own in the unit square; within a tile nothing is moved.
"""

from __future__ import annotations

import numpy as np

RECTANGLES = {
    "face": (0.0, 0.2, 0.72, 1.0),
    "head": (0.72, 0.2, 1.0, 1.0),
    "L": (0.0, 0.0, 0.2, 0.2),
    "R": (0.2, 0.0, 0.4, 0.2),
}
"""Where a tile goes: u0, v0, u1, v1. The face has the most of it; L and R are the subject's eyeballs."""


def one_texture(uv: np.ndarray, uv_vertex: np.ndarray, balls: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The layout and its mirror.

    Args:
        uv: [T, 2] ICT-FaceKit's own. uv_vertex: [T] the vertex that each belongs to.
        balls: "L" and "R" -> the vertices of that eyeball; the two are twins, in the same order.

    Returns:
        uv [T, 2] float32 within the unit square; [T, 2] float32, of each its mirror twin's.
    """
    second = uv[:, 0] >= 1
    tile = np.where(second, "head", "face")
    for side, ball in balls.items():
        tile[np.isin(uv_vertex, ball)] = side
    inner = uv - np.stack([second, np.zeros_like(second)], 1)
    placed, twin = np.empty_like(inner), np.empty_like(inner)
    for name, rectangle in RECTANGLES.items():
        placed[tile == name] = _into(rectangle, inner[tile == name])
    for name in ("face", "head"):  # symmetric about their middles
        twin[tile == name] = _into(RECTANGLES[name], inner[tile == name] * (-1, 1) + (1, 0))
    left, right = (_by_vertex(uv, uv_vertex, balls[side]) for side in "LR")
    twin[left], twin[right] = placed[right], placed[left]
    return placed.astype(np.float32), twin.astype(np.float32)


def _into(rectangle: tuple[float, float, float, float], uv: np.ndarray) -> np.ndarray:
    low, high = np.array(rectangle[:2]), np.array(rectangle[2:])
    return low + uv * (high - low)


def _by_vertex(uv: np.ndarray, uv_vertex: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """Numbers of a ball's UVs in the order of its vertices; where one has several, from the layout's bottom to its top,
    which a mirror doesn't change."""
    place = np.full(uv_vertex.max() + 1, -1)
    place[ball] = np.arange(len(ball))
    own = np.flatnonzero(place[uv_vertex] >= 0)
    return own[np.lexsort((uv[own, 1], place[uv_vertex[own]]))]
