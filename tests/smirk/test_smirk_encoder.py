"""SMIRK's encoder gives the official numbers, as it is and made faster for inference."""

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
from facecli_smirk.encoder import ExpressionEncoder, PoseEncoder, ShapeEncoder, SmirkEncoder

GOLDEN = Path(__file__).parents[1] / "golden/smirk"
SEED = 1000
BRANCHES = ("pose", "shape", "expression")
OUTPUTS = ("pose_params", "cam", "shape_params", "expression_params", "eyelid_params", "jaw_params")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "encoder_forward.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def encoder():
    return seeded_encoder().eval()


@pytest.fixture(scope="module")
def fused(encoder):
    return fuse(copy.deepcopy(encoder))


def seeded_encoder() -> SmirkEncoder:
    """The golden cases' weights: lively enough for deep signals."""
    net = SmirkEncoder()
    seeded.fill(net)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter *= 1.25
    return net


def noise(batch: int, height: int, width: int, number: int) -> torch.Tensor:
    values = np.random.default_rng(SEED + number).random((batch, 3, height, width))
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="module")
def images(astronaut):
    picture = cv2.resize(cv2.imread(str(astronaut))[0:256, 96:352, ::-1], (224, 224))
    face = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    return {"noise": noise(2, 224, 224, 1), "astronaut": face, "odd": noise(1, 201, 150, 2)}


def sample(tensor: torch.Tensor, count: int = 64) -> np.ndarray:
    flat = tensor.detach().flatten().numpy()
    return flat[:: max(1, flat.size // count)][:count]


def test_the_state_dict_is_the_official_one(encoder):
    wanted = json.loads((GOLDEN / "manifest_encoder.json").read_text())
    found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in encoder.state_dict().items()}
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("which", ["encoder", "fused"])
@pytest.mark.parametrize("name", ["noise", "astronaut", "odd"])
def test_it_gives_the_official_codes(name, which, images, golden, request):
    with torch.inference_mode():
        found = request.getfixturevalue(which)(images[name])
    assert tuple(found) == OUTPUTS
    for key, value in found.items():
        np.testing.assert_allclose(value.numpy(), golden[f"{name}_{key}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("which", ["encoder", "fused"])
@pytest.mark.parametrize("name", ["noise", "odd"])
def test_its_backbones_give_the_official_maps(name, which, images, golden, request):
    net = request.getfixturevalue(which)
    for branch in BRANCHES:
        backbone = net.get_submodule(f"{branch}_encoder").encoder
        with torch.inference_mode():
            maps = backbone.features(images[name])
            assert torch.allclose(maps[-1], backbone(images[name]), atol=1e-6)
        for number, found in enumerate(maps):
            key = f"{name}_{branch}_feat{number}"
            assert tuple(found.shape) == tuple(golden[f"{key}_shape"])
            np.testing.assert_allclose(sample(found), golden[f"{key}_sample"], rtol=0, atol=2e-5)
            stats = [found.mean(), found.std(correction=0), found.min(), found.max()]
            np.testing.assert_allclose(stats, golden[f"{key}_stats"], rtol=0, atol=5e-5)


def test_the_numbers_before_they_are_kept_in_range(encoder, images, golden):
    with torch.inference_mode():
        raw = encoder.expression_encoder.raw(images["noise"])
    np.testing.assert_allclose(raw.numpy(), golden["noise_raw_expression"], rtol=0, atol=1e-5)


def test_jaw_and_eyelids_stay_in_range():
    raw = torch.zeros(2, 55)
    raw[0, 50:] = torch.tensor([-0.5, 1.5, -0.3, 0.7, -0.7])
    raw[1, 50:] = torch.tensor([0.25, 0.75, 0.6, 0.1, -0.1])
    with torch.device("meta"):
        branch = ExpressionEncoder()
    found = branch.split(raw)
    assert found["eyelid_params"].tolist() == [[0, 1], [0.25, 0.75]]
    assert torch.allclose(found["jaw_params"], torch.tensor([[0, 0.2, -0.2], [0.6, 0.1, -0.1]]))


def test_training_starts_from_a_neutral_face():
    with torch.no_grad():
        pose = PoseEncoder().eval()(torch.rand(1, 3, 64, 64))
        shape = ShapeEncoder(10).eval()(torch.rand(1, 3, 64, 64))
    assert pose["cam"][0, 0] == 7
    assert max(pose["pose_params"].abs().max(), pose["cam"][0, 1:].abs().max()) < 0.01
    assert not shape["shape_params"].any()


def test_a_batch_gives_what_single_crops_give(fused, images):
    crops = torch.cat([images["noise"], images["astronaut"]])
    with torch.inference_mode():
        together = fused(crops)
        for number in range(len(crops)):
            for key, value in fused(crops[number : number + 1]).items():
                assert torch.allclose(value[0], together[key][number], atol=2e-6)


def test_it_trains_as_the_official_one():
    with np.load(GOLDEN / "encoder_train.npz") as archive:
        golden = dict(archive)
    net = seeded_encoder().train()
    found = net(noise(4, 224, 224, 3))
    for key, value in found.items():
        np.testing.assert_allclose(value.detach().numpy(), golden[f"out_{key}"], rtol=0, atol=1e-4)
    loss = sum(value.square().mean() for value in found.values())
    assert loss.item() == pytest.approx(float(golden["loss"]), rel=1e-5)
    loss.backward()
    parameters, buffers = dict(net.named_parameters()), dict(net.named_buffers())
    for key in golden:
        kind, _, name = key.partition("/")
        if kind == "buffer":
            np.testing.assert_allclose(buffers[name].numpy(), golden[key], rtol=1e-4, atol=1e-5)
        elif kind == "grad":
            name, _, what = name.rpartition("/")
            gradient = parameters[name].grad
            if what == "norm":
                assert gradient.norm().item() == pytest.approx(float(golden[key]), rel=1e-3, abs=1e-6)
            else:  # against double precision, the official ones are off by 5e-3 of the largest
                assert np.abs(sample(gradient) - golden[key]).max() <= 1e-2 * gradient.abs().max().item() + 1e-6
