"""Mean absolute error of yaw, pitch and roll, as FSA-Net, SynergyNet and others report it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecli.geometry.euler import rotation_of_labels

LARGEST = 99.0
"""Degrees: images with any angle beyond are left out (31 of the 2000)."""


def judged(angles: np.ndarray) -> np.ndarray:
    """[N] bool: which images count, by their `angles` [N, 3] in degrees. NaN doesn't."""
    return (np.abs(angles) <= LARGEST).all(-1)


@dataclass(frozen=True)
class PoseErrors:
    """Mean absolute errors in degrees over `images` images; NaN if there are none."""

    yaw: float
    pitch: float
    roll: float
    images: int

    @property
    def mean(self) -> float:
        return (self.yaw + self.pitch + self.roll) / 3


def pose_errors(predicted: np.ndarray, truth: np.ndarray) -> PoseErrors:
    """Of angles [N, 3] (yaw, pitch, roll) in degrees. Rows with NaN don't count.

    Differences are taken as they are, not modulo 360: the truth lies within ±99 degrees, and so it is published.
    """
    difference = np.abs(np.asarray(predicted, np.float64) - truth)
    difference = difference[np.isfinite(difference).all(-1)]
    if not len(difference):
        return PoseErrors(np.nan, np.nan, np.nan, 0)
    return PoseErrors(*map(float, difference.mean(0)), len(difference))


def mean_offset(rotations: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[3, 3] the constant turn by which a model's frontal head differs from the labels': R = R_label · offset.

    Models differ in what they call a frontal head. The mean is the one with the least sum of squared (chordal) errors.

    Args:
        rotations: [N, 3, 3] of the model, head to camera; rows with NaN don't count.
        truth: [N, 3] degrees (yaw, pitch, roll) of the labels.
    """
    there = np.isfinite(rotations).all((1, 2)) & np.isfinite(truth).all(1)
    if not there.any():
        return np.eye(3)
    differences = rotation_of_labels(truth[there]).transpose(0, 2, 1) @ rotations[there]
    u, _, vt = np.linalg.svd(differences.mean(0))
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def geodesic(rotations: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[...] degrees of the one turn from the labels' rotation to the model's: no decoder has a part in it."""
    between = np.swapaxes(rotation_of_labels(truth), -1, -2) @ rotations
    chord = np.linalg.norm(between - np.eye(3), axis=(-2, -1)) / np.sqrt(8)  # exact for small angles, unlike the trace
    return np.degrees(2 * np.arcsin(np.clip(chord, 0, 1)))


def official_text(errors: PoseErrors) -> str:
    """The words of SynergyNet's `benchmark.py`."""
    angles = f"[{errors.yaw:.3f}, {errors.pitch:.3f}, {errors.roll:.3f}]"
    return f"Mean MAE = {errors.mean:.3f} (in deg), [yaw,pitch,roll] = {angles}"
