"""FAN, the stacked-hourglass landmark network, with the official state-dict names.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV 2017. One module fits
face-alignment's 2DFAN-4 and 3DFAN-4 (`stacks=4`, average pooling) and ibug's 2dfan2 (`stacks=2`, max pooling) and
2dfan4 (as face-alignment's).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 256
DEPTH = 4
POOLINGS = {"average": F.avg_pool2d, "max": F.max_pool2d}


class ConvBlock(nn.Module):
    """Pre-activation block [B, `wide_in`, H, W] -> [B, `wide_out`, H, W]: three 3×3 convolutions in a row, each result
    kept, of half, a quarter and a quarter of the width."""

    def __init__(self, wide_in: int, wide_out: int):
        super().__init__()
        half, quarter = wide_out // 2, wide_out // 4
        self.bn1 = nn.BatchNorm2d(wide_in)
        self.conv1 = nn.Conv2d(wide_in, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample = None
        if wide_in != wide_out:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(wide_in), nn.ReLU(), nn.Conv2d(wide_in, wide_out, 1, bias=False)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.conv1(F.relu(self.bn1(x)))
        second = self.conv2(F.relu(self.bn2(first)))
        third = self.conv3(F.relu(self.bn3(second)))
        residual = x if self.downsample is None else self.downsample(x)
        return torch.cat((first, second, third), 1) + residual


class Hourglass(nn.Module):
    """Looks at [B, width, H, W] on `depth` further scales and sums what it saw; H and W divisible by 2**depth."""

    def __init__(self, width: int, depth: int, pooling: str):
        super().__init__()
        self.depth = depth
        self.pool = POOLINGS[pooling]
        # The order of registration is that of the official state dict: from the outside in, then out again.
        for level in range(depth, 0, -1):
            self.add_module(f"b1_{level}", ConvBlock(width, width))
            self.add_module(f"b2_{level}", ConvBlock(width, width))
        self.b2_plus_1 = ConvBlock(width, width)
        for level in range(1, depth + 1):
            self.add_module(f"b3_{level}", ConvBlock(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._level(self.depth, x)

    def _level(self, level: int, x: torch.Tensor) -> torch.Tensor:
        skip = self.get_submodule(f"b1_{level}")(x)
        low = self.get_submodule(f"b2_{level}")(self.pool(x, 2))
        low = self._level(level - 1, low) if level > 1 else self.b2_plus_1(low)
        low = self.get_submodule(f"b3_{level}")(low)
        return skip + F.interpolate(low, scale_factor=2, mode="nearest")


class FAN(nn.Module):
    """Face crops [B, 3, 256, 256] (RGB 0..1) -> heat maps [B, points, 64, 64] of every stack, the last the best.

    Args:
        stacks: number of hourglasses.
        pooling: ``"average"`` or ``"max"``, in the stem and the hourglasses.
        points: number of landmarks.
    """

    def __init__(self, stacks: int = 4, pooling: str = "average", points: int = 68):
        super().__init__()
        self.stacks = stacks
        self.pool = POOLINGS[pooling]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = ConvBlock(64, 128)
        self.conv3 = ConvBlock(128, 128)
        self.conv4 = ConvBlock(128, WIDTH)
        for i in range(stacks):
            self.add_module(f"m{i}", Hourglass(WIDTH, DEPTH, pooling))
            self.add_module(f"top_m_{i}", ConvBlock(WIDTH, WIDTH))
            self.add_module(f"conv_last{i}", nn.Conv2d(WIDTH, WIDTH, 1))
            self.add_module(f"bn_end{i}", nn.BatchNorm2d(WIDTH))
            self.add_module(f"l{i}", nn.Conv2d(WIDTH, points, 1))
            if i < stacks - 1:
                self.add_module(f"bl{i}", nn.Conv2d(WIDTH, WIDTH, 1))
                self.add_module(f"al{i}", nn.Conv2d(points, WIDTH, 1))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.conv4(self.conv3(self.pool(self.conv2(x), 2)))
        heatmaps = []
        for i in range(self.stacks):
            part = {name: self.get_submodule(f"{name}{i}") for name in ("m", "top_m_", "conv_last", "bn_end", "l")}
            features = part["top_m_"](part["m"](x))
            features = F.relu(part["bn_end"](part["conv_last"](features)))
            heatmaps.append(part["l"](features))
            if i < self.stacks - 1:
                x = x + self.get_submodule(f"bl{i}")(features) + self.get_submodule(f"al{i}")(heatmaps[-1])
        return heatmaps
