"""Light on pictures of normals: lamps beside spherical harmonics (:mod:`facecli.geometry.spherical_harmonics`).

Normals are taken as they are interpolated, shorter than 1 between vertices, as the DECA family does.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

LIGHT_OF_ONE = 3.5449077
"""sqrt(4 pi): a first spherical-harmonics number of this size alone is light of strength 1 from everywhere."""


def white_light(like: torch.Tensor, count: int) -> torch.Tensor:
    """[count, 9, 3] spherical-harmonics light that leaves albedo as it is; device and type of `like`."""
    light = like.new_zeros(count, 9, 3)
    light[:, 0] = LIGHT_OF_ONE
    return light


def point_lights(normals: torch.Tensor, positions: torch.Tensor, lights: torch.Tensor) -> torch.Tensor:
    """Shading [B, 3, H, W] by lamps at points, the mean over them; light from behind counts as negative.

    Args:
        normals, positions: [B, 3, H, W] in world space.
        lights: [B, N, 6], each a lamp's position and its RGB.
    """
    towards = lights[:, :, :3, None, None] - positions[:, None]
    cosines = (normalize(towards, dim=2) * normals[:, None]).sum(2, keepdim=True)
    return (lights[:, :, 3:, None, None] * cosines).mean(1)


def directional_lights(normals: torch.Tensor, lights: torch.Tensor) -> torch.Tensor:
    """Shading [B, 3, H, W] by far lamps, the mean over them, each cosine clamped to 0..1.

    Args:
        normals: [B, 3, H, W] in world space.
        lights: [B, N, 6], each the direction towards a lamp and its RGB.
    """
    cosines = torch.einsum("bchw,bnc->bnhw", normals, normalize(lights[..., :3], dim=-1)).clamp(0, 1)
    return (lights[:, :, 3:, None, None] * cosines[:, :, None]).mean(1)
