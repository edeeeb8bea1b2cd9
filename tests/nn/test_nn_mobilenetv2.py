"""MobileNetV2. (That it gives the official numbers is tested with SynergyNet's network.)"""

from __future__ import annotations

import torch

import seeded
from facecli.nn.mobilenetv2 import InvertedResidual, MobileNetV2


def test_it_has_torchvisions_size():
    net = MobileNetV2().eval()
    assert sum(parameter.numel() for parameter in net.parameters()) == 2_223_872  # torchvision's without classifier
    with torch.no_grad():
        assert net.features(torch.zeros(1, 3, 120, 97)).shape == (1, 1280, 4, 4)
        assert net(torch.zeros(2, 3, 64, 64)).shape == (2, net.width)


def test_the_way_around_is_there_where_the_shape_stays():
    x = torch.rand(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    for stride, wide_out, residual in [(1, 8, True), (2, 8, False), (1, 12, False)]:
        block = InvertedResidual(8, wide_out, stride, 6).eval()
        seeded.fill(block)
        with torch.no_grad():
            way_around = block(x) - block.conv(x)
        assert torch.allclose(way_around, x if residual else torch.zeros(()), atol=1e-6)
