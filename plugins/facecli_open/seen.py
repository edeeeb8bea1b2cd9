"""One face as the network is shown it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from facecli.plugin import Crop
from facecli_mediapipe.surface import load_surface
from facecli_open.crop import SIZE
from facecli_open.gradients import GradientMaps


@dataclass(frozen=True)
class Seen:
    """
    Args:
        points: [478, 3] MediaPipe's, in pixels of the photograph.
        grey: uint8 [192, 192] the crop. warp: [3, 3] photograph -> crop.
        photo_size: (height, width).
    """

    points: np.ndarray
    grey: np.ndarray
    warp: np.ndarray
    photo_size: tuple[int, int]

    @classmethod
    def of(cls, crop: Crop) -> Seen:
        """What :func:`facecli_open.crop.crop_head` cut out."""
        pixels = np.rint(crop.image.transpose(1, 2, 0) * 255).astype(np.uint8)
        return cls(crop.face.points, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), crop.warp, crop.photo_size)

    def mirrored(self) -> Seen:
        """The same face in the mirror."""
        right, side = self.photo_size[1] - 1, SIZE - 1
        points = self.points[load_surface().mirror] * (-1, 1, 1) + (right, 0, 0)
        photo, crop = (np.array([[-1.0, 0, last], [0, 1, 0], [0, 0, 1]]) for last in (right, side))
        return Seen(points, np.ascontiguousarray(self.grey[:, ::-1]), crop @ self.warp @ photo, self.photo_size)

    @cached_property
    def gradients(self) -> GradientMaps:
        """Of the crop."""
        return GradientMaps(self.grey)

    @cached_property
    def upright(self) -> np.ndarray:
        """[3, 3] camera frame -> the same with the head's roll taken out, as the crop has it."""
        a, b = self.warp[0, :2] / np.hypot(*self.warp[0, :2])
        return np.array([[a, -b, 0], [b, a, 0], [0, 0, 1.0]])

    def in_crop(self, points: np.ndarray) -> np.ndarray:
        """[N, 2] pixels of the crop of `points` [N, 2] of the photograph."""
        return points @ self.warp[:2, :2].T + self.warp[:2, 2]
