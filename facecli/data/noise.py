"""Smooth noise in space and in pictures, the same on every machine."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from scipy import ndimage

SIDE = 64


@functools.cache
def volume() -> np.ndarray:
    """[64, 64, 64] float32 that repeats in all directions: mean 0, standard deviation 1, features two cells wide."""
    white = np.random.default_rng(64).standard_normal((SIDE, SIDE, SIDE))
    smooth = ndimage.gaussian_filter(white, 1.0, mode="wrap")
    return (smooth / smooth.std()).astype(np.float32)


def at_points(points: np.ndarray, feature_mm: float, offset: np.ndarray, octaves: int = 1) -> np.ndarray:
    """[N] float32 smooth noise at `points` [N, 3]; `feature_mm` is the largest bumps' width, `offset` [3] any."""
    total, weight = np.zeros(len(points), np.float32), 1.0
    for octave in range(octaves):
        place = np.asarray(points, np.float32).T * (2.0 * 2**octave / feature_mm) + np.reshape(offset, (3, 1)) * SIDE
        total += weight * ndimage.map_coordinates(volume(), place, order=1, mode="grid-wrap").astype(np.float32)
        weight *= 0.5
    return total


def grain(points: np.ndarray, feature_mm: float | np.ndarray, offset: np.ndarray) -> np.ndarray:
    """[N] float32 noise at `points` [3, N] in steps, quick: for what is finer than a pixel or two.

    Args:
        feature_mm: one number, or [3] for grains that are longer in some directions.
    """
    scale = (2.0 / np.broadcast_to(np.asarray(feature_mm, np.float32), 3)).astype(np.float32)
    columns = [
        np.floor(points[axis] * scale[axis] + np.float32(offset[axis] * SIDE)).astype(np.int32) & (SIDE - 1)
        for axis in range(3)
    ]
    return volume().ravel()[(columns[0] * SIDE + columns[1]) * SIDE + columns[2]]


def clouds(shape: tuple[int, int], cells: float, rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    """[H, W, channels] float32, standard deviation about 1; the shorter side has `cells` features."""
    height, width = shape
    rows, columns = (max(round(cells * side / min(shape)), 2) for side in shape)
    small = rng.standard_normal((rows, columns, channels)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
