"""A symmetric triangle mesh over the plain head: coarse at the back, fine where a face has its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull, cKDTree

from facecli.data import formula_skull as skull

FINE_STEPS = 256
"""Steps of the finest lattice from the middle plane to the ear: 0.7 mm each on the face."""
COARSEST, GROWTH = 7.0, 0.22
"""Millimetres between vertices far from all spots, and how much they grow a millimetre away from a spot."""
NECK_HEIGHT = -150.0
"""The plane y = … at which the neck is cut."""
NECK_POINTS = 72
_CLEARANCE, _CLEARANCE_IN_MIDDLE = 0.75, 0.4
"""Points of the lattice nearer than this part of their spacing to a point that must be there give way to it. In the
middle plane gaps must stay small: two neighbours in it must have an edge, so that both sides can be mirrored."""


@dataclass(frozen=True)
class Spot:
    """A ball of `radius` mm around `centre` in which vertices of the plain head lie `spacing` mm apart."""

    centre: tuple[float, float, float]
    radius: float
    spacing: float


@dataclass(frozen=True)
class HeadMesh:
    """Vertices on the plain head and how they hang together.

    Args:
        points: [V, 3] float64 mm.
        triangles: [F, 3] int64, counter-clockwise from outside; open at the neck.
        mirror: [V] int64, the vertex on the other side (itself in the middle plane).
        fixed: [n] int64, the vertices of the points that had to be there.
    """

    points: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray
    fixed: np.ndarray


def head_mesh(spots: Sequence[Spot], fixed: np.ndarray) -> HeadMesh:
    """The mesh: points of a lattice of directions, and their Delaunay triangles on the sphere of directions.

    Args:
        spots: where it is how fine; for the side x > 0, on which they are mirrored.
        fixed: [n, 3] points of the plain head with x >= 0 that shall be vertices, as they shall at -x.
    """
    neck = _neck_ring()
    lattice = _lattice(spots)
    lattice = lattice[lattice[:, 1] > NECK_HEIGHT + 3]
    given = np.concatenate([fixed, neck])
    away, _ = cKDTree(given).query(lattice)
    clearance = np.where(lattice[:, 0] > 0, _CLEARANCE, _CLEARANCE_IN_MIDDLE) * _spacing(lattice, spots)
    right = np.concatenate([given, lattice[away > clearance]])

    middle = right[:, 0] == 0
    order = np.argsort(~middle, kind="stable")  # the middle plane comes first
    right, number = right[order], np.argsort(order)
    n_middle, n_right = int(middle.sum()), len(right)
    points = np.concatenate([right, right[n_middle:] * [-1, 1, 1]])
    others = np.arange(n_right, len(points))
    mirror = np.concatenate([np.arange(n_middle), others, np.arange(n_middle, n_right)])

    triangles = _half_hull(points, n_right)
    at_neck = number[len(fixed) : len(given)]
    triangles = triangles[~np.isin(triangles, at_neck).all(1)]
    triangles = np.concatenate([triangles, mirror[triangles][:, ::-1]])
    return HeadMesh(points, triangles, mirror, number[: len(fixed)])


def _half_hull(points: np.ndarray, n_right: int) -> np.ndarray:
    """Delaunay triangles [F, 3] of the directions of `points`, those without a vertex behind the middle plane."""
    directions = points - skull.CENTRE
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    triangles = ConvexHull(directions).simplices.astype(np.int64)
    triangles = triangles[(triangles < n_right).all(1)]
    a, b, c = (directions[triangles[:, corner]] for corner in range(3))
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return triangles[np.lexsort(triangles.T)]


def _lattice(spots: Sequence[Spot]) -> np.ndarray:
    """Points [n, 3] of the plain head, x >= 0: of nested lattices of directions, each as dense as its place wants.

    Directions are given by their angle to the middle plane and their turn around the axis through the ears.
    """
    step = np.pi / 2 / FINE_STEPS
    aside, around = np.meshgrid(np.arange(FINE_STEPS), np.arange(4 * FINE_STEPS), indexing="ij")
    radius = _rough_radius(aside, around)
    steeper_aside, steeper_around = np.gradient(radius, step)
    apart_aside = step * np.hypot(radius, steeper_aside)  # mm between neighbours on the surface
    apart_around = step * np.hypot(radius * np.cos(aside * step), steeper_around)
    aside, around = aside.ravel(), around.ravel()
    points = skull.CENTRE + radius.ravel()[:, None] * _directions(aside * step, around * step)
    wanted = _spacing(points, spots)
    level = np.clip(np.rint(np.log2(wanted / apart_aside.ravel())), 0, 5).astype(int)
    level_around = np.clip(np.rint(np.log2(wanted / apart_around.ravel())), 0, 9).astype(int)
    kept = (aside % (1 << level) == 0) & (around % (1 << level_around) == 0)
    aside, around, level, level_around = aside[kept], around[kept], level[kept], level_around[kept]
    odd = (around >> level_around) % 2  # every other row is moved by half a step: triangles become equilateral
    half_steps = 2 * aside + odd * (1 << level) * (aside > 0)
    half_steps, around = np.unique(np.stack([half_steps, around]), axis=1)  # moved points may meet others
    return skull.cast(skull.CENTRE, _directions(half_steps * step / 2, around * step))


def _directions(aside: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Unit vectors [n, 3]; `around` is 0 in front and grows upwards."""
    cos = np.cos(aside)
    directions = np.stack([np.sin(aside), cos * np.sin(around), cos * np.cos(around)], 1)
    directions[aside == 0, 0] = 0
    return directions


def _rough_radius(aside: np.ndarray, around: np.ndarray, every: int = 16) -> np.ndarray:
    """The plain head's radius at points of the finest lattice [A, B], interpolated between every 16th."""
    step = every * np.pi / 2 / FINE_STEPS
    columns, rows = FINE_STEPS // every + 1, 4 * FINE_STEPS // every
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows), indexing="ij")).reshape(2, -1) * step
    radius = np.linalg.norm(skull.cast(skull.CENTRE, _directions(*grid), halvings=16) - skull.CENTRE, axis=1)
    radius = radius.reshape(columns, rows)
    return map_coordinates(np.pad(radius, ((0, 0), (0, 1)), "wrap"), [aside / every, around / every], order=1)


def _spacing(points: np.ndarray, spots: Sequence[Spot]) -> np.ndarray:
    """Wanted distance [n] between vertices at `points` [n, 3], mm."""
    spacing = np.full(len(points), COARSEST)
    for spot in spots:
        outside = np.maximum(np.linalg.norm(points - spot.centre, axis=1) - spot.radius, 0)
        spacing = np.minimum(spacing, spot.spacing + GROWTH * outside)
    return spacing


def _neck_ring() -> np.ndarray:
    """The edge of the neck, x >= 0, from front to back."""
    turn = np.linspace(0, np.pi, NECK_POINTS // 2 + 1)
    sideways = np.sin(turn)
    sideways[[0, -1]] = 0
    axis = np.array([0, NECK_HEIGHT, -25.0])
    return skull.cast(axis, np.stack([sideways, np.zeros_like(turn), np.cos(turn)], 1))
