"""The two networks that SynergyNet is trained with, of PointNet's kind; reconstructing needs neither.

One refines landmarks by what the backbone saw, the other guesses the parameters from landmarks. Both end in a ReLU, as
the official ones do: offsets and parameters can't be negative.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from facecli_synergynet.network import SIZES

N_POINTS = 68
POOLED = 1280  # features of mobilenet_v2
_POINTS = (3, 64, 64, 64, 128, 1024)  # widths of the five layers that see every point alone
_MIDDLE = 2  # the layer whose output counts for the point itself
_OFFSETS = (512, 256, 128, 3)
_BESIDE = _POINTS[_MIDDLE] + _POINTS[-1] + SIZES["shape"] + SIZES["exp"]  # what the offsets depend on, beside `pooled`


class _PointNet(nn.Module):
    """Layers `conv…`, `bn…` of 1×1 convolution, norm and ReLU, and the five that both networks begin with."""

    def _add_layers(self, layers: dict[str, tuple[int, int]]) -> None:
        """name -> channels in and out. All convolutions come before all norms in the official state dicts."""
        for name, (wide_in, wide_out) in layers.items():
            self.add_module(f"conv{name}", nn.Conv1d(wide_in, wide_out, 1))
        for name, (_, wide_out) in layers.items():
            self.add_module(f"bn{name}", nn.BatchNorm1d(wide_out))

    def _layer(self, name: object, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.get_submodule(f"bn{name}")(self.get_submodule(f"conv{name}")(x)))

    def _features(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Points [B, 3, N] -> features of each [B, 64, N] and of all [B, 1024, 1]."""
        x, middle = points, points
        for number in range(1, len(_POINTS)):
            x = self._layer(number, x)
            if number == _MIDDLE:
                middle = x
        return middle, x.max(2, keepdim=True).values


def _chain(widths: tuple[int, ...], first: int) -> dict[str, tuple[int, int]]:
    """Layers numbered from `first`, between neighbours of `widths`."""
    return {str(number): pair for number, pair in enumerate(itertools.pairwise(widths), first)}


class MLPFor(_PointNet):
    """`forwardDirection`: offsets [B, 3, 68] that refine landmarks, not negative, in units of 1/20 px.

    Args:
        pooled: how many features the backbone gives: 1280 in mobilenet_v2.
    """

    def __init__(self, pooled: int = POOLED):
        super().__init__()
        self._add_layers(_chain(_POINTS, 1) | _chain((_BESIDE + pooled, *_OFFSETS), len(_POINTS)))

    def forward(
        self, points: torch.Tensor, pooled: torch.Tensor, shape: torch.Tensor, expression: torch.Tensor
    ) -> torch.Tensor:
        """Landmarks [B, 3, 68] in pixels of the crop (y down), the backbone's features [B, `pooled`], and whitened
        parameters of identity [B, 40] and expression [B, 10]."""
        middle, whole = self._features(points)
        seen = torch.cat([whole[..., 0], pooled, shape, expression], 1)
        x = torch.cat([middle, seen[..., None].expand(-1, -1, points.shape[2])], 1)
        for number in range(len(_OFFSETS)):
            x = self._layer(len(_POINTS) + number, x)
        return x


class MLPRev(_PointNet):
    """`reverseDirection`: landmarks [B, 3, 68] in pixels of the crop (y down) -> whitened parameters [B, 62], none of
    them negative. Trained with two faces or more at once."""

    def __init__(self):
        super().__init__()
        heads = {f"6_{number}": (_POINTS[-1], numbers) for number, numbers in enumerate(SIZES.values(), 1)}
        self._add_layers(_chain(_POINTS, 1) | heads)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        _, whole = self._features(points)
        return torch.cat([self._layer(f"6_{number}", whole) for number in range(1, len(SIZES) + 1)], 1)[..., 0]


def pooled_width(state: Mapping[str, torch.Tensor]) -> int:
    """The `pooled` of the `MLPFor` that `state` belongs to; the official one's where it can't be told."""
    weight = state.get("conv6.weight")
    return POOLED if weight is None or weight.ndim < 2 else max(weight.shape[1] - _BESIDE, 1)
