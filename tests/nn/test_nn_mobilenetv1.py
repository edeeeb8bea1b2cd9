"""MobileNetV1 in all widths. (That it gives the official numbers is tested with 3DDFA_V2's networks.)"""

from __future__ import annotations

import pytest
import torch

import seeded
from facecli.nn.mobilenetv1 import NARROWEST, MobileNetV1


@pytest.mark.parametrize(
    ("widen", "first", "last"),
    [(2, 64, 2048), (1, 32, 1024), (0.75, 24, 768), (0.5, 16, 512), (0.3, 9, 307), (NARROWEST, 1, 32)],
)
def test_widths_are_rounded_down(widen, first, last):
    with torch.device("meta"):
        net = MobileNetV1(widen)
    assert net.conv1.out_channels == first and net.dw6.conv_sep.out_channels == net.width == last
    if widen == 1:  # published are 4.2 million, with 1000 classes
        assert sum(parameter.numel() for parameter in net.parameters()) == 3_206_976


def test_a_batch_gives_what_single_pictures_of_any_size_give():
    net = MobileNetV1(0.25).eval()
    seeded.fill(net)
    images = torch.rand(3, 3, 120, 97, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in net.parameters():
            weight *= 2 if weight.ndim == 4 else 1  # else all pictures look the same to it
        singles = torch.cat([net(image[None]) for image in images])
        found = net(images)
    assert found.shape == (3, 256)
    assert torch.allclose(found, singles, atol=1e-5) and singles.std(0).max() > 0.01
