"""Deep3D on stand-ins: as users get it, and with the small face and the weights of the golden cases."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.detect.face import Face, box_of_points
from facecli.io.images import read_image
from facecli.morphable.bfm import Bfm
from facecli.morphable.bfm_files import arrays_of
from standins.bfm import crc, toy_bfm, toy_image

GOLDEN = Path(__file__).parents[1] / "golden/deep3d"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz") as archive:
            return {key: archive[key] for key in archive.files}

    return read


@pytest.fixture(scope="session")
def faces(golden) -> dict[str, Bfm]:
    """The golden cases' stand-ins of the face model."""
    known = golden("face_model")
    models = {}
    for name, size, key in (("small", 2000, "faces_crc"), ("full", 35709, "full_faces_crc")):
        content = toy_bfm(size)
        if crc(content["tri"] - 1) != known[key][0]:
            pytest.skip("this SciPy's Delaunay triangles aren't those of the golden cases")
        models[name] = Bfm(arrays_of(content))
    return models


@pytest.fixture(scope="session")
def deep3d(finding_standins):
    """The model as users get it, read from the official files' stand-ins."""
    from facecli_deep3d.reconstructor import Deep3DReconstructor

    with finding_standins():
        return Deep3DReconstructor()


@pytest.fixture(scope="session")
def seeded_model(deep3d, faces):
    """The model of `pipeline.npz`."""
    from facecli_deep3d.network import ReconNet

    network = ReconNet().eval().requires_grad_(False)
    seeded.fill(network)
    for layer, factor in zip(network.final_layers, (0.5, 0.5, 0.5, 0.3, 0.2, 0.2, 0.2), strict=True):
        for parameter in layer.parameters():
            parameter *= factor
    model = copy.copy(deep3d)
    model.network, model.bfm = network, faces["small"]
    return model


@pytest.fixture(scope="session")
def pictures(astronaut) -> dict[str, np.ndarray]:
    """The golden cases' photographs."""
    return {
        "photo": read_image(astronaut),
        "toy": toy_image("pipe", 300, 400),
        "toy_a": toy_image("pp_a", 300, 400),
        "toy_small": toy_image("pp_small", 120, 160),
        "toy_big": toy_image("pp_big", 900, 1200),
    }


@pytest.fixture(scope="session")
def five(golden) -> np.ndarray:
    """[5, 2] of the astronaut's face."""
    return golden("pipeline")["photo_five_f64"]


@pytest.fixture(scope="session")
def face(five) -> Face:
    return Face(box_of_points(five), 1.0, five, "five")


@pytest.fixture(scope="session")
def codes(deep3d, pictures, face):
    """What the model says about the astronaut."""
    with torch.inference_mode():
        return deep3d.encode([deep3d.crop(pictures["photo"], face)])
