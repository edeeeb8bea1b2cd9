"""Things in front of a face, drawn by chance: plain shapes, some with stripes or an outline."""

from __future__ import annotations

import cv2
import numpy as np

from facecli.data.backgrounds import sample_color
from facecli.data.noise import clouds

LARGEST = 0.3
"""Share of the face's box that a thing covers at most, about."""


def sample_occluder(size: tuple[int, int], box: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A thing's coverage float32 [H, W] and its colours [H, W, 3] linear RGB.

    Args:
        box: [4] left, top, right, bottom of the face in pixels; the thing reaches into it from outside.
    """
    (left, top, right, bottom), (height, width) = box, size
    extent = np.array([right - left, bottom - top])
    angle = rng.uniform(0, 2 * np.pi)
    edge = np.array([left + right, top + bottom]) / 2 + 0.5 * extent * [np.cos(angle), np.sin(angle)]
    radius = np.sqrt(LARGEST * rng.uniform(0.15, 1) * extent.prod() / np.pi)
    mask = np.zeros((height, width), np.uint8)
    kind = rng.choice(["ball", "board", "pole", "rag"])
    turn = rng.uniform(0, 180)
    if kind == "ball":
        axes = radius * rng.uniform(0.6, 1.3, 2)
        cv2.ellipse(mask, _ints(edge), _ints(axes), turn, 0, 360, 255, -1, cv2.LINE_AA)
    elif kind == "rag":
        corners = rng.integers(7, 13)
        around = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        ring = edge + radius * rng.uniform(0.5, 1.3, (corners, 1)) * np.stack([np.cos(around), np.sin(around)], 1)
        cv2.fillPoly(mask, [np.rint(ring).astype(np.int32)], 255, cv2.LINE_AA)
    else:
        long, thin = (3.0, 0.25) if kind == "pole" else (1.2, 0.8)
        corners = cv2.boxPoints((tuple(map(float, edge)), (float(2 * radius * long), float(2 * radius * thin)), turn))
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA)
    colors = sample_color(rng, 0.7) * (1 + 0.15 * clouds(size, rng.uniform(3, 30), rng))
    if rng.random() < 0.3:
        y, x = np.mgrid[:height, :width]
        stripes = np.sin((x * np.cos(turn) + y * np.sin(turn)) / (radius * rng.uniform(0.05, 0.3))) > 0
        colors = np.where(stripes[..., None], colors, colors * rng.uniform(0.2, 0.7))
    return mask.astype(np.float32) / 255, colors.clip(0, 1).astype(np.float32)


def _ints(values: np.ndarray) -> tuple[int, int]:
    return round(float(values[0])), round(float(values[1]))
