"""SMIRK's encoder: three small networks that look at the same crop, with the official state-dict names.

Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis", CVPR 2024.
"""

from __future__ import annotations

import torch
from torch import nn

from facecli.nn.mobilenetv3 import MobileNetV3

N_SHAPE, N_EXPRESSION = 300, 50
POSE, CAMERA, EYELIDS, JAW = 3, 3, 2, 3
JAW_SIDEWAYS = 0.2  # radians that the jaw may turn about y and z
_START_SCALE = 7.0


class _Branch(nn.Module):
    """A backbone, pooled, and one linear layer. The layer's official name differs from branch to branch."""

    head: str

    def __init__(self, variant: str, numbers: int):
        super().__init__()
        self.encoder = MobileNetV3(variant)
        self.add_module(self.head, nn.Sequential(nn.Linear(self.encoder.width, numbers)))
        self.initialise(self.get_submodule(self.head)[0])

    def initialise(self, layer: nn.Linear) -> None:
        """Training's start for the last layer."""
        raise NotImplementedError

    def raw(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's numbers [B, n]."""
        return self.get_submodule(self.head)(self.encoder(images).mean((2, 3)))


class PoseEncoder(_Branch):
    """Crops [B, 3, 224, 224] -> `pose_params` [B, 3] (axis-angle, radians) and `cam` [B, 3] = (scale, tx, ty)."""

    head = "pose_cam_layers"

    def __init__(self):
        super().__init__("small", POSE + CAMERA)

    @torch.no_grad()
    def initialise(self, layer: nn.Linear) -> None:
        layer.weight *= 0.001
        layer.bias *= 0.001
        layer.weight[POSE] = 0
        layer.bias[POSE] = _START_SCALE

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        raw = self.raw(images)
        return {"pose_params": raw[:, :POSE], "cam": raw[:, POSE:]}


class ShapeEncoder(_Branch):
    """Crops [B, 3, 224, 224] -> `shape_params` [B, n_shape]."""

    head = "shape_layers"

    def __init__(self, n_shape: int = N_SHAPE):
        super().__init__("large", n_shape)

    @torch.no_grad()
    def initialise(self, layer: nn.Linear) -> None:
        layer.weight.zero_()
        layer.bias.zero_()

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"shape_params": self.raw(images)}


class ExpressionEncoder(_Branch):
    """Crops [B, 3, 224, 224] -> `expression_params` [B, n_exp], `eyelid_params` [B, 2] (left, right; 0 open, 1 closed)
    and `jaw_params` [B, 3] (axis-angle, radians)."""

    head = "expression_layers"

    def __init__(self, n_exp: int = N_EXPRESSION):
        super().__init__("large", n_exp + EYELIDS + JAW)
        self.n_exp = n_exp

    @torch.no_grad()
    def initialise(self, layer: nn.Linear) -> None:
        layer.weight *= 0.1
        layer.bias *= 0.1

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.split(self.raw(images))

    def split(self, raw: torch.Tensor) -> dict[str, torch.Tensor]:
        """The last layer's numbers [B, n_exp + 5], named and kept within what faces do: the jaw opens, but doesn't
        close beyond the teeth."""
        expression, eyelids, jaw = raw.split((self.n_exp, EYELIDS, JAW), 1)
        opening, sideways = jaw[:, :1].relu(), jaw[:, 1:].clamp(-JAW_SIDEWAYS, JAW_SIDEWAYS)
        return {
            "expression_params": expression,
            "eyelid_params": eyelids.clamp(0, 1),
            "jaw_params": torch.cat([opening, sideways], 1),
        }


class SmirkEncoder(nn.Module):
    """Crops [B, 3, 224, 224] (RGB 0..1) -> the codes of the three encoders, by their official names."""

    def __init__(self, n_shape: int = N_SHAPE, n_exp: int = N_EXPRESSION):
        super().__init__()
        self.pose_encoder = PoseEncoder()
        self.shape_encoder = ShapeEncoder(n_shape)
        self.expression_encoder = ExpressionEncoder(n_exp)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {**self.pose_encoder(images), **self.shape_encoder(images), **self.expression_encoder(images)}
