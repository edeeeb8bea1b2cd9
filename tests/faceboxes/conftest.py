"""FaceBoxes with its trained weights where they are, and with seeded ones in the official format everywhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import seeded
from facecli.assets import places
from facecli_faceboxes import files
from facecli_faceboxes.network import FaceBoxes

SHARED = Path(os.environ.get("FACECLI_SHARED", Path(__file__).resolve().parents[3] / "shared"))


@pytest.fixture(scope="session")
def trained_file() -> Path:
    """The official FaceBoxesProd.pth, or a skip that says why."""
    path = SHARED / "data/weights" / files.WEIGHTS.filename
    if not path.exists():
        pytest.skip("../shared/data/weights/FaceBoxesProd.pth is not here")
    return path


@pytest.fixture
def trained(own_assets, trained_file) -> Path:
    """facecli finds the official weights; the folder with them."""
    (own_assets / trained_file.name).symlink_to(trained_file)
    places.rescan()
    return own_assets


@pytest.fixture
def write_weights(own_assets, monkeypatch):
    """Writes `content` (seeded weights) under the official name, as the official file is: in the format before torch
    1.6, with tensors that lay on a GPU. It is taken for the official one, whose length and hash it can't have."""

    def write(content=None, *, zipped: bool = False) -> Path:
        if content is None:
            content = seeded.state_dict({key: tuple(value.shape) for key, value in FaceBoxes().state_dict().items()})
        path = own_assets / files.WEIGHTS.filename
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
        places.rescan()
        return path

    monkeypatch.setattr(files, "WEIGHTS", replace(files.WEIGHTS, size=None, sha256=""))
    return write
