"""SynergyNet on stand-ins."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def synergynet(finding_standins):
    """The model as users get it, read from a checkpoint."""
    from facecli_synergynet.reconstructor import SynergyNetReconstructor

    with finding_standins():
        return SynergyNetReconstructor()
