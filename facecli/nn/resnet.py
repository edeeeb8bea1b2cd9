"""ResNet without its classifier, with torchvision's state-dict names.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, in torchvision's form: where a bottleneck halves
the picture, its 3×3 convolution does.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

STAGES = 4
WIDTH = 64
POOLED = 7  # side of the last map of a 224×224 picture


class Bottleneck(nn.Module):
    """[B, `wide_in`, H, W] -> [B, 4 `width`, H / stride, W / stride]: 1×1, 3×3, 1×1 and the way around them."""

    expansion = 4
    norms = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, wide_in: int, width: int, stride: int = 1):
        super().__init__()
        wide_out = width * self.expansion
        self.conv1 = nn.Conv2d(wide_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide_out)
        self.downsample = _shortcut(wide_in, wide_out, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


def _shortcut(wide_in: int, wide_out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and wide_in == wide_out:
        return None
    return nn.Sequential(nn.Conv2d(wide_in, wide_out, 1, stride, bias=False), nn.BatchNorm2d(wide_out))


class ResNet(nn.Module):
    """Pictures [B, 3, 224, 224] -> features [B, `width`].

    Args:
        block: the kind of block, e.g. :class:`Bottleneck`.
        depths: blocks in each of the four stages: (3, 4, 6, 3) with bottlenecks is ResNet-50.
    """

    norms = (("conv1", "bn1"),)

    def __init__(self, block: type[Bottleneck] = Bottleneck, depths: tuple[int, ...] = (3, 4, 6, 3)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        wide = WIDTH
        for stage, depth in enumerate(depths):
            width = WIDTH * 2**stage
            blocks = [block(wide, width, stride=1 if stage == 0 else 2)]
            wide = width * block.expansion
            blocks += [block(wide, width) for _ in range(depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AvgPool2d(POOLED, stride=1)
        self.width = wide

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.avgpool(self.features(images)[-1]).flatten(1)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The maps of the stem [B, 64, H/2, W/2] and of the four stages, down to [B, `width`, H/32, W/32]."""
        maps = [F.relu(self.bn1(self.conv1(images)), inplace=True)]
        x = self.maxpool(maps[0])
        for stage in range(1, STAGES + 1):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        return maps
