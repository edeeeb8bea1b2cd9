"""What is behind a head, drawn by chance: nothing in particular, mostly out of focus."""

from __future__ import annotations

import cv2
import numpy as np

from facecli.data.noise import clouds


def sample_background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """[H, W, 3] float32 linear RGB, 0..1."""
    makers = (_plain, _gradient, _clouds, _blobs, _boards)
    picture = makers[rng.choice(len(makers), p=[0.15, 0.2, 0.25, 0.25, 0.15])](size, rng)
    return np.clip(picture, 0, 1).astype(np.float32)


def sample_color(rng: np.random.Generator, vivid: float = 0.5) -> np.ndarray:
    """[3] linear RGB of any brightness; `vivid` 0 gives greys."""
    brightness = rng.uniform(0.08, 0.95)
    srgb = np.clip(brightness + vivid * rng.normal(0, 0.25, 3) * min(brightness, 1 - brightness) * 2, 0, 1)
    return srgb**2.2


def _plain(size, rng) -> np.ndarray:
    return np.ones((*size, 1)) * sample_color(rng)


def _gradient(size, rng) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    share = (0.5 + 0.35 * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    return sample_color(rng) * share + sample_color(rng) * (1 - share)


def _clouds(size, rng) -> np.ndarray:
    base, other = sample_color(rng), sample_color(rng)
    share = sum(clouds(size, rng.uniform(2, 5) * 2**octave, rng) * 0.5**octave for octave in range(4))
    share = 1 / (1 + np.exp(-2 * share))
    return base * share + other * (1 - share)


def _blobs(size, rng) -> np.ndarray:
    """Lights and things far out of focus."""
    picture = _gradient(size, rng).astype(np.float32)
    for _ in range(rng.integers(4, 25)):
        centre = tuple(int(rng.uniform(0, side)) for side in size[::-1])
        radius = int(min(size) * rng.uniform(0.02, 0.2))
        layer = picture.copy()
        cv2.circle(layer, centre, radius, [float(value) for value in sample_color(rng, 0.8)], -1, cv2.LINE_AA)
        picture += (layer - picture) * rng.uniform(0.2, 0.9)
    return cv2.GaussianBlur(picture, (0, 0), min(size) * rng.uniform(0.004, 0.03))


def _boards(size, rng) -> np.ndarray:
    """Walls, windows and shelves: upright and level edges."""
    picture = (np.ones((*size, 1)) * sample_color(rng)).astype(np.float32)
    for _ in range(rng.integers(3, 14)):
        x, y = (int(rng.uniform(-0.2, 1) * side) for side in size[::-1])
        w, h = (int(rng.uniform(0.05, 0.6) * side) for side in size[::-1])
        cv2.rectangle(picture, (x, y), (x + w, y + h), [float(value) for value in sample_color(rng, 0.4)], -1)
    picture *= 1 + 0.08 * clouds(size, 60, rng)
    return cv2.GaussianBlur(picture, (0, 0), min(size) * rng.uniform(0.001, 0.015))
