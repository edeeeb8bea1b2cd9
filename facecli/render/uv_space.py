"""A mesh's surface as maps in its UV layout: positions, normals, wrinkles on them, and the photograph's colours.

This is how DECA and EMOCA have them; the two differ in the arguments of :func:`surface_normals`. Maps are [B, C, S, S],
row 0 at v = 1.
"""

from __future__ import annotations

import torch
from torch import nn

from facecli.render.ndc import raster_ndc


class UvSpace(nn.Module):
    """Per-vertex values to maps, by one raster of the UV layout that serves all faces.

    Args:
        triangles: int [F, 3] of the mesh.
        uv: [T, 2], origin bottom-left.
        uv_triangles: int [F, 3] into `uv`, corner by corner those of `triangles`.
        size: side of the maps.
        rules: of the raster, see :func:`facecli.render.ndc.raster_ndc`. "standard" has weights that sum to 1.
        backend: as for :func:`facecli.render.rasterize.rasterize`.

    Attributes:
        mask: bool [S, S], the texels that belong to the layout.
    """

    def __init__(
        self,
        triangles: torch.Tensor,
        uv: torch.Tensor,
        uv_triangles: torch.Tensor,
        size: int = 256,
        *,
        rules: str = "pytorch3d",
        backend: str = "auto",
    ):
        super().__init__()
        fragments = raster_ndc(uv_to_ndc(uv)[None], uv_triangles, (size, size), backend, rules=rules)
        mask = fragments.mask[0]
        self.size = size
        self.register_buffer("mask", mask)
        self.register_buffer("texels", mask.flatten().nonzero()[:, 0])
        self.register_buffer("corners", triangles[fragments.face_index[0][mask]])
        self.register_buffer("weights", fragments.bary[0][mask])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Per-vertex `values` [B, V, C] as maps [B, C, S, S], 0 where the layout is empty ("world2uv")."""
        found = sum(values[:, self.corners[:, k]] * self.weights[:, k, None] for k in range(3))
        maps = values.new_zeros(len(values), values.shape[-1], self.size * self.size)
        maps[:, :, self.texels] = found.transpose(1, 2)
        return maps.view(*maps.shape[:2], self.size, self.size)


def uv_to_ndc(uv: torch.Tensor) -> torch.Tensor:
    """UV [..., 2] (origin bottom-left) as NDC of the texture's picture (y down), with a depth of 0: [..., 3]."""
    return torch.stack([uv[..., 0] * 2 - 1, 1 - uv[..., 1] * 2, torch.zeros_like(uv[..., 0])], -1)


def displaced(positions: torch.Tensor, normals: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """The surface `positions` [B, 3, S, S] moved along its `normals` by `offset` [B, 1, S, S], in their unit."""
    return positions + offset * normals


def surface_normals(surface: torch.Tensor, margin: tuple[int, int] = (0, 0), eps: float = 1e-6) -> torch.Tensor:
    """Unit normals [B, 3, S, S] of a map of positions [B, 3, S, S], taken for a mesh whose vertices are the texels.

    Each quad of neighbours is two triangles, split from its upper right to its lower left; a texel's normal is the
    area-weighted mean of the triangles around it, as of any mesh.

    Args:
        margin: columns and rows along the map's borders that are in no triangle, so that their normals are zero: DECA
            leaves out (2, 5), EMOCA none.
        eps: least length of the sums that are normalised, in square units: what is smaller comes out shorter than 1.
    """
    columns, rows = margin
    size = surface.shape[-1]
    used = surface[..., rows : size - rows, columns : size - columns]
    here, right = used[..., :-1, :-1], used[..., :-1, 1:]
    below, across = used[..., 1:, :-1], used[..., 1:, 1:]
    upper = _cross(below - here, right - here)
    lower = _cross(below - right, across - right)
    total = torch.zeros_like(surface)
    inside = total[..., rows : size - rows, columns : size - columns]
    inside[..., :-1, :-1] += upper
    inside[..., :-1, 1:] += upper + lower
    inside[..., 1:, :-1] += upper + lower
    inside[..., 1:, 1:] += lower
    return unit(total, eps)


def unit(vectors: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """Vectors [B, 3, H, W] made of unit length, or divided by `eps` where they are shorter.

    As ``torch.nn.functional.normalize``, which takes ten times as long for so short an axis.
    """
    x, y, z = vectors.unbind(1)
    squares = (x * x + y * y + z * z).clamp(min=eps * eps)  # before the root, whose gradient has no end at 0
    return vectors / squares.sqrt()[:, None]


def _cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    (ax, ay, az), (bx, by, bz) = a.unbind(1), b.unbind(1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def blend(inside: torch.Tensor, outside: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Map `inside` where `mask` [1 or B, 1, S, S] is 1, `outside` where it is 0."""
    return inside * mask + outside * (1 - mask)


def picture_in_uv(picture: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The colours of `picture` [B, C, H, W] in the UV layout [B, C, S, S], hidden or not.

    Args:
        places: [B, >= 2, S, S] where each texel lies on the picture, in its NDC (x right, y down).
    """
    grid = places[:, :2].permute(0, 2, 3, 1)
    return nn.functional.grid_sample(picture, grid, align_corners=False)


def map_in_picture(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """A map [B, C, S, S] drawn through a picture's `grid` [B, 2, H, W] of UV coordinates in NDC: [B, C, H, W].

    Where nothing is drawn the grid is 0, the middle of the map: multiply with the coverage.
    """
    return nn.functional.grid_sample(values, grid.permute(0, 2, 3, 1), align_corners=False)
