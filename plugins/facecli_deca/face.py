"""One decoded face, with all that DECA's program makes of it, each part when it is looked at."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

from facecli.codes import Codes
from facecli.geometry.normals import vertex_normals
from facecli.geometry.spherical_harmonics import shade
from facecli.morphable.flame_detail import FlameDetail, LazyDetail
from facecli.morphable.flame_head import FlameHead
from facecli.morphable.flame_texture import FlameAlbedo
from facecli.plugin import Crop, Reconstruction
from facecli.render.head_view import HeadRenderer, HeadView
from facecli.render.uv_space import blend, picture_in_uv
from facecli_deca.crop import SIZE

GREY = 0.7
"""Texture of what the photograph doesn't show, without an albedo model."""
VISIBLE = 0.1
"""z of a landmark's transformed normal below which DECA calls it visible."""


@dataclass(frozen=True)
class Decoder:
    """The parts of the model that pictures and textures need."""

    head: FlameHead
    surface: FlameDetail
    renderer: HeadRenderer
    albedo: FlameAlbedo | None
    extract_texture: bool


class DecodedFace:
    """A face, batch size 1. Names are DECA's; vertices and maps are those of its world space: metres, pose included.

    Args:
        codes, reconstruction: [1, ...] each, as the model decoded them: nothing is missing.
        crop: None where codes came from a file.
    """

    def __init__(self, decoder: Decoder, codes: Codes, reconstruction: Reconstruction, crop: Crop | None):
        self.decoder, self.codes, self.reconstruction, self.crop = decoder, codes, reconstruction, crop

    @property
    def verts(self) -> torch.Tensor:
        return self.reconstruction.extras["verts"]

    @property
    def trans_verts(self) -> torch.Tensor:
        """[1, V, 3] NDC of the crop, without the offsets that DECA's renderer leaves in z."""
        return self.reconstruction.extras["trans_verts"]

    @functools.cached_property
    def image(self) -> torch.Tensor | None:
        """[1, 3, 224, 224] the crop."""
        return None if self.crop is None else torch.from_numpy(self.crop.image)[None].to(self.verts)

    @functools.cached_property
    def normals(self) -> torch.Tensor:
        return vertex_normals(self.verts, self.decoder.head.triangles)

    @functools.cached_property
    def seen_normals(self) -> torch.Tensor:
        """[1, V, 3] normals of `trans_verts`: z < 0 is turned to the viewer."""
        return vertex_normals(self.trans_verts, self.decoder.head.triangles)

    @functools.cached_property
    def landmarks3d(self) -> torch.Tensor:
        """[1, 68, 4]: x, y, z in NDC of the crop, and 1 where the point is visible."""
        facing = self.decoder.head.landmarks.full68(self.seen_normals)[..., 2:]
        return torch.cat([self.reconstruction.extras["landmarks3d"], (facing < VISIBLE).to(facing)], -1)

    # --- wrinkles ----------------------------------------------------------------------------------------------------

    @property
    def has_detail(self) -> bool:
        return isinstance(self.reconstruction.detail, LazyDetail)

    @functools.cached_property
    def displacement_map(self) -> torch.Tensor:
        """[1, 1, 256, 256] metres, not masked."""
        return self.decoder.surface.displacement_map(self.reconstruction.detail.offsets)

    @functools.cached_property
    def uv_detail_normals(self) -> torch.Tensor:
        """[1, 3, 256, 256]; without wrinkles the coarse ones."""
        surface = self.decoder.surface
        if not self.has_detail:
            return surface.space(self.normals)
        return surface.normals(self.reconstruction.detail.offsets, self.verts, self.normals)

    @functools.cached_property
    def dense_vertices(self) -> torch.Tensor:
        """[1, D, 3]."""
        return self.decoder.surface.dense(self.verts, self.normals, self.displacement_map)

    # --- colours, [1, 3, 256, 256] -----------------------------------------------------------------------------------

    @functools.cached_property
    def albedo(self) -> torch.Tensor | None:
        return None if self.decoder.albedo is None else self.decoder.albedo(self.codes["texture"])

    @functools.cached_property
    def lit_texture(self) -> torch.Tensor:
        """Albedo, or grey, under the light that the network sees, wrinkles included."""
        shading = shade(self.uv_detail_normals, self.codes["light"])
        return shading * (GREY if self.albedo is None else self.albedo)

    @functools.cached_property
    def uv_texture(self) -> torch.Tensor:
        """DECA's: :attr:`lit_texture`, black without an albedo model."""
        return torch.zeros_like(self.lit_texture) if self.albedo is None else self.lit_texture

    @functools.cached_property
    def uv_texture_gt(self) -> torch.Tensor:
        """The crop's colours on the face, hidden or not; elsewhere, or without a crop, what is known or grey."""
        rest = torch.full_like(self.lit_texture, GREY) if self.albedo is None else self.lit_texture
        if self.image is None or (self.albedo is not None and not self.decoder.extract_texture):
            return rest
        seen = picture_in_uv(self.image, self.decoder.surface.space(self.trans_verts))
        return blend(seen, rest, self.decoder.surface.mask)

    # --- pictures ----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def view(self) -> HeadView:
        """The crop's."""
        return self.decoder.renderer.view(self.verts, self.trans_verts, (SIZE, SIZE), seen_normals=self.seen_normals)

    def outputs(self) -> dict[str, torch.Tensor]:
        """DECA's output dictionary, [1, ...] each, in its program's names. `trans_verts` and landmarks are clean."""
        albedo = {} if self.albedo is None else {"albedo": self.albedo}
        view, extras = self.view, self.reconstruction.extras
        texture = torch.zeros_like(self.lit_texture) if self.albedo is None else self.albedo
        return {
            "verts": self.verts,
            "trans_verts": self.trans_verts,
            "landmarks2d": extras["landmarks2d"],
            "landmarks3d": self.landmarks3d,
            "landmarks3d_world": extras["landmarks3d_world"],
            "grid": view.grid.permute(0, 2, 3, 1),
            "rendered_images": view.sample(texture) * view.hit,
            "alpha_images": view.hit,
            "normal_images": view.normals * view.hit,
            **albedo,
            "uv_texture": self.uv_texture,
            "normals": self.normals,
            "uv_detail_normals": self.uv_detail_normals,
            "displacement_map": self.displacement_map,
            "uv_texture_gt": self.uv_texture_gt,
        }
