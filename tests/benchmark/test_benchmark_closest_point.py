"""Closest points of meshes: the golden case, brute force, and meshes that real files contain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.benchmark.closest_point import ClosestPoints, drop_degenerate
from standins.now import golden_case

GOLDEN = Path(__file__).parents[1] / "golden/benchmarks"


@pytest.fixture(params=["igl", "numba"])
def backend(request) -> str:
    if request.param == "igl":
        pytest.importorskip("igl", reason="libigl is not installed")
    return request.param


def nearest_by_search(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distances [n] from `points` [n, 3] to triangles [F, 3, 3]: the least of faces and edges, each pair looked at."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    best = np.full(len(points), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        along = end - start
        squared = np.maximum((along**2).sum(axis=1), 1e-300)
        t = np.clip(((points[:, None] - start) * along).sum(axis=2) / squared, 0, 1)
        best = np.minimum(best, np.linalg.norm(points[:, None] - start - t[..., None] * along, axis=2).min(axis=1))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.where(length > 0, length, 1)[:, None]
    height = ((points[:, None] - a) * unit).sum(axis=2)
    foot = points[:, None] - height[..., None] * unit
    inside = length > 0
    for start, end in ((a, b), (b, c), (c, a)):
        inside = inside & ((np.cross(end - start, foot - start) * unit).sum(axis=2) >= 0)
    return np.minimum(best, np.where(inside, np.abs(height), np.inf).min(axis=1))


def check(vertices, triangles, points, backend, tolerance=1e-9):
    found = ClosestPoints(vertices, triangles, backend).query(points)
    corners = vertices[triangles]
    assert np.abs(found.distance - nearest_by_search(points, corners)).max() <= tolerance
    assert np.allclose(np.linalg.norm(points - found.point, axis=1), found.distance, rtol=0, atol=tolerance)
    # The point is on the triangle that is named.
    for point, triangle in zip(found.point, found.triangle, strict=True):
        assert nearest_by_search(point[None], corners[triangle][None])[0] <= tolerance


def test_golden(backend):
    golden = np.load(GOLDEN / "closest_point.npz")
    found = ClosestPoints(golden["v"], golden["f"], backend).query(golden["p"])
    assert np.abs(found.distance - golden["distance"]).max() < 1e-9
    assert np.abs(found.point - golden["closest"]).max() < 1e-9
    on_face = golden["part"] == 0  # edges and vertices belong to several triangles
    assert on_face.sum() > 100
    assert np.array_equal(found.triangle[on_face], golden["triangle"][on_face])
    assert found.distance.dtype == np.float64
    assert found.triangle.dtype == np.int64


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 60]), st.sampled_from([0.001, 1.0, 300.0]))
def test_soups_of_triangles_of_all_sizes_are_searched_exactly(seed, count, scale):
    random = np.random.default_rng(seed)
    size = np.exp(random.uniform(-5, 2, (count, 1, 1)))  # a few huge ones among many small ones
    corners = (random.normal(size=(count, 1, 3)) + size * random.normal(size=(count, 3, 3))) * scale
    points = random.normal(size=(40, 3)) * 2 * scale
    points[:5] = corners[0].mean(axis=0)  # on the surface
    for backend in ("numba", "igl"):
        if backend == "igl":
            pytest.importorskip("igl")
        check(corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3), points, backend, 1e-10 * max(1.0, scale))


def test_triangles_without_area_are_segments_and_points(backend):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [3, 0, 0], [0, 5, 0], [0.3, 0.1, 0.7], [3.3, 1.1, 7.7], [1.5, 0.5, 3.5]])
    triangles = np.array([[1, 0, 2], [3, 3, 3], [4, 4, 5], [4, 5, 6], [0, 2, 1]])
    points = np.random.default_rng(1).normal(size=(200, 3)) * 4
    check(vertices, triangles, points, backend)
    check(vertices, triangles[1:2], points, backend)


@pytest.mark.parametrize("thin", [1e-4, 1e-6, 1e-9, 1e-13])
def test_slivers(thin):
    random = np.random.default_rng(2)
    corners = random.normal(size=(20, 3, 3))
    corners[:, 2] = corners[:, 0] + random.uniform(-1, 2, (20, 1)) * (corners[:, 1] - corners[:, 0])
    corners[:, 2] += thin * random.normal(size=(20, 3))
    points = np.concatenate([random.normal(size=(100, 3)), corners.mean(axis=1)])
    check(corners.reshape(-1, 3), np.arange(60).reshape(-1, 3), points, "numba", 1e-8)


def test_both_agree_on_a_head():
    pytest.importorskip("igl")
    golden = golden_case("now_nonmetrical_b")
    points = golden["scan_v"][::7].astype(float) - golden["scan_v"].mean(axis=0)
    one, other = (ClosestPoints(golden["pred_v"], golden["pred_f"], name).query(points) for name in ("igl", "numba"))
    assert np.abs(one.distance - other.distance).max() < 1e-9
    assert np.abs(one.point - other.point).max() < 1e-5  # far from a mesh, ties are nearly ties


@pytest.mark.parametrize(
    ("vertices", "triangles", "words"),
    [
        (np.zeros((3, 3)), np.zeros((0, 3), int), "no triangles"),
        (np.zeros((3, 3)), np.array([[0, 1, 3]]), "isn't there"),
        (np.zeros((3, 3)), np.array([[0, 1, -1]]), "isn't there"),
        (np.array([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]]), np.array([[0, 1, 2]]), "1 of the mesh's 3 vertices"),
        (np.zeros((3, 2)), np.array([[0, 1, 2]]), "not \\[3, 2\\]"),
    ],
)
def test_what_is_no_mesh_is_refused(vertices, triangles, words):
    with pytest.raises(ValueError, match=words):
        ClosestPoints(vertices, triangles)


def test_points_that_are_no_numbers_and_unknown_backends_are_refused():
    mesh = np.eye(3), np.array([[0, 1, 2]])
    with pytest.raises(ValueError, match="not finite"):
        ClosestPoints(*mesh).query(np.array([[0, 0, np.inf]]))
    with pytest.raises(ValueError, match="not cgal"):
        ClosestPoints(*mesh, backend="cgal")
    assert ClosestPoints(*mesh).query(np.zeros((0, 3))).distance.shape == (0,)


def test_degenerate_triangles_are_dropped_as_the_official_reader_does():
    golden = json.loads((GOLDEN / "now_summary.json").read_text())["degenerate_faces"]
    kept = drop_degenerate(np.array(golden["v"]), np.array(golden["f"]))
    assert kept.tolist() == golden["kept"]
