"""Pictures in a crop's NDC, as the FLAME family's programs draw them: one raster, attributes, five lamps.

NDC: x right, y down, -1..1 on both axes also where the picture isn't square, z away from the camera.
"""

from __future__ import annotations

import torch

from facecli.render.rasterize import Fragments, rasterize

RULES = ("pytorch3d", "standard")
"""What counts as inside of a triangle, and how exact weights are: pytorch3d's, or those of DECA's own rasterizer."""

DEPTH_OFFSET = 10.0
"""The programs add it in float32 before they rasterize, so that all depths are positive."""

LAMPS = ((-1, 1, 1), (1, 1, 1), (-1, -1, 1), (1, -1, 1), (0, 0, 1))
LAMP_INTENSITY = 1.7
GREY = 180 / 255
"""Albedo of a mesh without texture."""


def raster_ndc(
    vertices: torch.Tensor,
    triangles: torch.Tensor,
    size: tuple[int, int],
    backend: str = "auto",
    *,
    rules: str = "pytorch3d",
) -> Fragments:
    """Rasterize projected `vertices` [B, V, 3] in NDC; the depth in the result includes :data:`DEPTH_OFFSET`.

    Attributes come from :func:`facecli.render.rasterize.interpolate`; normals keep the length that it gives them, as
    the programs don't normalise them again.

    Args:
        triangles: int [F, 3].
        size: (H, W).
        rules: one of :data:`RULES`; "standard" has no gradients and leaves `backend` aside.
    """
    if rules == "standard":
        from facecli.render.standard import rasterize_standard

        return rasterize_standard(vertices + vertices.new_tensor([0, 0, DEPTH_OFFSET]), triangles, size)
    height, width = size
    x, y, z = vertices.unbind(-1)
    if height > width:
        y = y * (height / width)
    elif width > height:
        x = x * (width / height)
    return rasterize(torch.stack([x, y, z + DEPTH_OFFSET], -1), triangles, size, backend=backend)


def five_lights(normals: torch.Tensor) -> torch.Tensor:
    """Shading [B, 1, H, W] of normals [B, 3, H, W]: the mean of five directional lamps, each clamped to 0..1."""
    lamps = torch.nn.functional.normalize(normals.new_tensor(LAMPS), dim=1)
    cosines = torch.einsum("bchw,kc->bkhw", normals, lamps).clamp(0, 1)
    return (cosines * LAMP_INTENSITY).mean(1, keepdim=True)
