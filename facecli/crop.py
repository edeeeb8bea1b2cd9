"""Similarity warps and crops: how a face in a photograph becomes a model's square input, and back.

A *warp* is a [3, 3] float64 matrix on homogeneous pixels (x right, y down, integer coordinates at pixel centres) that
takes the photograph to the crop; its inverse takes results back.
"""

from __future__ import annotations

import numba
import numpy as np


def similarity_from_points(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares similarity (rotation, uniform scale, shift; no reflection) that takes `source` to `target`.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991; equal to
    scikit-image's `estimate_transform("similarity", …)`.

    Args:
        source, target: [N, 2], N ≥ 2.

    Returns:
        [3, 3] float64.

    Raises:
        ValueError: the points of `source` coincide, or are not finite.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_centred, target_centred = source - source_mean, target - target_mean
    variance = (source_centred**2).sum() / len(source)
    if not np.isfinite(variance) or variance == 0 or not np.isfinite(target).all():
        raise ValueError("no similarity: the source points coincide or are not finite")
    u, singular, vt = np.linalg.svd(target_centred.T @ source_centred / len(source))
    # A mirrored pair of point sets gets the best rotation, not the reflection.
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    scaled_rotation = (u * sign) @ vt * ((singular * sign).sum() / variance)
    warp = np.eye(3)
    warp[:2, :2] = scaled_rotation
    warp[:2, 2] = target_mean - scaled_rotation @ source_mean
    return warp


def transform_points(warp: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`warp` [3, 3] applied to the first two columns of `points` [..., D]; further columns stay."""
    transformed = np.array(points, np.float64)
    transformed[..., :2] = transformed[..., :2] @ warp[:2, :2].T + warp[:2, 2]
    return transformed


def warp_bilinear(
    image: np.ndarray, to_source: np.ndarray, size: tuple[int, int], start: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Sample `image` bilinearly, in float64 and without anti-aliasing; what lies outside counts as 0.

    Equal to scikit-image's `warp(image, to_source, order=1, mode="constant", preserve_range=True)`. OpenCV's
    `warpAffine` isn't: it rounds sub-pixel positions to 1/32, which the official networks never saw.

    Args:
        image: [H, W] or [H, W, C], any number type.
        to_source: [3, 3] affine; output pixel (x, y) takes the value of `image` at `to_source` · (x, y, 1). For a crop
            this is the inverse of its warp, for pasting a crop back it is the warp.
        size: (height, width) of the output.
        start: (x, y) of the output's first pixel: a window gets the values of the whole, to the last bit.

    Returns:
        float64 [height, width(, C)], not rounded.
    """
    planes = np.ascontiguousarray(image if image.ndim == 3 else image[..., None])
    output = _sample(planes, np.ascontiguousarray(to_source, np.float64), size[0], size[1], start[0], start[1])
    return output if image.ndim == 3 else output[..., 0]


def warp_bicubic(
    image: np.ndarray, to_source: np.ndarray, size: tuple[int, int], start: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Sample `image` with Catmull-Rom's cubic (a = -0.5), cut to the range of `image`; what lies outside counts as 0.

    Equal to scikit-image's `warp(image, to_source, order=3, mode="constant", preserve_range=True)`, which for affine
    maps is no spline. OpenCV's `INTER_CUBIC` (a = -0.75) isn't.

    Args, Returns: as :func:`warp_bilinear`.
    """
    planes = np.ascontiguousarray(image if image.ndim == 3 else image[..., None])
    output = _sample_cubic(planes, np.ascontiguousarray(to_source, np.float64), size[0], size[1], start[0], start[1])
    if output.size and planes.size:
        lowest, highest = float(planes.min()), float(planes.max())
        # The 0 around a picture that has none stays 0.
        if not lowest <= 0 <= highest and output.min() <= 0 <= output.max():
            lowest, highest = min(lowest, 0.0), max(highest, 0.0)
        np.clip(output, lowest, highest, out=output)
    return output if image.ndim == 3 else output[..., 0]


def square_around(box: np.ndarray, scale: float) -> tuple[np.ndarray, int]:
    """Centre [2] and side of the square that SMIRK's, DECA's and EMOCA's crops put around a box [4].

    The side is the mean of width and height times `scale`, cut to an integer as the official code does.
    """
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    side = int(((x1 - x0) + (y1 - y0)) / 2 * scale)
    return np.array([x1 - (x1 - x0) / 2, y1 - (y1 - y0) / 2]), side


def square_warp(centre: np.ndarray, side: float, size: int) -> np.ndarray:
    """The warp [3, 3] that takes a square to the pixel centres 0 … size − 1 of a crop."""
    half = side / 2
    x, y = centre
    corners = [(x - half, y - half), (x - half, y + half), (x + half, y - half)]
    return similarity_from_points(np.array(corners), np.array([(0, 0), (0, size - 1), (size - 1, 0)]))


def box_crop(image: np.ndarray, box: np.ndarray, scale: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The square crop around a face as SMIRK's and DECA's networks expect it.

    Args:
        image: uint8 [H, W, 3].
        box: [4] x0, y0, x1, y1, often the bounds of landmarks.
        scale: side of the square over the box's mean side.
        size: side of the crop in pixels.

    Returns:
        The crop, uint8 [size, size, 3] (values cut, not rounded, as in the official code), and its warp [3, 3].

    Raises:
        ValueError: the box has no area.
    """
    centre, side = square_around(box, scale)
    warp = square_warp(centre, side, size)
    return warp_bilinear(image, np.linalg.inv(warp), (size, size)).astype(np.uint8), warp


@numba.njit(nogil=True, cache=True)
def _sample(image: np.ndarray, matrix: np.ndarray, height: int, width: int, x0: int, y0: int) -> np.ndarray:
    """The loop of :func:`warp_bilinear`. image: [H, W, C] → float64 [height, width, C]."""
    rows, columns, channels = image.shape
    output = np.zeros((height, width, channels))
    for y in range(y0, y0 + height):
        for x in range(x0, x0 + width):
            column = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
            row = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
            if not (-1.0 < column < columns and -1.0 < row < rows):  # also false for NaN
                continue
            left, top = int(np.floor(column)), int(np.floor(row))
            right, bottom = int(np.ceil(column)), int(np.ceil(row))
            along_x, along_y = column - left, row - top
            for channel in range(channels):
                # The order of these operations decides which values survive truncation to uint8.
                top_left = image[top, left, channel] if top >= 0 and left >= 0 else 0.0
                top_right = image[top, right, channel] if top >= 0 and right < columns else 0.0
                bottom_left = image[bottom, left, channel] if bottom < rows and left >= 0 else 0.0
                bottom_right = image[bottom, right, channel] if bottom < rows and right < columns else 0.0
                upper = (1.0 - along_x) * top_left + along_x * top_right
                lower = (1.0 - along_x) * bottom_left + along_x * bottom_right
                output[y - y0, x - x0, channel] = (1.0 - along_y) * upper + along_y * lower
    return output


@numba.njit(nogil=True, cache=True)
def _sample_cubic(image: np.ndarray, matrix: np.ndarray, height: int, width: int, x0: int, y0: int) -> np.ndarray:
    """The loop of :func:`warp_bicubic`, before the range is cut. image: [H, W, C] → float64 [height, width, C]."""
    rows, columns, channels = image.shape
    output = np.zeros((height, width, channels))
    across, down = np.empty(4), np.empty(4)
    for y in range(y0, y0 + height):
        for x in range(x0, x0 + width):
            column = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
            row = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
            if not (-2.0 < column < columns + 1.0 and -2.0 < row < rows + 1.0):  # also false for NaN
                continue
            left, top = int(np.floor(column)) - 1, int(np.floor(row)) - 1
            along_x, along_y = column - left - 1, row - top - 1
            for channel in range(channels):
                for i in range(4):
                    inside = 0 <= top + i < rows
                    for j in range(4):
                        seen = inside and 0 <= left + j < columns
                        across[j] = image[top + i, left + j, channel] if seen else 0.0
                    down[i] = _cubic(along_x, across)
                output[y - y0, x - x0, channel] = _cubic(along_y, down)
    return output


@numba.njit(nogil=True, cache=True)
def _cubic(x: float, v: np.ndarray) -> float:
    """Catmull-Rom through `v` [4] at 0 ≤ x ≤ 1 between the middle two."""
    inner = 3.0 * (v[1] - v[2]) + v[3] - v[0]
    return v[1] + 0.5 * x * (v[2] - v[0] + x * (2.0 * v[0] - 5.0 * v[1] + 4.0 * v[2] - v[3] + x * inner))
