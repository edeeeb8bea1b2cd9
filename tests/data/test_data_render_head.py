"""Rendered heads: the same for ever, and with labels that are what the picture shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facecli.benchmark.closest_point import ClosestPoints
from facecli.data.formula_head import FormulaHead
from facecli.data.head_model import FIELD_MM, FIELDS, HeadModel
from facecli.data.paint import materials
from facecli.data.render_head import HeadRenderer
from facecli.data.scan_points import ScanPoints
from facecli.data.scene import SETS

SIZE = 160


@pytest.fixture(scope="module")
def renderer() -> HeadRenderer:
    return HeadRenderer(FormulaHead(), SETS["full"], SIZE)


@pytest.fixture(scope="module")
def heads(renderer):
    return [renderer.render(3, index) for index in range(6)]


def in_range(renderer: HeadRenderer, **changes) -> HeadRenderer:
    """The same renderer with another range of scenes, without making its mean head again."""
    other = object.__new__(HeadRenderer)
    other.__dict__.update(renderer.__dict__)
    other.scene = replace(renderer.scene, **changes)
    return other


def test_the_formulas_head_keeps_the_contract(renderer):
    model = renderer.model
    assert isinstance(model, HeadModel)
    assert set(model.fields()) <= set(FIELDS)
    assert model.skin.shape == model.face.shape == (len(model.triangles),) and (model.skin | ~model.face).all()


def test_a_head_is_the_same_whatever_was_drawn_before(renderer, heads):
    again = renderer.render(3, 4)
    assert (again.image == heads[4].image).all() and (again.vertices == heads[4].vertices).all()
    assert (renderer.render(4, 4).image != again.image).any()
    posed = renderer.pose(3, 4)
    assert (posed.vertices == again.vertices).all() and (posed.view.rotation == again.view.rotation).all()


def test_heads_differ(heads):
    for one in heads:
        assert one.image.shape == (SIZE, SIZE, 3) and one.image.dtype == np.uint8 and one.image.std() > 10
        assert sum((one.identity == other.identity).all() for other in heads) == 1


def test_another_range_changes_nothing_but_itself(renderer, heads):
    bare = in_range(renderer, occluded=1.0).render(3, 1)
    assert (bare.identity == heads[1].identity).all() and (bare.view.rotation == heads[1].view.rotation).all()
    assert bare.palette.skin == pytest.approx(heads[1].palette.skin)
    rested = in_range(renderer, rest=1.0).render(3, 1)
    assert (rested.identity == heads[1].identity).all() and not rested.expression.any()
    assert (rested.vertices == rested.neutral).all()


def test_depth_and_normals_are_those_of_the_vertices(heads):
    for head in heads:
        labels = head.labels
        assert labels.head.any() and (labels.skin <= labels.head).all() and (labels.face <= labels.skin).all()
        assert (labels.depth[~labels.head] == 0).all() and not labels.normals[~labels.head].any()
        depth = labels.depth[labels.head]
        assert (np.abs(depth - head.view.distance) < 300).all()
        length = np.linalg.norm(labels.normals[labels.head], axis=1)
        assert length == pytest.approx(1, abs=1e-3)
        # The surface's slope, measured in the depth picture, is the normals': of one smooth place, the forehead.
        row, column = _forehead(head)
        assert labels.skin[row, column]
        points = np.stack([_unproject(head, row + dr, column + dc) for dr, dc in ((0, 0), (0, 2), (2, 0))])
        normal = np.cross(points[2] - points[0], points[1] - points[0])
        assert normal @ labels.normals[row, column] / np.linalg.norm(normal) > 0.9


def _forehead(head) -> tuple[int, int]:
    brows, nose = head.landmarks_3d[[19, 24]].mean(0), head.landmarks_3d[30]
    up = head.landmarks_3d[27] - nose
    x, y, _ = head.view.project(brows + 0.4 * up)
    return round(float(y)), round(float(x))


def _unproject(head, row: int, column: int) -> np.ndarray:
    """The point of the surface at a pixel, in the camera frame."""
    camera, depth = head.view.camera, float(head.labels.depth[row, column])
    x = (column - camera.principal[0]) * depth / camera.focal
    y = (camera.principal[1] - row) * depth / camera.focal
    return np.array([x, y, -depth])


def test_points_on_the_seen_side_lie_on_the_depth_picture(heads):
    checked = 0
    for head in heads:
        projected = head.view.project(head.landmarks_3d)
        for x, y, depth in projected[27:36]:  # the nose
            row, column = round(float(y)), round(float(x))
            surface = head.labels.depth[row, column] if 0 <= row < SIZE and 0 <= column < SIZE else 0
            if surface and depth < surface + 3:
                checked += 1
                assert depth == pytest.approx(surface, abs=6)
    assert checked > 25


def test_a_thing_in_front_hides_what_is_behind_it(renderer, heads):
    covered = in_range(renderer, occluded=1.0).render(3, 1)
    hidden = covered.labels.face & ~covered.labels.visible
    assert hidden.sum() > 20
    assert (covered.image[hidden] != heads[1].image[hidden]).any(1).mean() > 0.9
    away = ~covered.labels.head & (covered.covered == 0)
    assert np.abs(covered.image[away].astype(int) - heads[1].image[away]).mean() < 12  # JPEG and blur reach far


def test_hair_is_raised_behind_its_line_and_nowhere_else(renderer):
    heads = [renderer.render(8, index) for index in range(12)]
    head = max((head for head in heads if not head.palette.bald), key=lambda head: head.palette.hair_height)
    behind = (renderer.model.fields()["hair"] - 0.5) * FIELD_MM - head.palette.hairline
    raised = np.linalg.norm(renderer._with_hair(head.vertices, head.palette) - head.vertices, axis=1)
    assert raised[behind <= 0].max() < 1e-3
    assert 0.5 * head.palette.hair_height < raised.max() <= 1.8 * head.palette.hair_height
    bald = replace(head.palette, bald=True)
    assert (renderer._with_hair(head.vertices, bald) == head.vertices).all()


def test_lips_take_their_colour_and_pupils_are_black(renderer, heads):
    fields = renderer.model.fields()
    palette = replace(heads[0].palette, lips=np.array([1.0, 0, 0]), lips_amount=1.0, beard=0.0, pupil=1.0)
    place = renderer._mean.T
    nothing = np.zeros(place.shape[1], np.float32)
    albedo = materials(palette, fields, place, nothing, nothing > 0).albedo
    reddest = (albedo[0] > 0.99) & (albedo[1] < 0.01)
    lips = (fields["lips"] > 2) & (fields["mouth"] < 0) & (fields["teeth"] < 0)
    assert reddest[lips].all() and not reddest[fields["lips"] < 0].any() and reddest.sum() > 20
    pupil = fields["pupil"] > 0.6
    assert pupil.any() and (albedo[:, pupil] < 0.01).all()
    inside = materials(palette, fields, place, nothing, nothing == 0)
    assert albedo.max() > 0.5 and inside.albedo.max() < 0.1  # from behind all is the mouth's lining


def test_scan_points_lie_on_the_skin_and_are_even(renderer):
    points = ScanPoints(renderer.model, renderer.openness)
    other = ScanPoints(renderer.model, renderer.openness)
    assert (points.corners == other.corners).all() and (points.weights == other.weights).all()
    vertices = renderer.pose(3, 0).neutral
    found = points.of(vertices)
    assert points.weights.min() >= 0 and points.weights.sum(1) == pytest.approx(1)
    skin = ClosestPoints(vertices.astype(np.float64), renderer.model.triangles[renderer.model.skin])
    assert skin.query(found[::97]).distance.max() < 1e-3
    # As many points as area, on either side of the head.
    mean = points.of(renderer._mean)
    assert (mean[:, 0] > 0).mean() == pytest.approx(0.5, abs=0.02)
