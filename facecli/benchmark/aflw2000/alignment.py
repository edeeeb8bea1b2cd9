"""Normalised mean error of landmarks, and its table by yaw bin, as 3DDFA, 3DDFA_V2 and SynergyNet report it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = ("0-30", "30-60", "60-90")
"""By |yaw| in degrees: up to and with 30, up to and with 60, beyond."""

AFLW21: tuple[int | tuple[int, ...], ...] = (
    17, 19, 21, 22, 24, 26, 36, tuple(range(36, 42)), 39, 42, tuple(range(42, 48)), 45, 2, 31, 30, 35, 14, 48,
    tuple(range(60, 68)), 54, 8,
)  # fmt: skip
"""AFLW's 21 points from iBUG's 68: one, or the mean of several."""


def nme(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[N] mean distance over the square root of the area of the truth's box.

    Args:
        predicted, truth: [N, 68, 2 or more] pixels; only x and y count.
    """
    distance = np.linalg.norm(predicted[..., :2] - truth[..., :2], axis=-1).mean(-1)
    return distance / box_size(truth)


def nme21(predicted: np.ndarray, truth: np.ndarray, truth68: np.ndarray) -> np.ndarray:
    """[N] the same on AFLW's 21 points, of which only those seen are labelled.

    Args:
        predicted: [N, 68, 2 or more].
        truth: [N, 21, 2]; (−1, −1) where a point can't be seen. Without any the error is NaN.
        truth68: [N, 68, 2 or more] whose box normalises: AFLW's 68 points were fitted to its 21.
    """
    seen = ~(truth == -1).all(-1)
    distance = np.linalg.norm(points21(predicted[..., :2]) - truth, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(seen, distance, 0).sum(-1) / seen.sum(-1) / box_size(truth68)


def points21(points: np.ndarray) -> np.ndarray:
    """[..., 68, D] -> [..., 21, D] AFLW's points."""
    return np.stack([points[..., np.atleast_1d(entry), :].mean(-2) for entry in AFLW21], -2)


def boxes(points: np.ndarray) -> np.ndarray:
    """[..., K, 2 or more] -> [..., 4] (x0, y0, x1, y1) of the points, in pixels."""
    return np.concatenate([points[..., :2].min(-2), points[..., :2].max(-2)], -1)


def box_size(points: np.ndarray) -> np.ndarray:
    """[...] √(width · height) of the points' box."""
    box = boxes(points)
    return np.sqrt((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]))


def bin_of(yaw: np.ndarray) -> np.ndarray:
    """[N] which of the three :data:`BINS` an image is in, by its yaw in degrees."""
    return np.digitize(np.abs(yaw), [30, 60], right=True)


@dataclass(frozen=True)
class BinnedNme:
    """The table's row, as fractions (the papers print percent).

    Args:
        counts: [3] images in each bin that have a value.
        means, stds: [3] over the images of each bin; NaN where it has none.
    """

    counts: np.ndarray
    means: np.ndarray
    stds: np.ndarray

    @property
    def mean(self) -> float:
        """The headline: the mean of the three bins' means, not of the images. NaN if a bin is empty."""
        return float(self.means.mean())

    @property
    def std(self) -> float:
        """Of the three means."""
        return float(self.means.std())


def by_yaw(errors: np.ndarray, yaw: np.ndarray) -> BinnedNme:
    """`errors` [N] (NaN where there is none) by `yaw` [N] in degrees."""
    bins, there = bin_of(yaw), np.isfinite(errors)
    groups = [errors[there & (bins == number)].astype(np.float64) for number in range(len(BINS))]
    return BinnedNme(
        np.array([len(group) for group in groups]),
        np.array([group.mean() if len(group) else np.nan for group in groups]),
        np.array([group.std() if len(group) else np.nan for group in groups]),
    )


def official_text(result: BinnedNme, data: str = "AFLW2000-3D") -> str:
    """The words of SynergyNet's `benchmark.py`."""
    rows = [(low, *numbers) for low, *numbers in zip((0, 30, 60), result.means, result.stds, strict=True)]
    lines = [f"[{low:2d}, {low + 30}]\tMean: {100 * mean:.3f}, Std: {100 * std:.3f}" for low, mean, std in rows]
    total = f"[ 0, 90]\tMean: {100 * result.mean:.3f}, Std: {100 * result.std:.3f}"
    return "\n".join(["", f"Facial Alignment on {data} (NME):", *lines, total])


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """Fraction of images with an error beyond `threshold`; NaN (no face found) is a failure."""
    return float(1 - (errors <= threshold).mean()) if len(errors) else float("nan")


def area_under_curve(errors: np.ndarray, threshold: float) -> float:
    """Of the cumulative error curve up to `threshold`; 1 is perfect. NaN (no face found) counts as 0."""
    gained = np.clip(threshold - errors, 0, None) / threshold
    return float(np.nan_to_num(gained).mean()) if len(errors) else float("nan")


def cumulative(errors: np.ndarray, at: Sequence[float] | np.ndarray) -> np.ndarray:
    """Fraction of all images with an error of at most `at` [n]; those without a face never are."""
    found = np.sort(errors[np.isfinite(errors)])
    return np.searchsorted(found, at, side="right") / max(len(errors), 1)
