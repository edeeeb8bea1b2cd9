"""Norms are folded into convolutions: the same results, and nothing left to train."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import seeded
from facecli.nn.fuse import fuse
from facecli.nn.resnet import Bottleneck
from facecli_deca.detail_decoder import DetailDecoder
from facecli_smirk.generator import ResidualBlock


class Named(nn.Module):
    """Says itself which norm follows which convolution."""

    norms = (("first", "after"),)

    def __init__(self):
        super().__init__()
        self.after = nn.BatchNorm2d(4)
        self.first = nn.Conv2d(3, 4, 3)
        self.alone = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.alone(self.after(self.first(x)).relu())


CASES = {
    "named": (Named, (3, 9, 9), 1),
    "sequential": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()), (3, 5, 5), 0),
    "other order": (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1)), (3, 5, 5), 1),
    "bottleneck": (lambda: Bottleneck(8, 4, 2), (8, 10, 10), 0),
    "mirrored edges": (lambda: ResidualBlock(5), (5, 6, 6), 0),
    "detail decoder": (DetailDecoder, (181,), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_results_stay(name):
    make, shape, norms_left = CASES[name]
    net = make()
    seeded.fill(net)
    fused = fuse(copy.deepcopy(net).train())
    inputs = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = net.eval()(inputs.clone())
        assert torch.allclose(fused(inputs.clone()), wanted, atol=1e-5)
        assert torch.allclose(fuse(fused)(inputs.clone()), wanted, atol=1e-5)  # once more does nothing
    assert sum(isinstance(part, nn.BatchNorm2d) for part in fused.modules()) == norms_left
    assert not fused.training and not any(parameter.requires_grad for parameter in fused.parameters())
