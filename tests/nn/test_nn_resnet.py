"""ResNet in other sizes. (That ResNet-50 gives the official numbers is tested with DECA's encoders.)"""

from __future__ import annotations

import torch

from facecli.nn.resnet import Bottleneck, ResNet


def test_resnet_50_has_torchvisions_size():
    with torch.device("meta"):
        net = ResNet()
    assert sum(parameter.numel() for parameter in net.parameters()) == 23_508_032  # torchvision's without fc
    assert net.width == 2048


def test_depths_are_a_matter_of_choice():
    net = ResNet(Bottleneck, (1, 2, 1, 1)).eval()
    with torch.no_grad():
        maps = net.features(torch.rand(1, 3, 224, 224))
        found = net(torch.rand(2, 3, 224, 224))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7),
    ]  # fmt: skip
    assert found.shape == (2, 2048)
    assert [name for name, _ in net.layer2.named_children()] == ["0", "1"]
