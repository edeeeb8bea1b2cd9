"""SMIRK's own pictures: the grey rendering, the masked photograph, and the photograph generated from the two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from facecli.assets.store import require
from facecli.codes import Codes
from facecli.crop import warp_bilinear
from facecli.errors import UsageError
from facecli.morphable import files
from facecli.morphable.flame_files import read_masks, read_triangle_masks
from facecli.plugin import Crop, Reconstruction
from facecli_smirk import masking
from facecli_smirk.crops import crop_points, hull_mask, whole_warp
from facecli_smirk.renderer import SIZE, SmirkRenderer, drawn
from facecli_smirk.weights import load_generator

RENDERING, MASKED, GENERATOR = "rendering", "masked", "generator"
BATCH = 4
"""Faces that the generator takes at once."""


class SmirkPictures:
    """Renderer, masking and generator; files are loaded when they are first needed. May be used from several threads.

    Args:
        triangles: int64 [F, 3] of the head, on the device that all runs on.
        full_head: "rendering" shows the whole head. The generator always gets the face alone, as it was trained.
        checkpoint: another file of weights than the official one.
        mask_ratio: points drawn on the face for the generator to see, over all pixels of the crop. As in the official
            demo it sees a random part of them, a 25th to all.
        seed: of the masking. Each face starts from it, so that its picture doesn't depend on others.

    Raises:
        UsageError: `mask_ratio` is no share.
    """

    def __init__(
        self,
        triangles: torch.Tensor,
        *,
        full_head: bool = False,
        checkpoint: str = "",
        mask_ratio: float = 0.05,
        seed: int = 0,
    ):
        if not 0 <= mask_ratio <= 1:
            raise UsageError(f"mask_ratio lies between 0 and 1, not at {mask_ratio}")
        self._triangles, self._full_head = triangles, full_head
        self._checkpoint, self._mask_ratio, self._seed = checkpoint, mask_ratio, seed
        self._loaded: dict[Callable[[], Any], Any] = {}
        self._lock = threading.Lock()

    @torch.inference_mode()
    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """Pictures of B faces, RGB uint8, by name.

        * "rendering": the mesh in grey on black.
        * "masked": what the generator sees of the photograph.
        * "generator": the photograph as it would be if the mesh were right.

        Args:
            names: of the pictures wanted.
            crops: None where there is no photograph; then there is a rendering only.
            codes: for `warp`, where there are no crops.
            reconstruction: what :class:`facecli.morphable.flame_head.FlameHead` decoded of them.
            photos: photographs [H, W, 3] to whose place and size the pictures are warped back, black around the crop;
                else pictures are 224 × 224.
        """
        panels = self._panels(set(names), crops, reconstruction)
        if photos is None:
            return {name: [_to_uint8(panel) for panel in panels[name]] for name in names if name in panels}
        places = list(zip(_warps(crops, codes), (photo.shape[:2] for photo in photos), strict=True))
        return {
            name: [back_in_photo(panel, *place) for panel, place in zip(panels[name], places, strict=True)]
            for name in names
            if name in panels
        }

    def _panels(self, names: set[str], crops: Sequence[Crop] | None, found: Reconstruction) -> dict[str, torch.Tensor]:
        """Name -> [B, 3, 224, 224] in 0..1."""
        panels = {}
        shape = found.extras["verts"], found.extras["trans_verts"]
        if RENDERING in names and self._full_head:
            panels[RENDERING] = self._get(self._make_head_renderer).draw(*shape)
        if crops is None:
            names = names & {RENDERING}
        if names - set(panels):
            face = self._get(self._make_face_renderer).draw(*shape)
            panels.setdefault(RENDERING, face)
        if names & {MASKED, GENERATOR}:
            seen = [self.masked(crop, face[i], shape[1][i]) for i, crop in enumerate(crops)]
            panels[MASKED] = torch.stack(seen)
        if GENERATOR in names:
            inputs = torch.cat([face, panels[MASKED]], 1)
            generate = self._get(self._make_generator)
            panels[GENERATOR] = torch.cat([generate(part) for part in inputs.split(BATCH)])
        return panels

    def masked(self, crop: Crop, rendering: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """What the generator sees of one crop [3, 224, 224], drawn at random as the official demo does it.

        Args:
            rendering: [3, 224, 224] of the face.
            projected: [V, 3] the head in NDC of the crop.
        """
        random = self.random()
        image = torch.from_numpy(crop.image)[None].to(projected)
        extra = self._pixels_on_face(image, projected[None], random)
        hull = torch.from_numpy(hull_mask(crop_points(crop)))[None, None]
        return masking.mask_photos(image, hull, extra, drawn(rendering[None]), generator=random)[0]

    def _pixels_on_face(self, image: torch.Tensor, projected: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """[1, 3, 224, 224]: `image` at random pixels on the mesh, else 0."""
        weights = masking.visible_weights(projected, self._triangles, self._get(self._make_weights))
        count = masking.point_count(self._mask_ratio)
        if not count or not weights.any():  # nothing of the face is seen
            return torch.zeros_like(image)
        points = masking.sample_points(weights, count, random)
        pixels = masking.pixels_of(points, projected, self._triangles)
        return masking.transfer_pixels(image, pixels, pixels, masking.demo_counts(count, 1, random))

    def random(self) -> torch.Generator:
        """The source of a face's random numbers."""
        return torch.Generator().manual_seed(self._seed)

    def _get(self, make: Callable[[], Any]) -> Any:
        with self._lock:
            if make not in self._loaded:
                self._loaded[make] = make()
            return self._loaded[make]

    def _make_face_renderer(self) -> SmirkRenderer:
        face = read_masks(require(files.MASKS))["face"]
        return SmirkRenderer(self._triangles, face).to(self._triangles.device)

    def _make_head_renderer(self) -> SmirkRenderer:
        return SmirkRenderer(self._triangles).to(self._triangles.device)

    def _make_weights(self) -> torch.Tensor:
        regions = read_triangle_masks(require(files.TRIANGLE_MASKS))
        return masking.triangle_weights(regions, len(self._triangles))

    def _make_generator(self) -> torch.nn.Module:
        return load_generator(self._triangles.device, path=self._checkpoint)


