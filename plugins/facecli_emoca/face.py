"""One decoded face as EMOCA's program shows it. Where EMOCA differs from DECA, this is EMOCA's way."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import torch

from facecli.geometry.spherical_harmonics import shade
from facecli.render.head_view import over, shape_picture
from facecli.render.uv_space import picture_in_uv
from facecli_deca.face import DecodedFace
from facecli_deca.pictures import to_bytes

ALBEDO = 0.5
"""Grey, the same everywhere: the released models have no texture."""
BACKGROUNDS = ("input", "black", "none")


class EmocaFace(DecodedFace):
    """A :class:`facecli_deca.face.DecodedFace` with EMOCA's texture, and EMOCA's pictures [1, 3, 224, 224].

    What needs wrinkles is there only where `has_detail` says so.
    """

    background = "input"
    """Of the shaded pictures: the crop, "black" around the face, or, "none", the whole shaded head on black."""

    @functools.cached_property
    def uv_texture_gt(self) -> torch.Tensor:
        """The crop's colours, hidden or not, with nothing else laid over them; grey without a crop."""
        if self.image is None:
            return torch.full_like(self.uv_detail_normals, ALBEDO)
        return picture_in_uv(self.image, self.decoder.surface.space(self.trans_verts))

    @functools.cached_property
    def uv_texture(self) -> torch.Tensor:
        """[1, 3, 256, 256] the albedo under the light that the network sees, wrinkles included."""
        return ALBEDO * shade(self.uv_detail_normals, self.codes["light"])

    @functools.cached_property
    def mask(self) -> torch.Tensor:
        """[1, 1, 224, 224] the face's part of the picture, soft-edged."""
        return self.view.sample(self.decoder.surface.mask) * self.view.hit

    @property
    def geometry_coarse(self) -> torch.Tensor:
        return shape_picture(self.view)

    @property
    def geometry_detail(self) -> torch.Tensor:
        return shape_picture(self.view, self.view.sample(self.uv_detail_normals))

    @property
    def out_im_coarse(self) -> torch.Tensor:
        grey = torch.full_like(self.uv_texture, ALBEDO)
        shading = shade(self.view.normals, self.codes["light"])
        return self._on_background(self.view.sample(grey) * shading * self.view.hit)

    @property
    def out_im_detail(self) -> torch.Tensor:
        """Shaded in the UV layout, and so not cut at the head's outline where there is no mask, as upstream."""
        return self._on_background(self.view.sample(self.uv_texture))

    def _on_background(self, picture: torch.Tensor) -> torch.Tensor:
        if self.background == "none":
            return picture
        return over(picture, self.mask, self.image if self.background == "input" else None)


def draw(face: EmocaFace, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Pictures of `names` as RGB uint8 [224, 224, 3], cut as the program does it; without what can't be drawn."""
    pictures = {}
    for name in names:
        if name == "inputs":
            picture = face.image
        else:
            picture = getattr(face, name) if face.has_detail or not name.endswith("_detail") else None
        if picture is not None:
            pictures[name] = to_bytes(picture)
    return pictures
