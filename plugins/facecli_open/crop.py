"""The open model's crop: an upright square around the whole head, found by MediaPipe's points."""

from __future__ import annotations

import math

import cv2
import numpy as np

from facecli.detect.face import Face
from facecli.errors import UsageError
from facecli.plugin import Crop
from facecli_mediapipe.surface import ALL_POINTS, FACE_POINTS, load_surface, similarity_fit

SIZE = 192
SIDE = 310.73
"""Of the square, in units of MediaPipe's mean surface: 300 mm of its canonical face, which the crop was chosen by."""
MIDDLE, UP = np.array([0.0, 10.325, -0.028]), np.array([0.0, 0.99957, -0.0293])
"""Of the square, likewise: 15 mm above and 25 mm behind the canonical face's origin; and that face's way up."""
_BLUR = 0.4
"""Standard deviation of the blur before sampling, in pixels of the crop, against aliasing."""
_SHRUNK = 1.4
"""Pixels of the photograph in one of the crop from which on that is needed."""


def crop_head(image: np.ndarray, face: Face) -> Crop:
    """The square around the head in `image` (RGB uint8 [H, W, 3]); what lies outside of it continues its edge.

    Raises:
        UsageError: the face hasn't MediaPipe's 478 points.
    """
    if face.point_set != "mediapipe478" or len(face.points) != ALL_POINTS:
        raise UsageError(
            f"the model open needs MediaPipe's 478 points, not {face.point_set or 'boxes'}: leave --landmarker away"
        )
    warp = head_warp(face.points)
    pixels = _cut(image, warp).transpose(2, 0, 1).astype(np.float32) / 255
    return Crop(face, np.ascontiguousarray(pixels), warp, image.shape[:2])


def head_warp(points: np.ndarray) -> np.ndarray:
    """[3, 3] photograph -> crop of a head with MediaPipe's `points` [478, 3]."""
    scale, turn, shift = similarity_fit(load_surface().mean[:FACE_POINTS], points[:FACE_POINTS] * (1, -1, -1))
    middle = (scale * turn @ MIDDLE + shift)[:2] * (1, -1)
    up = turn @ UP
    roll = math.atan2(up[0], up[1])
    cos, sin = (SIZE / (scale * SIDE) * value for value in (math.cos(roll), math.sin(roll)))
    warp = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    warp[:2, 2] = (SIZE - 1) / 2 - warp[:2, :2] @ middle
    return warp


def _cut(image: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """[192, 192, 3] uint8."""
    shrink = 1 / math.sqrt(abs(np.linalg.det(warp[:2, :2])))
    if shrink >= _SHRUNK:
        image, warp = _blurred_part(image, warp, shrink)
    return cv2.warpAffine(image, warp[:2], (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _blurred_part(image: np.ndarray, warp: np.ndarray, shrink: float) -> tuple[np.ndarray, np.ndarray]:
    """The crop's surroundings in the photograph, blurred; the warp from there. The rest isn't looked at."""
    corners = np.array([[0, 0, 1], [SIZE, 0, 1], [0, SIZE, 1], [SIZE, SIZE, 1]]) @ np.linalg.inv(warp).T
    margin = math.ceil(4 * _BLUR * shrink) + 2
    low = np.floor(corners[:, :2].min(0)).astype(int) - margin
    high = np.ceil(corners[:, :2].max(0)).astype(int) + margin
    height, width = image.shape[:2]
    x0, y0 = np.minimum(low.clip(0), (width - 1, height - 1))
    x1, y1 = np.maximum(np.minimum(high, (width, height)), (x0 + 1, y0 + 1))
    part = cv2.GaussianBlur(image[y0:y1, x0:x1], (0, 0), _BLUR * shrink)
    return part, warp @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]])
