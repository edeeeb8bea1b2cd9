"""ResNeSt-50 without its classifier, with the official state-dict names.

Zhang et al., "ResNeSt: Split-Attention Networks", 2020: radix 2, one cardinal group, a deep stem, and average pooling
wherever the picture is halved.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

STEM = 32
RADIX = 2
DEPTHS = (3, 4, 6, 3)
EXPANSION = 4
_LEAST = 32  # channels that attention is computed in


class SplitAttention(nn.Module):
    """[B, C, H, W] -> [B, C, H, W]: a 3×3 convolution to `RADIX` sets of C maps, and their sum, weighted channel by
    channel."""

    norms = (("conv", "bn0"), ("fc1", "bn1"))

    def __init__(self, wide: int):
        super().__init__()
        inside = max(wide * RADIX // 4, _LEAST)
        self.conv = nn.Conv2d(wide, wide * RADIX, 3, padding=1, groups=RADIX, bias=False)
        self.bn0 = nn.BatchNorm2d(wide * RADIX)
        self.fc1 = nn.Conv2d(wide, inside, 1)
        self.bn1 = nn.BatchNorm2d(inside)
        self.fc2 = nn.Conv2d(inside, wide * RADIX, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        splits = F.relu(self.bn0(self.conv(x)), inplace=True).chunk(RADIX, 1)
        weights = sum(splits).mean((2, 3), keepdim=True)
        weights = self.fc2(F.relu(self.bn1(self.fc1(weights))))
        weights = weights.unflatten(1, (RADIX, -1)).softmax(1)
        return sum(split * weights[:, index] for index, split in enumerate(splits))


class Bottleneck(nn.Module):
    """[B, `wide_in`, H, W] -> [B, 4 `width`, H / stride, W / stride]."""

    norms = (("conv1", "bn1"), ("conv3", "bn3"))

    def __init__(self, wide_in: int, width: int, stride: int):
        super().__init__()
        wide_out = width * EXPANSION
        self.conv1 = nn.Conv2d(wide_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = SplitAttention(width)
        self.avd_layer = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, wide_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide_out)
        self.downsample = _shortcut(wide_in, wide_out, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn3(self.conv3(self.avd_layer(self.conv2(y))))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


def _shortcut(wide_in: int, wide_out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and wide_in == wide_out:
        return None
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, nn.Conv2d(wide_in, wide_out, 1, bias=False), nn.BatchNorm2d(wide_out))


def _stem() -> nn.Sequential:
    """[B, 3, H, W] -> [B, 2 `STEM`, H / 2, W / 2], before the norm."""
    return nn.Sequential(
        nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(STEM),
        nn.ReLU(inplace=True),
        nn.Conv2d(STEM, STEM, 3, padding=1, bias=False),
        nn.BatchNorm2d(STEM),
        nn.ReLU(inplace=True),
        nn.Conv2d(STEM, 2 * STEM, 3, padding=1, bias=False),
    )


class ResNeSt50(nn.Module):
    """Pictures [B, 3, H, W] -> features [B, 2048]."""

    def __init__(self):
        super().__init__()
        self.conv1 = _stem()
        wide = 2 * STEM
        self.bn1 = nn.BatchNorm2d(wide)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for stage, depth in enumerate(DEPTHS):
            width = 2 * STEM * 2**stage
            blocks = [Bottleneck(wide, width, 1 if stage == 0 else 2)]
            wide = width * EXPANSION
            blocks += [Bottleneck(wide, width, 1) for _ in range(depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.width = wide

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        for stage in range(len(DEPTHS)):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x.mean((2, 3))
