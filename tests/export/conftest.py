"""Fixtures of the exporters' tests."""

from __future__ import annotations

import pytest
from surfaces import dome

from facecli.geometry.mesh import TriangleMesh


@pytest.fixture
def mesh() -> TriangleMesh:
    return dome()
