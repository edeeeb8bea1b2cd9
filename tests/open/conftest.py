"""What the open model's tests share: ICT-FaceKit's file, where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def ict_file() -> Path:
    """../shared/data/ict_facekit.npz, or a skip that says why."""
    path = Path(os.environ.get("FACECLI_SHARED", ROOT.parent / "shared")) / "data/ict_facekit.npz"
    if not path.exists():
        pytest.skip("../shared/data/ict_facekit.npz is not here")
    return path


@pytest.fixture(scope="session")
def ict(ict_file):
    """The face model."""
    from facecli.morphable.ict import IctModel
    from facecli.morphable.ict_files import read_ict

    return IctModel(read_ict(ict_file))


@pytest.fixture(scope="session")
def head(ict):
    """Its decoder."""
    from facecli.morphable.ict_head import IctHead

    return IctHead(ict)


@pytest.fixture(scope="session")
def fitting(ict):
    from facecli.morphable.ict_fit import LandmarkFit

    return LandmarkFit(ict)


@pytest.fixture
def with_ict(ict_file, own_assets) -> Path:
    """facecli finds ICT-FaceKit's file, and no other."""
    from facecli.assets import places

    (own_assets / ict_file.name).symlink_to(ict_file)
    places.rescan()
    return own_assets
