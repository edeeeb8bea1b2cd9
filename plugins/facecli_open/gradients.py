"""What a picture is like around a place, whatever its light and contrast: blocks of histograms of oriented gradients
(Dalal and Triggs 2005), sampled at landmarks as Xiong and De la Torre's supervised descent method does (2013).

The gradients of a whole crop are sorted once; any place of it is then told by looking it up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from facecli_open.crop import SIZE

SIDE = 128
"""The crop is shrunk to this side before gradients are taken: 2.3 mm a pixel."""
ORIENTATIONS = 8
CELLS = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)], np.float64)
"""[9, 2] of a block: the place itself and its neighbours."""


class Level(NamedTuple):
    """Blocks of one size.

    Args:
        smaller: how many times smaller than the shrunk crop the map of gradients is.
        squares: sides of the squares, in pixels of that map, over which it is averaged one after the other.
        apart: of a block's cells, likewise.
    """

    smaller: int
    squares: tuple[int, ...]
    apart: float


NARROW, WIDE = Level(1, (3, 3), 4.0), Level(2, (3,), 4.0)
LEVELS = (NARROW, WIDE)
NUMBERS = (len(LEVELS) * ORIENTATIONS + 1) * len(CELLS)
"""Of one place."""
LIMIT = 1.25
"""None is larger, none below 0."""
_BRIGHTNESS_SPREAD = 1.3
_FAINT = 0.05
"""Added to a block's typical length before it is made 1: what is as weak as noise stays weak."""


class GradientMaps:
    """
    Args:
        grey: uint8 [192, 192], a crop.
    """

    def __init__(self, grey: np.ndarray):
        shrunk = cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) * np.float32(1 / 255)
        mean, spread = cv2.meanStdDev(shrunk)
        shrunk = (shrunk - np.float32(mean.item())) * np.float32(1 / (spread.item() + 0.02))
        oriented = _oriented(shrunk)
        self._maps = [[_averaged(part, level) for part in oriented] for level in LEVELS]
        self._smooth = 0.5 + 0.2 * cv2.GaussianBlur(shrunk, (0, 0), _BRIGHTNESS_SPREAD)

    def at(self, places: np.ndarray) -> np.ndarray:
        """[N, NUMBERS] float32, 0 to LIMIT, at `places` [N, 2] in pixels of the crop: of both levels nine histograms,
        whose lengths are about 1 on average, and the brightness of the narrow one's cells."""
        found = [_block(parts, places, level.apart) for parts, level in zip(self._maps, LEVELS, strict=True)]
        found.append(_sampled(self._smooth, places, NARROW.apart).reshape(len(places), -1))
        return np.concatenate(found, 1).clip(0, LIMIT)


def _block(parts: list[np.ndarray], places: np.ndarray, apart: float) -> np.ndarray:
    """[N, 72] the block of one level around each place."""
    histograms = np.concatenate([_sampled(part, places, apart) for part in parts], 2).reshape(len(places), -1)
    length = np.sqrt((histograms * histograms).sum(1, keepdims=True) / np.float32(len(CELLS)))
    return histograms / (length + np.float32(_FAINT))


def _oriented(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strength of the gradients along each of four orientations, and against it: two times [H, W, 4].

    A gradient's share of an orientation is the fourth power of the cosine between them; strength counts by its root.
    """
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3, scale=0.11) for order in ((1, 0), (0, 1)))
    # By numpy: roots and sums of OpenCV's depend in their last digit on where in memory an array happens to lie.
    length = np.sqrt(across * across + down * down) + np.float32(1e-6)
    across, down, root = across / length, down / length, np.sqrt(length)
    forward, backward = [], []
    for number in range(ORIENTATIONS // 2):
        angle = 2 * math.pi * number / ORIENTATIONS
        cosine = np.float32(math.cos(angle)) * across + np.float32(math.sin(angle)) * down
        for part, parts in ((cv2.max(cosine, 0.0), forward), (cv2.max(-cosine, 0.0), backward)):
            square = part * part
            parts.append(square * square * root)
    return cv2.merge(forward), cv2.merge(backward)


def _averaged(values: np.ndarray, level: Level) -> np.ndarray:
    """[H, W, 4] one level of `values`."""
    if level.smaller > 1:
        share = 1 / level.smaller
        values = cv2.resize(values, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    for side in level.squares:
        values = cv2.blur(values, (side, side))
    return values


def _sampled(values: np.ndarray, places: np.ndarray, apart: float) -> np.ndarray:
    """`values` [H, W] or [H, W, 4], a map of the crop, at blocks around `places` [N, 2] of the crop: [N, 9(, 4)]."""
    where = ((places + 0.5) * (len(values) / SIZE) - 0.5)[:, None] + apart * CELLS
    return cv2.remap(values, where.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
