"""Deep3DFaceRecon's regressor, with the official state-dict names.

Deng et al., "Accurate 3D Face Reconstruction with Weakly-Supervised Learning: From Single Image to Image Set", CVPRW
2019, in the PyTorch edition.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from facecli.nn import resnet

INPUT_SIZE = 224
# What the numbers are, in their order; each line is a head of its own.
SIZES = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans_xy": 2, "trans_z": 1}
N_COEFFICIENTS = sum(SIZES.values())
BACKBONES = ("resnet18", "resnet34", "resnet50")
BACKBONE = "resnet50"


class ReconNet(nn.Module):
    """Crops [B, 3, 224, 224] (RGB 0..1, not normalised) -> coefficients [B, 257]: see :func:`split`.

    Args:
        backbone: one of `BACKBONES`.
        use_last_fc: one linear layer instead of seven heads.
    """

    def __init__(self, backbone: str = BACKBONE, use_last_fc: bool = False):
        super().__init__()
        block, depths, _ = resnet.ARCHITECTURES[backbone]
        self.use_last_fc = use_last_fc
        self.backbone = resnet.ResNet(block, depths)
        width = self.backbone.width
        if use_last_fc:
            self.backbone.fc = nn.Linear(width, N_COEFFICIENTS)
        else:
            self.final_layers = nn.ModuleList(nn.Conv2d(width, numbers, 1) for numbers in SIZES.values())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.backbone(images)
        if self.use_last_fc:
            return self.backbone.fc(features)
        features = features[:, :, None, None]
        return torch.cat([head(features) for head in self.final_layers], 1).flatten(1)


def split(coefficients: torch.Tensor) -> dict[str, torch.Tensor]:
    """[B, 257] by the official names: `id` [B, 80], `exp` [B, 64], `tex` [B, 80] (standard deviations), `angle` [B, 3]
    (radians about x, y, z), `gamma` [B, 27] (RGB × 9 of light), `trans` [B, 3] (decimetres)."""
    *parts, xy, z = coefficients.split(tuple(SIZES.values()), 1)
    return dict(zip([*SIZES][:-2], parts, strict=True)) | {"trans": torch.cat([xy, z], 1)}


def recognise(state: Mapping[str, torch.Tensor]) -> dict[str, str | bool]:
    """The arguments of the `ReconNet` that `state` belongs to; the official one's where it can't be told."""
    begin = "backbone."
    name = resnet.recognise({key.removeprefix(begin): value for key, value in state.items() if key.startswith(begin)})
    return {"backbone": name if name in BACKBONES else BACKBONE, "use_last_fc": f"{begin}fc.weight" in state}
