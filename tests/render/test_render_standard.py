"""DECA's rasterizer rules: edges count as inside, weights sum to 1, batches are right, nothing wild breaks it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.render.ndc import raster_ndc
from facecli.render.rasterize import interpolate
from facecli.render.standard import rasterize_standard

SQUARE = torch.tensor([[[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]])
HALVES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_pixels_on_an_edge_are_drawn():
    """The diagonal runs through pixel centres, which pytorch3d's rules leave empty."""
    ours = raster_ndc(SQUARE, HALVES, (8, 8), rules="standard")
    theirs = raster_ndc(SQUARE, HALVES, (8, 8))
    diagonal = torch.arange(8)
    assert ours.mask.all() and not theirs.mask[0, diagonal, diagonal].any()
    assert (ours.bary.sum(-1) - 1).abs().max() < 1e-6


def test_each_face_of_a_batch_has_its_own_colours():
    """Upstream gives all of them the first one's."""
    vertices = torch.cat([SQUARE, SQUARE * 0.5])
    colors = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
    both = interpolate(raster_ndc(vertices, HALVES, (16, 16), rules="standard"), HALVES, colors)
    for number in range(2):
        part = slice(number, number + 1)
        alone = interpolate(raster_ndc(vertices[part], HALVES, (16, 16), rules="standard"), HALVES, colors[part])
        assert torch.equal(both[part], alone)


def test_the_nearest_wins_and_depth_is_harmonic():
    points = torch.tensor([[[-1.0, -1, 1], [3, -1, 3], [-1, 3, 3], [-1, -1, 2], [3, -1, 2], [-1, 3, 2]]])
    found = rasterize_standard(points, torch.tensor([[0, 1, 2], [3, 4, 5]]), (9, 9))
    assert found.face_index[0, 0, 0] == 0 and found.face_index[0, 8, 8] == 1
    w = found.bary[0, 0, 0]
    assert found.depth[0, 0, 0] == pytest.approx(float(1 / (w / torch.tensor([1.0, 3, 3])).sum()), rel=1e-5)


def test_wild_vertices_are_left_out():
    wild = [np.nan, np.inf, -np.inf, 1e30, -1e30]
    points = SQUARE.repeat(len(wild), 1, 1)
    for number, value in enumerate(wild):
        points[number, 2, 0] = value
    found = raster_ndc(points, HALVES, (8, 8), rules="standard")
    drawn = found.bary[found.mask]
    assert torch.isfinite(drawn).all()
    flat = torch.zeros(1, 3, 3) + torch.tensor([0.0, 0, 1])
    assert not rasterize_standard(flat, torch.tensor([[0, 1, 2]]), (8, 8)).mask.any()
    behind = SQUARE + torch.tensor([0, 0, -20.0])
    assert not raster_ndc(behind, HALVES, (8, 8), rules="standard").mask.any()


def test_pictures_that_are_not_square_span_both_axes():
    found = raster_ndc(SQUARE, HALVES, (5, 9), rules="standard")
    assert found.mask.shape == (1, 5, 9) and found.mask.all()
