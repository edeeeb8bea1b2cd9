"""DECA's detail decoder gives the official displacement."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli_deca.detail_decoder import DetailDecoder, latent

GOLDEN = Path(__file__).parents[1] / "golden/deca"


@pytest.fixture(scope="module")
def numbers():
    with np.load(GOLDEN / "detail_decoder.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def decoder():
    made = DetailDecoder().eval()
    seeded.fill(made, "D_detail.")
    return made


def test_the_state_dict_is_the_official_one(decoder):
    wanted = json.loads((GOLDEN / "manifest_D_detail.json").read_text())
    found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in decoder.state_dict().items()}
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("faster", [False, True])
def test_displacement(faster, decoder, numbers):
    net = fuse(copy.deepcopy(decoder)) if faster else decoder
    with torch.inference_mode():
        found = net(torch.from_numpy(numbers["latent"]))
    assert found.shape == (2, 1, 256, 256)
    np.testing.assert_allclose(found[:, :, ::4, ::4].numpy(), numbers["out"], rtol=0, atol=2e-8)
    np.testing.assert_allclose(found[:, :, :16, :16].numpy(), numbers["out_corner"], rtol=0, atol=2e-8)
    stats = [found.mean(), found.std(correction=0), found.min(), found.max()]
    np.testing.assert_allclose(stats, numbers["out_stats"], rtol=1e-4, atol=1e-8)


def test_train_mode(decoder, numbers):
    net = copy.deepcopy(decoder).train()
    with torch.no_grad():
        found = net(torch.from_numpy(numbers["latent"]))
    np.testing.assert_allclose(found[:, :, ::4, ::4].numpy(), numbers["train_out"], rtol=0, atol=1e-6)
    norm = net.conv_blocks[3]
    np.testing.assert_allclose(norm.running_mean, numbers["running_mean_after"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, numbers["running_var_after"], rtol=1e-4, atol=1e-6)


def test_the_latent_is_jaw_expression_detail():
    jaw, expression, detail = torch.full((2, 3), 1.0), torch.full((2, 100), 2.0), torch.full((2, 128), 3.0)
    expression[:, 50:] = 9  # FLAME has 100; the network knows the first half
    found = latent(jaw, expression, detail)
    assert found.shape == (2, 181)
    assert found[0].tolist() == [1.0] * 3 + [2.0] * 50 + [3.0] * 128
