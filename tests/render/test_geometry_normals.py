"""Normals of torch and numpy meshes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.geometry.normals import face_normals, vertex_normals


def uv_ball(rings=24, spokes=32):
    """A closed ball of radius 1, counter-clockwise from outside, by formula."""
    latitude = np.linspace(0.02, np.pi - 0.02, rings)[:, None]
    longitude = np.arange(spokes)[None] * 2 * np.pi / spokes
    x, z = np.sin(latitude) * np.sin(longitude), np.sin(latitude) * np.cos(longitude)
    points = np.stack([x, np.cos(latitude) + 0 * x, z], -1).reshape(-1, 3)
    ring, spoke = np.meshgrid(np.arange(rings - 1), np.arange(spokes), indexing="ij")
    a, b = ring * spokes + spoke, ring * spokes + (spoke + 1) % spokes
    c, d = a + spokes, b + spokes
    return points, np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])


def test_a_balls_normals_are_its_radii():
    points, triangles = uv_ball()
    assert (face_normals(points, triangles) * points[triangles].mean(1)).sum(-1).min() > 0
    inner = np.abs(points[:, 1]) < 0.95
    assert np.abs(vertex_normals(points, triangles) - points)[inner].max() < 0.02


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_numpy_and_torch_agree_and_have_unit_length(seed, images):
    random = np.random.default_rng(seed)
    vertices = random.normal(size=(images, 20, 3))
    triangles = random.integers(0, 20, (30, 3))
    ours, theirs = vertex_normals(vertices, triangles), vertex_normals(*map(torch.from_numpy, (vertices, triangles)))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-9)
    np.testing.assert_allclose(vertex_normals(vertices[0], triangles), ours[0])
    used = np.abs(ours).sum(-1) > 1e-3
    np.testing.assert_allclose(np.linalg.norm(ours[used], axis=-1), 1, atol=1e-9)


def test_a_vertex_without_triangles_gets_zero_and_a_finite_gradient():
    vertices = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    triangles = torch.tensor([[0, 1, 2], [1, 3, 2]])
    normals = vertex_normals(vertices, triangles)
    assert torch.equal(normals[:, 4], torch.zeros(2, 3))
    normals.sum().backward()
    assert torch.isfinite(vertices.grad).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_is_kept(dtype):
    points, triangles = uv_ball(4, 5)
    assert vertex_normals(points.astype(dtype), triangles).dtype == dtype
