"""A landmarker's faces for boxes that somebody else's detector drew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from facecli.detect.face import Face

SAME_FACE = 0.2
"""Intersection over union from which a face is the box's. Boxes of one face differ: some end at the brows, some at the
hair, and a profile's landmarks fill half of a detector's square."""
AROUND = 2.0
"""Side of the region that is looked at again, over the box's longer side."""
LEAST_SIDE = 512
"""Pixels that this region is enlarged to: detectors miss what is small."""
LARGEST_BOX = 4
"""Over the picture's longer side: around what is larger, nobody looks again."""
TWICE = 0.5
"""Intersection over union from which two of a landmarker's faces are one: its boxes differ less."""

Detect = Callable[[np.ndarray], list[Face]]


def face_near(detect: Detect, image: np.ndarray, box: np.ndarray) -> Face | None:
    """The face of `image` [H, W, 3] that overlaps `box` [4] most.

    Where none does, the region around the box is enlarged and looked at once more.
    """
    return faces_near(detect, image, [box])[0]


def faces_near(detect: Detect, image: np.ndarray, boxes: Sequence[np.ndarray]) -> list[Face | None]:
    """For each of `boxes` [4] its face in `image` [H, W, 3], and no face for two of them.

    A face is that of the box with which it overlaps most. The regions around the other boxes are enlarged and looked at
    once more, one by one.
    """
    found = _matched(detect(image), boxes)
    for number, box in enumerate(boxes):
        if found[number] is None:
            face = _look_closer(detect, image, box)
            if face is not None and not any(_is(face, other) for other in found):
                found[number] = face
    return found


def best_match(faces: list[Face], box: np.ndarray) -> Face | None:
    """Of `faces` the one with the largest overlap with `box` [4]; None if none has enough."""
    overlaps = [overlap(face.box, box) for face in faces]
    if max(overlaps, default=0.0) < SAME_FACE:
        return None
    return faces[int(np.argmax(overlaps))]


def _matched(faces: list[Face], boxes: Sequence[np.ndarray]) -> list[Face | None]:
    found: list[Face | None] = [None] * len(boxes)
    overlaps = np.array([[overlap(face.box, box) for face in faces] for box in boxes])
    while overlaps.max(initial=0.0) >= SAME_FACE:
        box, face = np.unravel_index(overlaps.argmax(), overlaps.shape)
        found[box] = faces[face]
        overlaps[box], overlaps[:, face] = 0.0, 0.0
    return found


def _is(face: Face, other: Face | None) -> bool:
    return other is not None and overlap(face.box, other.box) >= TWICE


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes [4]."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.maximum(high - low, 0).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common
    return float(common / union) if union > 0 else 0.0


def _look_closer(detect: Detect, image: np.ndarray, box: np.ndarray) -> Face | None:
    if (box[2:] - box[:2]).max() > LARGEST_BOX * max(image.shape):
        return None
    side = max(int(np.ceil(AROUND * (box[2:] - box[:2]).max())), 2)
    corner = np.round((box[:2] + box[2:]) / 2 - side / 2).astype(int)
    factor = max(1.0, LEAST_SIDE / side)
    region = _region(image, corner, side)
    if factor > 1:
        region = cv2.resize(region, (LEAST_SIDE, LEAST_SIDE), interpolation=cv2.INTER_CUBIC)
    inside = (box - np.tile(corner, 2) + 0.5) * factor - 0.5  # pixel centres are at integers in both
    found = best_match(detect(region), inside)
    return None if found is None else _moved_back(found, corner, factor)


def _region(image: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    """The square [side, side, 3] at `corner` (x, y), black where `image` ends."""
    x0, y0 = corner
    top, left = max(-y0, 0), max(-x0, 0)
    part = image[max(y0, 0) : max(y0 + side, 0), max(x0, 0) : max(x0 + side, 0)]
    region = np.zeros((side, side, 3), image.dtype)
    region[top : top + part.shape[0], left : left + part.shape[1]] = part
    return region


def _moved_back(face: Face, corner: np.ndarray, factor: float) -> Face:
    """A face of the enlarged region in the picture. Its `matrix`, which is one of the region, is left out."""
    points = np.array(face.points, np.float64)
    points[:, :2] = (points[:, :2] + 0.5) / factor - 0.5 + corner
    points[:, 2:] /= factor
    box = (face.box + 0.5) / factor - 0.5 + np.tile(corner, 2)
    return replace(face, box=box, points=points, matrix=None)
