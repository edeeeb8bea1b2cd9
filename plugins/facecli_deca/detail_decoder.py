"""DECA's detail decoder: jaw, expression and wrinkle code into a displacement map, with the official state-dict names.

EMOCA's is the same network.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

from facecli_deca.encoder import N_DETAIL, SIZES

N_JAW, N_EXPRESSION = 3, SIZES["exp"]
SIDE = 8  # pixels of the first map
WIDTHS = (128, 128, 64, 64, 32, 16)
EPS = 0.8  # meant for momentum upstream, but the weights were trained with it
METRES = 0.01  # largest displacement


class DetailDecoder(nn.Module):
    """Latent [B, 181] of :func:`latent` -> displacement along the normals [B, 1, 256, 256], metres; row 0 is v = 1."""

    def __init__(self, numbers: int = N_JAW + N_EXPRESSION + N_DETAIL):
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(numbers, WIDTHS[0] * SIDE * SIDE))
        layers: list[nn.Module] = [nn.BatchNorm2d(WIDTHS[0])]
        for wide_in, wide_out in itertools.pairwise(WIDTHS):
            layers += [
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                nn.Conv2d(wide_in, wide_out, 3, padding=1),
                nn.BatchNorm2d(wide_out, eps=EPS),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers += [nn.Conv2d(WIDTHS[-1], 1, 3, padding=1), nn.Tanh()]
        self.conv_blocks = nn.Sequential(*layers)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        first = self.l1(latent).view(-1, WIDTHS[0], SIDE, SIDE)
        return self.conv_blocks(first) * METRES


def latent(jaw: torch.Tensor, expression: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
    """The decoder's input [B, 181]: jaw [B, 3] (axis-angle), the first 50 expression numbers [B, >= 50] and the wrinkle
    code [B, 128]."""
    return torch.cat([jaw, expression[:, :N_EXPRESSION], detail], 1)
