"""Light as spherical harmonics of the first three bands, with the order and the factors of the DECA family.

Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment maps", 2001; the factors are those of
the basis times those of the clamped cosine.
"""

from __future__ import annotations

import math

import torch

BANDS = 9
_FACTORS = (
    1 / math.sqrt(4 * math.pi),
    *([(2 * math.pi / 3) * math.sqrt(3 / (4 * math.pi))] * 3),
    *([(math.pi / 4) * 3 * math.sqrt(5 / (12 * math.pi))] * 3),
    (math.pi / 4) * (3 / 2) * math.sqrt(5 / (12 * math.pi)),
    (math.pi / 4) * (1 / 2) * math.sqrt(5 / (4 * math.pi)),
)


def basis(normals: torch.Tensor) -> torch.Tensor:
    """Normals [..., 3] -> [..., 9] in the order 1, x, y, z, xy, xz, yz, x² - y², 3z² - 1, factors included."""
    x, y, z = normals.unbind(-1)
    terms = [torch.ones_like(x), x, y, z, x * y, x * z, y * z, x**2 - y**2, 3 * z**2 - 1]
    return torch.stack(terms, -1) * normals.new_tensor(_FACTORS)


def shade(normals: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """Shading [B, 3, H, W] of a picture of normals [B, 3, H, W] under `light` [B, 9, 3] (bands, RGB)."""
    return torch.einsum("bhwk,bkc->bchw", basis(normals.permute(0, 2, 3, 1)), light)
