"""3DDFA_V2's networks give the official numbers, with stand-in weights and with the trained ones on photographs."""

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
from facecli_tddfa_v2.network import MobileNet, ResNet22
from facecli_tddfa_v2.weights import load_network

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"
NETWORKS = {"mobilenet_x1": MobileNet, "mobilenet_x05": lambda: MobileNet(0.5), "resnet22": ResNet22}


@pytest.fixture(scope="module")
def numbers():
    with np.load(GOLDEN / "tddfa_v2_nets.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def images(numbers):
    made = np.random.default_rng(int(numbers["rng_seed"])).normal(0, 0.7, (2, 3, 120, 120)).astype(np.float32)
    assert np.array_equal(made.ravel()[:64], numbers["image_first"])
    return torch.from_numpy(made)


def assert_same_differences(found, wanted, part: float = 0.1) -> None:
    """Stand-in weights make some networks nearly blind: what differs between pictures must be right, too, to `part`."""
    spread = np.ptp(wanted, 0).max()
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(wanted, axis=0), rtol=0, atol=part * spread)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_official_numbers(name, images, numbers):
    network = NETWORKS[name]().eval()
    seeded.fill(network)
    wanted = json.loads((GOLDEN / f"manifest_tddfa_v2_{name}.json").read_text())
    state = network.state_dict()
    shapes = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in state.items()}
    assert list(shapes.items()) == list(wanted.items())
    fused = fuse(copy.deepcopy(network))
    with torch.inference_mode():
        found, single, faster = network(images), network(images[1:]), fused(images)
    np.testing.assert_allclose(found, numbers[name], rtol=0, atol=1e-5)
    np.testing.assert_allclose(faster, numbers[name], rtol=0, atol=1e-5)
    np.testing.assert_allclose(single[0], found[1], rtol=0, atol=1e-5)
    for given in (found, faster):
        assert_same_differences(given, numbers[name])


def crop(image: np.ndarray, roi: np.ndarray) -> np.ndarray:
    """The official crop, written once more: rounded borders, black outside, 120×120."""
    x0, y0, x1, y1 = (round(float(number)) for number in roi)
    margin = max(image.shape)
    padded = cv2.copyMakeBorder(image, *[margin] * 4, cv2.BORDER_CONSTANT)
    return cv2.resize(padded[y0 + margin : y1 + margin, x0 + margin : x1 + margin], (120, 120))


def test_trained_weights_on_photographs(media, astronaut):
    weights = media.parent / "weights/mb05_120x120.pth"
    if not weights.exists():
        pytest.skip("../shared/data/weights/mb05_120x120.pth is not here")
    network = load_network(weights)
    with np.load(GOLDEN / "tddfa_v2_photos.npz") as archive:
        golden = dict(archive)
    names = {key.partition(".")[0] for key in golden}
    photographs = {path.stem: path for path in media.iterdir() if path.suffix in (".jpg", ".png")} | {
        "astronaut": astronaut
    }
    assert names & set(photographs) == names
    for name in names:
        image = cv2.imread(str(photographs[name]))
        crops = np.stack([crop(image, roi) for roi in golden[f"{name}.roi_f64"]])
        inputs = torch.from_numpy((crops.astype(np.float32) - 127.5) / 128).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = network(inputs)
        np.testing.assert_allclose(found, golden[f"{name}.network"], rtol=0, atol=2e-3)
