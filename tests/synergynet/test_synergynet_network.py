"""SynergyNet's backbones: the official numbers, and every architecture gives 62 numbers and its features."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli_synergynet.network import ARCHITECTURES, N_PARAMETERS, SIZES, recognise

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"
NAMES = ("mobilenet_v2", "mobilenet_1", "mobilenet_05", "resnet50", "ghostnet", "resnest50")
DEEPER = ("resnet101",)  # without a manifest
STRIDE = 7  # of the stored features


@pytest.fixture(scope="module")
def numbers():
    with np.load(GOLDEN / "backbones.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def pictures(numbers):
    random = np.random.default_rng(int(numbers["rng_seed"]))
    large = random.normal(0, 0.7, (3, 3, 120, 120)).astype(np.float32)
    small = random.normal(0, 0.7, (2, 3, 64, 64)).astype(np.float32)
    assert np.array_equal(large.ravel()[:64], numbers["image120_first"])
    return {name: torch.from_numpy(large if name == "mobilenet_v2" else small) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def networks():
    made = {}
    for name in (*NAMES, *DEEPER):
        with torch.device("meta"):
            made[name] = ARCHITECTURES[name]()
        state = made[name].state_dict()
        made[name].load_state_dict(seeded.state_dict({k: v.shape for k, v in state.items()}), assign=True)
        made[name].eval()
    return made


def assert_same_differences(found, wanted, part: float = 0.1) -> None:
    """Stand-in weights make some networks nearly blind: what differs between pictures must be right, too, to `part`."""
    spread = np.ptp(wanted, 0).max()
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(wanted, axis=0), rtol=0, atol=part * spread)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_dict_is_the_official_one(name, networks):
    wanted = json.loads((GOLDEN / f"manifest_backbone_{name}.json").read_text())
    state = networks[name].state_dict()
    found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in state.items()}
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("name", (*NAMES, *DEEPER))
def test_they_give_the_official_parameters(name, networks, pictures, numbers):
    network, images = networks[name], pictures[name]
    fused = fuse(copy.deepcopy(network))
    with torch.inference_mode():
        found, pooled = network(images)
        faster, faster_pooled = fused(images)
        single, _ = network(images[1:2])
    wanted = numbers[f"{name}.param"]
    np.testing.assert_allclose(found, wanted[:, :N_PARAMETERS], rtol=0, atol=1e-5)
    np.testing.assert_allclose(faster, wanted[:, :N_PARAMETERS], rtol=0, atol=1e-5)
    np.testing.assert_allclose(single[0], found[1], rtol=0, atol=1e-5)
    for given in (found, faster):
        assert_same_differences(given, wanted[:, :N_PARAMETERS])
    assert torch.allclose(pooled, faster_pooled, atol=1e-5)
    if f"{name}.pool_shape" in numbers:
        assert tuple(pooled.shape) == tuple(numbers[f"{name}.pool_shape"])
        np.testing.assert_allclose(pooled[:, ::STRIDE], numbers[f"{name}.pool_strided"], rtol=0, atol=1e-5)
    if wanted.shape[1] > N_PARAMETERS:  # the features are the right ones if the fourth head sees them
        texture = [key for key in network.heads if key.endswith(("tex", "texture"))]
        with torch.inference_mode():
            unused = network.get_submodule(texture[0])(pooled)
        np.testing.assert_allclose(unused, wanted[:, N_PARAMETERS:], rtol=0, atol=1e-5)


def test_all_are_alike():
    for name, make in ARCHITECTURES.items():
        with torch.device("meta"):
            state = make().state_dict()
        assert recognise(state) == name
        heads = {key.split(".")[0]: len(value) for key, value in state.items() if "_" in key and value.ndim == 2}
        assert list(heads.values())[-4:] in ([12, 40, 10], [12, 40, 10, 40], [40, 12, 40, 10])
    for name, width in {"mobilenet_025": 256, "resnet18": 512, "resnext50_32x4d": 2048}.items():
        network = ARCHITECTURES[name]().eval()
        with torch.inference_mode():
            found, pooled = network(torch.rand(2, 3, 64, 64))
        assert found.shape == (2, N_PARAMETERS) and pooled.shape == (2, width) == (2, network.width)
    assert sum(SIZES.values()) == 62


def test_what_is_none_of_them():
    assert recognise({}) == recognise({"dw6.conv_sep.weight": torch.empty(5, 5)}) == ""
    assert recognise({"dw6.conv_sep.weight": torch.empty(())}) == ""


def test_dropout_acts_in_training_and_on_the_heads_alone(networks, pictures):
    network, features = networks["mobilenet_v2"], torch.ones(1, 1280)
    head = network.classifier_shape
    assert torch.equal(head(features), head(features))
    try:
        head.train()
        assert not torch.equal(head(features), head(features))
    finally:
        head.eval()
