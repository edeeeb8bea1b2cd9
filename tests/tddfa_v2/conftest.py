"""3DDFA_V2 on stand-ins, and with its trained weights where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecli.assets import places
from standins.write import WHITENING_V2

SHARED = Path(os.environ.get("FACECLI_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TRAINED = ("mb05_120x120.pth", "param_mean_std_62d_120x120.pkl")


@pytest.fixture(scope="session")
def tddfa_v2(finding_standins, standins):
    """The model as users get it, read from the official formats."""
    from facecli_tddfa_v2.reconstructor import TddfaV2Reconstructor

    with finding_standins():
        return TddfaV2Reconstructor(whitening=str(standins / WHITENING_V2))


@pytest.fixture
def whitening(official) -> str:
    """Words of the command line: the stand-in whitening, since the official one's hash is known."""
    return f"whitening={official / WHITENING_V2}"


@pytest.fixture
def trained(own_assets) -> Path:
    """facecli finds the trained mb05 and its whitening, and no face model; the folder with them."""
    for name in TRAINED:
        path = SHARED / "data/weights" / name
        if not path.exists():
            pytest.skip(f"../shared/data/weights/{name} is not here")
        (own_assets / name).symlink_to(path)
    places.rescan()
    return own_assets
