"""3DDFA_V2's two networks, with the official state-dict names.

Guo et al., "Towards Fast, Accurate and Stable 3D Dense Face Alignment", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from facecli.nn.checkpoints import rows
from facecli.nn.mobilenetv1 import LAST, NARROWEST, MobileNetV1
from facecli.nn.resnet import BasicBlock

INPUT_SIZE = 120
N_PARAMETERS = 62
# Numbers that a network may give, after the camera's 12 -> how many are identity and expression. Ours give 62.
CODES = {62: (40, 10), 72: (40, 20), 141: (100, 29)}
_RESNET22 = ((128, 3), (256, 4), (512, 3))  # width and blocks of each stage


class MobileNet(MobileNetV1):
    """Crops [B, 3, 120, 120] (BGR, (x − 127.5) / 128) -> whitened parameters [B, `numbers`].

    Args:
        widen: factor on all widths: 1 in mb1, 0.5 in mb05.
        numbers: how many parameters.
    """

    def __init__(self, widen: float = 1.0, numbers: int = N_PARAMETERS):
        super().__init__(widen)
        self.numbers = numbers
        self.fc = nn.Linear(self.width, numbers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(super().forward(images))


class ResNet22(nn.Module):
    """Crops [B, 3, 120, 120] (BGR, (x − 127.5) / 128) -> whitened parameters [B, `numbers`]."""

    norms = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, numbers: int = N_PARAMETERS):
        super().__init__()
        self.numbers = numbers
        self.conv1 = nn.Conv2d(3, 32, 5, stride=2, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        wide = 64
        for stage, (width, depth) in enumerate(_RESNET22, 1):
            blocks = [BasicBlock(wide, width, stride=2), *(BasicBlock(width, width) for _ in range(depth - 1))]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            wide = width
        self.conv_param = nn.Conv2d(wide, numbers, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.conv_param(x.mean((2, 3), keepdim=True)).flatten(1)  # a 1×1 convolution may as well follow the mean


def recognise(state: Mapping[str, torch.Tensor]) -> Callable[[], nn.Module] | None:
    """What makes the network that `state` belongs to; None if it is none of these two."""
    if numbers := rows(state, "conv_param.weight"):
        return partial(ResNet22, numbers)
    if (width := rows(state, "dw6.conv_sep.weight")) and (numbers := rows(state, "fc.weight")):
        return partial(MobileNet, max(width / LAST, NARROWEST), numbers)
    return None
