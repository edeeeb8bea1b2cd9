"""Glasses by chance, fitted to a head: rims, bridge, temples to the ears, and lenses that tint what is behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from facecli.data.sweep import Piece, join, tube

_POINTS = 40
"""Of a rim."""
_CLEARANCE_MM = 1.0


@dataclass(frozen=True)
class Glasses:
    """A pair of glasses. Lengths in mm.

    Args:
        width, height: half of a lens. power: of its outline, a superellipse: 2 round, 4 nearly a rectangle.
        drop: 0..1, how far the outline goes down and out as an aviator's does.
        rim: half the rim's width seen from the front. lower: how much lower than the eyes the lenses' middles are.
        wrap: mm that the frame bends back at the temples. tilt: slope of the lenses.
        color: of the frame, linear RGB [3]. gloss: its shine.
        through: [3] light that passes the lenses. mirrored: 0..1, light that they reflect. slant: of the reflection.
    """

    width: float
    height: float
    power: float
    drop: float
    rim: float
    lower: float
    wrap: float
    tilt: float
    color: np.ndarray
    gloss: float
    through: np.ndarray
    mirrored: float
    slant: float

    @property
    def dark(self) -> bool:
        """Whether the eyes behind them can't be seen well."""
        return bool(self.through.mean() < 0.4)


@dataclass(frozen=True)
class Lenses:
    """Both lenses: `vertices` [N, 3] in the head frame, `triangles` [M, 3], and `shine` [N], light that each vertex
    adds to what passes."""

    vertices: np.ndarray
    triangles: np.ndarray
    shine: np.ndarray
    through: np.ndarray
    dark: bool


def sample_glasses(rng: np.random.Generator) -> Glasses:
    """Glasses of one person."""
    shape = rng.choice(["round", "rectangle", "aviator"], p=[0.35, 0.45, 0.2])
    sun = rng.random() < 0.2
    width = rng.uniform(22, 27) + 2 * sun
    if shape == "round":
        height, power, drop = width * rng.uniform(0.82, 1.0), rng.uniform(2, 2.6), 0.0
    elif shape == "rectangle":
        height, power, drop = width * rng.uniform(0.55, 0.8), rng.uniform(3, 6), rng.uniform(0, 0.3)
    else:
        height, power, drop = width * rng.uniform(0.8, 0.95), rng.uniform(2.2, 2.8), rng.uniform(0.6, 1)
    wire = rng.random() < (0.8 if shape == "aviator" else 0.4)
    rim = rng.uniform(0.6, 1.0) if wire else rng.uniform(1.4, 3.2)
    if wire:
        metal = np.array([(0.75, 0.75, 0.78), (0.8, 0.62, 0.3), (0.05, 0.05, 0.05), (0.55, 0.3, 0.22)])
        color = metal[rng.integers(len(metal))] * rng.uniform(0.6, 1)
    else:
        color = np.full(3, rng.uniform(0.005, 0.03)) if rng.random() < 0.5 else rng.random(3) ** 2.5 * 0.7
    tint = 1 - rng.random(3) * 0.25
    through = tint * (rng.uniform(0.01, 0.2) if sun else rng.uniform(0.85, 0.97))
    return Glasses(
        width=width,
        height=height,
        power=power,
        drop=drop,
        rim=rim,
        lower=rng.uniform(1, 6),
        wrap=rng.uniform(4, 10),
        tilt=rng.uniform(0.03, 0.16),
        color=color,
        gloss=rng.uniform(0.4, 0.9),
        through=through if sun else np.sqrt(tint) * through.mean() / np.sqrt(tint).mean(),
        mirrored=rng.uniform(0.0, 0.07) if rng.random() < 0.85 else rng.uniform(0.07, 0.3),
        slant=rng.uniform(-1, 1),
    )


