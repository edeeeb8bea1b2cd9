"""Deep3DFaceRecon's regressor gives the official numbers, in all its variants."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli_deep3d.network import ReconNet, recognise, split
from standins.bfm import toy_image

GOLDEN = Path(__file__).parents[1] / "golden/deep3d"
VARIANTS = {
    "resnet50": {"backbone": "resnet50", "use_last_fc": False},
    "resnet18": {"backbone": "resnet18", "use_last_fc": False},
    "resnet50_last_fc": {"backbone": "resnet50", "use_last_fc": True},
}
HEAD_FACTORS = (0.5, 0.5, 0.5, 0.3, 0.2, 0.2, 0.2)  # on the stand-in weights of the golden numbers' heads
STORED = 64  # values of each activation


@pytest.fixture(scope="module")
def images():
    pictures = np.stack([toy_image(key, 224, 224) for key in ("net0", "net1")])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """A network, and the golden numbers for it."""
    network = ReconNet(**VARIANTS[request.param]).eval()
    seeded.fill(network)
    with torch.no_grad():
        for head, factor in zip(getattr(network, "final_layers", ()), HEAD_FACTORS, strict=False):
            head.weight *= factor
            head.bias *= factor
    with np.load(GOLDEN / f"net_recon_{request.param}.npz") as archive:
        return request.param, network, dict(archive)


def test_the_state_dict_is_the_official_one(variant):
    name, network, _ = variant
    wanted = json.loads((GOLDEN / f"manifest_net_recon_{name}.json").read_text())
    state = network.state_dict()
    found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in state.items()}
    assert list(found.items()) == list(wanted.items())
    assert recognise(state) == VARIANTS[name]


def test_it_gives_the_official_coefficients(variant, images):
    _, network, golden = variant
    fused = fuse(copy.deepcopy(network))
    with torch.inference_mode():
        found, single, faster = network(images), network(images[1:]), fused(images)
        maps = network.backbone.features(images)
    np.testing.assert_allclose(found, golden["coeffs"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(faster, golden["coeffs"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(single[0], found[1], rtol=0, atol=1e-5)
    for stage, activation in enumerate(maps[1:], 1):
        values = activation.flatten()[:: max(1, activation.numel() // STORED)][:STORED]
        np.testing.assert_allclose(values, golden[f"act_layer{stage}_strided"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("variant", ["resnet50"], indirect=True)
def test_in_training_too(variant, images):
    _, network, golden = variant
    network = copy.deepcopy(network).train()
    with torch.no_grad():
        found = network(images)
    np.testing.assert_allclose(found, golden["coeffs_train_mode"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(network.backbone.bn1.running_mean, golden["bn1_running_mean"], atol=1e-5)
    np.testing.assert_allclose(network.backbone.bn1.running_var, golden["bn1_running_var"], atol=1e-5)
    last = network.backbone.layer4[2].bn3.running_var[:: 2048 // STORED]
    np.testing.assert_allclose(last, golden["l4_running_var_s"], atol=1e-4)


def test_coefficients_by_name():
    parts = split(torch.arange(257.0)[None].expand(3, -1))
    found = {name: (int(part[0, 0]), int(part[2, -1]) + 1) for name, part in parts.items()}
    assert found == {
        "id": (0, 80), "exp": (80, 144), "tex": (144, 224),
        "angle": (224, 227), "gamma": (227, 254), "trans": (254, 257),
    }  # fmt: skip
