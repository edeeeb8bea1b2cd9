"""SynergyNet's backbones, for every `--arch` of its code: a trunk and linear heads, with the official state-dict names.

Wu et al., "Synergy between 3DMM and 3D Landmarks for Accurate 3D Facial Geometry", 3DV 2021. Weights were published for
mobilenet_v2 only. In the official code most of the others give their numbers in a form that its own caller can't take;
here all are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from facecli.nn import resnet
from facecli.nn.checkpoints import rows
from facecli.nn.ghostnet import GhostNet
from facecli.nn.mobilenetv1 import LAST, MobileNetV1
from facecli.nn.mobilenetv2 import MobileNetV2
from facecli.nn.resnest import ResNeSt50

INPUT_SIZE = 120
# What the numbers are, in their order: a 3×4 affine camera, identity, expression.
SIZES = {"ori": 12, "shape": 40, "exp": 10}
N_PARAMETERS = sum(SIZES.values())
N_TEXTURE = 40  # which most architectures have a head for, and nothing uses
DROPOUT = 0.2


class Regressor(nn.Module):
    """Puts heads on a trunk that gives features [B, `width`]; to be inherited from before the trunk.

    Crops [B, 3, 120, 120] (BGR, (x − 127.5) / 128) -> whitened parameters [B, 62] and the features [B, `width`].
    """

    heads: Mapping[str, int] = {}
    """Name -> numbers of every head, in the order of the official state dict. The names end as `SIZES` has them."""
    dropout = 0.0

    def __init__(self, *arguments: object, **options: object):
        super().__init__(*arguments, **options)
        for name, numbers in self.heads.items():
            linear = nn.Linear(self.width, numbers)
            self.add_module(name, nn.Sequential(nn.Dropout(self.dropout), linear) if self.dropout else linear)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = super().forward(images)
        by_part = {name.partition("_")[2]: name for name in self.heads}
        return torch.cat([self.get_submodule(by_part[part])(pooled) for part in SIZES], 1), pooled


def _heads(prefix: str, parts: Mapping[str, int]) -> dict[str, int]:
    return {f"{prefix}_{part}": numbers for part, numbers in parts.items()}


class MobileNetV2Regressor(Regressor, MobileNetV2):
    heads = _heads("classifier", SIZES)
    dropout = DROPOUT


class MobileNetV1Regressor(Regressor, MobileNetV1):
    heads = _heads("fc", SIZES | {"tex": N_TEXTURE})


class ResNetRegressor(Regressor, resnet.ResNet):
    heads = _heads("fc", {"tex": N_TEXTURE} | SIZES)


class GhostNetRegressor(Regressor, GhostNet):
    heads = _heads("classifier", SIZES | {"texture": N_TEXTURE})


class ResNeSt50Regressor(Regressor, ResNeSt50):
    heads = _heads("fc", SIZES | {"tex": N_TEXTURE})


WIDTHS = {"mobilenet_1": 1.0, "mobilenet_2": 2.0, "mobilenet_075": 0.75, "mobilenet_05": 0.5, "mobilenet_025": 0.25}
# `--arch` -> what makes the network.
ARCHITECTURES: dict[str, Callable[[], Regressor]] = {
    "mobilenet_v2": MobileNetV2Regressor,
    **{name: partial(MobileNetV1Regressor, widen) for name, widen in WIDTHS.items()},
    **{
        name: partial(ResNetRegressor, block, depths, **options)
        for name, (block, depths, options) in resnet.ARCHITECTURES.items()
    },
    "ghostnet": GhostNetRegressor,
    "resnest50": ResNeSt50Regressor,
}
# A tensor that only one kind of trunk has -> the architecture.
_MARKS = {
    "features.18.0.weight": "mobilenet_v2",
    "conv_stem.weight": "ghostnet",
    "conv1.0.weight": "resnest50",
}


def recognise(state: Mapping[str, torch.Tensor]) -> str:
    """The name in `ARCHITECTURES` of the backbone that `state` belongs to; "" for none of them."""
    for key, name in _MARKS.items():
        if key in state:
            return name
    if width := rows(state, "dw6.conv_sep.weight"):
        return {int(LAST * widen): name for name, widen in WIDTHS.items()}.get(width, "")
    return resnet.recognise(state)
