"""ResNets in all sizes. (That they give the official numbers is tested with DECA's and Deep3D's networks.)"""

from __future__ import annotations

import pytest
import torch

from facecli.nn.resnet import ARCHITECTURES, BasicBlock, Bottleneck, ResNet, recognise

# torchvision's numbers of parameters, with its classifier of 1000 classes.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}


@pytest.fixture(scope="module")
def networks():
    with torch.device("meta"):
        return {name: ResNet(block, depths, **options) for name, (block, depths, options) in ARCHITECTURES.items()}


def test_they_have_torchvisions_sizes(networks):
    found = {
        name: sum(parameter.numel() for parameter in net.parameters()) + 1000 * (net.width + 1)
        for name, net in networks.items()
    }
    assert found == PARAMETERS


def test_a_state_tells_the_network(networks):
    assert {name: recognise(net.state_dict()) for name, net in networks.items()} == {name: name for name in networks}


@pytest.mark.parametrize("spoil", ["layer3.5.", "layer1.0.conv2."])
def test_another_state_is_none_of_them(spoil, networks):
    assert recognise({}) == ""
    state = networks["resnet50"].state_dict()
    assert recognise({key: value for key, value in state.items() if not key.startswith(spoil)}) == ""
    state["layer1.0.conv2.weight"] = torch.empty(())
    assert recognise(state) == ""


@pytest.mark.parametrize("size", [224, 120])
@pytest.mark.parametrize(
    ("block", "widths"), [(Bottleneck, (64, 256, 512, 1024, 2048)), (BasicBlock, (64, 64, 128, 256, 512))]
)
def test_depths_are_a_matter_of_choice(block, widths, size):
    net = ResNet(block, (1, 2, 1, 1)).eval()
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = net.features(images[:1])
        found = net(images)
    sides = [-(-size // 2**level) for level in range(1, 6)]
    assert [tuple(m.shape[1:]) for m in maps] == [(w, side, side) for w, side in zip(widths, sides, strict=True)]
    assert found.shape == (2, widths[-1]) and net.width == widths[-1]
    assert torch.allclose(found[:1], maps[-1].mean((2, 3)), atol=1e-5)
    assert [name for name, _ in net.layer2.named_children()] == ["0", "1"]
