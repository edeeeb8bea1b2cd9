"""DECA's encoders: a ResNet-50 and two linear layers, with the official state-dict names.

Feng et al., "Learning an Animatable Detailed 3D Face Model from In-the-Wild Images", SIGGRAPH 2021. EMOCA's encoders
are the same network.
"""

from __future__ import annotations

import torch
from torch import nn

from facecli.nn.resnet import ResNet

HIDDEN = 1024
# What the coarse encoder's numbers are, in their order.
SIZES = {"shape": 100, "tex": 50, "exp": 50, "pose": 6, "cam": 3, "light": 27}
N_CODES = sum(SIZES.values())
N_DETAIL = 128
BANDS, CHANNELS = 9, 3  # of the light: spherical harmonics × RGB

CODE_NAMES = {
    "identity": "shape",
    "texture": "tex",
    "expression": "exp",
    "camera": "cam",
    "light": "light",
}
"""facecli's name of each code -> DECA's. Its `pose` is our `pose` and `jaw`, its `detail` ours."""


class ResnetEncoder(nn.Module):
    """Crops [B, 3, 224, 224] (RGB 0..1, not normalised) -> `numbers` codes [B, numbers].

    E_flame has 236 of them (see :func:`split`), E_detail 128.
    """

    def __init__(self, numbers: int):
        super().__init__()
        self.encoder = ResNet()
        self.layers = nn.Sequential(nn.Linear(self.encoder.width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, numbers))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(self.encoder(images))


def split(numbers: torch.Tensor) -> dict[str, torch.Tensor]:
    """E_flame's numbers [B, 236] by their official names: `shape` [B, 100], `tex` [B, 50], `exp` [B, 50], `pose` [B, 6]
    (axis-angle of head and jaw, radians), `cam` [B, 3] (scale, tx, ty), `light` [B, 9, 3] (bands × RGB)."""
    codes = dict(zip(SIZES, numbers.split(tuple(SIZES.values()), 1), strict=True))
    codes["light"] = codes["light"].unflatten(1, (BANDS, CHANNELS))
    return codes


def rename(codes: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Codes by facecli's names: `identity`, `texture`, `expression`, `pose` [B, 3], `jaw` [B, 3], `camera`, `light`."""
    pose, jaw = codes["pose"].split(3, 1)
    return {name: codes[theirs] for name, theirs in CODE_NAMES.items()} | {"pose": pose, "jaw": jaw}
