"""Iterative closest points on a bumpy surface."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facecli.benchmark.icp import align_icp, similarity


def bumpy(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An open surface 160 wide, which fits on itself in one way only."""
    grid = np.linspace(-80, 80, n)
    x, y = np.meshgrid(grid, grid)
    z = 30 * np.exp(-((x - 10) ** 2 + (y + 20) ** 2) / 900) - 0.004 * x**2 - 0.006 * y**2 + 8 * np.sin(x / 23 + y / 31)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    first = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    quads = np.stack([first, first + 1, first + n + 1, first + n], axis=1)
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def moved(vertices, scale=1.0, degrees=6.0, shift=4.0, seed=3):
    random = np.random.default_rng(seed)
    axis = random.normal(size=3)
    rotation = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    return scale * (vertices @ rotation.T) + shift * random.normal(size=3)


def inner(vertices):
    return vertices[np.linalg.norm(vertices[:, :2], axis=1) < 60]


@pytest.mark.parametrize("metric", ["plane", "point"])
@pytest.mark.parametrize(("scaled", "scale"), [(True, 0.93), (False, 1.0)])
def test_finds_back_what_was_moved(metric, scaled, scale):
    vertices, triangles = bumpy()
    found = align_icp(inner(vertices), moved(vertices, scale), triangles, scaled=scaled, metric=metric, iterations=800)
    assert found.converged or metric == "point"
    tolerance = 1e-4 if metric == "plane" else 0.5  # point to point creeps along the surface
    assert np.abs(found.apply(moved(vertices, scale)) - vertices).max() < tolerance
    assert found.scale == pytest.approx(1 / scale if scaled else 1, rel=1e-6 if metric == "plane" else 5e-3)
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_planes_need_fewer_steps_than_points():
    vertices, triangles = bumpy()
    steps = {
        metric: align_icp(inner(vertices), moved(vertices), triangles, metric=metric, iterations=800).iterations
        for metric in ("plane", "point")
    }
    assert steps["plane"] * 3 < steps["point"]


@pytest.mark.parametrize("metric", ["plane", "point"])
def test_trimming_looks_past_what_is_not_the_surface(metric):
    vertices, triangles = bumpy()
    samples = inner(vertices)
    wild = samples[::7] + np.array([0, 0, 40])  # hair, say
    everything = np.concatenate([samples, wild])
    options = {"metric": metric, "scaled": False, "iterations": 500}
    start = moved(vertices, degrees=2, shift=1)
    spoilt = align_icp(everything, start, triangles, **options)
    trimmed = align_icp(everything, start, triangles, trim=0.2, **options)
    errors = [np.abs(result.apply(start) - vertices).max() for result in (trimmed, spoilt)]
    assert errors[0] < 0.5
    assert errors[1] > 3 * errors[0]


def test_says_when_it_was_stopped():
    vertices, triangles = bumpy()
    found = align_icp(inner(vertices), moved(vertices), triangles, metric="point", iterations=3)
    assert (found.iterations, found.converged) == (3, False)
    more = align_icp(inner(vertices), moved(vertices), triangles, metric="point", iterations=30)
    assert more.rms < found.rms


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_similarity_is_exact_and_never_mirrors(seed, mirror):
    random = np.random.default_rng(seed)
    source = random.normal(size=(12, 3)) * random.uniform(0.1, 100)
    rotation, scale, shift = (
        Rotation.random(random_state=random).as_matrix(),
        random.uniform(0.1, 9),
        random.normal(size=3),
    )
    target = scale * (source @ rotation.T) + shift
    if mirror:
        assert np.linalg.det(similarity(source, target * [-1, 1, 1])[1]) == pytest.approx(1)
        return
    found = similarity(source, target)
    assert found[0] == pytest.approx(scale)
    assert np.abs(found[1] - rotation).max() < 1e-9
    assert np.allclose(found[2], shift, atol=1e-9 * np.abs(target).max())
    assert similarity(source, target, scaled=False)[0] == 1


def test_what_can_not_be_aligned_is_said():
    vertices, triangles = bumpy(8)
    with pytest.raises(ValueError, match="too few"):
        align_icp(vertices[:5], vertices, triangles)
    with pytest.raises(ValueError, match="not sphere"):
        align_icp(vertices, vertices, triangles, metric="sphere")
    with pytest.raises(ValueError, match="not 1"):
        align_icp(vertices, vertices, triangles, trim=1)
    with pytest.raises(ValueError, match="no triangles"):
        align_icp(vertices, vertices, triangles[:0])
    with pytest.raises(ValueError, match="not finite"):
        align_icp(vertices * np.nan, vertices, triangles)
