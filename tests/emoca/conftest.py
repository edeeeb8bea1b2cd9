"""EMOCA on stand-ins, loaded once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def model(finding_standins):
    """The default model, loaded from the stand-ins as from a user's official files."""
    from facecli_emoca.reconstructor import EmocaReconstructor

    with finding_standins():
        return EmocaReconstructor()