def fit_glasses(glasses: Glasses, head: np.ndarray, points: np.ndarray) -> tuple[Piece, Lenses]:
    """The frame and its lenses on a head.

    Args:
        head: [V, 3] with its expression. points: [68, 3] iBUG's points of it at rest.
    """
    eyes = np.stack([points[36:42].mean(0), points[42:48].mean(0)])
    middle = eyes.mean(0)
    apart = max((eyes[1, 0] - eyes[0, 0]) / 2, glasses.width + glasses.rim + 6)
    outline = _outline(glasses)
    ends = apart + glasses.width

    def shape(flat: np.ndarray) -> np.ndarray:
        """[N] z of the frame's surface at `flat` [N, 2], from the eyes' middle, up to the place along z."""
        return glasses.tilt * flat[:, 1] - glasses.wrap * (np.abs(flat[:, 0]) / ends) ** 2.2

    rims = [outline * [side, 1] + [side * apart, -glasses.lower] for side in (-1, 1)]
    near = head[
        (np.abs(head - middle)[:, :2] < [ends + 12, glasses.height + 22]).all(1) & (head[:, 2] > middle[2] - 45)
    ]
    flat = near[:, :2] - middle[:2]
    probes = np.concatenate([scale * (rim - rim.mean(0)) + rim.mean(0) for rim in rims for scale in (1.0, 0.5)])
    face = _front(near, flat, probes)
    # The nose's back and the brows push the frame forward; a single bump of the cheek doesn't.
    depth = float(np.quantile(face - shape(probes), 0.94)) + glasses.rim + _CLEARANCE_MM
    parts, lenses = [], []
    for rim in rims:
        ring = np.column_stack([rim + middle[:2], shape(rim) + depth])
        profile = np.full((len(rim), 2), max(0.8 * glasses.rim, 0.7))
        profile[:, 1] = glasses.rim
        parts.append(tube(ring, profile, np.array([0.0, 0, 1]), 6, closed=True))
        lenses.append(ring)
    parts.append(_bridge(glasses, rims, shape, depth, middle, near))
    for side, rim in zip((-1, 1), rims, strict=True):
        parts.append(_temple(glasses, side, rim, shape, depth, middle, head, points[0 if side < 0 else 16]))
    vertices, triangles = join(parts)
    frame = Piece(
        vertices,
        triangles,
        vertices,
        np.full(len(vertices), 0.85),
        color=glasses.color,
        gloss=glasses.gloss,
        sharpness=45.0,
    )
    return frame, _lenses(glasses, lenses)


def _outline(glasses: Glasses) -> np.ndarray:
    """[P, 2] of the lens at the wearer's left (picture's right), counter-clockwise from its outer end."""
    around = np.arange(_POINTS) * (2 * np.pi / _POINTS)
    x, y = (np.sign(part) * np.abs(part) ** (2 / glasses.power) for part in (np.cos(around), np.sin(around)))
    # An aviator's is wide at the top and falls off to the nose.
    x = x * (1 + 0.12 * glasses.drop * y) + 0.1 * glasses.drop * np.minimum(y, 0) * -1
    y = np.where(y > 0, y * (1 - 0.25 * glasses.drop), y * (1 + 0.15 * glasses.drop * (x < 0.6)))
    return np.stack([glasses.width * x, glasses.height * y], 1)


def _front(near: np.ndarray, flat: np.ndarray, probes: np.ndarray, reach: float = 5.0) -> np.ndarray:
    """[K] the largest z of the face within `reach` mm of the `probes` [K, 2]; -1e4 where there is none."""
    depth = near[:, 2]
    found = cKDTree(flat).query_ball_point(probes, reach)
    return np.array([depth[some].max() if some else -1e4 for some in found])


def _bridge(glasses, rims, shape, depth, middle, near) -> tuple[np.ndarray, np.ndarray]:
    """Between the lenses, over the nose."""
    height = -glasses.lower + 0.35 * glasses.height
    inner = []
    for rim, side in zip(rims, (-1, 1), strict=True):
        upper = rim[(rim[:, 1] > height - 3)]
        inner.append(upper[np.argmin(side * upper[:, 0])])
    share = np.linspace(0, 1, 13)[:, None]
    path = inner[0] * (1 - share) + inner[1] * share
    path[:, 1] += 3 * np.sin(np.pi * share[:, 0])
    nose = _front(near, near[:, :2] - middle[:2], path, 4.0) + glasses.rim + _CLEARANCE_MM
    z = np.maximum(shape(path) + depth, nose)
    z[1:-1] = (z[:-2] + 2 * z[1:-1] + z[2:]) / 4
    thick = np.full((len(path), 2), max(glasses.rim, 0.8))
    return tube(np.column_stack([path + middle[:2], z]), thick, np.array([0.0, 1, 0]), 6)


