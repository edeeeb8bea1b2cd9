"""Tangents against those of Blender, which uses MikkTSpace's own code (see tests/golden/export/README.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from facecli.export.surface import split_seams, split_tangents
from facecli.geometry.tangents import uv_orientation, vertex_tangents

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
from surfaces import bumpy_dome, mirrored_dome

GOLDEN = Path(__file__).parents[1] / "golden/export/mikktspace.npz"


@pytest.mark.parametrize(("name", "make"), [("islands", bumpy_dome), ("mirrored", mirrored_dome)])
def test_tangents_are_mikktspaces(name, make):
    mesh = make()
    surface = split_seams(mesh, for_tangents=True)
    assert len(surface.source) > len(mesh.vertices)  # doubled, in the second case for the mirror alone
    normals, tangents = split_tangents(mesh, surface)
    used = np.unique(surface.triangles)
    expected = np.load(GOLDEN)[name][used]
    assert set(expected[:, 3]) == {-1, 1}
    np.testing.assert_array_equal(tangents[used, 3], expected[:, 3])
    angles = np.degrees(np.arccos(np.clip((tangents[used, :3] * expected[:, :3]).sum(1), -1, 1)))
    assert angles.max() < 0.05  # Blender rounds the normals that it is given
    np.testing.assert_allclose((tangents[:, :3] * normals).sum(1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)


def test_a_flat_layout_of_a_plane_gives_its_axes():
    positions = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]], float)
    normals, triangles = np.tile([0.0, 0, 1], (4, 1)), np.array([[0, 1, 2], [0, 2, 3]])
    uv = positions[:, :2] / 4
    np.testing.assert_allclose(vertex_tangents(positions, normals, uv, triangles), [[1, 0, 0, 1]] * 4, atol=1e-7)
    turned = uv[:, ::-1] * [1, -1]  # u grows upwards, v to the left
    np.testing.assert_allclose(vertex_tangents(positions, normals, turned, triangles), [[0, 1, 0, 1]] * 4, atol=1e-7)
    mirrored = uv * [-1, 1]
    np.testing.assert_allclose(
        vertex_tangents(positions, normals, mirrored, triangles), [[-1, 0, 0, -1]] * 4, atol=1e-7
    )


def test_what_has_no_direction_gets_some_unit_tangent():
    positions = np.random.default_rng(0).normal(size=(5, 3))
    normals = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    triangles = np.array([[0, 1, 2], [2, 2, 3]])  # one without area in the layout, one in space, and a lone vertex
    tangents = vertex_tangents(positions, normals, np.zeros((5, 2)), triangles)
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((tangents[:, :3] * normals).sum(1), 0, atol=1e-6)
    assert uv_orientation(np.zeros((5, 2)), triangles).tolist() == [0, 0]
