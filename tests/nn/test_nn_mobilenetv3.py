"""MobileNetV3: TensorFlow's padding, and the same without copying when all is turned round. (That it gives the official
numbers is tested with SMIRK's encoder.)"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli.nn.mobilenetv3 import MobileNetV3, SameConv2d


def tensorflow_same(picture: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's rule, written out: as many outputs as strides begin in the picture, the odd zero at the end."""
    sides = [-(-side // stride) for side in picture.shape]
    total = [max((n - 1) * stride + 3 - side, 0) for n, side in zip(sides, picture.shape, strict=True)]
    padded = np.pad(picture, [(t // 2, t - t // 2) for t in total])
    return np.array(
        [[(padded[r * stride : r * stride + 3, c * stride : c * stride + 3] * kernel).sum() for c in range(sides[1])]
         for r in range(sides[0])]
    )  # fmt: skip


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 9), (1, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding(size, stride):
    random = np.random.default_rng(0)
    picture, kernel = random.normal(size=size), random.normal(size=(3, 3))
    convolution = SameConv2d(1, 1, stride).double()
    with torch.no_grad():
        convolution.weight.copy_(torch.from_numpy(kernel))
        found = convolution(torch.from_numpy(picture)[None, None])[0, 0]
    np.testing.assert_allclose(found, tensorflow_same(picture, kernel, stride), atol=1e-12)


@pytest.mark.parametrize("variant", ["small", "large"])
def test_turned_round_it_gives_the_same(variant):
    net = MobileNetV3(variant).eval()
    seeded.fill(net)
    fused = fuse(copy.deepcopy(net))
    assert fused.turned and not net.turned
    for size in [(96, 96), (65, 96), (33, 47)]:
        images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            for found, wanted in zip(fused.features(images), net.features(images), strict=True):
                assert torch.allclose(found, wanted, atol=1e-5)
            assert torch.allclose(fused(images), net(images), atol=1e-5)


def test_widths_and_strides():
    images = torch.zeros(1, 3, 224, 224)
    for variant, widths in {"small": (16, 16, 24, 48, 576), "large": (16, 24, 40, 112, 960)}.items():
        net = MobileNetV3(variant).eval()
        with torch.no_grad():
            maps = net.features(images)
        assert [tuple(found.shape[1:]) for found in maps] == [
            (width, 224 >> level, 224 >> level) for level, width in enumerate(widths, 1)
        ]
        assert net.width == widths[-1]
