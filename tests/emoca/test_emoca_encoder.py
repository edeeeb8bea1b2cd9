"""EMOCA's networks give the official codes, put together as the official code does."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli_deca.encoder import split
from facecli_emoca.encoder import COARSE, DETAIL, EmocaNetworks, ExpressionOutputs, assemble

GOLDEN = Path(__file__).parents[1] / "golden/emoca"
OUT = {
    "shape": "shapecode",
    "tex": "texcode",
    "exp": "expcode",
    "pose": "posecode",
    "cam": "cam",
    "light": "lightcode",
    "detail": "detailcode",
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "encoders.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def assembly():
    with np.load(GOLDEN / "assembly.npz") as archive:
        return {key: torch.from_numpy(value) for key, value in archive.items()}


@pytest.fixture(scope="module")
def networks():
    made = EmocaNetworks(ExpressionOutputs()).eval()
    seeded.fill(made, "deca.")
    return made


@pytest.fixture(scope="module")
def images(golden):
    noise = torch.from_numpy(seeded.rng("emoca.encoders").random((2, 3, 14, 14)).astype(np.float32))
    found = torch.nn.functional.interpolate(noise, size=(224, 224), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found[:, :, :2, :4], golden["image_first"], atol=1e-6)
    return found


def test_the_state_dict_is_the_official_one(networks):
    wanted = json.loads((GOLDEN / "manifest_expdeca_detail.json").read_text())
    names = tuple(f"deca.{name}." for name in (*COARSE, *DETAIL))
    state = networks.state_dict()
    assert {f"deca.{key}" for key in state} == {key for key in wanted if key.startswith(names)}
    for key, value in state.items():
        assert [list(value.shape), str(value.dtype).removeprefix("torch.")] == wanted[f"deca.{key}"]


@pytest.mark.parametrize("faster", [False, True])
def test_they_give_the_official_codes(faster, networks, images, golden):
    nets = fuse(copy.deepcopy(networks)) if faster else networks
    with torch.inference_mode():
        found = nets(images)
        renamed = nets.encode(images[:1])
    assert set(found) == set(OUT)
    for name, key in OUT.items():
        np.testing.assert_allclose(found[name].numpy(), golden[f"out_{key}"], rtol=0, atol=1e-5)
    assert torch.allclose(renamed["jaw"][0], found["pose"][0, 3:], atol=1e-5)
    assert {name: tuple(value.shape[1:]) for name, value in renamed.items()} == {
        "identity": (100,), "texture": (50,), "expression": (50,), "pose": (3,), "jaw": (3,), "camera": (3,),
        "light": (9, 3), "detail": (128,),
    }  # fmt: skip


def test_what_each_encoder_gives(networks, images, golden):
    with torch.inference_mode():
        for name in ("E_flame", "E_expression", "E_detail"):
            encoder = networks.get_submodule(name)
            features = encoder.encoder(images)
            np.testing.assert_allclose(encoder.layers(features).numpy(), golden[name], rtol=0, atol=1e-5)
            if f"{name}_feat" in golden:
                np.testing.assert_allclose(features[:, ::16].numpy(), golden[f"{name}_feat"], rtol=0, atol=1e-5)
        original = split(networks.E_flame(images))
    np.testing.assert_allclose(original["exp"].numpy(), golden["out_original_exp"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(original["pose"].numpy(), golden["out_original_pose"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("jaw", [False, True])
@pytest.mark.parametrize("pose", [False, True])
def test_assembly(pose, jaw, assembly):
    case = f"g{pose:d}j{jaw:d}"
    outputs = ExpressionOutputs(global_pose=pose, jaw_pose=jaw)
    expression = assembly[f"expr_raw_{case}"]
    assert sum(outputs.sizes) == expression.shape[1]
    found = assemble(assembly["flame_raw"], expression, outputs)
    assert torch.equal(found["exp"], assembly[f"exp_{case}"])
    assert torch.equal(found["pose"], assembly[f"pose_{case}"])
    for name in ("shape", "tex", "cam", "light"):
        assert torch.equal(found[name], assembly[name])


def test_without_an_encoder_for_expressions_they_are_decas(assembly):
    found, wanted = assemble(assembly["flame_raw"], None, None), split(assembly["flame_raw"])
    for name, value in wanted.items():
        assert torch.equal(found[name], value)
    with torch.device("meta"):
        networks = EmocaNetworks(None, detail=False)
    assert {name for name, _ in networks.named_children() if networks.get_submodule(name) is not None} == {"E_flame"}
    assert networks.wrinkles is None
