"""Pictures of heads as DECA and EMOCA draw them: one raster of the projected mesh, from which all pictures come.

World space is FLAME's (metres, y up, z out of the face, after the head's rotation); the picture's NDC has x right and y
down. Normals keep the length that interpolation gives them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from facecli.geometry.normals import vertex_normals
from facecli.render.ndc import GREY, five_lights, raster_ndc
from facecli.render.rasterize import Fragments, interpolate
from facecli.render.uv_space import map_in_picture, uv_to_ndc

SHAPE_FACING, TEXTURE_FACING = 0.15, -0.05
"""z of the seen normals below which a pixel counts as turned to the viewer: of shape pictures, and in training."""


@dataclass(frozen=True)
class HeadView:
    """What each pixel of B pictures shows of its head. All float32; 0 where nothing is hit.

    Args:
        hit: [B, 1, H, W], 1 where the head is.
        weight: [B, 1, H, W], the sum of the three weights: 1, or with pytorch3d's rules nearly so.
        grid: [B, 2, H, W] UV coordinates in NDC of the map (2u - 1, 1 - 2v).
        normals: [B, 3, H, W] in world space.
        seen_normals: [B, 3, H, W] of the projected mesh; z < 0 is turned to the viewer.
        positions: [B, 3, H, W] in world space.
        fragments: the raster itself.
    """

    hit: torch.Tensor
    weight: torch.Tensor
    grid: torch.Tensor
    normals: torch.Tensor
    seen_normals: torch.Tensor
    positions: torch.Tensor
    fragments: Fragments

    def turned_to_viewer(self, limit: float = SHAPE_FACING) -> torch.Tensor:
        """[B, 1, H, W]: 1 where the head is and its `seen_normals` say so."""
        return self.hit * (self.seen_normals[:, 2:] < limit)

    def sample(self, values: torch.Tensor) -> torch.Tensor:
        """A UV map [B, C, S, S] as seen [B, C, H, W]; off the head its middle, so multiply with `hit`."""
        return map_in_picture(values, self.grid)


class HeadRenderer:
    """Views of heads that share triangles and a UV layout.

    Args:
        triangles: int [F, 3].
        uv: [T, 2], origin bottom-left.
        uv_triangles: int [F, 3] into `uv`.
        rules, backend: see :func:`facecli.render.ndc.raster_ndc`.
    """

    def __init__(
        self,
        triangles: torch.Tensor,
        uv: torch.Tensor,
        uv_triangles: torch.Tensor,
        *,
        rules: str = "pytorch3d",
        backend: str = "auto",
    ):
        self.triangles = triangles
        self.rules, self.backend = rules, backend
        self._uv_corners = uv_to_ndc(uv)[uv_triangles][None, ..., :2]

    def view(
        self,
        vertices: torch.Tensor,
        projected: torch.Tensor,
        size: tuple[int, int],
        *,
        seen_normals: torch.Tensor | None = None,
    ) -> HeadView:
        """Look at heads.

        Args:
            vertices: [B, V, 3] in world space.
            projected: [B, V, 3] in NDC of the picture, z away from the camera and near 0.
            size: (H, W).
            seen_normals: [B, V, 3] instead of those of `projected`, where that is a stretched or cut picture's.
        """
        fragments = self.raster(projected, size)
        if seen_normals is None:
            seen_normals = vertex_normals(projected, self.triangles)
        ones = torch.ones_like(vertices[..., :1])
        values = torch.cat([vertex_normals(vertices, self.triangles), seen_normals, vertices, ones], -1)
        drawn = interpolate(fragments, self.triangles, values)
        grid = interpolate(fragments, self.triangles, self._uv_corners.expand(len(vertices), -1, -1, -1))
        hit = fragments.mask[:, None].to(drawn.dtype)
        return HeadView(hit, drawn[:, 9:], grid, drawn[:, :3], drawn[:, 3:6], drawn[:, 6:9], fragments)

    def raster(self, projected: torch.Tensor, size: tuple[int, int]) -> Fragments:
        """The raster alone of `projected` [B, V, 3] (NDC)."""
        return raster_ndc(projected, self.triangles, size, self.backend, rules=self.rules)

    def colors(self, projected: torch.Tensor, colors: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Vertex colours [B, V, C] as a picture [B, C, H, W], 0 around."""
        return interpolate(self.raster(projected, size), self.triangles, colors)


def nearness(projected: torch.Tensor) -> torch.Tensor:
    """Of each vertex [B, V, 1]: 1 at the head's nearest, 0 at its farthest. As a picture, DECA's relative depth."""
    depth = projected[..., 2:] - projected[..., 2:].amin(1, keepdim=True)
    return 1 - depth / depth.amax(1, keepdim=True)


def shape_picture(
    view: HeadView, normals: torch.Tensor | None = None, background: torch.Tensor | None = None
) -> torch.Tensor:
    """Grey heads [B, 3, H, W] under five lamps that don't turn with them.

    Args:
        normals: [B, 3, H, W] to shade with instead of the mesh's: those of a detailed surface, `view.sample` of it.
        background: [B, 3, H, W], black if None.
    """
    shading = five_lights(view.normals if normals is None else normals * view.hit)
    grey = (GREY * view.weight * shading).expand(-1, 3, -1, -1)
    return over(grey, view.turned_to_viewer(), background)


def over(picture: torch.Tensor, alpha: torch.Tensor, background: torch.Tensor | None) -> torch.Tensor:
    """`picture` [B, C, H, W] with `alpha` [B, 1, H, W] over `background` [B, C, H, W], or over black."""
    shown = picture * alpha
    return shown if background is None else shown + background * (1 - alpha)
