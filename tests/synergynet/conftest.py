"""SynergyNet on stand-ins."""

from __future__ import annotations

import pytest

from facecli.assets import places
from standins import tiny


@pytest.fixture(scope="session")
def synergynet(standins):
    """The model as users get it, read from a checkpoint."""
    from facecli_synergynet.reconstructor import SynergyNetReconstructor

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLI_ASSETS", str(standins))
        places.rescan()
        model = SynergyNetReconstructor()
    places.rescan()
    return model


@pytest.fixture
def drawn_faces(monkeypatch):
    """The detector `reds`, which finds drawn faces."""
    from facecli import registry

    known = registry.plugins() | tiny.plugins()
    monkeypatch.setattr(registry, "plugins", lambda: known)
