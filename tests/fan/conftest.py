"""Makes `tests/seeded.py` importable, and gives the goldens of this area."""

from __future__ import annotations

import functools
import json
import socket
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facecli.assets import places, verify
from facecli.nn import checkpoints
from facecli.nn.retinaface import RetinaFace

TESTS = Path(__file__).resolve().parents[1]

GOLDEN = TESTS / "golden" / "landmarks"


@pytest.fixture(scope="session")
def networks():
    """What the official modules gave."""
    with np.load(GOLDEN / "networks_astronaut.npz") as data:
        return dict(data)


@pytest.fixture(scope="session")
def pre_post():
    """What the official crops and heat-map decoders gave."""
    with np.load(GOLDEN / "fan_pre_post_astronaut.npz") as data:
        return dict(data)


@pytest.fixture(scope="session")
def manifest():
    """Name -> {state-dict key: shape} of an official checkpoint."""

    def read(name: str) -> dict[str, tuple[int, ...]]:
        entries = json.loads((GOLDEN / f"manifest_{name}.json").read_text())
        return {key: tuple(shape) for key, (shape, _) in entries.items()}

    return read


@pytest.fixture(scope="session")
def random_input():
    """The goldens' inputs."""

    def make(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(seed).random(shape).astype(np.float32))

    return make


@pytest.fixture(scope="session")
def astronaut():
    """The sample photograph, RGB uint8 [512, 512, 3]."""
    return cv2.imread(str(TESTS.parent / "assets" / "astronaut.png"))[..., ::-1].copy()


@pytest.fixture(scope="session")
def standins():
    """A folder with stand-ins of the official checkpoints: same names, formats and sizes, seeded values."""
    import seeded

    def save(folder: Path, name: str, shapes: dict, gain: float = 1.0, prefix: str = "", wrap: bool = False) -> None:
        state = {prefix + key: value * gain if value.ndim == 4 else value for key, value in shapes.items()}
        torch.save({"epoch": 55, "state_dict": state} if wrap else state, folder / name)

    def manifest_state(name: str) -> dict[str, torch.Tensor]:
        entries = json.loads((GOLDEN / f"manifest_{name}.json").read_text())
        return seeded.state_dict({key: tuple(shape) for key, (shape, _) in entries.items()})

    # Half a gigabyte, so it is removed at the end and not kept as pytest does with its own folders.
    with tempfile.TemporaryDirectory(prefix="facecli-standins-") as name:
        folder = Path(name)
        save(folder, "s3fd-619a316812.pth", manifest_state("s3fd"))
        save(folder, "2DFAN4-11f355bf06.pth.tar", manifest_state("fan4"))
        (folder / "3DFAN4-7835d9f11d.pth.tar").hardlink_to(folder / "2DFAN4-11f355bf06.pth.tar")
        save(folder, "depth-2a464da4ea.pth.tar", manifest_state("resnet_depth"), prefix="module.", wrap=True)
        save(folder, "2dfan2_alt.pth", manifest_state("ibug_2dfan2"), gain=0.75)
        retinaface = {key: tuple(value.shape) for key, value in RetinaFace().state_dict().items()}
        save(folder, "Retinaface_mobilenet0.25.pth", seeded.state_dict(retinaface), prefix="module.")
        yield folder


@pytest.fixture(scope="session")
def read_once():
    """Reads each of the stand-ins' checkpoints the first time only."""
    return functools.cache(checkpoints.read_state)


@pytest.fixture
def official(standins, read_once, monkeypatch, tmp_path):
    """facecli finds the stand-ins, takes them for the official files, and nothing can reach the network."""
    use_folder(standins, monkeypatch, tmp_path)
    trust_any_hash(monkeypatch)
    monkeypatch.setattr(checkpoints, "read_state", read_once)
    return standins


@pytest.fixture
def own_folder(monkeypatch, tmp_path):
    """An empty folder that facecli looks in, and in no other."""
    folder = tmp_path / "weights"
    folder.mkdir()
    use_folder(folder, monkeypatch, tmp_path)
    return folder


def use_folder(folder: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACECLI_ASSETS", str(folder))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("FACECLI_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    places.rescan()

    def refuse(*_):
        raise AssertionError("went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def trust_any_hash(monkeypatch) -> None:
    """Stand-ins can't have the official hashes; everything else about them is checked."""
    monkeypatch.setattr(verify, "_wrong_digest", lambda asset, found: "")


@pytest.fixture(name="trust_any_hash")
def _trust_any_hash(monkeypatch):
    trust_any_hash(monkeypatch)
