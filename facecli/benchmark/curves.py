"""Cumulative error curves: how many percent of the points lie closer than a distance."""

from __future__ import annotations

import numpy as np

BINS = 100_000


def cumulative(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NoW's curve: [BINS] left edges of the histogram's bins from the least to the greatest distance, and the
    cumulative percentage [BINS] up to and with each bin. Empty for no distances.

    Args:
        distances: [N], finite, any order.
    """
    if len(distances) == 0:
        return np.empty(0), np.empty(0)
    counts, edges = np.histogram(distances, bins=BINS)
    return edges[:-1], 100 * np.cumsum(counts) / len(distances)


def drawn(distances: np.ndarray, limit: float, steps: int = 800) -> tuple[np.ndarray, np.ndarray]:
    """The curve as few points that nobody can tell from all: x [n] and y [n], from 0 to `limit`.

    Of the many points those are kept that are first to reach each of `steps` places along either axis. Where the
    greatest distance comes before `limit`, the curve goes on at 100 %.
    """
    distances = np.asarray(distances, np.float64)
    edges, percent = cumulative(distances[np.isfinite(distances)])
    if len(edges) == 0:
        return np.empty(0), np.empty(0)
    by_x = np.searchsorted(edges, np.linspace(0, limit, steps))
    by_y = np.searchsorted(percent, np.linspace(0, 100, steps))
    kept = np.unique(np.concatenate([by_x, by_y]))
    kept = kept[kept < len(edges)]
    x, y = edges[kept], percent[kept]
    if x[0] > 0:
        x, y = np.append(x[0], x), np.append(0.0, y)
    if edges[-1] < limit:
        x, y = np.append(x, [edges[-1], limit]), np.append(y, [100.0, 100.0])
    return x, y


def spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Places [n], in the order of `wanted` [n] (ascending), at least `gap` apart, from `low` to `high`, moved least.

    Where there isn't room for all, they go on beyond `high`.

    The least sum of squares, by pooling neighbours that collide (isotonic regression) after taking the gaps out.
    """
    steps = gap * np.arange(len(wanted))
    blocks: list[tuple[float, int]] = []  # mean, number
    for value in np.asarray(wanted, np.float64) - steps:
        mean, number = float(value), 1
        while blocks and blocks[-1][0] >= mean:
            before, count = blocks.pop()
            mean, number = (before * count + mean * number) / (count + number), count + number
        blocks.append((mean, number))
    pooled = np.concatenate([np.empty(0), *(np.full(number, mean) for mean, number in blocks)])
    return np.maximum(np.minimum(pooled, high - steps[-1:].sum()), low) + steps
