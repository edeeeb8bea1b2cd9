"""MobileNetV2 without its classifier, with the state-dict names that torchvision gave it in 2019.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from __future__ import annotations

import torch
from torch import nn

STEM, WIDTH = 32, 1280
# Stages: factor of the width inside, channels out, blocks, stride of the first.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _conv(wide_in: int, wide_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(wide_in, wide_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(wide_out),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """[B, `wide_in`, H, W] -> [B, `wide_out`, H / stride, W / stride]: 1×1 up to `factor` times the width (none at 1),
    depthwise 3×3, 1×1 down without activation."""

    def __init__(self, wide_in: int, wide_out: int, stride: int, factor: int):
        super().__init__()
        inside = factor * wide_in
        self.residual = stride == 1 and wide_in == wide_out
        self.conv = nn.Sequential(
            *(() if factor == 1 else (_conv(wide_in, inside, 1),)),
            _conv(inside, inside, 3, stride, groups=inside),
            nn.Conv2d(inside, wide_out, 1, bias=False),
            nn.BatchNorm2d(wide_out),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """Pictures [B, 3, H, W] -> features [B, 1280]."""

    def __init__(self):
        super().__init__()
        layers, wide = [_conv(3, STEM, 3, stride=2)], STEM
        for factor, wide_out, blocks, stride in _STAGES:
            for index in range(blocks):
                layers.append(InvertedResidual(wide, wide_out, 1 if index else stride, factor))
                wide = wide_out
        self.features = nn.Sequential(*layers, _conv(wide, WIDTH, 1))
        self.width = WIDTH

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images).mean((2, 3))
