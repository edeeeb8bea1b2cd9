"""DECA's encoders give the official numbers, as they are and made faster for inference."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli_deca.encoder import ResnetEncoder, rename, split

GOLDEN = Path(__file__).parents[1] / "golden/deca"
NUMBERS = {"E_flame": 236, "E_detail": 128}


@pytest.fixture(scope="module")
def numbers():
    with np.load(GOLDEN / "encoders.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def encoders():
    made = {name: ResnetEncoder(count).eval() for name, count in NUMBERS.items()}
    for name, encoder in made.items():
        seeded.fill(encoder, f"{name}.")
    return made


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(1).random((2, 3, 224, 224), dtype=np.float32))


@pytest.mark.parametrize("name", NUMBERS)
def test_the_state_dict_is_the_official_one(name, encoders):
    wanted = json.loads((GOLDEN / f"manifest_{name}.json").read_text())
    state = encoders[name].state_dict()
    found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in state.items()}
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("faster", [False, True])
def test_they_give_the_official_codes(faster, name, encoders, images, numbers):
    encoder = fuse(copy.deepcopy(encoders[name])) if faster else encoders[name]
    with torch.inference_mode():
        features = encoder.encoder(images)
        found = encoder.layers(features)
        single = encoder(images[1:])
    np.testing.assert_allclose(features.numpy(), numbers[f"{name}_feature"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.numpy(), numbers[f"{name}_out"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(single[0].numpy(), found[1].numpy(), rtol=0, atol=5e-6)


def test_the_maps_inside(encoders, images, numbers):
    with torch.inference_mode():
        maps = encoders["E_flame"].encoder.features(images)
    np.testing.assert_allclose(maps[0][:, ::8, ::16, ::16].numpy(), numbers["stage0"], rtol=0, atol=1e-5)
    for stage, found in enumerate(maps[1:], 1):
        part = found[:, :: found.shape[1] // 16, :: found.shape[2] // 7, :: found.shape[3] // 7]
        np.testing.assert_allclose(part.numpy(), numbers[f"stage{stage}"], rtol=0, atol=1e-5)


def test_train_mode(encoders, images, numbers):
    encoder = copy.deepcopy(encoders["E_flame"]).train()
    with torch.no_grad():
        found = encoder(images)
    norm = encoder.encoder.layer4[2].bn3
    np.testing.assert_allclose(found.numpy(), numbers["E_flame_train_out"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(norm.running_mean[::32], numbers["E_flame_running_mean_after"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(norm.running_var[::32], numbers["E_flame_running_var_after"], rtol=0, atol=1e-5)


def test_codes_are_split_and_renamed():
    with np.load(GOLDEN / "code_split.npz") as archive:
        golden = {key: torch.from_numpy(value) for key, value in archive.items()}
    found = split(golden["code"])
    assert set(found) == set(golden) - {"code"}
    for name, value in found.items():
        assert torch.equal(value, golden[name])
    ours = rename(found)
    assert torch.equal(ours["jaw"], golden["pose"][:, 3:]) and torch.equal(ours["pose"], golden["pose"][:, :3])
    theirs = {"identity": "shape", "texture": "tex", "expression": "exp", "camera": "cam", "light": "light"}
    assert set(ours) == {*theirs, "pose", "jaw"}
    for name, key in theirs.items():
        assert torch.equal(ours[name], golden[key])
