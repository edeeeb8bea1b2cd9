"""Two rows of teeth for face models that have none: curved strips behind the lips, the lower one on the jaw."""

from __future__ import annotations

import numpy as np

_COLUMNS, _ROWS = 29, 4
_HALF_WIDTH, _DEPTH = 26.0, 24.0
"""mm: half the arch's width at its back, and how far back it goes."""


class Teeth:
    """Strips of vertices that come behind a head's own.

    Args:
        points: [68, 3] the mean head's iBUG points at rest, mm.
        first_vertex: number of the strips' first vertex in the whole mesh.
    """

    def __init__(self, points: np.ndarray, first_vertex: int):
        self.count = 2 * _COLUMNS * _ROWS
        inner = points[60:68].mean(0)
        bite = inner[1] - 0.5
        across = np.linspace(-1, 1, _COLUMNS)
        arch = np.stack([_HALF_WIDTH * across * (1.15 - 0.15 * across**2), 0 * across, -_DEPTH * across**2], 1)
        front = inner[2] - 6.5
        edge = 0.45 * np.abs(np.sin(np.pi * across * 7))  # single teeth end rounded
        upper = [
            arch + np.array([0, bite + height, front + lean])
            for height, lean in ((-1.0, 0), (2, 0.4), (5, 0.2), (10, -1))
        ]
        lower = [arch * [0.93, 1, 0.95] + np.array([0, bite + height, front - 2.5 + lean])
                 for height, lean in ((-9, -1), (-5, 0.2), (-2, 0.3), (0.8, 0))]  # fmt: skip
        upper[0][:, 1] += edge
        lower[-1][:, 1] -= edge
        self._rest = np.concatenate([*upper, *lower]).astype(np.float32)
        self._is_lower = np.arange(self.count) >= _COLUMNS * _ROWS
        self._points = points
        self.triangles = np.concatenate([_strip(first_vertex, True), _strip(first_vertex + self.count // 2, False)])

    def place(self, head: np.ndarray, rest: np.ndarray, ibug68: np.ndarray, jaw: np.ndarray) -> np.ndarray:
        """[T, 3] the teeth of one head.

        Args:
            head, rest: [V, 3] the head's own vertices, with its expression and without.
            ibug68: [68] vertices of iBUG's points.
            jaw: [N] vertices of the skin that moves with the lower jaw alone.
        """
        mouth = ibug68[48:68]
        scale, shift = _stretch(self._points[48:68], rest[mouth])
        teeth = self._rest * scale + shift
        turn, move = _rigid(rest[jaw], head[jaw])
        teeth[self._is_lower] = teeth[self._is_lower] @ turn.T + move
        return teeth.astype(np.float32)


def lower_jaw(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N] vertices under the chin, of a head `mean` [V, 3] with iBUG's `points` [68, 3]: they go where the jaw goes."""
    chin = points[8]
    near = np.linalg.norm(mean - (chin + np.array([0, -2, -12])), axis=1) < 24
    return np.flatnonzero(near & (mean[:, 1] < chin[1] + 6))


def _strip(first: int, upper: bool) -> np.ndarray:
    """[F, 3] of a strip whose rows go up."""
    corner = (np.arange(_ROWS - 1)[:, None] * _COLUMNS + np.arange(_COLUMNS - 1)[None]).ravel() + first
    right, above, across = corner + 1, corner + _COLUMNS, corner + _COLUMNS + 1
    return np.concatenate([np.stack([corner, right, across], 1), np.stack([corner, across, above], 1)])


def _stretch(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale [3] of each axis and shift [3] that take points to where a person's are; depth scales as width does."""
    spread = (target.std(0) / source.std(0)).clip(0.75, 1.3)
    scale = np.array([spread[0], 1.0, spread[0]])
    return scale, target.mean(0) - scale * source.mean(0)


def _rigid(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and shift [3] of the best rigid motion (Kabsch)."""
    a, b = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((target - b).T.astype(np.float64) @ (source - a))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return turn, b - turn @ a
