"""MobileNetV3 in the "minimal" form of TensorFlow's weights, with timm's state-dict names.

Howard et al., "Searching for MobileNetV3", ICCV 2019; ``tf_mobilenetv3_{small,large}_minimal_100`` of timm without
their classifiers: no squeeze-and-excite, ReLU everywhere, 3×3 kernels only, TensorFlow's "SAME" padding.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

EPS = 1e-3  # of all norms, as TensorFlow has it
STEM = 16

# Stages of blocks (kind, width inside, width out, stride), and the stages whose maps timm calls features.
_DS, _IR, _CN = "depthwise separable", "inverted residual", "convolution"
_BLOCKS = {
    "small": (
        ((_DS, 16, 16, 2),),
        ((_IR, 72, 24, 2), (_IR, 88, 24, 1)),
        ((_IR, 96, 40, 2), (_IR, 240, 40, 1), (_IR, 240, 40, 1)),
        ((_IR, 120, 48, 1), (_IR, 144, 48, 1)),
        ((_IR, 288, 96, 2), (_IR, 576, 96, 1), (_IR, 576, 96, 1)),
        ((_CN, 0, 576, 1),),
    ),
    "large": (
        ((_DS, 16, 16, 1),),
        ((_IR, 64, 24, 2), (_IR, 72, 24, 1)),
        ((_IR, 72, 40, 2), (_IR, 120, 40, 1), (_IR, 120, 40, 1)),
        ((_IR, 240, 80, 2), (_IR, 200, 80, 1), (_IR, 184, 80, 1), (_IR, 184, 80, 1)),
        ((_IR, 480, 112, 1), (_IR, 672, 112, 1)),
        ((_IR, 672, 160, 2), (_IR, 960, 160, 1), (_IR, 960, 160, 1)),
        ((_CN, 0, 960, 1),),
    ),
}
_STEM_MAP = -1
_FEATURES = {"small": (_STEM_MAP, 0, 1, 3, 5), "large": (0, 1, 2, 4, 6)}


class SameConv2d(nn.Conv2d):
    """A 3×3 convolution without bias, padded as TensorFlow does: where stride 2 makes the padding uneven, there is more
    of it at the right and at the bottom.

    `turned`: its weights are turned by 180°, for pictures that are, too. Then there is more padding at the left and
    at the top, and that is what an ordinary convolution does with uneven padding: nothing has to be copied.
    """

    turned = False

    def __init__(self, wide_in: int, wide_out: int, stride: int, groups: int = 1):
        super().__init__(wide_in, wide_out, 3, stride, padding=1, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = (_same_padding(side, self.stride[0]) for side in x.shape[-2:])
        if self.turned or rows == columns == (1, 1):
            return super().forward(x)
        return F.conv2d(F.pad(x, columns + rows), self.weight, self.bias, self.stride, groups=self.groups)


def _same_padding(side: int, stride: int) -> tuple[int, int]:
    """Zeros before and after `side` pixels, for a 3-wide kernel."""
    total = max((-(-side // stride) - 1) * stride + 3 - side, 0)
    return total // 2, total - total // 2


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPS)


def _pointwise(wide_in: int, wide_out: int) -> nn.Conv2d:
    return nn.Conv2d(wide_in, wide_out, 1, bias=False)


class DepthwiseSeparable(nn.Module):
    """[B, C, H, W] -> [B, `wide_out`, H / stride, W / stride]: depthwise 3×3, then 1×1 without activation."""

    norms = (("conv_dw", "bn1"), ("conv_pw", "bn2"))

    def __init__(self, wide_in: int, wide_out: int, stride: int):
        super().__init__()
        self.residual = stride == 1 and wide_in == wide_out
        self.conv_dw = SameConv2d(wide_in, wide_in, stride, groups=wide_in)
        self.bn1 = _norm(wide_in)
        self.conv_pw = _pointwise(wide_in, wide_out)
        self.bn2 = _norm(wide_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv_dw(x)), inplace=True)
        y = self.bn2(self.conv_pw(y))
        return x + y if self.residual else y


class InvertedResidual(nn.Module):
    """[B, C, H, W] -> [B, `wide_out`, H / stride, W / stride]: 1×1 up to `inside` channels, depthwise 3×3, 1×1 down
    without activation."""

    norms = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))

    def __init__(self, wide_in: int, inside: int, wide_out: int, stride: int):
        super().__init__()
        self.residual = stride == 1 and wide_in == wide_out
        self.conv_pw = _pointwise(wide_in, inside)
        self.bn1 = _norm(inside)
        self.conv_dw = SameConv2d(inside, inside, stride, groups=inside)
        self.bn2 = _norm(inside)
        self.conv_pwl = _pointwise(inside, wide_out)
        self.bn3 = _norm(wide_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.relu(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.residual else y


class ConvNorm(nn.Module):
    """[B, C, H, W] -> [B, `wide_out`, H, W]: 1×1, norm, ReLU."""

    norms = (("conv", "bn1"),)

    def __init__(self, wide_in: int, wide_out: int):
        super().__init__()
        self.conv = _pointwise(wide_in, wide_out)
        self.bn1 = _norm(wide_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn1(self.conv(x)), inplace=True)


class MobileNetV3(nn.Module):
    """Pictures [B, 3, H, W] (RGB 0..1) -> the last map [B, width, ⌈H/32⌉, ⌈W/32⌉].

    Args:
        variant: ``"small"`` (`width` 576) or ``"large"`` (960).
    """

    norms = (("conv_stem", "bn1"),)

    def __init__(self, variant: str):
        super().__init__()
        self.variant, self.turned = variant, False
        self.conv_stem = SameConv2d(3, STEM, stride=2)
        self.bn1 = _norm(STEM)
        stages, self.width = [], STEM
        for rows in _BLOCKS[variant]:
            stages.append(nn.Sequential(*(self._block(*row) for row in rows)))
        self.blocks = nn.Sequential(*stages)

    def _block(self, kind: str, inside: int, wide_out: int, stride: int) -> nn.Module:
        wide_in, self.width = self.width, wide_out
        if kind == _DS:
            return DepthwiseSeparable(wide_in, wide_out, stride)
        if kind == _IR:
            return InvertedResidual(wide_in, inside, wide_out, stride)
        return ConvNorm(wide_in, wide_out)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._turned(self.blocks(self._stem(images)))

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The maps at strides 2, 4, 8, 16 and 32; the last is what `forward` gives."""
        maps = {_STEM_MAP: self._stem(images)}
        for index, stage in enumerate(self.blocks):
            maps[index] = stage(maps[index - 1])
        return [self._turned(maps[index]) for index in _FEATURES[self.variant]]

    def fuse_own(self) -> None:
        """Work on pictures turned by 180° from now on: see :class:`SameConv2d`. What goes in and out is as before."""
        if self.turned:
            return
        self.turned = True
        for part in self.modules():
            if isinstance(part, SameConv2d):
                part.turned = True
                part.weight = nn.Parameter(part.weight.detach().flip(-2, -1), requires_grad=False)

    def _stem(self, images: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn1(self.conv_stem(self._turned(images))), inplace=True)

    def _turned(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(-2, -1) if self.turned else x
