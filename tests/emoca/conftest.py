"""EMOCA on stand-ins, loaded once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def model(standins, tmp_path_factory):
    """The default model, loaded from the stand-ins as from a user's official files."""
    from facecli.assets import places
    from facecli_emoca.reconstructor import EmocaReconstructor

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLI_ASSETS", str(standins))
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
        patch.chdir(tmp_path_factory.mktemp("work"))
        places.rescan()
        yield EmocaReconstructor()
    places.rescan()
