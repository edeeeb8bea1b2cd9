"""The example plugin, its drawn faces, and `facecli transfer` on them."""

from __future__ import annotations

import json

import pytest


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
