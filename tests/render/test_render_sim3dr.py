"""The compatibility painter against the C++ kernels of 3DDFA_V2 and SynergyNet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facecli.render import sim3dr

GOLDEN = Path(__file__).parents[1] / "golden" / "rendering" / "sim3dr.npz"


@pytest.fixture(scope="module")
def case():
    with np.load(GOLDEN) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return arrays | {"faces": arrays["faces"].astype(np.int64)}


def differing(found, wanted):
    return (found != wanted).reshape(*found.shape[:2], -1).any(-1).mean()


@pytest.mark.parametrize("program", sim3dr.PROGRAMS)
def test_triangle_buffers(case, program):
    index, depth, bary = sim3dr.triangle_buffers(case["verts"], case["faces"], (96, 96), program=program)
    same = index == case[f"{program}_tri_index"]
    assert same.mean() >= 0.999
    np.testing.assert_allclose(depth[same], case[f"{program}_tri_depth"][same], rtol=1e-6)
    np.testing.assert_allclose(bary[same], case[f"{program}_tri_bary"][same], atol=1e-4)
    assert (depth[index < 0] == -1e8).all()


@pytest.mark.parametrize("program", sim3dr.PROGRAMS)
def test_pictures(case, program):
    arguments = case["verts"], case["faces"], case["colors"], case["background"]
    picture, depth = sim3dr.paint(*arguments, program=program)
    assert differing(picture, case[f"{program}_image_alpha1"]) <= 1e-3
    np.testing.assert_allclose(depth, case[f"{program}_depth"], rtol=1e-5)
    blended, _ = sim3dr.paint(*arguments, program=program, alpha=0.6, reverse=True)
    assert differing(blended, case[f"{program}_image_alpha06_reverse"]) <= 1e-3


@pytest.mark.parametrize("program", sim3dr.PROGRAMS)
def test_normals(case, program):
    found = sim3dr.vertex_normals(case["verts"], case["faces"], program=program)[::5]
    np.testing.assert_allclose(found, case[f"{program}_normals"], atol=2e-5)


@pytest.mark.parametrize("program", sim3dr.PROGRAMS)
def test_lit_mesh_and_overlay(case, program):
    background = case["background"].copy()
    painted = sim3dr.paint_lit(case["verts"], case["faces"], background, program=program)
    assert differing(painted, case[f"{program}_pipeline"]) <= 1e-3
    overlay = sim3dr.draw_overlay(case["verts"], case["faces"], background, program=program)
    np.testing.assert_array_equal(overlay, cv2.addWeighted(background, 0.4, painted, 0.6, 0))
    np.testing.assert_array_equal(background, case["background"])  # a copy was painted


def test_a_vertex_without_area(case):
    vertices = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [4, 4, 4]], np.float32)
    triangles = np.array([[0, 1, 2]])
    np.testing.assert_array_equal(sim3dr.vertex_normals(vertices, triangles)[3], 0)
    assert np.isnan(sim3dr.vertex_normals(vertices, triangles, program="synergynet")[3]).all()
    assert np.abs(sim3dr.vertex_normals(vertices, triangles)[:3]).tolist() == [[0, 0, 1]] * 3


def test_flat_triangles_fill_their_box_in_synergynet_only():
    vertices = np.array([[1.2, 1.2, 1], [4.4, 4.4, 1], [2.2, 2.2, 1]], np.float32)
    black, white = np.zeros((8, 8, 3), np.uint8), np.ones((3, 3), np.float32)
    triangles = np.array([[0, 1, 2]])
    # D is exactly 0 for these three points on the diagonal.
    assert not sim3dr.paint(vertices, triangles, white, black)[0].any()
    filled = sim3dr.paint(vertices, triangles, white, black, program="synergynet")[0]
    assert set(map(tuple, np.argwhere(filled[..., 0]))) == {(y, x) for y in range(1, 6) for x in range(1, 6)}


def test_bad_vertices_and_programs(case):
    vertices = case["verts"].copy()
    vertices[7] = np.nan
    index, depth, _ = sim3dr.triangle_buffers(vertices, case["faces"], (96, 96))
    assert np.isfinite(depth).all()
    assert (index >= 0).mean() > 0.1
    with pytest.raises(ValueError, match="one of 3ddfa_v2, synergynet"):
        sim3dr.vertex_normals(vertices, case["faces"], program="prnet")
    with pytest.raises(ValueError, match="vertices up to"):
        sim3dr.triangle_buffers(vertices[:10], case["faces"], (4, 4))
