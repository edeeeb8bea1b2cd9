"""Landmarks laid on landmarks by a similarity, as the NoW evaluation does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LandmarkAlignment:
    """`target` is about ``scale * rotation @ source + translation``. In the dtype of the landmarks.

    Args:
        rotation: [3, 3] orthogonal, acting on columns (the official tform's is its transpose).
        translation: [3].
        mirrored: `rotation` is a reflection: the landmarks of one side have left and right swapped.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    mirrored: bool

    def apply(self, points: np.ndarray) -> np.ndarray:
        """`points` [N, 3] laid on the target."""
        return self.scale * (points @ self.rotation.T) + self.translation


def align_landmarks(target: np.ndarray, source: np.ndarray) -> LandmarkAlignment:
    """The similarity that lays `source` [K, 3] on `target` [K, 3] in the least squares sense (Procrustes).

    Reflections are not excluded: the official evaluation doesn't either. Computed in float32 if both are float32,
    which is what it does with landmarks from `.pp` and float32 `.npy` files.

    Raises:
        ValueError: numbers of points differ, are less than 3, are not finite, or all points of one side are the same.
    """
    if target.shape != source.shape or target.ndim != 2 or target.shape[1] != 3:
        raise ValueError(f"there are {len(target)} landmarks on one side and {len(source)} on the other")
    if len(target) < 3:
        raise ValueError(f"{len(target)} landmarks are too few to align by")
    if not (np.isfinite(target).all() and np.isfinite(source).all()):
        raise ValueError("there are landmarks that are not finite numbers")
    dtype = np.float32 if target.dtype == source.dtype == np.float32 else np.float64
    target, source = target.astype(dtype), source.astype(dtype)
    target_mean, source_mean = target.mean(axis=0), source.mean(axis=0)
    target_0, source_0 = target - target_mean, source - source_mean
    target_norm, source_norm = np.sqrt((target_0**2).sum()), np.sqrt((source_0**2).sum())
    if not (target_norm > 0 and source_norm > 0):
        raise ValueError("all landmarks are the same point")
    u, singular, w_t = np.linalg.svd((target_0 / target_norm).T @ (source_0 / source_norm))
    rotation = u @ w_t
    scale = singular.sum() * target_norm / source_norm
    translation = target_mean - scale * (rotation @ source_mean)
    return LandmarkAlignment(scale, rotation, translation, bool(np.linalg.det(rotation) < 0))
