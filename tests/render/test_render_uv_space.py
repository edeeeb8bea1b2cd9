"""Surfaces as maps: normals are those of the mesh of texels, and values land where the layout says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.geometry.normals import vertex_normals
from facecli.geometry.spherical_harmonics import shade
from facecli.render.head_view import nearness
from facecli.render.landmark_pictures import GREEN, RED, draw_landmarks68
from facecli.render.lighting import directional_lights, white_light
from facecli.render.uv_space import UvSpace, picture_in_uv, surface_normals, unit


def grid_triangles(size: int, columns: range, rows: range) -> torch.Tensor:
    """Two triangles for each quad whose upper left texel is in `columns` and `rows`."""
    found = []
    for column in columns:
        for row in rows:
            p = row * size + column
            found += [(p, p + size, p + 1), (p + 1, p + size, p + size + 1)]
    return torch.tensor(found)


@pytest.mark.parametrize("margin", [(0, 0), (2, 5), (3, 1)])
def test_normals_are_those_of_the_mesh_of_texels(margin):
    size, (columns, rows) = 24, margin
    surface = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    triangles = grid_triangles(size, range(columns, size - 1 - columns), range(rows, size - 1 - rows))
    wanted = vertex_normals(surface.flatten(2).transpose(1, 2), triangles)
    found = surface_normals(surface, margin).flatten(2).transpose(1, 2)
    assert (found - wanted).abs().max() < 1e-5
    if margin == (2, 5):
        assert not surface_normals(surface, margin)[:, :, :5].any()


def test_decas_and_emocas_grids_have_their_official_numbers_of_triangles():
    assert len(range(2, 253)) * len(range(5, 250)) * 2 == 122990
    assert 255 * 255 * 2 == 130050


def test_normals_can_be_learned_from_flat_places():
    surface = torch.zeros(1, 3, 8, 8, requires_grad=True)
    surface_normals(surface).sum().backward()
    assert torch.isfinite(surface.grad).all()


def test_tiny_normals_are_not_stretched():
    vectors = torch.zeros(1, 3, 1, 2)
    vectors[0, 2, 0, 0] = 1e-7
    assert unit(vectors)[0, 2, 0].tolist() == pytest.approx([0.1, 0])


def test_values_land_where_the_layout_says():
    uv = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    space = UvSpace(torch.tensor([[2, 0, 1]]), uv, torch.tensor([[0, 1, 2]]), 64)
    values = torch.tensor([[[1.0, 0], [0, 1], [0, 0]], [[2.0, 0], [0, 3], [0, 0]]])  # of mesh vertices 0, 1, 2
    maps = space(values)
    assert maps.shape == (2, 2, 64, 64)
    assert space.mask[40, 10] and not space.mask[10, 40]  # v grows upwards
    u, v = (10 + 0.5) / 64, 1 - (40 + 0.5) / 64
    assert maps[0, :, 40, 10].tolist() == pytest.approx([u, v], abs=1e-3)  # uv 1 is vertex 0's, uv 2 is vertex 1's
    assert maps[1, :, 40, 10].tolist() == pytest.approx([2 * u, 3 * v], abs=1e-3)
    assert not maps[:, :, ~space.mask].any()


def test_the_photographs_colours_reach_the_layout():
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    places = torch.zeros(1, 3, 2, 2)
    places[0, 0], places[0, 1] = -1 + 2 * (5 + 0.5) / 8, -1 + 2 * (2 + 0.5) / 8  # the middle of column 5, row 2
    assert torch.allclose(picture_in_uv(picture, places)[0, :, 1, 0], picture[0, :, 2, 5], atol=1e-5)


def test_white_light_changes_nothing():
    normals = unit(torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(shade(normals, white_light(normals, 1)), torch.ones(1, 3, 4, 4), atol=1e-6)


def test_lamps_from_behind_give_nothing():
    normals = torch.tensor([0.0, 0, 1]).view(1, 3, 1, 1)
    lamps = torch.tensor([[[0.0, 0, -3, 1, 1, 1], [0, 0, 2, 0.5, 1, 0]]])
    assert directional_lights(normals, lamps)[0, :, 0, 0].tolist() == pytest.approx([0.25, 0.5, 0])


def test_nearness_is_each_heads_own():
    heads = torch.zeros(2, 3, 3)
    heads[0, :, 2], heads[1, :, 2] = torch.tensor([1.0, 2, 3]), torch.tensor([-50.0, 0, 50])
    assert nearness(heads)[..., 0].tolist() == [[1, 0.5, 0], [1, 0.5, 0]]


def test_landmarks_are_drawn_where_they_are():
    points = np.stack([np.linspace(5, 90, 68), np.linspace(10, 60, 68)], 1)
    visible = np.arange(68) < 60
    picture = np.zeros((80, 100, 3), np.uint8)
    drawn = draw_landmarks68(picture, points, visible)
    assert not picture.any() and drawn.dtype == np.uint8
    assert tuple(drawn[int(points[66, 1]), int(points[66, 0])]) == RED
    assert tuple(drawn[int(points[6, 1]), int(points[6, 0])]) == GREEN
    draw_landmarks68(picture, np.full((68, 2), 1e30))
    draw_landmarks68(picture, np.full((68, 2), np.nan))
