"""Crops' pictures pasted back into photographs, and the panels of EMOCA's video that are made so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from facecli.crop import transform_points, warp_bicubic
from facecli.errors import UsageError
from facecli.morphable.flame_head import CROP_SIZE

IMAGE_TYPES = ("geometry_detail", "geometry_coarse", "out_im_detail", "out_im_coarse")

VISIBLE_PRODUCT = 30
"""Of a pixel's three bytes: what is above it counts as drawn."""
SOLID, TRANSPARENT = 255, 196
GREEN, LINE = (0, 255, 0), 5


@dataclass(frozen=True)
class Panels:
    """What each frame of the video shows, by the names that the official program's flags have.

    Args:
        image_type: the picture that is pasted onto the frame.
        cat_dim: 0 stacks the panels, 1 puts them side by side.
        include_original: the frame with the faces' squares.
        include_rec: the frame with the faces on it.
        include_transparent: the same, faces a little transparent.
        black_background: black instead of the frame behind the faces of these two.
        use_mask: paste the head alone, else the whole crop.

    Raises:
        UsageError: there is no panel, or no such picture or side.
    """

    image_type: str = IMAGE_TYPES[0]
    cat_dim: int = 0
    include_original: bool = True
    include_rec: bool = True
    include_transparent: bool = True
    black_background: bool = False
    use_mask: bool = True

    def __post_init__(self):
        if self.image_type not in IMAGE_TYPES or self.cat_dim not in (0, 1):
            raise UsageError(f"image_type is {' or '.join(IMAGE_TYPES)}, and cat_dim 0 or 1")
        if not (self.include_original or self.include_rec or self.include_transparent):
            raise UsageError("a video without any panel can't be made: leave one of include_original, include_rec on")

    def frame(
        self,
        photo: np.ndarray,
        pictures: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        warps: Sequence[np.ndarray],
    ) -> np.ndarray:
        """The panels for `photo` [H, W, 3]: original, reconstruction, transparent.

        Args:
            pictures, masks, warps: of B faces, see :class:`Pasted`.
        """
        behind = np.zeros_like(photo) if self.black_background else photo
        masks = masks if self.use_mask else [np.ones_like(mask) for mask in masks]
        faces = [
            Pasted(picture, mask, warp, photo.shape[:2])
            for picture, mask, warp in zip(pictures, masks, warps, strict=True)
        ]
        panels = []
        if self.include_original:
            panels.append(with_squares(photo, warps))
        for wanted, opacity in ((self.include_rec, SOLID), (self.include_transparent, TRANSPARENT)):
            if wanted:
                panels.append(behind.copy())
                for face in faces:
                    face.over(panels[-1], opacity)
        return np.concatenate(panels, axis=self.cat_dim)


def drawn_head(geometry: np.ndarray) -> np.ndarray:
    """Where ``geometry_coarse`` [h, w, 3] uint8 shows the head: float [h, w], 0 or 1."""
    return (geometry.astype(np.int64).prod(-1) > VISIBLE_PRODUCT).astype(np.float64)


class Pasted:
    """A picture of a crop, warped back to where it is in a photograph, as EMOCA's video shows it.

    Args:
        picture: uint8 [h, w, 3]. mask: [h, w] 0..1.
        warp: [3, 3], photograph -> crop.
        photo_size: (H, W).
    """

    def __init__(self, picture: np.ndarray, mask: np.ndarray, warp: np.ndarray, photo_size: tuple[int, int]):
        x0, y0, x1, y1 = _window(warp, picture.shape[:2], photo_size)
        size = (max(y1 - y0, 0), max(x1 - x0, 0))
        self._place = slice(y0, y0 + size[0]), slice(x0, x0 + size[1])
        self._shown = warp_bicubic(picture, warp, size, (x0, y0)).astype(np.uint8)
        self._mask = warp_bicubic(mask, warp, size, (x0, y0)).astype(np.float32)[..., None]

    def over(self, photo: np.ndarray, opacity: int = SOLID) -> None:
        """Laid over `photo` uint8 [H, W, 3], in place, `opacity` of 255 where the mask is 1. In whole numbers, as
        Pillow's `paste` does it."""
        alpha = (self._mask * np.float32(opacity)).astype(np.uint8).astype(np.uint16)
        mixed = photo[self._place] * (255 - alpha) + self._shown * alpha + 128
        photo[self._place] = (mixed + (mixed >> 8)) >> 8


def paste_back(photo: np.ndarray, picture: np.ndarray, mask: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """`photo` with a :class:`Pasted` picture on it."""
    pasted = photo.copy()
    Pasted(picture, mask, warp, photo.shape[:2]).over(pasted)
    return pasted


def _window(warp: np.ndarray, crop_size: tuple[int, int], photo_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the part of the photograph that the crop reaches, the kernel's width included."""
    height, width = crop_size
    corners = np.array([(x, y) for x in (-2, width + 1) for y in (-2, height + 1)], np.float64)
    corners = transform_points(np.linalg.inv(warp), corners)
    low = np.clip(np.floor(corners.min(0)), 0, photo_size[::-1]).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1, 0, photo_size[::-1]).astype(int)
    return (*low.tolist(), *high.tolist())


def with_squares(photo: np.ndarray, warps: Sequence[np.ndarray]) -> np.ndarray:
    """`photo` with the crops' outlines in green."""
    canvas = Image.fromarray(photo)
    for warp in warps:
        corners = transform_points(np.linalg.inv(warp), np.array([(0.0, 0.0), (CROP_SIZE - 1.0, CROP_SIZE - 1.0)]))
        # Codes from a file may say anything; Pillow's numbers end somewhere.
        box = np.clip(np.nan_to_num(corners), -2 * LINE, np.array(canvas.size) + 2 * LINE)
        ImageDraw.Draw(canvas).rectangle(box.ravel().tolist(), outline=GREEN, width=LINE)
    return np.asarray(canvas)
