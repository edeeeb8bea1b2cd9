"""SMIRK's generator gives the official pictures, as it is and made faster for inference."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli_smirk.generator import SmirkGenerator

GOLDEN = Path(__file__).parents[1] / "golden/smirk"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "generator.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def generator():
    net = SmirkGenerator().eval()
    seeded.fill(net)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter *= 1.3
    return net


@pytest.fixture(scope="module")
def fused(generator):
    return fuse(copy.deepcopy(generator))


@pytest.fixture(scope="module")
def small():
    return torch.from_numpy(np.random.default_rng(1040).random((2, 6, 64, 64)).astype(np.float32))


def test_the_state_dict_is_the_official_one(generator):
    wanted = json.loads((GOLDEN / "manifest_generator.json").read_text())
    found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in generator.state_dict().items()}
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("which", ["generator", "fused"])
def test_a_small_picture(which, small, golden, request):
    with torch.inference_mode():
        found = request.getfixturevalue(which)(small)
    np.testing.assert_allclose(found.numpy(), golden["eval64/out"], rtol=0, atol=1e-5)


def test_the_maps_inside(generator, small, golden):
    kept = {}
    parts = {
        "enc1": generator.encoder1,
        "enc4": generator.encoder4,
        "bottleneck": generator.bottleneck,
        "res0": generator.resnet_blocks[0],
    }
    hooks = [
        part.register_forward_hook(lambda _, __, output, name=name: kept.update({name: output.clone()}))
        for name, part in parts.items()
    ]
    with torch.inference_mode():
        generator(small)
    for hook in hooks:
        hook.remove()
    for name, found in kept.items():
        flat = found.flatten().numpy()
        wanted = golden[f"eval64/{name}_sample"]
        np.testing.assert_allclose(flat[:: flat.size // 64][:64], wanted, rtol=0, atol=1e-5)
        stats = [found.mean(), found.std(correction=0), found.min(), found.max()]
        np.testing.assert_allclose(stats, golden[f"eval64/{name}_stats"], rtol=0, atol=2e-5)


def test_a_crop(fused, golden, astronaut):
    picture = cv2.resize(cv2.imread(str(astronaut))[0:256, 96:352, ::-1], (224, 224))
    face = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.inference_mode():
        found = fused(torch.cat([face * 0.5, face], 1))
    np.testing.assert_allclose(found[:, :, ::4, ::4].numpy(), golden["eval224/out_every_4"], rtol=0, atol=1e-5)
    stats = [found.mean(), found.std(correction=0), found.min(), found.max()]
    np.testing.assert_allclose(stats, golden["eval224/stats"], rtol=0, atol=1e-5)
