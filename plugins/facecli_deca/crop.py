"""DECA's crops: a square around the landmarks' bounds, sampled in double precision and never rounded to bytes."""

from __future__ import annotations

import numpy as np

from facecli.crop import similarity_from_points, square_around, square_warp, warp_bilinear
from facecli.detect.face import Face, box_of_points
from facecli.detect.landmarks import convert, convertible_to

SIZE = 224
AROUND = 1.25
"""Side of the crop over that of the face."""
AROUND_DETECTED = 1.6
"""Side of the crop over the mean side of a detector's box, as the authors evaluate on NoW."""

_FACE = {"kpt68": (1.1, 0.0), "bbox": (1.0, 0.12)}
"""Of a box: side of the face over its mean side, and how far down its middle is moved, in sides. Landmarks' bounds end
at the brows, a detector's box at the hair."""


def face_square(face: Face) -> tuple[np.ndarray, int]:
    """Centre [2] and side of the crop's square in the photograph.

    Landmarks count where they are, or can be turned into, iBUG's 68 (or are of a set of their own, as DECA's users lay
    beside pictures); else the detector's box.
    """
    if face.point_set and "ibug68" in convertible_to(face.point_set):
        return square_of(box_of_points(convert(face.points, face.point_set, "ibug68")), "kpt68")
    if not face.point_set and len(face.points):
        return square_of(box_of_points(face.points), "kpt68")
    return square_of(face.box, "bbox")


def square_of(box: np.ndarray, kind: str) -> tuple[np.ndarray, int]:
    """Centre [2] and side of the crop's square around a box [4]; `kind` is "kpt68" (landmarks' bounds) or "bbox"."""
    scale, drop = _FACE[kind]
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    width, height = x1 - x0, y1 - y0
    side = scale * (width + height) / 2
    return np.array([x1 - width / 2, y1 - height / 2 + drop * side]), int(AROUND * side)


def detected_warp(box: np.ndarray) -> np.ndarray:
    """[3, 3] photograph -> crop, around a detector's box [4] as in the authors' evaluation: in its middle, where
    :func:`square_of` moves down.

    Raises:
        ValueError: the box has no area.
    """
    return square_warp(*square_around(box, AROUND_DETECTED), SIZE)


def face_warp(face: Face) -> np.ndarray:
    """[3, 3] photograph -> crop.

    Raises:
        ValueError: the face has no area.
    """
    return square_warp(*face_square(face), SIZE)


def whole_warp(photo_size: tuple[int, int], *, turned: bool = False) -> np.ndarray:
    """[3, 3] photograph (height, width) -> crop, where the photograph is the crop already.

    One that isn't square is padded with black. With `turned`, as DECA's own program does it: it fits a similarity to
    three corners, which a picture that isn't square comes out rotated of.
    """
    height, width = photo_size
    if turned:
        corners = np.array([(0, 0), (0, height - 1), (width - 1, 0)], np.float64)
        return similarity_from_points(corners, np.array([(0, 0), (0, SIZE - 1), (SIZE - 1, 0)]))
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return square_warp(centre, max(height, width, 2) - 1, SIZE)


def cut(image: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """The crop float32 [3, 224, 224], 0..1, of a photograph uint8 [H, W, 3]."""
    pixels = warp_bilinear(image, np.linalg.inv(warp), (SIZE, SIZE)) / 255
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
