"""GhostNet without its classifier, with the official state-dict names.

Han et al., "GhostNet: More Features from Cheap Operations", CVPR 2020.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

STEM, WIDTH = 16, 1280
SQUEEZE = 4  # squeeze-and-excite works on a quarter of the channels
# Stages of blocks (kernel, width inside, channels out, squeeze-and-excite, stride).
_STAGES = (
    ((3, 16, 16, False, 1),),
    ((3, 48, 24, False, 2),),
    ((3, 72, 24, False, 1),),
    ((5, 72, 40, True, 2),),
    ((5, 120, 40, True, 1),),
    ((3, 240, 80, False, 2),),
    (
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
    ),
    ((5, 672, 160, True, 2),),
    (
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
    ),
)


def _depthwise(wide: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(wide, wide, kernel, stride, padding=kernel // 2, groups=wide, bias=False)


def _pointwise(wide_in: int, wide_out: int) -> nn.Conv2d:
    return nn.Conv2d(wide_in, wide_out, 1, bias=False)


class GhostModule(nn.Module):
    """[B, `wide_in`, H, W] -> [B, `wide_out`, H, W]: half of the maps by a 1×1 convolution, their ghosts by a depthwise
    3×3 of these."""

    def __init__(self, wide_in: int, wide_out: int, active: bool):
        super().__init__()
        half = wide_out // 2
        last = (nn.ReLU(inplace=True),) if active else ()
        self.primary_conv = nn.Sequential(_pointwise(wide_in, half), nn.BatchNorm2d(half), *last)
        self.cheap_operation = nn.Sequential(_depthwise(half, 3), nn.BatchNorm2d(half), *last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.primary_conv(x)
        return torch.cat([maps, self.cheap_operation(maps)], 1)


class SqueezeExcite(nn.Module):
    """Weighs the channels of [B, C, H, W] by what their means say."""

    def __init__(self, wide: int):
        super().__init__()
        narrow = (wide // SQUEEZE + 2) // 4 * 4  # the nearest multiple of 4
        self.conv_reduce = nn.Conv2d(wide, narrow, 1)
        self.conv_expand = nn.Conv2d(narrow, wide, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = F.relu(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.conv_expand(weights))


class GhostBottleneck(nn.Module):
    """[B, `wide_in`, H, W] -> [B, `wide_out`, H / stride, W / stride]: up to `inside` channels, down without
    activation, and the way around."""

    norms = (("conv_dw", "bn_dw"),)

    def __init__(self, wide_in: int, inside: int, wide_out: int, kernel: int, squeezed: bool, stride: int):
        super().__init__()
        self.ghost1 = GhostModule(wide_in, inside, active=True)
        self.conv_dw = _depthwise(inside, kernel, stride) if stride > 1 else nn.Identity()
        self.bn_dw = nn.BatchNorm2d(inside) if stride > 1 else nn.Identity()
        self.se = SqueezeExcite(inside) if squeezed else None
        self.ghost2 = GhostModule(inside, wide_out, active=False)
        self.shortcut = nn.Sequential()
        if stride > 1 or wide_in != wide_out:
            self.shortcut = nn.Sequential(
                _depthwise(wide_in, kernel, stride),
                nn.BatchNorm2d(wide_in),
                _pointwise(wide_in, wide_out),
                nn.BatchNorm2d(wide_out),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn_dw(self.conv_dw(self.ghost1(x)))
        if self.se is not None:
            y = self.se(y)
        return self.ghost2(y) + self.shortcut(x)


class ConvNorm(nn.Module):
    """[B, C, H, W] -> [B, `wide_out`, H, W]: 1×1, norm, ReLU."""

    norms = (("conv", "bn1"),)

    def __init__(self, wide_in: int, wide_out: int):
        super().__init__()
        self.conv = _pointwise(wide_in, wide_out)
        self.bn1 = nn.BatchNorm2d(wide_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn1(self.conv(x)), inplace=True)


class GhostNet(nn.Module):
    """Pictures [B, 3, H, W] -> features [B, 1280]."""

    norms = (("conv_stem", "bn1"),)

    def __init__(self):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        stages, wide = [], STEM
        for rows in _STAGES:
            blocks = []
            for kernel, inside, wide_out, squeezed, stride in rows:
                blocks.append(GhostBottleneck(wide, inside, wide_out, kernel, squeezed, stride))
                wide = wide_out
            stages.append(nn.Sequential(*blocks))
        stages.append(nn.Sequential(ConvNorm(wide, inside)))  # as wide as the last block is inside
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(inside, WIDTH, 1)
        self.width = WIDTH

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.blocks(F.relu(self.bn1(self.conv_stem(images)), inplace=True))
        return F.relu(self.conv_head(x.mean((2, 3), keepdim=True))).flatten(1)
