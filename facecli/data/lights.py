"""Light by chance: sky and ground, a key light, now and then a second and a rim light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Light:
    """Light of one picture, linear RGB, in the camera frame (x right, y up, z to the viewer).

    Args:
        sky, ground: [3] what comes from above and from below; between them by the cosine with `up`.
        up: [3] unit.
        directions: [L, 3] unit, from the head to each lamp; the first is the key light.
        colors: [L, 3] what a surface that faces the lamp gets.
        softness: 0 sharp .. 1 soft: how far the key light's shadows are blurred.
    """

    sky: np.ndarray
    ground: np.ndarray
    up: np.ndarray
    directions: np.ndarray
    colors: np.ndarray
    softness: float

    def ambient(self, normals: np.ndarray) -> np.ndarray:
        """[3, N] light of sky and ground on unit `normals` [3, N]."""
        up, ground, more = (part.astype(normals.dtype) for part in (self.up, self.ground, self.sky - self.ground))
        share = 0.5 + 0.5 * (normals[0] * up[0] + normals[1] * up[1] + normals[2] * up[2])
        return ground[:, None] + more[:, None] * share

    def scaled(self, gain: float) -> Light:
        """The same light, `gain` times as bright."""
        return Light(self.sky * gain, self.ground * gain, self.up, self.directions, self.colors * gain, self.softness)


def sample_light(rng: np.random.Generator) -> Light:
    """From an overcast day to one hard lamp at the side."""
    flat = rng.beta(1.6, 1.6)  # 1: all from sky and ground
    tint = lambda spread: np.exp(rng.normal(0, spread, 1) * np.array([1.0, 0.0, -1.2]))  # noqa: E731  warm to cold
    sky, ground = (0.35 + flat) * tint(0.10), (0.35 + flat) * rng.uniform(0.25, 0.8) * tint(0.08)
    tilt = rotation_about(rng, 35)
    directions = [_direction(rng.normal(0, 40), rng.uniform(-5, 70))]
    colors = [1.6 * (1.15 - flat) * tint(0.12)]
    if rng.random() < 0.5:
        directions.append(_direction(-math.copysign(rng.uniform(20, 90), directions[0][0]), rng.uniform(-20, 50)))
        colors.append(colors[0].mean() * rng.uniform(0.1, 0.6) * tint(0.15))
    if rng.random() < 0.3:
        directions.append(_direction(rng.choice([-1, 1]) * rng.uniform(110, 165), rng.uniform(-10, 50)))
        colors.append(rng.uniform(0.3, 1.5) * tint(0.2))
    return Light(sky, ground, tilt, np.array(directions), np.array(colors), float(rng.beta(2, 1.5)))


def rotation_about(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """[3] unit, up to `degrees` off straight up."""
    lean, around = math.radians(degrees) * math.sqrt(rng.random()), 2 * math.pi * rng.random()
    return np.array([math.sin(lean) * math.cos(around), math.cos(lean), math.sin(lean) * math.sin(around)])


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    """[3] unit, degrees: 0, 0 is the viewer's place; azimuth grows to the right, elevation upwards."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return np.array([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
