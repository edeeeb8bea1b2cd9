"""The example plugin and a landmarker of drawn faces."""

from __future__ import annotations

import pytest


@pytest.fixture
def run(cli, tiny, tmp_path):
    """Runs `facecli reconstruct ARGUMENTS… -o OUT` with both; codes decide their own model."""

    def call(*arguments, stdin=None, out="out", model=True):
        words = ["--model", "tiny", "--landmarker", "blobs"] if model else []
        return cli("reconstruct", *words, *arguments, "-o", tmp_path / out, "--json", stdin=stdin)

    return call
