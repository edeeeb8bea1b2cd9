"""Where iBUG's 68 points are on the head by formula, and which other places its mesh must have vertices at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecli.data import formula_skull as skull
from facecli.data.formula_face import EAR, EYE, LID_EDGE, MOUTH
from facecli.data.formula_mesh import HeadMesh, Spot, head_mesh
from facecli.detect.landmarks import flip_indices

JAW = {8: (0, -76, 105), 9: (11.8, -75.3, 101.7), 10: (30.8, -68.4, 86.7), 11: (48.3, -55.7, 65.2),
       12: (55.6, -46.1, 57.9), 13: (61.7, -32.9, 55.8), 14: (68.8, 0, 55.2), 15: (70.9, 14.8, 46),
       16: (73.7, 30.5, 33)}  # fmt: skip
"""iBUG number -> about where, mm; the point of the plain head in that direction."""
FRONT = {
    22: (14.1, 55), 23: (28.1, 57.4), 24: (40.8, 58.6), 25: (50.7, 56.1), 26: (57.9, 50.4),  # brow
    27: (0, 37.6), 28: (0, 22.6), 29: (0, 9.7), 30: (0, 1.7),  # ridge of the nose
    33: (0, -11), 34: (7.5, -11), 35: (12.4, -8.1),  # its base
    51: (0, -27.1), 52: (6.8, -26.1), 53: (13.3, -28.5), 54: (23, -35.1),  # outer edge of the lips
    55: (12.9, -41), 56: (6.8, -42.7), 57: (0, -43),
}  # fmt: skip
"""iBUG number -> place on the plain head seen from the front, mm."""
EYELIDS = {43: 28.0, 44: 38.3, 46: 36.8, 47: 27.0}
"""iBUG number -> x on the edge of the upper (43, 44) or lower lid."""
INNER_LIPS = {62: 0.0, 63: 5.6, 64: 20.7, 65: 5.6, 66: 0.0}
"""iBUG number -> x on the inner edge of the upper (62, 63) or lower (65, 66) lip, and the inner corner."""
LINING_ROWS = (1, 0.75, 0.35, 0, -0.4, -1)
"""Rows of vertices on the mouth's lining, in parts of its half height: it opens in one piece."""
EAR_RINGS = (0.92, 1.0, 1.07, 1.15)
"""Rings of vertices around the ear, where its rim falls back to the head."""

SPOTS = (
    Spot((31.5, 35, 97), 19, 1.4),  # lids
    Spot((26, 35, 97), 6, 0.8),  # eyeball
    Spot((38, 35, 95), 5, 0.8),
    Spot((0, 10, 115), 20, 1.6),  # nose
    Spot((11, -6, 110), 7, 0.8),  # its wings and nostrils
    Spot((0, -34, 114), 16, 1.4),  # mouth
    Spot((18, -34, 108), 12, 1.4),
    Spot((20, 53, 104), 9, 1.6),  # brow
    Spot((34, 55, 101), 9, 1.6),
    Spot((48, 54, 95), 9, 1.6),
    Spot((58, 49, 81), 8, 1.6),
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
    """[n, 3] points of the plain head along edges: of lids, inside and out, lips with rows between them, ears."""
    lids = EYE.edge(30)
    ahead, behind = np.roll(lids, -1, 0), np.roll(lids, 1, 0)
    along = (ahead - behind) / np.linalg.norm(ahead - behind, axis=1, keepdims=True)
    outwards = np.stack([-along[:, 1], along[:, 0]], 1)
    outer = lids + LID_EDGE * outwards
    outer = outer[EYE.inside(*outer.T) < -0.95 * LID_EDGE]
    x = np.linspace(0, MOUTH.corner[0] - 1, 22)
    lips = [np.stack([x, MOUTH.line(x) + part * MOUTH.lens_height(x)], 1) for part in LINING_ROWS]
    ear = np.concatenate([EAR.ring(radius, 72) for radius in EAR_RINGS])
    return np.concatenate([skull.in_front(*np.concatenate([lids, outer, *lips]).T), skull.at_side(*ear.T)])


def _apart(points: np.ndarray, others: np.ndarray, least: float = 0.45) -> np.ndarray:
    """Those of `points` that are at least `least` mm away from all `others` and from earlier ones."""
    kept: list[np.ndarray] = list(others)
    start = len(kept)
    for point in points:
        if min(np.abs(np.array(kept) - point).max(1)) >= least:
            kept.append(point)
    return np.array(kept[start:])
