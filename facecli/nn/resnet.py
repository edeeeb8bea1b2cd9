"""ResNet without its classifier, with torchvision's state-dict names.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, in torchvision's form: where a bottleneck halves
the picture, its 3×3 convolution does. ResNeXt (Xie et al., CVPR 2017) and wide ResNets (Zagoruyko and Komodakis, BMVC
2016) are the same with other widths within the bottlenecks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

STAGES = 4
WIDTH = 64


class BasicBlock(nn.Module):
    """[B, `wide_in`, H, W] -> [B, `width`, H / stride, W / stride]: 3×3, 3×3 and the way around them."""

    expansion = 1
    norms = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, wide_in: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(wide_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(wide_in, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """[B, `wide_in`, H, W] -> [B, 4 `width`, H / stride, W / stride]: 1×1, 3×3, 1×1 and the way around them.

    Args:
        groups: of the 3×3 convolution.
        group_width: channels of a group where `width` is 64, and in proportion elsewhere.
    """

    expansion = 4
    norms = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, wide_in: int, width: int, stride: int = 1, groups: int = 1, group_width: int = WIDTH):
        super().__init__()
        inside, wide_out = width * group_width // WIDTH * groups, width * self.expansion
        self.conv1 = nn.Conv2d(wide_in, inside, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, wide_out, 1, bias=False)
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
    """Pictures [B, 3, H, W] -> features [B, `width`].

    Args:
        block: the kind of block.
        depths: blocks in each of the four stages: (3, 4, 6, 3) with bottlenecks is ResNet-50.
        options: of the blocks.
    """

    norms = (("conv1", "bn1"),)

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck] = Bottleneck,
        depths: tuple[int, ...] = (3, 4, 6, 3),
        **options: int,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        wide = WIDTH
        for stage, depth in enumerate(depths):
            width = WIDTH * 2**stage
            blocks = [block(wide, width, stride=1 if stage == 0 else 2, **options)]
            wide = width * block.expansion
            blocks += [block(wide, width, **options) for _ in range(depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.width = wide

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images)[-1].mean((2, 3))

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The maps of the stem [B, 64, H/2, W/2] and of the four stages, down to [B, `width`, H/32, W/32]."""
        maps = [F.relu(self.bn1(self.conv1(images)), inplace=True)]
        x = self.maxpool(maps[0])
        for stage in range(1, STAGES + 1):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        return maps


# Name -> the arguments of `ResNet`, as torchvision has them.
ARCHITECTURES = {
    "resnet18": (BasicBlock, (2, 2, 2, 2), {}),
    "resnet34": (BasicBlock, (3, 4, 6, 3), {}),
    "resnet50": (Bottleneck, (3, 4, 6, 3), {}),
    "resnet101": (Bottleneck, (3, 4, 23, 3), {}),
    "resnet152": (Bottleneck, (3, 8, 36, 3), {}),
    "resnext50_32x4d": (Bottleneck, (3, 4, 6, 3), {"groups": 32, "group_width": 4}),
    "resnext101_32x8d": (Bottleneck, (3, 4, 23, 3), {"groups": 32, "group_width": 8}),
    "wide_resnet50_2": (Bottleneck, (3, 4, 6, 3), {"group_width": 128}),
    "wide_resnet101_2": (Bottleneck, (3, 4, 23, 3), {"group_width": 128}),
}


def recognise(state: Mapping[str, torch.Tensor]) -> str:
    """The name in `ARCHITECTURES` of the network that `state` belongs to; "" for none of them."""
    stages = [{key.split(".")[1] for key in state if key.startswith(f"layer{n}.")} for n in range(1, STAGES + 1)]
    depths = tuple(len(blocks) for blocks in stages)
    for name, (block, wanted, options) in ARCHITECTURES.items():
        if depths == wanted and _begins_with(state, block, options):
            return name
    return ""


def _begins_with(state: Mapping[str, torch.Tensor], block: type[nn.Module], options: Mapping[str, int]) -> bool:
    """Whether the first block's weights have the right shapes."""
    with torch.device("meta"):
        weights = block(WIDTH, WIDTH, **options).named_parameters(prefix="layer1.0")
    return all(key in state and state[key].shape == weight.shape for key, weight in weights)
