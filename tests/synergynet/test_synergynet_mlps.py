"""The networks that SynergyNet is trained with give the official numbers, with running and with batch statistics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli_synergynet.mlps import MLPFor, MLPRev, pooled_width

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def numbers():
    with np.load(GOLDEN / "mlps.npz") as archive:
        return {key: torch.from_numpy(value) for key, value in archive.items()}


@pytest.fixture(scope="module")
def seen(numbers):
    return [numbers[name] for name in ("points", "pool", "shape_code", "exp_code")]


@pytest.fixture
def networks():
    made = MLPFor().eval(), MLPRev().eval()
    for network in made:
        seeded.fill(network)
    return made


def test_the_state_dicts_are_the_official_ones(networks):
    for network, name in zip(networks, ("for", "rev"), strict=True):
        wanted = json.loads((GOLDEN / f"manifest_mlp_{name}.json").read_text())
        state = network.state_dict()
        found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in state.items()}
        assert list(found.items()) == list(wanted.items())


def test_they_give_the_official_numbers(networks, seen, numbers):
    refine, guess = networks
    with torch.no_grad():
        offsets, parameters = refine(*seen), guess(seen[0])
    assert torch.allclose(offsets, numbers["for_eval"], rtol=0, atol=TOLERANCE)
    assert torch.allclose(parameters, numbers["rev_eval"], rtol=0, atol=TOLERANCE)
    assert offsets.min() == parameters.min() == 0


def test_in_training_too(networks, seen, numbers):
    refine, guess = networks
    with torch.no_grad():
        offsets, parameters = refine.train()(*seen), guess.train()(seen[0])
    assert torch.allclose(offsets, numbers["for_train"], rtol=0, atol=TOLERANCE)
    assert torch.allclose(parameters, numbers["rev_train"], rtol=0, atol=TOLERANCE)
    assert torch.allclose(refine.bn5.running_mean, numbers["for_train_bn5_running_mean_after"], atol=1e-5)
    assert torch.allclose(guess.bn6_2.running_var, numbers["rev_train_bn6_2_running_var_after"], atol=1e-4)


def test_the_order_of_points_and_other_widths(networks, seen, numbers):
    points, *codes = seen
    turned = torch.arange(68).flip(0)
    with torch.no_grad():
        offsets = networks[0](points[:, :, turned], *codes)
        assert torch.allclose(offsets, numbers["for_eval"][:, :, turned], rtol=0, atol=TOLERANCE)
        wide = MLPFor(2048).eval()
        assert wide(points[:1], torch.ones(1, 2048), codes[1][:1], codes[2][:1]).shape == (1, 3, 68)
    assert pooled_width(wide.state_dict()) == 2048
    assert pooled_width({}) == 1280


def test_gradients_reach_all_that_is_seen(networks, seen):
    inputs = [value.clone().requires_grad_() for value in seen]
    refine, guess = networks
    (refine.train()(*inputs).sum() + guess.train()(inputs[0]).sum()).backward()
    assert all(value.grad.abs().max() > 0 for value in inputs)
