"""Light on the cells of a picture: soft skin, shine, the key light's shadow, and how open a place is to the sky."""

from __future__ import annotations

import math

import numpy as np
import torch

from facecli.data.lights import Light
from facecli.data.paint import Materials
from facecli.geometry.normals import vertex_normals
from facecli.render.rasterize import rasterize

_WRAP = np.array([0.32, 0.14, 0.09], np.float32)
"""How far light goes round a rim of skin: blood lets red pass the farthest."""
_SHADOW_SIDE = 320
_BIAS_MM = 3.0


def shade(
    materials: Materials,
    normals: np.ndarray,
    to_viewer: np.ndarray,
    openness: np.ndarray,
    light: Light,
    lit: np.ndarray,
) -> np.ndarray:
    """[3, N] linear RGB that the camera gets, float32.

    Args:
        normals, to_viewer: [3, N] unit, in the camera frame.
        openness: [N] 0..1, how much of the sky a cell sees. lit: [N] 0..1, how much of the key light.
    """
    normals = _unit(normals + materials.bump)
    received = light.ambient(normals) * openness
    shine = np.zeros_like(received)
    strength = np.float32(0.012) * (materials.sharpness + 8) * materials.gloss
    for number, (direction, color) in enumerate(zip(light.directions, light.colors, strict=True)):
        direction, color = direction.astype(np.float32)[:, None], color.astype(np.float32)
        cosine = _dot(normals, direction)
        reaching = lit if number == 0 else np.sqrt(openness)
        peak = np.maximum(_dot(normals, _unit(to_viewer + direction)), 0) ** materials.sharpness
        peak *= strength * reaching * (cosine > 0)
        for channel in range(3):
            wrap = _WRAP[channel] * materials.soft
            received[channel] += color[channel] * reaching * np.maximum((cosine + wrap) / (1 + wrap), 0)
            shine[channel] += color[channel] * peak
    # A faint shine of the sky at grazing angles.
    grazing = 1 - np.maximum(_dot(normals, to_viewer), 0)
    grazing = grazing * grazing * grazing * (np.float32(0.25) * materials.gloss * openness)
    shine += light.sky.astype(np.float32)[:, None] * grazing
    return materials.albedo * received + shine


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[N] of [3, N] and [3, N or 1]."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """[3, N] of length 1."""
    return vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), np.float32(1e-6))


def openness(vertices: np.ndarray, triangles: np.ndarray, directions: int = 48, side: int = 160) -> np.ndarray:
    """[V] float32, 0..1: which part of the half space above each vertex is free of the mesh itself.

    The mesh is drawn from `directions` sides (a Fibonacci sphere); a vertex is open to those that see it.
    """
    normals = vertex_normals(np.asarray(vertices, np.float64), triangles)
    total, free = np.zeros(len(vertices)), np.zeros(len(vertices))
    for number in range(directions):
        y = 1 - 2 * (number + 0.5) / directions
        around = number * math.pi * (3 - math.sqrt(5))
        direction = np.array([math.cos(around) * math.sqrt(1 - y * y), y, math.sin(around) * math.sqrt(1 - y * y)])
        weight = np.maximum(normals @ direction, 0)
        total += weight
        free += weight * ShadowMap(vertices, triangles, direction, side).lit(vertices, 0.0)
    return np.where(total > 0, free / np.maximum(total, 1e-9), 0).astype(np.float32)


class ShadowMap:
    """What a far lamp sees of a mesh.

    Args:
        vertices: [V, 3]. direction: [3] unit, towards the lamp, in the vertices' frame. side: cells.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray, side: int = _SHADOW_SIDE):
        self._axes = _axes(direction)
        points = np.asarray(vertices, np.float64) @ self._axes.T
        low, high = points.min(0), points.max(0)
        self._middle, self._scale = (low + high) / 2, 1.96 / (high - low)[:2].max()
        self._side = side
        image = self._image(points)
        self._far = image[:, 2].max() + 1000
        found = rasterize(torch.from_numpy(image.astype(np.float32))[None], torch.from_numpy(triangles), (side, side))
        depth = found.depth[0].numpy()
        self._depth = np.pad(np.where(found.mask[0].numpy(), depth, np.float32(self._far)), 2, mode="edge")

    def lit(self, points: np.ndarray, softness: float) -> np.ndarray:
        """[N] float32, 0 in the shadow .. 1 in the light, of `points` [N, 3]; `softness` widens the edges."""
        image = self._image(np.asarray(points) @ self._axes.T.astype(points.dtype))
        column, row = ((image[:, axis] + 1) * (self._side / 2) + 1.5 for axis in (0, 1))
        depth = (image[:, 2] - _BIAS_MM).astype(np.float32)
        reach = 0.5 + 2.5 * softness
        total = np.zeros(len(points), np.float32)
        for dx, dy in _TAPS:
            x = (column + reach * dx + 0.5).astype(np.int32).clip(0, self._side + 3)
            y = (row + reach * dy + 0.5).astype(np.int32).clip(0, self._side + 3)
            total += self._depth[y, x] >= depth
        return total / len(_TAPS)

    def _image(self, points: np.ndarray) -> np.ndarray:
        """Of points in the lamp's axes: x right and y down, -1..1, and depth (mm) from the lamp, at least 1."""
        x, y, z = (points - self._middle.astype(points.dtype)).T
        nearest = 1e3
        return np.stack([x * self._scale, -y * self._scale, nearest - z], 1)


_TAPS = ((0, 0), (-0.6, -0.3), (0.6, 0.3), (-0.3, 0.6), (0.3, -0.6), (-1, 0.5), (1, -0.5), (0.5, 1), (-0.5, -1))


def _axes(direction: np.ndarray) -> np.ndarray:
    """[3, 3] rows: two axes across `direction`, and itself."""
    z = direction / np.linalg.norm(direction)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])
