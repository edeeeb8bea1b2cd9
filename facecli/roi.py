"""Regions of interest of SynergyNet and 3DDFA's programs, and the 120×120 crops of them.

A region (x0, y0, x1, y1) has fractions; pixels are cut at its rounded borders, and points are taken back by the
unrounded ones, as in the programs.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecli.detect.face import Face, box_of_points
from facecli.detect.landmarks import convert, convertible_to

SIZE = 120
INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "lanczos": cv2.INTER_LANCZOS4}
MOST_PIXELS = 1 << 28
"""Of a cut region: more is no face but a wrong box."""


def synergynet_roi(box: np.ndarray) -> np.ndarray:
    """[4] the region of SynergyNet around a detector's box [>= 4]: by its height alone."""
    x0, y0, x1, y1 = np.asarray(box, np.float64)[:4]
    half = np.floor(1.2 * (y1 - y0) / 2)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - half, y - half, x + half, y + half])


def tddfa_v2_roi(box: np.ndarray) -> np.ndarray:
    """[4] the region of 3DDFA_V2 around a detector's box [>= 4]: larger, and lower by a seventh."""
    x0, y0, x1, y1 = np.asarray(box, np.float64)[:4]
    mean = ((x1 - x0) + (y1 - y0)) / 2
    side = np.trunc(1.58 * mean)
    x, y = x1 - (x1 - x0) / 2, y1 - (y1 - y0) / 2 + 0.14 * mean
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def landmark_roi(points: np.ndarray) -> np.ndarray:
    """[4] the region around landmarks (or vertices) [N, >= 2]: 3DDFA_V2's when it tracks, and the one that the training
    pictures of SynergyNet and 3DDFA were cut by. Its side is the diagonal of the square around the points."""
    x0, y0, x1, y1 = box_of_points(np.asarray(points, np.float64))
    half = np.sqrt(2) * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - half, y - half, x + half, y + half])


def roi_of_face(face: Face, of_box) -> np.ndarray:
    """[4] the region of a face: by its landmarks where it has iBUG's 68 points, or points that they can be made of,
    else `of_box` of its box."""
    if face.point_set and "ibug68" in convertible_to(face.point_set):
        return landmark_roi(convert(face.points, face.point_set, "ibug68"))
    return of_box(face.box)


def whole_roi(photo_size: tuple[int, int]) -> np.ndarray:
    """[4] the region that is a whole photograph of (height, width)."""
    height, width = photo_size
    return np.array([0.0, 0.0, width, height])


def cut(image: np.ndarray, roi: np.ndarray) -> np.ndarray:
    """The pixels of a region, uint8 [h, w, 3], black outside of the photograph `image` uint8 [H, W, 3].

    Raises:
        ValueError: it has no area, or lies outside of the photograph.
    """
    if not np.isfinite(roi).all():
        raise ValueError("the face's box isn't finite")
    x0, y0, x1, y1 = (round(float(number)) for number in roi)  # Python's: half to even
    if x1 <= x0 or y1 <= y0:
        raise ValueError("the face's box has no area")
    height, width = image.shape[:2]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left >= right or top >= bottom:
        raise ValueError("the face's box lies outside of the picture")
    if (x1 - x0) * (y1 - y0) > MOST_PIXELS:
        raise ValueError("the face's box is far larger than the picture")
    pixels = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    pixels[top - y0 : bottom - y0, left - x0 : right - x0] = image[top:bottom, left:right]
    return pixels


def crop(image: np.ndarray, roi: np.ndarray, interpolation: str = "linear") -> np.ndarray:
    """A region scaled to uint8 [120, 120, 3]. Raises ValueError as :func:`cut`."""
    return cv2.resize(cut(image, roi), (SIZE, SIZE), interpolation=INTERPOLATIONS[interpolation])


def with_border(pixels: np.ndarray, width: int) -> np.ndarray:
    """A crop [S, S, 3] whose rim of `width` pixels is black, as SynergyNet's are in training and in its benchmark."""
    inside = np.zeros(pixels.shape[:2], bool)
    inside[width : pixels.shape[0] - width, width : pixels.shape[1] - width] = True
    return np.where(inside[..., None], pixels, pixels.dtype.type(0))


def roi_warp(roi: np.ndarray) -> np.ndarray:
    """[3, 3] photograph -> crop of a region, as the programs' way back has it: corner to corner, not centre to centre
    of the outermost pixels."""
    x0, y0, x1, y1 = roi
    scale_x, scale_y = SIZE / (x1 - x0), SIZE / (y1 - y0)
    return np.array([[scale_x, 0, -x0 * scale_x], [0, scale_y, -y0 * scale_y], [0, 0, 1]])


def roi_of_warp(warp: np.ndarray) -> np.ndarray:
    """[..., 4] the region of a warp [..., 3, 3]: the inverse of :func:`roi_warp`."""
    scale = np.stack([warp[..., 0, 0], warp[..., 1, 1]], -1)
    start = -warp[..., :2, 2] / scale
    return np.concatenate([start, start + SIZE / scale], -1)
