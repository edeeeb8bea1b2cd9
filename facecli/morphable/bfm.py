"""The Basel Face Model as Deep3D uses it, as a torch module: shape, albedo, normals, and its light."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from facecli.morphable.bfm_files import BfmArrays

AMBIENT = 0.8
"""Added to the first coefficient of each colour's light: what no light at all looks like."""

_A0 = math.pi / math.sqrt(4 * math.pi)
_A1 = (2 * math.pi / math.sqrt(3)) * math.sqrt(3) / math.sqrt(4 * math.pi)
_A2 = (2 * math.pi / math.sqrt(8)) * 3 * math.sqrt(5) / math.sqrt(12 * math.pi)
_LENGTH = 1e-12
"""Shorter vectors aren't made longer."""


class Bfm(nn.Module):
    """The model's formulas. Decimetres: x to the picture's right, y up, z out of the face."""

    def __init__(self, arrays: BfmArrays):
        super().__init__()
        bases = np.concatenate([arrays.identity, arrays.expression], 1)
        buffers = {
            "mean": arrays.mean.reshape(-1),
            "basis": bases.T,
            "albedo_mean": arrays.albedo.reshape(-1),
            "albedo_basis": arrays.albedo_basis.T,
            "triangles": arrays.triangles,
            "around": arrays.around,
            "keypoints": arrays.keypoints,
            "front": arrays.front,
            "front_triangles": arrays.front_triangles,
            "skin": arrays.skin,
        }
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))
        self.n_identity, self.n_expression = arrays.identity.shape[1], arrays.expression.shape[1]

    def shape(self, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        """Vertices [B, V, 3] before the pose, of coefficients [B, 80] and [B, 64] in standard deviations."""
        offsets = torch.cat([identity, expression], 1) @ self.basis
        return (self.mean + offsets).unflatten(-1, (-1, 3))

    def albedo(self, texture: torch.Tensor) -> torch.Tensor:
        """Colours [B, V, 3] without light, 0..1 but not clamped, of coefficients [B, 80]."""
        return ((self.albedo_mean + texture @ self.albedo_basis) / 255).unflatten(-1, (-1, 3))

    def normals(self, vertices: torch.Tensor) -> torch.Tensor:
        """Unit normals [B, V, 3]: the mean of the triangles' around each vertex, whatever their size."""
        v0, v1, v2 = (vertices[:, self.triangles[:, corner]] for corner in range(3))
        faces = nn.functional.normalize(torch.linalg.cross(v0 - v1, v1 - v2), dim=-1, eps=_LENGTH)
        faces = torch.cat([faces, faces.new_zeros(len(faces), 1, 3)], 1)  # for vertices with fewer triangles than most
        total = faces[:, self.around[:, 0]]
        for column in range(1, self.around.shape[1]):
            total = total + faces[:, self.around[:, column]]
        return nn.functional.normalize(total, dim=-1, eps=_LENGTH)

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        """iBUG's 68 [B, 68, 3] among vertices [B, V, 3]."""
        return vertices[:, self.keypoints]


def light_basis(normals: torch.Tensor) -> torch.Tensor:
    """Spherical harmonics [..., 9] of unit normals [..., 3], with Deep3D's order, signs and factors."""
    x, y, z = normals.unbind(-1)
    return torch.stack(
        [
            torch.full_like(x, _A0),
            -_A1 * y,
            _A1 * z,
            -_A1 * x,
            _A2 * x * y,
            -_A2 * y * z,
            (_A2 * 0.5 / math.sqrt(3)) * (3 * z**2 - 1),
            -_A2 * x * z,
            (_A2 * 0.5) * (x**2 - y**2),
        ],
        -1,
    )


def lit(albedo: torch.Tensor, normals: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """Colours [B, V, 3] under a light [B, 3, 9] (RGB, bands), not clamped; `normals` [B, V, 3] with the head's pose."""
    ambient = torch.zeros_like(light)
    ambient[..., 0] = AMBIENT
    return albedo * (light_basis(normals) @ (light + ambient).transpose(1, 2))
