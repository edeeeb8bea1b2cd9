"""Where iBUG's 68 points are on the head by formula, and which other places its mesh must have vertices at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecli.data import formula_skull as skull
from facecli.data.formula_face import EYE, LID_EDGE, MOUTH
from facecli.data.formula_mesh import HeadMesh, Spot, head_mesh
from facecli.detect.landmarks import flip_indices

JAW = {8: (0, -78, 99), 9: (12.7, -77.6, 97), 10: (31.4, -70.2, 84), 11: (49.6, -57.3, 64), 12: (57, -47.9, 56),
       13: (62.6, -34.9, 50), 14: (69, -1.4, 39), 15: (70.5, 14.1, 41), 16: (72.6, 29.5, 39)}  # fmt: skip
"""iBUG number -> about where, mm; the point of the plain head in that direction."""
FRONT = {
    22: (15, 54.4), 23: (29.6, 55.9), 24: (42.2, 56.4), 25: (52, 53.4), 26: (58.5, 48.2),  # brow
    27: (0, 37.5), 28: (0, 22.7), 29: (0, 8.8), 30: (0, 0.3),  # ridge of the nose
    33: (0, -12.5), 34: (7.2, -12.5), 35: (12.1, -9.4),  # its base
    51: (0, -27.6), 52: (7.1, -26.2), 53: (14, -28.5), 54: (23.9, -35.2),  # outer edge of the lips
    55: (13.4, -41.5), 56: (7, -43.2), 57: (0, -43.7),
}  # fmt: skip
"""iBUG number -> place on the plain head seen from the front, mm."""
EYELIDS = {43: 28.5, 44: 39.0, 46: 37.5, 47: 27.6}
"""iBUG number -> x on the edge of the upper (43, 44) or lower lid."""
INNER_LIPS = {62: 0.0, 63: 5.6, 64: 21.7, 65: 5.6, 66: 0.0}
"""iBUG number -> x on the inner edge of the upper (62, 63) or lower (65, 66) lip, and the inner corner."""

SPOTS = (
    Spot((31.5, 35, 97), 19, 1.4),  # lids
    Spot((26, 35, 97), 6, 0.8),  # eyeball
    Spot((38, 35, 95), 5, 0.8),
    Spot((0, 10, 115), 20, 1.6),  # nose
    Spot((11, -6, 110), 7, 0.8),  # its wings and nostrils
    Spot((0, -34, 114), 16, 1.4),  # mouth
    Spot((18, -34, 108), 12, 1.4),
    Spot((0, -34, 114), 6, 0.8),
    Spot((16, -34, 110), 9, 0.8),
    Spot((0, 40, 100), 70, 2.8),
    Spot((30, -20, 90), 45, 2.8),
    Spot((76, 8, -14), 34, 1.8),  # ear
)
"""Where vertices lie how close, x >= 0."""


@dataclass(frozen=True)
class Places:
    """The mesh of the plain head, and iBUG's points among its vertices.

    Args:
        mesh: see :class:`facecli.data.formula_mesh.HeadMesh`.
        ibug68: [68] int64 vertices.
    """

    mesh: HeadMesh
    ibug68: np.ndarray


def build() -> Places:
    """The mesh with all places that it must have."""
    numbers, points = zip(*sorted(_landmarks().items()), strict=True)
    points = np.stack(points)
    mesh = head_mesh(SPOTS, np.concatenate([points, _apart(_outlines(), points)]))
    ibug68 = np.empty(68, np.int64)
    flips = np.asarray(flip_indices("ibug68"))
    for number, vertex in zip(numbers, mesh.fixed, strict=False):
        ibug68[number], ibug68[flips[number]] = vertex, mesh.mirror[vertex]
    return Places(mesh, ibug68)


def _landmarks() -> dict[int, np.ndarray]:
    """iBUG number -> [3] on the plain head, for those with x >= 0."""
    towards = np.array(list(JAW.values()), float) - skull.CENTRE
    jaw = skull.cast(skull.CENTRE, towards / np.linalg.norm(towards, axis=1, keepdims=True))
    front = dict(FRONT) | {42: EYE.inner, 45: EYE.outer}
    for number, x in EYELIDS.items():
        upper, lower = EYE.lids(np.array(x))
        front[number] = (x, float(upper if number < 45 else lower))
    for number, x in INNER_LIPS.items():
        side = 1 if number < 64 else -1 if number > 64 else 0
        front[number] = (x, float(MOUTH.line(np.array(x)) + side * MOUTH.lens_height(np.array(x))))
    places = np.array(list(front.values()), float)
    return dict(zip(JAW, jaw, strict=True)) | dict(zip(front, skull.in_front(*places.T), strict=True))


def _outlines() -> np.ndarray:
    """[n, 3] points of the plain head along edges: of the lids, inside and out, and of the lips where they meet."""
    lids = EYE.edge(30)
    ahead, behind = np.roll(lids, -1, 0), np.roll(lids, 1, 0)
    along = (ahead - behind) / np.linalg.norm(ahead - behind, axis=1, keepdims=True)
    outwards = np.stack([-along[:, 1], along[:, 0]], 1)
    outer = lids + LID_EDGE * outwards
    outer = outer[EYE.inside(*outer.T) < -0.95 * LID_EDGE]
    x = np.linspace(0, MOUTH.corner[0] - 1, 22)
    lips = [np.stack([x, MOUTH.line(x) + side * MOUTH.lens_height(x)], 1) for side in (1, -1)]
    return skull.in_front(*np.concatenate([lids, outer, *lips]).T)


def _apart(points: np.ndarray, others: np.ndarray, least: float = 0.55) -> np.ndarray:
    """Those of `points` that are at least `least` mm away from all `others` and from earlier ones."""
    kept: list[np.ndarray] = list(others)
    start = len(kept)
    for point in points:
        if min(np.abs(np.array(kept) - point).max(1)) >= least:
            kept.append(point)
    return np.array(kept[start:])
