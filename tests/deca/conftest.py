"""DECA on stand-ins: once with the official format's weights, once with the weights of the golden cases."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import seeded
from facecli.codes import Codes
from facecli.morphable.flame import Flame
from facecli.morphable.flame_texture import FlameAlbedo
from standins.deca import toy_albedo

GOLDEN = Path(__file__).parents[1] / "golden/deca"


class Golden:
    """A file of numbers that the official code gave; values come as tensors."""

    def __init__(self, name: str):
        self._arrays = np.load(GOLDEN / f"{name}.npz")

    def __getitem__(self, key: str):
        array = self._arrays[key]
        return torch.from_numpy(array) if array.dtype.kind in "fiub" else array


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Golden]:
    return Golden


@pytest.fixture(scope="module")
def found_standins(finding_standins) -> Iterator[Path]:
    """facecli finds the stand-ins while a module's tests run."""
    with finding_standins() as folder:
        yield folder


@pytest.fixture(scope="session")
def deca(finding_standins):
    """The model as users get it, read from a checkpoint."""
    from facecli_deca.reconstructor import DecaReconstructor

    with finding_standins():
        return DecaReconstructor()


@pytest.fixture(scope="session")
def flame(deca) -> Flame:
    return deca.head.flame


@pytest.fixture(scope="session")
def albedo_arrays() -> tuple[np.ndarray, np.ndarray]:
    """What the albedo files hold: means and 50 components."""
    return toy_albedo(50)


@pytest.fixture(scope="session")
def albedo(albedo_arrays) -> FlameAlbedo:
    mean, components = albedo_arrays
    maps = [
        np.ascontiguousarray(values.reshape(512, 512, 3, -1)[::2, ::2, ::-1].transpose(3, 2, 0, 1))
        for values in (mean, components)
    ]
    return FlameAlbedo(torch.from_numpy(maps[0][0]), torch.from_numpy(maps[1]))


@pytest.fixture(scope="session")
def seeded_networks():
    """E_flame, E_detail and D_detail with the weights of `decode.npz`."""
    from facecli_deca.detail_decoder import DetailDecoder
    from facecli_deca.encoder import ResnetEncoder

    coarse, detail, decoder = ResnetEncoder(236), ResnetEncoder(128), DetailDecoder()
    for network, name in ((coarse, "E_flame"), (detail, "E_detail"), (decoder, "D_detail")):
        seeded.fill(network, f"{name}.")
        network.eval().requires_grad_(False)
    for parameter in coarse.layers[2].parameters():
        parameter *= 0.05
    coarse.layers[2].bias[206] = 7.5
    coarse.layers[2].bias[209:212] = 2.5
    decoder.conv_blocks[21].weight *= 20
    return {"E_flame": coarse, "E_detail": detail, "D_detail": decoder}


@pytest.fixture(scope="session")
def with_rules(deca, albedo, seeded_networks):
    """The golden cases' model for a rasterizer's rules; `textured=False` without the albedo model."""
    from facecli.render.head_view import HeadRenderer
    from facecli.render.uv_space import UvSpace

    def make(rules: str, *, textured: bool = True, extract: bool = True):
        head, old = deca.head, deca._decoder
        surface = copy.copy(old.surface)
        surface._modules = {
            **old.surface._modules,
            "space": UvSpace(head.triangles, head.uv, head.uv_triangles, 256, rules=rules),
        }
        model = copy.copy(deca)
        model.networks = seeded_networks
        model._decoder = replace(
            old,
            surface=surface,
            renderer=HeadRenderer(head.triangles, head.uv, head.uv_triangles, rules=rules),
            albedo=albedo if textured else None,
            extract_texture=extract,
        )
        return model

    return make


@pytest.fixture(scope="session")
def golden_image() -> torch.Tensor:
    """[1, 3, 224, 224] of `decode.npz`."""
    resize = torch.nn.functional.interpolate
    noise = torch.from_numpy(np.random.default_rng(60).random((1, 3, 224, 224), dtype=np.float32))
    return resize(resize(noise, size=28, mode="area"), size=224, mode="bicubic", align_corners=False).clamp(0, 1)


@pytest.fixture(scope="session")
def golden_codes() -> Codes:
    """The codes of `decode.npz`."""
    golden = Golden("decode")
    values = {
        "identity": golden["code_shape"],
        "texture": golden["code_tex"],
        "expression": golden["code_exp"],
        "pose": golden["code_pose"][:, :3],
        "jaw": golden["code_pose"][:, 3:],
        "camera": golden["code_cam"],
        "light": golden["code_light"],
        "detail": golden["code_detail"],
    }
    return Codes(values, "deca", "flame")
