"""From what FaceBoxes' network gives to boxes: priors, decoding and non-maximum suppression, in numpy."""

from __future__ import annotations

import functools

import numpy as np

STRIDES = (32, 64, 128)
PRIORS = (((32, 4), (64, 2), (128, 1)), ((256, 1),), ((512, 1),))
"""At each stride: side in pixels, and in how many parts a cell is divided each way for priors of this side."""
VARIANCES = (0.1, 0.2)
OVERLAP = 0.3
"""Intersection over union from which the worse of two boxes goes."""
MOST_CANDIDATES, MOST_FACES = 5000, 750


@functools.lru_cache(maxsize=8)
def make_priors(height: int, width: int) -> np.ndarray:
    """Priors [P, 4] (centre x, y, width, height) as fractions of a picture of these pixels, float32, read-only.

    By stride, row, column, side, row in the cell, column in the cell. What divides a cell begins at its corner: the
    priors of 32 and 64 pixels lie half a step up and left of where one would expect them, and the network learnt that.
    """
    blocks = [_priors_at(stride, sides, height, width) for stride, sides in zip(STRIDES, PRIORS, strict=True)]
    priors = np.concatenate(blocks).astype(np.float32)
    priors.flags.writeable = False
    return priors


def _priors_at(stride: int, sides: tuple[tuple[int, int], ...], height: int, width: int) -> np.ndarray:
    """[rows · columns · priors a cell, 4] float64."""
    cell = np.concatenate([_priors_of_cell(side, parts) for side, parts in sides])
    rows, columns = np.arange(-(-height // stride)), np.arange(-(-width // stride))
    y, x = np.meshgrid(rows, columns, indexing="ij")
    centres = (np.stack([x, y], -1)[:, :, None] + cell[:, :2]) * stride
    pixels = np.concatenate([centres, np.broadcast_to(cell[:, 2:], centres.shape)], -1).reshape(-1, 4)
    return pixels / (width, height, width, height)


def _priors_of_cell(side: int, parts: int) -> np.ndarray:
    """[parts², 4]: x and y in cells, row by row; sides in pixels."""
    offsets = np.arange(parts) / parts if parts > 1 else np.array([0.5])
    y, x = (axis.ravel() for axis in np.meshgrid(offsets, offsets, indexing="ij"))
    return np.stack([x, y, np.full_like(x, side), np.full_like(x, side)], 1)


def decode(offsets: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Offsets [N, 4] from priors [N, 4] to corners [N, 4] (x0, y0, x1, y1), as fractions of the picture."""
    centres = priors[:, :2] + offsets[:, :2] * VARIANCES[0] * priors[:, 2:]
    sides = priors[:, 2:] * np.exp(offsets[:, 2:] * VARIANCES[1])
    low = centres - sides / 2
    return np.concatenate([low, low + sides], 1)


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float = OVERLAP, most: int = MOST_FACES) -> np.ndarray:
    """Indices of the boxes [N, 4] that stay, best first, at most `most`: greedily, none overlaps a better one that
    stays by `overlap` or more.

    Sides are counted in whole pixels, x1 - x0 + 1, as the official code does.
    """
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        width = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest]) + 1
        height = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest]) + 1
        common = np.maximum(width, 0) * np.maximum(height, 0)
        left = rest[common / (areas[best] + areas[rest] - common) < overlap]
    return np.array(kept, np.int64)
