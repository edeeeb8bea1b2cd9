"""FFHQ alignment: the face of a photograph upright, centred and at one size, as FFHQ's own pictures were made.

DiffusionRig's variant of NVIDIA's recipe, step by step, since networks that were trained on its pictures see its
every detail: the shrinking, the blurred reflection beyond the border, the 4096-pixel intermediate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from facecli.detect.landmarks import IBUG68_GROUPS
from facecli.errors import FacecliError

SUPERSAMPLED = 4096
"""Side of the picture that the quad is drawn to before it is resized; part of the numeric result."""


class AlignError(FacecliError):
    """The face can't be aligned; the message says why, without the file's name."""


@dataclass
class Alignment:
    """The region of a photograph that becomes the aligned picture, as it is between two steps.

    Args:
        image: uint8 [H, W, 3], shrunk, cropped and padded as far as the steps have come.
        quad: [4, 2] float64 corners in pixels of `image`: top-left, bottom-left, bottom-right, top-right.
        side: length of the quad's sides in pixels of `image`.
    """

    image: np.ndarray
    quad: np.ndarray
    side: float


def align_face(image: np.ndarray, points: np.ndarray, size: int = 256) -> np.ndarray:
    """The face with the landmarks `points`, aligned as in FFHQ.

    Args:
        image: RGB uint8 [H, W, 3].
        points: [68, 2+] iBUG landmarks in pixels of `image`; only the eyes and the mouth's corners matter.
        size: side of the result in pixels, up to 4096.

    Returns:
        RGB uint8 [size, size, 3].

    Raises:
        AlignError: the landmarks define no region, or the face is too small for `size`.
    """
    region = crop_region(image, points, size)
    height, width = region.image.shape[:2]
    if min(height, width) < size:
        raise AlignError(f"resolution too low: the face's region is {width}×{height} pixels, {size}×{size} are wanted")
    return draw_quad(region, size)


def crop_region(image: np.ndarray, points: np.ndarray, size: int) -> Alignment:
    """Everything of :func:`align_face` up to the final transform: oriented quad, shrunk, cropped, padded."""
    quad, side = oriented_quad(points)
    return pad_to_border(crop_to_border(shrink(Alignment(image, quad, side), size)))


def oriented_quad(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The face's square [4, 2] and its side, from iBUG landmarks [68, 2+].

    Raises:
        AlignError: the landmarks coincide or are not finite.
    """
    points = np.asarray(points)[:, :2]
    left_eye = points[IBUG68_GROUPS["right_eye"]].mean(0)  # image-left is the subject's right
    right_eye = points[IBUG68_GROUPS["left_eye"]].mean(0)
    eyes = (left_eye + right_eye) * 0.5
    eye_to_eye = right_eye - left_eye
    eyes_to_mouth = (points[48] + points[54]) * 0.5 - eyes
    x = eye_to_eye + eyes_to_mouth[::-1] * (1, -1)
    length = np.hypot(*x)
    if not np.isfinite(length) or length == 0:
        raise AlignError("its landmarks define no face region")
    x = x / length * max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eyes_to_mouth) * 1.8)
    y = x[::-1] * (-1, 1)
    centre = eyes + eyes_to_mouth * 0.1
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y]), float(np.hypot(*x) * 2)


def shrink(region: Alignment, size: int) -> Alignment:
    """Reduce a picture that is much larger than needed, so that the final transform doesn't alias."""
    factor = int(np.floor(region.side / size * 0.5))
    if factor <= 1:
        return region
    height, width = region.image.shape[:2]
    shape = (int(np.rint(width / factor)), int(np.rint(height / factor)))
    smaller = Image.fromarray(region.image).resize(shape, Image.Resampling.LANCZOS)
    return Alignment(np.asarray(smaller), region.quad / factor, region.side / factor)


def crop_to_border(region: Alignment) -> Alignment:
    """Drop what is farther from the quad than a tenth of its side."""
    border = _border(region.side)
    x0, y0, x1, y1 = _bounds(region.quad)
    height, width = region.image.shape[:2]
    left, top = max(x0 - border, 0), max(y0 - border, 0)
    right, bottom = min(x1 + border, width), min(y1 + border, height)
    if right <= left or bottom <= top:
        raise AlignError("the face lies outside the picture")
    return Alignment(region.image[top:bottom, left:right], region.quad - (left, top), region.side)


def pad_to_border(region: Alignment) -> Alignment:
    """Fill what the quad needs beyond the picture: reflected, ever more blurred, fading to the median colour."""
    border = _border(region.side)
    x0, y0, x1, y1 = _bounds(region.quad)
    height, width = region.image.shape[:2]
    pad = [max(border - x0, 0), max(border - y0, 0), max(x1 - width + border, 0), max(y1 - height + border, 0)]
    if max(pad) <= border - 4:
        return region
    least = int(np.rint(region.side * 0.3))
    left, top, right, bottom = (max(amount, least) for amount in pad)
    padded = np.pad(region.image.astype(np.float32), ((top, bottom), (left, right), (0, 0)), "reflect")
    mask = _border_mask(padded.shape, left, top, right, bottom)
    blur = region.side * 0.02
    padded += (gaussian_filter(padded, [blur, blur, 0]) - padded) * np.clip(mask * 3 + 1, 0, 1)
    padded += (np.median(padded, axis=(0, 1)) - padded) * np.clip(mask, 0, 1)
    filled = np.clip(np.rint(padded), 0, 255).astype(np.uint8)
    return Alignment(filled, region.quad + np.array([left, top]), region.side)


def draw_quad(region: Alignment, size: int) -> np.ndarray:
    """The quad as a square picture, uint8 [size, size, 3]."""
    corners = (region.quad + 0.5).ravel()  # Pillow's quad transform has pixel corners at integers
    square = Image.fromarray(region.image).transform(
        (SUPERSAMPLED, SUPERSAMPLED), Image.Transform.QUAD, corners.tolist(), Image.Resampling.BILINEAR
    )
    if size < SUPERSAMPLED:
        square = square.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(square)


def _border(side: float) -> int:
    return max(int(np.rint(side * 0.1)), 3)


def _bounds(quad: np.ndarray) -> tuple[int, int, int, int]:
    """Integer x0, y0, x1, y1 around the quad."""
    return (*np.floor(quad.min(0)).astype(int).tolist(), *np.ceil(quad.max(0)).astype(int).tolist())


def _border_mask(shape: tuple[int, ...], left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """[H, W, 1] float: 1 at the padded picture's edge, 0 at the old border, negative within."""
    height, width = shape[:2]
    y, x, _ = np.ogrid[:height, :width, :1]
    across = 1.0 - np.minimum(x / np.float32(left), (width - 1 - x) / np.float32(right))
    down = 1.0 - np.minimum(y / np.float32(top), (height - 1 - y) / np.float32(bottom))
    return np.maximum(across, down)
