"""Makes `tests/seeded.py` importable, and gives the goldens of this area."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
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
