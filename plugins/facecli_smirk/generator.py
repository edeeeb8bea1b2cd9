"""SMIRK's generator: a grey picture of the mesh and a few pixels of the photograph back into a photograph.

A U-Net (Ronneberger et al., MICCAI 2015) with residual blocks at its bottom, with the official state-dict names.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

LEVELS = 4


def _block(name: str, wide_in: int, wide_out: int) -> nn.Sequential:
    """Twice convolution, norm and ReLU."""
    layers: dict[str, nn.Module] = OrderedDict()
    for number, width in ((1, wide_in), (2, wide_out)):
        layers[f"{name}conv{number}"] = nn.Conv2d(width, wide_out, 3, padding=1, bias=False)
        layers[f"{name}norm{number}"] = nn.BatchNorm2d(wide_out)
        layers[f"{name}relu{number}"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


class ResidualBlock(nn.Module):
    """[B, C, H, W] -> the same, with what two mirrored-edge convolutions find added."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class SmirkGenerator(nn.Module):
    """Rendering and masked photograph [B, 6, H, W] (three channels each, 0..1) -> photograph [B, 3, H, W] in 0..1; H
    and W divisible by 16, and at least 32.

    Args:
        base: channels of the finest level; each coarser one has twice as many.
        blocks: residual blocks at the bottom.
    """

    def __init__(self, wide_in: int = 6, wide_out: int = 3, base: int = 32, blocks: int = 5):
        super().__init__()
        widths = [base * 2**level for level in range(LEVELS + 1)]
        for level, width in enumerate([wide_in, *widths[:-2]]):
            self.add_module(f"encoder{level + 1}", _block(f"enc{level + 1}", width, widths[level]))
        self.bottleneck = _block("bottleneck", widths[-2], widths[-1])
        self.resnet_blocks = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(blocks)))
        for level in range(LEVELS, 0, -1):
            width = widths[level - 1]
            self.add_module(f"upconv{level}", nn.ConvTranspose2d(2 * width, width, 2, stride=2))
            self.add_module(f"decoder{level}", _block(f"dec{level}", 2 * width, width))
        self.conv = nn.Conv2d(base, wide_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level in range(1, LEVELS + 1):
            x = self.get_submodule(f"encoder{level}")(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.resnet_blocks(self.bottleneck(x))
        for level in range(LEVELS, 0, -1):
            x = torch.cat([self.get_submodule(f"upconv{level}")(x), skips.pop()], 1)
            x = self.get_submodule(f"decoder{level}")(x)
        return torch.sigmoid(self.conv(x))
