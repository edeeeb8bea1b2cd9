"""The linear face model of SynergyNet, 3DDFA and 3DDFA_V2 with its affine camera: parameters to points in the crop and
in the photograph.

The camera's 3×4 matrix is what the networks give, not a rotation: it is applied as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from facecli.morphable.tddfa_files import CAMERA, IDENTITIES, TddfaArrays, Whitening

SIZE = 120
"""Side of the crop."""


@dataclass(frozen=True)
class Convention:
    """How a program counts a crop's pixels: (x, y, z) of the camera becomes (x − `shift`, `height` − y, z − `shift`).

    Args:
        height: the y that is turned over; one more than the crop's side is a leftover of MATLAB's counting from 1.
        nearest_zero: in the photograph, z is counted from the farthest of the points at hand.
    """

    shift: float
    height: float
    nearest_zero: bool = False


SYNERGYNET = Convention(0.0, SIZE + 1.0)
"""Also 3DDFA's."""
TDDFA_V2 = Convention(1.0, float(SIZE), nearest_zero=True)


class Tddfa(nn.Module):
    """The face model as a module; its buffers are micrometres.

    Attributes:
        triangles: [F, 3] int64, counter-clockwise seen from outside: the official ones backwards.
        landmarks: [68] int64 vertices.
    """

    def __init__(self, arrays: TddfaArrays):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(arrays.mean).reshape(-1).contiguous())
        self.register_buffer("identity", _rows(arrays.identity))
        self.register_buffer("expression", _rows(arrays.expression))
        self.register_buffer("landmarks", torch.from_numpy(arrays.landmarks))
        self.register_buffer("triangles", torch.from_numpy(arrays.triangles).flip(1).contiguous())

    @property
    def official_triangles(self) -> torch.Tensor:
        """[F, 3] as in the files, which Sim3DR's pictures depend on."""
        return self.triangles.flip(1)

    def forward(self, identity: torch.Tensor, expression: torch.Tensor, *, landmarks: bool = False) -> torch.Tensor:
        """Faces without a pose, micrometres: [B, V, 3], or with `landmarks` those alone, [B, 68, 3].

        Args:
            identity: [B, <= n] the first numbers; expression: [B, <= m].
        """
        parts = self.mean, self.identity[: identity.shape[1]], self.expression[: expression.shape[1]]
        if landmarks:
            parts = [part.view(*part.shape[:-1], -1, 3)[..., self.landmarks, :].flatten(-2) for part in parts]
        mean, of_identity, of_expression = parts
        surface = torch.addmm(torch.addmm(mean, identity, of_identity), expression, of_expression)
        return surface.view(len(identity), -1, 3)


def _rows(offsets: np.ndarray) -> torch.Tensor:
    """[V, 3, n] as [n, 3 V], so that the first numbers' lie together."""
    return torch.from_numpy(np.ascontiguousarray(offsets.transpose(2, 0, 1).reshape(offsets.shape[2], -1)))


def dewhiten(numbers: torch.Tensor, whitening: Whitening) -> torch.Tensor:
    """The networks' numbers [B, P] as parameters [B, P]."""
    count = numbers.shape[1]
    mean, deviation = (torch.from_numpy(part[:count]).to(numbers) for part in (whitening.mean, whitening.deviation))
    return numbers * deviation + mean


def split(parameters: torch.Tensor, identities: int = IDENTITIES) -> dict[str, torch.Tensor]:
    """Parameters [B, P] as ``camera`` [B, 12] (3×4, row by row), ``identity`` [B, identities] and ``expression``, the
    rest."""
    end = CAMERA + identities
    return {"identity": parameters[:, CAMERA:end], "expression": parameters[:, end:], "camera": parameters[:, :CAMERA]}


def posed(points: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    """Points [B, N, 3] through cameras [B, 12]: crop pixels, but y up. ("untransformed" in the programs.)"""
    matrix = camera.view(-1, 3, 4)
    return points @ matrix[..., :3].transpose(1, 2) + matrix[:, None, :, 3]


def to_crop(points: torch.Tensor, convention: Convention) -> torch.Tensor:
    """What :func:`posed` gives [B, N, 3] in pixels of the crop, y down; z grows towards the viewer."""
    x, y, z = points.unbind(-1)
    return torch.stack([x - convention.shift, convention.height - y, z - convention.shift], -1)


def to_photo(points: torch.Tensor, warp: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Points of the crop [B, N, 3] in the photograph, by warps [B, 3, 3] (see :func:`facecli.roi.roi_warp`); z in the
    photograph's pixels."""
    scale = 1 / warp.diagonal(dim1=1, dim2=2)[:, :2]
    start = -warp[:, :2, 2] * scale
    xy = points[..., :2] * scale[:, None] + start[:, None]
    z = points[..., 2:] * scale.mean(1)[:, None, None]
    if convention.nearest_zero:
        z = z - z.amin(1, keepdim=True)
    return torch.cat([xy, z], -1)
