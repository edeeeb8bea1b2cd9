"""The goldens: a clone stays small, and all of them can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def test_they_take_10_megabytes_at_most():
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert sum(path.stat().st_size for path in files) < 10e6
    assert max(path.stat().st_size for path in files) < 1e6


def test_all_arrays_can_be_read_without_running_what_they_hold():
    for path in GOLDEN.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[name].dtype.kind in "biufU" for name in archive.files), path
