"""MobileNetV1 of any width without its classifier, with the state-dict names of 3DDFA and 3DDFA_V2.

Howard et al., "MobileNets", 2017.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

STEM, LAST = 32, 1024  # channels of the first and of the last layer at width 1
NARROWEST = 1 / STEM
# Blocks: name, channels out (at width 1), stride.
_BLOCKS = (
    ("dw2_1", 64, 1),
    ("dw2_2", 128, 2),
    ("dw3_1", 128, 1),
    ("dw3_2", 256, 2),
    ("dw4_1", 256, 1),
    ("dw4_2", 512, 2),
    ("dw5_1", 512, 1),
    ("dw5_2", 512, 1),
    ("dw5_3", 512, 1),
    ("dw5_4", 512, 1),
    ("dw5_5", 512, 1),
    ("dw5_6", 1024, 2),
    ("dw6", LAST, 1),
)


class DepthwiseSeparable(nn.Module):
    """[B, `wide_in`, H, W] -> [B, `wide_out`, H / stride, W / stride]: depthwise 3×3, then 1×1."""

    norms = (("conv_dw", "bn_dw"), ("conv_sep", "bn_sep"))

    def __init__(self, wide_in: int, wide_out: int, stride: int):
        super().__init__()
        self.conv_dw = nn.Conv2d(wide_in, wide_in, 3, stride, padding=1, groups=wide_in, bias=False)
        self.bn_dw = nn.BatchNorm2d(wide_in)
        self.conv_sep = nn.Conv2d(wide_in, wide_out, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(wide_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn_dw(self.conv_dw(x)), inplace=True)
        return F.relu(self.bn_sep(self.conv_sep(x)), inplace=True)


class MobileNetV1(nn.Module):
    """Pictures [B, 3, H, W] -> features [B, `width`].

    Args:
        widen: factor on all widths, which are rounded down, at least `NARROWEST`; at 1 `width` is `LAST`.
    """

    norms = (("conv1", "bn1"),)

    def __init__(self, widen: float = 1.0):
        super().__init__()
        self.width = int(STEM * widen)
        self.conv1 = nn.Conv2d(3, self.width, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(self.width)
        for name, channels, stride in _BLOCKS:
            wide_out = int(channels * widen)
            self.add_module(name, DepthwiseSeparable(self.width, wide_out, stride))
            self.width = wide_out

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        for name, _, _ in _BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))
