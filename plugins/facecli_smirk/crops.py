"""What SMIRK's networks see of a photograph: the square around a face, and the hull of its landmarks."""

from __future__ import annotations

import cv2
import numpy as np

from facecli.crop import box_crop, transform_points
from facecli.detect.face import Face, box_of_points
from facecli.plugin import Crop
from facecli_smirk.renderer import SIZE

CROP_SCALE = 1.4
"""Side of the crop over the mean side of the box around MediaPipe's points."""

DETECTED_SCALE = 1.6
"""The same of a detector's box: the scale of SMIRK's validation, and of its family's evaluations on NoW."""

_FOREHEAD = 0.2
_BROWS, _CHIN = slice(17, 27), 8


def face_crop(image: np.ndarray, face: Face, scale: float = CROP_SCALE) -> Crop:
    """The upright square around `face` in `image`, RGB uint8 [H, W, 3].

    Raises:
        ValueError: the face has no area.
    """
    pixels, warp = box_crop(image, face_box(face), scale, SIZE)
    return _crop(face, pixels, warp, image)


def detected_crop(image: np.ndarray, box: np.ndarray) -> Crop:
    """The square around a detector's box [4] in `image`.

    Raises:
        ValueError: the box has no area.
    """
    return face_crop(image, Face(np.asarray(box, np.float64), 1.0), DETECTED_SCALE)


def whole_crop(image: np.ndarray, face: Face) -> Crop:
    """All of `image`, stretched to the crop's size."""
    return _crop(face, cv2.resize(image, (SIZE, SIZE)), whole_warp(image.shape[:2]), image)


def face_box(face: Face) -> np.ndarray:
    """[4] the box that MediaPipe's points have, or would have.

    iBUG's points end at the brows, MediaPipe's near the hair. With a fifth of the way from chin to brows added there,
    the squares around both are the same (13 faces: sides and centres within 2 % of a side). Where a set doesn't reach
    round the face, it is the detector's box.
    """
    points = face.points[:, :2]
    if face.point_set in ("mediapipe478", "mediapipe468"):
        return box_of_points(points)
    if face.point_set == "ibug68":
        brows = points[_BROWS]
        return box_of_points(np.concatenate([points, brows + _FOREHEAD * (brows.mean(0) - points[_CHIN])]))
    return face.box


def whole_warp(photo_size: tuple[int, int]) -> np.ndarray:
    """[3, 3] photograph -> crop, where the crop is the whole photograph (height, width), edge on edge."""
    height, width = photo_size
    across, down = SIZE / width, SIZE / height
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def crop_points(crop: Crop) -> np.ndarray:
    """The face's landmarks [K, 2] in pixels of the crop."""
    return transform_points(crop.warp, crop.face.points[:, :2])


def hull_mask(points: np.ndarray) -> np.ndarray:
    """uint8 [224, 224], 0 in the convex hull of `points` [K, 2], crop pixels, and 1 outside; all 1 without points.

    The points are cut to integers before, as the official code does.
    """
    mask = np.ones((SIZE, SIZE), np.uint8)
    if len(points):
        cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.int32)), 0)
    return mask


def _crop(face: Face, pixels: np.ndarray, warp: np.ndarray, photo: np.ndarray) -> Crop:
    image = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
    return Crop(face, image, warp, photo.shape[:2])