def _warps(crops: Sequence[Crop] | None, codes: Codes) -> list[np.ndarray]:
    """Photograph -> crop [3, 3] of each face; codes that don't tell belong on a photograph that is the crop."""
    if crops is not None:
        return [crop.warp for crop in crops]
    if "warp" in codes:
        return list(codes["warp"].double().numpy(force=True))
    return [np.eye(3)] * len(codes)


def back_in_photo(panel: torch.Tensor, warp: np.ndarray, photo_size: tuple[int, int]) -> np.ndarray:
    """A crop-sized picture [3, 224, 224] at its place in the photograph, RGB uint8 [H, W, 3].

    Two ways, as the official program has them: a square crop is cut to bytes, sampled bilinearly with black around it,
    and cut again; a whole photograph is resized before it is cut.

    Args:
        warp: [3, 3] photograph -> crop.
        photo_size: (height, width).
    """
    if np.allclose(warp, whole_warp(photo_size), rtol=1e-5, atol=1e-4):
        return _to_uint8(F.interpolate(panel[None], photo_size, mode="bilinear", align_corners=False)[0])
    picture = np.zeros((*photo_size, 3), np.uint8)
    corners = np.linalg.inv(warp) @ np.array([[-1, SIZE, -1, SIZE], [-1, -1, SIZE, SIZE], [1, 1, 1, 1]])
    first = np.clip(np.floor(corners[:2].min(1)), 0, photo_size[::-1]).astype(int)
    last = np.clip(np.ceil(corners[:2].max(1)) + 1, 0, photo_size[::-1]).astype(int)
    (x0, y0), (x1, y1) = first, last
    window = warp_bilinear(_to_uint8(panel), warp, (y1 - y0, x1 - x0), (x0, y0))
    picture[y0:y1, x0:x1] = window.astype(np.uint8)
    return picture


def _to_uint8(panel: torch.Tensor) -> np.ndarray:
    """[3, H, W] in 0..1 as [H, W, 3], cut and not rounded, as the official program does it."""
    return (panel * 255).clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy(force=True)
