"""What a camera does to light: focus, motion, exposure, noise, eight bits, compression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Wear:
    """How a picture is worn. Lengths in pixels of a picture of 512.

    Args:
        focus: standard deviation of the blur. motion: (length, angle in radians). white_balance: [3] gains.
        noise: (shot, read) standard deviations of linear light at 1 and at 0. quality: JPEG's, or 0 for none.
        coarse: the picture was this many times smaller once.
    """

    focus: float
    motion: tuple[float, float]
    white_balance: tuple[float, float, float]
    noise: tuple[float, float]
    quality: int
    coarse: float


def sample_wear(strength: float, rng: np.random.Generator) -> Wear:
    """`strength` 0..1: 0 leaves a nearly perfect picture."""
    moves = rng.random() < 0.15 * strength
    warm = rng.normal(0, 0.06 * strength)
    iso = strength * rng.beta(1, 3)
    shrunk = rng.random() < 0.2 * strength
    return Wear(
        focus=0.3 + strength * 1.4 * rng.beta(1, 3),
        motion=(moves * rng.uniform(2, 8), rng.uniform(0, np.pi)),
        white_balance=(1 + warm, 1 + rng.normal(0, 0.02 * strength), 1 - warm),
        noise=(0.002 + 0.05 * iso, 0.001 + 0.012 * iso),
        quality=int(rng.integers(min(100 - int(55 * strength), 95), 100)) if rng.random() < 0.8 else 0,
        coarse=float(rng.uniform(1.2, 2.2)) if shrunk else 1.0,
    )


def take_picture(linear: np.ndarray, wear: Wear, rng: np.random.Generator) -> np.ndarray:
    """RGB uint8 [H, W, 3] of `linear` light float32 [H, W, 3]."""
    height, width = linear.shape[:2]
    pixel = min(height, width) / 512
    picture = linear * np.asarray(wear.white_balance, np.float32)
    if wear.coarse > 1:
        smaller = max(round(width / wear.coarse), 1), max(round(height / wear.coarse), 1)
        picture = cv2.resize(cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA), (width, height))
    if wear.focus * pixel > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), wear.focus * pixel)
    if wear.motion[0] * pixel > 1:
        picture = cv2.filter2D(picture, -1, _streak(wear.motion[0] * pixel, wear.motion[1]))
    shot, read = wear.noise
    spread = np.sqrt(shot**2 * np.maximum(picture, 0) + read**2)
    picture = picture + spread * rng.standard_normal(picture.shape, dtype=np.float32)
    coded = to_srgb(picture)
    if wear.quality:
        _, data = cv2.imencode(".jpg", coded[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, wear.quality])
        coded = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    return coded


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """uint8 of linear light, its brightest part rolled off softly instead of clipped."""
    rolled = np.where(linear > _KNEE, 1 - (1 - _KNEE) * np.exp(-(linear - _KNEE) / (1 - _KNEE)), linear)
    steps = (rolled.clip(0, 1) * (len(_SRGB) - 1) + 0.5).astype(np.int32)
    return _SRGB[steps]


_KNEE = np.float32(0.7)


def _srgb_table() -> np.ndarray:
    linear = np.linspace(0, 1, 8192)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(coded * 255).astype(np.uint8)


_SRGB = _srgb_table()


def _streak(length: float, angle: float) -> np.ndarray:
    """A kernel [k, k] that smears along a line."""
    side = 2 * int(np.ceil(length / 2)) + 3
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    half = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = [tuple(int(v) for v in np.rint((np.array([middle, middle]) + sign * half) * 16)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    return kernel / max(kernel.sum(), 1e-6)
