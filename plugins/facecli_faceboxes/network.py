"""FaceBoxes' network, with the official state-dict names.

Zhang et al., "FaceBoxes: A CPU Real-time Face Detector with High Accuracy", IJCB 2017: the picture shrinks to a 32nd
in two steps, three Inception blocks look at it at several sizes, and three scales give boxes and scores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

ANCHORS = (21, 1, 1)
"""Priors a cell at the strides 32, 64 and 128."""


class ConvBNReLU(nn.Module):
    """Convolution without bias, norm, ReLU."""

    norms = (("conv", "bn"),)

    def __init__(self, wide_in: int, wide_out: int, kernel: int, stride: int = 1, padding: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(wide_in, wide_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(wide_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class CReLU(ConvBNReLU):
    """ReLU of the normed convolution and of its negative, side by side: twice the channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x))
        return F.relu(torch.cat([x, -x], 1), inplace=True)


class Inception(nn.Module):
    """128 channels to 128 of four fields of view, 32 each."""

    def __init__(self):
        super().__init__()
        self.branch1x1 = ConvBNReLU(128, 32, 1)
        self.branch1x1_2 = ConvBNReLU(128, 32, 1)
        self.branch3x3_reduce = ConvBNReLU(128, 24, 1)
        self.branch3x3 = ConvBNReLU(24, 32, 3, padding=1)
        self.branch3x3_reduce_2 = ConvBNReLU(128, 24, 1)
        self.branch3x3_2 = ConvBNReLU(24, 32, 3, padding=1)
        self.branch3x3_3 = ConvBNReLU(32, 32, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [
            self.branch1x1(x),
            self.branch1x1_2(F.avg_pool2d(x, 3, stride=1, padding=1)),
            self.branch3x3(self.branch3x3_reduce(x)),
            self.branch3x3_3(self.branch3x3_2(self.branch3x3_reduce_2(x))),
        ]
        return torch.cat(parts, 1)


class FaceBoxes(nn.Module):
    """Pictures [B, 3, H, W] (BGR 0..255 less the mean) -> offsets [B, P, 4] and scores of background and face [B, P, 2]
    of the P priors of :func:`facecli_faceboxes.boxes.make_priors`."""

    def __init__(self):
        super().__init__()
        self.conv1 = CReLU(3, 24, 7, stride=4, padding=3)
        self.conv2 = CReLU(48, 64, 5, stride=2, padding=2)
        self.inception1, self.inception2, self.inception3 = Inception(), Inception(), Inception()
        self.conv3_1 = ConvBNReLU(128, 128, 1)
        self.conv3_2 = ConvBNReLU(128, 256, 3, stride=2, padding=1)
        self.conv4_1 = ConvBNReLU(256, 128, 1)
        self.conv4_2 = ConvBNReLU(128, 256, 3, stride=2, padding=1)
        widths = (128, 256, 256)
        self.loc = nn.ModuleList(_head(width, 4 * count) for width, count in zip(widths, ANCHORS, strict=True))
        self.conf = nn.ModuleList(_head(width, 2 * count) for width, count in zip(widths, ANCHORS, strict=True))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.max_pool2d(self.conv1(images), 3, stride=2, padding=1)
        x = F.max_pool2d(self.conv2(x), 3, stride=2, padding=1)
        fine = self.inception3(self.inception2(self.inception1(x)))
        middle = self.conv3_2(self.conv3_1(fine))
        coarse = self.conv4_2(self.conv4_1(middle))
        scales = [fine, middle, coarse]
        return _of_priors(self.loc, scales, 4), _of_priors(self.conf, scales, 2).softmax(-1)


def _head(wide_in: int, wide_out: int) -> nn.Conv2d:
    return nn.Conv2d(wide_in, wide_out, 3, padding=1)


def _of_priors(heads: nn.ModuleList, scales: list[torch.Tensor], values: int) -> torch.Tensor:
    """[B, P, values]: cell by cell, prior by prior, scale by scale."""
    maps = [head(scale).permute(0, 2, 3, 1) for head, scale in zip(heads, scales, strict=True)]
    return torch.cat([cells.reshape(len(cells), -1, values) for cells in maps], 1)
