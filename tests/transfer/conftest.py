"""The example plugin, its drawn faces, and `facecli transfer` on them."""

from __future__ import annotations

import json

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
def transfer(cli, tiny, tmp_path):
    """Runs `facecli transfer ARGUMENTS… -o OUT` with both, taking the identity: of ellipses, height by width."""

    def call(*arguments, stdin=None, out="out", take="identity", model=True):
        words = ["--landmarker", "blobs"] + (["--model", "tiny"] if model else [])
        words += ["--take", take] if take else []
        return cli("transfer", *words, *arguments, "-o", tmp_path / out, "--json", stdin=stdin)

    return call


@pytest.fixture
def lines():
    return lambda ran: [json.loads(line) for line in ran.out.splitlines()]
