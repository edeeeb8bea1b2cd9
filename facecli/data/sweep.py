"""Meshes of things that people wear: profiles moved along paths, and sheets over grids."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Piece:
    """A mesh that is drawn together with a head, in the head frame.

    Args:
        vertices: [N, 3] mm. triangles: [M, 3], counter-clockwise from outside.
        place: [N, 3] mm where noise is taken from, as on the mean head.
        openness: [N] 0..1, how much of the sky a vertex sees.
        fields: name of :data:`facecli.data.head_model.FIELDS` -> [N]; those missing are far outside.
        color: linear RGB [3] instead of what the fields give; then `gloss` and `sharpness` are its own.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    place: np.ndarray
    openness: np.ndarray
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    color: np.ndarray | None = None
    gloss: float = 0.3
    sharpness: float = 40.0


def tube(
    path: np.ndarray, radii: np.ndarray, up: np.ndarray, sides: int = 8, closed: bool = False, power: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """A tube along a path: vertices [P * sides, 3] and triangles [M, 3]; an open one's ends are shut.

    Args:
        path: [P, 3]. radii: [P, 2], along `up` and across it. up: [3] or [P, 3], not along the path.
        power: of the profile, a superellipse: 2 is round, 4 nearly a rectangle.
    """
    count = len(path)
    if closed:
        ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    else:
        ahead = np.gradient(path, axis=0)
    ahead = unit(ahead)
    across = unit(np.cross(ahead, np.broadcast_to(up, path.shape)))
    up = np.cross(across, ahead)
    around = np.arange(sides) * (2 * np.pi / sides) + np.pi / sides
    first, second = (np.sign(part) * np.abs(part) ** (2 / power) for part in (np.cos(around), np.sin(around)))
    ring = radii[:, :1, None] * first[:, None] * up[:, None] + radii[:, 1:, None] * second[:, None] * across[:, None]
    vertices = (path[:, None] + ring).reshape(-1, 3)
    triangles = grid(count, sides, closed, True)
    if not closed:
        fan = np.arange(1, sides - 1)
        last = (count - 1) * sides
        start = np.stack([np.zeros_like(fan), fan + 1, fan], 1)
        triangles = np.concatenate([triangles, start, last + start[:, ::-1]])
    return vertices, triangles


def grid(rows: int, columns: int, closed_rows: bool = False, closed_columns: bool = False) -> np.ndarray:
    """[M, 3] triangles of a grid of vertices, row by row; counter-clockwise where rows go up and columns right."""
    row, column = np.mgrid[: rows - (not closed_rows), : columns - (not closed_columns)]
    below, left = row.ravel() * columns, column.ravel()
    above, right = (row.ravel() + 1) % rows * columns, (column.ravel() + 1) % columns
    a, b, c, d = below + left, below + right, above + right, above + left
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def join(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """One mesh of several."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts[:-1]])
    triangles = [triangles + start for (_, triangles), start in zip(parts, starts, strict=True)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(triangles)


def unit(vectors: np.ndarray) -> np.ndarray:
    """[..., 3] of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
