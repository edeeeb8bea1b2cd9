"""The plain head by formula, before it has eyes, nose, mouth and ears: ellipsoids that flow into each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLEND = 16.0
"""Millimetres over which neighbouring ellipsoids flow into each other."""
CENTRE = np.array([0.0, -5.0, 15.0])
"""The whole surface is seen from this point, each point of it in a direction of its own."""


@dataclass(frozen=True)
class Ellipsoid:
    """A part of the plain head, millimetres in the head frame.

    Args:
        centre: (y, z); x is 0.
        radii: half axes along x, y, z.
        tilt: radians by which it is turned about x; positive raises what is in front.
        power: 2 for an ellipsoid, more for something squarer.
    """

    name: str
    centre: tuple[float, float]
    radii: tuple[float, float, float]
    tilt: float = 0.0
    power: float = 2.0

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Nearly the signed distance [n] of `points` [n, 3], negative inside: (|q| - 1) / |grad |q||, in the p-norm."""
        x, y, z = points[:, 0], points[:, 1] - self.centre[0], points[:, 2] - self.centre[1]
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        turned = np.stack([x, cos * y - sin * z, sin * y + cos * z], 1)
        radii = np.asarray(self.radii)
        scaled = np.abs(turned) / radii
        norm = np.maximum((scaled**self.power).sum(1) ** (1 / self.power), 1e-9)
        steps = scaled ** (self.power - 1) / radii
        return (norm - 1) / np.maximum(np.linalg.norm(steps, axis=1) * norm ** (1 - self.power), 1e-9)


SKULL = (
    Ellipsoid("cranium", (72, -7), (74, 71, 80), tilt=0.5),
    Ellipsoid("forehead", (45, 20), (61, 56, 87), tilt=0.51, power=2.6),
    Ellipsoid("cheeks", (3, 53), (59, 28, 28), tilt=-0.92, power=2.6),
    Ellipsoid("jaw", (-35, 28), (48, 28, 81), tilt=0.24),
    Ellipsoid("chin", (-31, 33), (43, 28, 83), tilt=-0.52),
    Ellipsoid("neck", (-128, -22), (63, 79, 55), tilt=-0.69),
)


def distance(points: np.ndarray) -> np.ndarray:
    """Nearly the signed distance [n] of `points` [n, 3] to the plain head, negative inside.

    The ellipsoids' smallest distance, made smooth: -BLEND log sum exp(-distance / BLEND).
    """
    distances = np.stack([part.distance(points) for part in SKULL])
    nearest = distances.min(0)
    return nearest - BLEND * np.log(np.exp((nearest - distances) / BLEND).sum(0))


def cast(origins: np.ndarray, directions: np.ndarray, reach: float = 260.0, halvings: int = 32) -> np.ndarray:
    """Where rays from inside leave the plain head: [n, 3].

    Args:
        origins: [n, 3] or [3], inside the head.
        directions: [n, 3] or [3], unit vectors.
        reach: millimetres at which a ray is outside for certain.
        halvings: of the interval that holds the crossing.
    """
    origins, directions = np.broadcast_arrays(np.asarray(origins, float), np.asarray(directions, float))
    inside, outside = np.zeros(len(origins)), np.full(len(origins), reach)
    for _ in range(halvings):
        middle = (inside + outside) / 2
        is_inside = distance(origins + middle[:, None] * directions) < 0
        inside, outside = np.where(is_inside, middle, inside), np.where(is_inside, outside, middle)
    return origins + ((inside + outside) / 2)[:, None] * directions


def in_front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The points [n, 3] of the plain head that are seen at (x, y) from the front (far from the head's outline)."""
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    return cast(np.stack([x, y, np.zeros_like(x)], 1), np.array([0.0, 0.0, 1.0]))


def at_side(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The points [n, 3] of the plain head that are seen at (y, z) from its left side, x > 0."""
    y, z = np.broadcast_arrays(np.asarray(y, float), np.asarray(z, float))
    return cast(np.stack([np.zeros_like(y), y, z], 1), np.array([1.0, 0.0, 0.0]))
