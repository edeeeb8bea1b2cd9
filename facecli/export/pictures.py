"""Pictures inside other files: PNG in GLBs, small JPEGs in the report."""

from __future__ import annotations

import base64

import cv2
import numpy as np


def encode_png(image: np.ndarray) -> bytes:
    """`image` [H, W, 3] uint8 RGB as a PNG file, at OpenCV's own level: half the time of smaller ones."""
    return _encode(".png", image, [])


class PngOnce:
    """PNGs of pictures that go into several files: each is compressed once, which takes longer than all else there."""

    def __init__(self):
        self._encoded: list[tuple[np.ndarray, bytes]] = []

    def __call__(self, image: np.ndarray | None) -> bytes | None:
        """`image` [H, W, 3] uint8 as a PNG file; the same array is known again."""
        if image is None:
            return None
        for known, png in self._encoded:
            if known is image:
                return png
        self._encoded.append((image, encode_png(image)))
        return self._encoded[-1][1]


def encode_jpeg(image: np.ndarray, quality: int = 82) -> bytes:
    """`image` [H, W, 3] uint8 RGB as a JPEG file."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


def _encode(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    done, content = cv2.imencode(suffix, cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"no {suffix} can be made of an array {image.shape} {image.dtype}")
    return content.tobytes()


def shrink(image: np.ndarray, longest: int) -> np.ndarray:
    """`image` [H, W, 3] with its longer side at most `longest` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as an address that carries it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
