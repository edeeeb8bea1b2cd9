"""Deep3D's alignment: a photograph scaled and cut so that five points of the face lie where they do in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

SIZE = 224
RESCALE = 102.0
"""Pixels of the crop in a unit of the template."""
TEMPLATE = (
    (-0.3114865720, 0.2903607786, 0.1337795258),
    (0.3097988665, 0.2897203565, 0.1317952573),
    (0.0032534988, -0.0461793244, 0.5524424314),
    (-0.2521692812, -0.3813391626, 0.2240573168),
    (0.2484661937, -0.3812823594, 0.2223576903),
)
"""The five points of `similarity_Lm3D_all.mat` (MIT), y up: eyes, nose tip, corners of the mouth, image-left first."""

_SMALLEST = 1e-3
"""Pixels of the photograph in a unit of the template."""
_LARGEST = 1 << 20
"""Pixels of a scaled side. A picture this many times as wide as a face in it is no picture of it."""
_RESIZED_WHOLE = 1 << 23
"""Pixels of a scaled photograph, up to which all of it is made."""


@dataclass(frozen=True)
class Alignment:
    """How a crop of 224 pixels lies in its photograph.

    Args:
        photo_size: (width, height) of the photograph.
        scale: `s`; shift: (tx, ty), y up: Deep3D's own record of the crop is [width, height, s, tx, ty].
        scaled_size: (width, height) that the photograph is resized to.
        corner: (left, up) of the crop in it.
    """

    photo_size: tuple[int, int]
    scale: float
    shift: tuple[float, float]
    scaled_size: tuple[int, int]
    corner: tuple[int, int]

    @property
    def warp(self) -> np.ndarray:
        """[3, 3] pixels of the photograph to pixels of the crop, exactly as the picture is resized and cut."""
        scale = np.divide(self.scaled_size, self.photo_size)
        warp = np.diag([*scale, 1.0])
        warp[:2, 2] = (scale - 1) / 2 - self.corner
        return warp

    @property
    def record(self) -> np.ndarray:
        """[5] Deep3D's `trans_params`."""
        return np.array([*self.photo_size, self.scale, *self.shift])

    def points(self, points: np.ndarray) -> np.ndarray:
        """[N, 2] points of the photograph (y down) in the crop, **y up**, as Deep3D's program has them: it leaves the
        rounding of scale and corner aside, so that they may lie a pixel beside what they mark."""
        width, height = self.photo_size
        x, y = np.asarray(points, np.float32).T
        x, y = x.astype(np.float64), (height - 1 - y).astype(np.float64)
        w, h = self.scaled_size
        tx, ty = self.shift
        column = (x - tx + width / 2) * self.scale - (w / 2 - SIZE / 2)
        row = (y - ty + height / 2) * self.scale - (h / 2 - SIZE / 2)
        return np.stack([column, row], 1)


def align(five: np.ndarray, photo_size: tuple[int, int]) -> Alignment:
    """The alignment of a photograph by five points.

    Args:
        five: [5, 2] in pixels of the photograph, y down; in the template's order.
        photo_size: (width, height).

    Raises:
        ValueError: the points don't span a face, or one of an impossible size.
    """
    width, height = photo_size
    five = np.asarray(five, np.float32)
    if five.shape != (5, 2) or not np.isfinite(five).all():
        raise ValueError("five points with x and y are needed")
    x, y = five[:, 0], height - 1 - five[:, 1]
    shift, size = _weak_perspective(np.stack([x, y], 1).astype(np.float64))
    if not size > _SMALLEST:
        raise ValueError("the five points of the face don't span one")
    scale = RESCALE / size
    w, h = int(width * scale), int(height * scale)
    if not (1 <= w < _LARGEST and 1 <= h < _LARGEST):
        raise ValueError(f"a face {2 * size:.3g} pixels wide in a picture of {width}×{height} can't be cropped")
    tx, ty = shift
    # Towards zero, as the program cuts numbers: for negative ones, too.
    left = int(w / 2 - SIZE / 2 + (tx - width / 2) * scale)
    up = int(h / 2 - SIZE / 2 + (height / 2 - ty) * scale)
    return Alignment((width, height), scale, (tx, ty), (w, h), (left, up))


def spans_face(five: np.ndarray) -> bool:
    """Whether :func:`align` takes the points [5, 2] for a face's."""
    return _weak_perspective(np.asarray(five, np.float64) * [1, -1])[1] > _SMALLEST


def _weak_perspective(points: np.ndarray) -> tuple[tuple[float, float], float]:
    """Shift and scale of the weak-perspective camera that takes the template nearest to `points` [5, 2], y up."""
    template = np.concatenate([np.array(TEMPLATE, np.float64), np.ones((5, 1))], 1)
    camera, *_ = np.linalg.lstsq(template, points, rcond=None)  # [4, 2]
    rows = np.linalg.norm(camera[:3], axis=0)
    return (float(camera[3, 0]), float(camera[3, 1])), float(rows.mean())


def whole(photo_size: tuple[int, int]) -> Alignment:
    """The alignment that scales a photograph's longer side to the crop; the shorter gets black bars."""
    width, height = photo_size
    scale = SIZE / max(width, height)
    w, h = (max(round(side * scale), 1) for side in photo_size)
    left, up = -((SIZE - w) // 2), -((SIZE - h) // 2)
    # As the corner of `align`: of a face in the picture's middle.
    return Alignment(photo_size, scale, (width / 2, height / 2), (w, h), (left, up))


def cut(image: np.ndarray, alignment: Alignment) -> np.ndarray:
    """The crop uint8 [224, 224, 3] of a photograph [H, W, 3]: resized by Pillow's bicubic filter, black outside.

    Of a photograph that would become very large (for a small face in it) only the part that is seen is resized; single
    pixels then differ by a level, since Pillow takes such a part's edges in single precision.
    """
    crop = np.zeros((SIZE, SIZE, 3), np.uint8)
    (left, up), (w, h) = alignment.corner, alignment.scaled_size
    right, bottom = min(left + SIZE, w), min(up + SIZE, h)
    first_column, first_row = max(left, 0), max(up, 0)
    if right <= first_column or bottom <= first_row:
        return crop
    photo, cubic = Image.fromarray(image), Image.Resampling.BICUBIC
    if w * h <= _RESIZED_WHOLE:
        part = photo.resize((w, h), cubic).crop((first_column, first_row, right, bottom))
    else:
        (width, height), size = alignment.photo_size, (right - first_column, bottom - first_row)
        box = (first_column * width / w, first_row * height / h, right * width / w, bottom * height / h)
        part = photo.resize(size, cubic, box=(*box[:2], min(box[2], width), min(box[3], height)))
    crop[first_row - up : bottom - up, first_column - left : right - left] = np.asarray(part)
    return crop