def _temple(glasses, side, rim, shape, depth, middle, head, ear) -> tuple[np.ndarray, np.ndarray]:
    """From a lens's outer end along the head, over the ear and down behind it."""
    hinge = rim[np.argmax(side * rim[:, 0] + 0.6 * rim[:, 1])]
    start = np.array([*(hinge + middle[:2]), float(shape(hinge[None])[0]) + depth])
    # The ear's root is some 42 mm behind iBUG's first point, which lies before the ear.
    end = np.array([ear[0], max(ear[1], middle[1]) + 6, ear[2] - 40])
    share = np.linspace(0, 1, 14)[:, None]
    path = start * (1 - share) + end * share
    path[:, 0] = start[0] + side * 2 * np.minimum(share[:, 0] * 8, 1)
    low, high = sorted((start[1], end[1]))
    mine = head[(side * head[:, 0] > 40) & (head[:, 1] > low - 5) & (head[:, 1] < high + 5)]
    close = (np.abs(mine[None, :, 1:] - path[:, None, 1:]) < [5, 9]).all(2)
    reached = np.where(close, side * mine[None, :, 0], 0).max(1) + glasses.rim + 0.8
    front = path[:, 2] > ear[2] - 22  # further back that would be the ear itself
    last = np.flatnonzero(front)[-1]
    width = np.maximum(side * path[:, 0], np.where(front, reached, 0))
    width[last + 1 :] = width[last]
    line = np.interp(np.arange(len(path)), [0, last], [side * start[0] + 1, width[: last + 1].max()])
    path[:, 0] = side * np.maximum(np.minimum(width, line + 6), np.where(front, reached, line))
    hook = path[-1] + np.array([(-side * 2, -6, -8), (-side * 5, -16, -13), (-side * 8, -28, -15)])
    path = np.concatenate([path, hook])
    thick = np.tile([max(1.3 * glasses.rim, 0.9), max(0.55 * glasses.rim, 0.7)], (len(path), 1))
    thick[0] = [max(1.6 * glasses.rim, 1.0), max(0.8 * glasses.rim, 0.8)]
    return tube(path, thick, np.array([0.0, 1, 0.3]), 6, power=3.0)


def _lenses(glasses: Glasses, rings: list[np.ndarray]) -> Lenses:
    """Fans within the rims; the reflection is brighter above and slanted."""
    parts, shine = [], []
    for ring in rings:
        middle = ring.mean(0)
        inner = middle + 0.55 * (ring - middle)
        vertices = np.concatenate([middle[None], inner, ring])
        count = len(ring)
        turn = np.arange(count)
        fan = np.stack([np.zeros(count, int), 1 + turn, 1 + (turn + 1) % count], 1)
        parts.append((vertices, np.concatenate([fan, 1 + grid_of(count)])))
        local = (vertices - middle)[:, :2] / [glasses.width, glasses.height]
        wave = 0.5 + 0.5 * np.sin(2.2 * local[:, 1] + 2 * glasses.slant * local[:, 0])
        shine.append(glasses.mirrored * wave**2)
    vertices, triangles = join(parts)
    return Lenses(vertices, triangles, np.concatenate(shine), glasses.through, glasses.dark)


def grid_of(count: int) -> np.ndarray:
    """[M, 3] triangles between two rings of `count` vertices, the inner one first."""
    turn = np.arange(count)
    following = (turn + 1) % count
    first = np.stack([turn, count + turn, count + following], 1)
    return np.concatenate([first, np.stack([turn, count + following, following], 1)])
