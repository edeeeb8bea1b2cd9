"""The example plugin and a landmarker of drawn faces."""

from __future__ import annotations

import pytest

from standins import tiny as drawn


@pytest.fixture
def tiny(monkeypatch):
    """facecli has the model `tiny` and the landmarker `blobs`; the module :mod:`standins.tiny`."""
    from facecli import registry

    known = registry.plugins() | drawn.plugins()
    monkeypatch.setattr(registry, "plugins", lambda: known)
    monkeypatch.setattr(drawn.BlobLandmarker, "calls", 0)
    return drawn


@pytest.fixture
def run(cli, tiny, tmp_path):
    """Runs `facecli reconstruct ARGUMENTS… -o OUT` with both; codes decide their own model."""

    def call(*arguments, stdin=None, out="out", model=True):
        words = ["--model", "tiny", "--landmarker", "blobs"] if model else []
        return cli("reconstruct", *words, *arguments, "-o", tmp_path / out, "--json", stdin=stdin)

    return call
