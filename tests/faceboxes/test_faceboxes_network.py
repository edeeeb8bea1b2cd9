"""FaceBoxes' network gives what the official one gave with seeded weights, under the official names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fuse import fuse
from facecli_faceboxes.detector import MEAN_BGR, run
from facecli_faceboxes.network import FaceBoxes

GOLDEN = Path(__file__).resolve().parents[1] / "golden/synergynet"


@pytest.fixture
def net() -> FaceBoxes:
    made = FaceBoxes()
    seeded.fill(made)
    return made.eval()


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "faceboxes_net.npz") as archive:
        return dict(archive)


def test_names_shapes_and_their_order_are_the_official_ones():
    manifest = json.loads((GOLDEN / "manifest_faceboxes.json").read_text())
    state = FaceBoxes().state_dict()
    assert [[key, [list(value.shape), str(value.dtype).removeprefix("torch.")]] for key, value in state.items()] == [
        [key, value] for key, value in manifest.items()
    ]
    assert len(state) == 174


def test_every_layer_is_the_official_one(net, golden):
    seen = {}
    layers = [key.removeprefix("stat_") for key in golden if key.startswith("stat_")]
    assert len(layers) == 6
    for name in layers:
        net.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: seen.setdefault(name, out))
    pixels = torch.from_numpy(golden["image"] - np.array(MEAN_BGR, np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        offsets, scores = net(pixels)
    for name in layers:
        out = seen[name]
        found = [*out.shape[2:], out.mean(), out.std(), out.abs().max()]
        assert [float(number) for number in found] == pytest.approx(golden[f"stat_{name}"].tolist(), rel=1e-5)
    assert np.abs(offsets.numpy() - golden["loc"]).max() < 1e-4
    assert np.abs(scores.numpy() - golden["conf"]).max() < 1e-4


@pytest.mark.parametrize("prepared", [False, True])
def test_rgb_pictures_go_in(net, golden, prepared):
    """The golden picture is BGR; the network that is made ready for inference gives the same."""
    offsets, scores = run(fuse(net) if prepared else net, golden["image"][..., ::-1])
    assert np.abs(offsets - golden["loc"][0]).max() < 1e-4
    assert np.abs(scores - golden["conf"][0, :, 1]).max() < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (33, 65), (127, 129)])
def test_any_size_has_as_many_answers_as_priors(net, size):
    from facecli_faceboxes.boxes import make_priors

    offsets, scores = run(net, np.zeros((*size, 3), np.uint8))
    assert len(offsets) == len(scores) == len(make_priors(*size))
