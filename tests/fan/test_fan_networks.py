"""FAN, RetinaFace, S3FD and the depth network give the official numbers."""

from __future__ import annotations

import importlib
import sys
import types

import numpy as np
import pytest
import torch

import seeded
from facecli.nn.fan import FAN
from facecli.nn.retinaface import RetinaFace, decode, detect, make_priors, suppress


def assert_near(found, wanted, tolerance=1e-4):
    """Within `tolerance` of the largest absolute value."""
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


def seeded_module(module):
    seeded.fill(module)
    return module.eval()


def shapes(module):
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "golden", "options"),
    [("fan4", "fan4_stack{}", {}), ("ibug_2dfan2", "ibug_heatmaps", {"stacks": 2, "pooling": "max"})],
)
def test_fan_gives_the_official_heatmaps(name, golden, options, manifest, networks, random_input):
    net = FAN(**options)
    assert list(shapes(net).items()) == list(manifest(name).items())  # the same keys in the same order
    with torch.no_grad():
        heatmaps = seeded_module(net)(random_input(101, (1, 3, 256, 256)))
    for stack, found in enumerate(heatmaps):
        key = golden.format(stack)
        if "{}" not in golden and stack < len(heatmaps) - 1:
            continue  # only ibug's last stack was kept
        found = found[0].numpy()
        assert_near(found[:, ::8, ::8], networks[key])
        assert_near(np.array([found.mean(), found.std(), found.min(), found.max()]), networks[f"{key}_stats"])


def test_face_alignments_s3fd_gives_the_official_outputs(manifest, networks):
    sfd = pytest.importorskip("face_alignment.detection.sfd.net_s3fd")
    net = sfd.s3fd()
    assert shapes(net) == manifest("s3fd")
    pixels = np.random.default_rng(103).random((1, 3, 160, 192)) * 255 - np.array([104, 117, 123])[:, None, None]
    with torch.no_grad():
        found = seeded_module(net)(torch.from_numpy(pixels.astype(np.float32)))
    assert len(found) == 12
    for i, output in enumerate(found):
        assert_near(output.numpy(), networks[f"s3fd_out{i}"])


def test_face_alignments_depth_net_gives_the_official_depths(manifest, networks, random_input):
    models = pytest.importorskip("face_alignment.models")
    net = models.ResNetDepth()
    assert shapes(net) == manifest("resnet_depth")
    with torch.no_grad():
        found = seeded_module(net)(random_input(102, (1, 71, 256, 256)))
    assert_near(found.numpy(), networks["depth"])


@pytest.fixture
def theirs(monkeypatch):
    """face-alignment's RetinaFace. All that it wants from torchvision is a module that gives a backbone's stages."""
    pytest.importorskip("face_alignment")

    class IntermediateLayerGetter(torch.nn.ModuleDict):
        def __init__(self, model, return_layers):
            super().__init__({name: getattr(model, name) for name in return_layers})

        def forward(self, x):
            found = {}
            for name, stage in self.items():
                x = found[name] = stage(x)
            return found

    utils = types.ModuleType("torchvision.models._utils")
    utils.IntermediateLayerGetter = IntermediateLayerGetter
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", types.ModuleType("torchvision.models"))
    monkeypatch.setitem(sys.modules, "torchvision.models._utils", utils)
    sys.modules["torchvision"].models = sys.modules["torchvision.models"]
    sys.modules["torchvision.models"]._utils = utils
    before = set(sys.modules)
    yield importlib.import_module("face_alignment.detection.retinaface.retinaface_detector")
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("size", [(96, 128), (75, 101)])
def test_retinaface_equals_face_alignments(size, theirs, random_input):
    """The same published architecture, written by others."""
    ours, other = seeded_module(RetinaFace()), seeded_module(theirs.RetinaFace())
    assert list(shapes(ours).items()) == list(shapes(other).items())
    pixels = random_input(1, (1, 3, *size)) * 255 - 110
    with torch.no_grad():
        for found, wanted in zip(ours(pixels), other(pixels), strict=True):
            assert_near(found.numpy(), wanted.numpy(), 1e-5)


@pytest.mark.parametrize("size", [(64, 96), (75, 101), (7, 300)])
def test_retinaface_decoding_equals_face_alignments(size, theirs):
    height, width = size
    unit = torch.from_numpy(make_priors(*size) / np.array([width, height] * 2, np.float32))
    assert torch.allclose(unit, theirs.PriorBox(theirs.cfg_mnet, image_size=size).forward(), atol=1e-6)
    offsets = np.random.default_rng(0).normal(size=(len(unit), 4)).astype(np.float32)
    wanted = theirs.decode(torch.from_numpy(offsets), unit, [0.1, 0.2]).numpy() * [width, height, width, height]
    boxes, points = decode(offsets, np.zeros((len(unit), 10), np.float32), make_priors(*size))
    assert np.allclose(boxes, wanted, rtol=1e-5, atol=1e-3)
    assert np.array_equal(points, np.repeat(make_priors(*size)[:, None, :2], 5, 1))


def test_suppression_keeps_the_best_of_every_heap():
    boxes = np.array([[0, 0, 100, 100], [5, 5, 105, 105], [300, 0, 400, 100], [301, 0, 401, 100], [60, 0, 160, 100]])
    scores = np.array([0.9, 0.95, 0.85, 0.81, 0.99])
    assert suppress(boxes.astype(np.float32), scores).tolist() == [4, 1, 2]
    assert suppress(np.zeros((0, 4)), np.zeros(0)).tolist() == []


def test_detect_takes_bgr_without_the_mean_and_gives_pixels(astronaut):
    """The network's own output at one prior, decoded by hand."""
    net = seeded_module(RetinaFace())
    image = astronaut[:120, :160]
    pixels = torch.tensor(image[..., ::-1] - np.array([104, 117, 123])).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        offsets, classes, points = (out[0].numpy() for out in net(pixels))
    best = classes[:, 1].argmax()
    found_boxes, found_scores, found_points = detect(net, image, threshold=float(np.sort(classes[:, 1])[-2]))
    assert found_boxes.shape == (1, 4)
    assert found_scores[0] == pytest.approx(classes[best, 1])
    x, y, side, _ = make_priors(120, 160)[best]
    centre = np.array([x, y]) + offsets[best, :2] * 0.1 * side
    sides = side * np.exp(offsets[best, 2:] * 0.2)
    assert found_boxes[0] == pytest.approx([*(centre - sides / 2), *(centre + sides / 2)], abs=1e-3)
    assert found_points[0, 2] == pytest.approx(np.array([x, y]) + points[best, 4:6] * 0.1 * side, abs=1e-3)


def test_detect_of_nothing():
    boxes, scores, points = detect(seeded_module(RetinaFace()), np.zeros((40, 50, 3), np.uint8), threshold=1.0)
    assert boxes.shape == (0, 4) and scores.shape == (0,) and points.shape == (0, 5, 2)
