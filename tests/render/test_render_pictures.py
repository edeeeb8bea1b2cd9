"""Overlays, depth, normals, visibility and views, on shapes whose right answer is known by formula."""

from __future__ import annotations

import numpy as np
import pytest

from facecli.geometry.mesh import TriangleMesh
from facecli.render import pictures
from facecli.render.window import pixels_per_unit, render_window

SIZE = (120, 160)
CENTRE, RADIUS = np.array([70.0, 60.0]), 40.0
RIGHT = np.array([30.0, 0.0])


def uv_ball(rings=40, spokes=48):
    """A closed ball of radius 1, counter-clockwise from outside, y up."""
    latitude = np.linspace(0.02, np.pi - 0.02, rings)[:, None]
    longitude = np.arange(spokes)[None] * 2 * np.pi / spokes
    x, z = np.sin(latitude) * np.sin(longitude), np.sin(latitude) * np.cos(longitude)
    points = np.stack([x, np.cos(latitude) + 0 * x, z], -1).reshape(-1, 3)
    ring, spoke = np.meshgrid(np.arange(rings - 1), np.arange(spokes), indexing="ij")
    a, b = ring * spokes + spoke, ring * spokes + (spoke + 1) % spokes
    c, d = a + spokes, b + spokes
    return points, np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])


POINTS, TRIANGLES = uv_ball()


def ball(centre=CENTRE, radius=RADIUS, depth=-500.0, unit=1.0):
    """The ball as `projected`; one unit of depth is `unit` pixels."""
    x, y, z = (POINTS * radius).T
    return np.stack([centre[0] + x, centre[1] - y, depth - z / unit], 1)


def grid():
    rows, columns = np.indices(SIZE)
    x, y = (columns - CENTRE[0]) / RADIUS, -(rows - CENTRE[1]) / RADIUS
    return x, y, np.sqrt(np.maximum(1 - x**2 - y**2, 0)), np.hypot(x, y)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_depth_of_a_ball(backend):
    depth, view = pictures.depth_picture(ball(), TRIANGLES, SIZE, mm_per_unit=2.0, backend=backend)
    _, _, z, distance = grid()
    assert np.isfinite(depth[distance < 0.95]).all()
    assert np.isnan(depth[distance > 1.02]).all()
    inner = distance < 0.8
    np.testing.assert_allclose(depth[inner], 2 * (-500 - RADIUS * z[inner]), atol=1.0)
    assert (view[~np.isfinite(depth)] == 0).all()
    brightness = view.astype(int).sum(2)
    assert brightness[60, 70] > brightness[60, 90] > brightness[60, 106] > 0
    values, near = pictures.depth_to_uint16(depth)
    known = np.isfinite(depth)
    assert (values[~known] == 0).all()
    assert values[known].min() == 1
    np.testing.assert_allclose((values[known] - 1.0) * 0.01 + near, depth[known], atol=0.0051)


@pytest.mark.parametrize("unit", [1.0, 7.5])
def test_normals_of_a_ball(unit):
    picture = pictures.normals_picture(ball(unit=unit), TRIANGLES, SIZE, pixels_per_unit=unit)
    x, y, z, distance = grid()
    inner = distance < 0.85
    found = picture[inner] / 127.5 - 1
    assert np.abs(found - np.stack([x, y, z], -1)[inner]).max() < 0.08
    assert (picture[distance > 1.02] == 0).all()


def test_a_surface_seen_from_behind_shows_its_other_side():
    inside_out = pictures.normals_picture(ball(), TRIANGLES[:, ::-1], SIZE)
    outside = pictures.normals_picture(ball(), TRIANGLES, SIZE)
    assert np.abs(inside_out.astype(int) - outside).max() <= 1


def test_pixels_per_unit_survives_turning():
    random = np.random.default_rng(3)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    vertices = random.normal(size=(200, 3)) * [2, 3, 1]
    x, y, z = (vertices @ turn.T).T
    projected = np.stack([30 + 4.2 * x, 50 - 4.2 * y, 9 - z], 1)
    assert pixels_per_unit(vertices, projected) == pytest.approx(4.2)
    with pytest.raises(ValueError, match="not in the units"):
        pixels_per_unit(vertices, projected * [1, 1, 50])


def test_overlay_covers_the_face_and_nothing_else():
    photo = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    before = photo.copy()
    overlay = pictures.draw_overlay(photo, ball(), TRIANGLES, opacity=1)
    _, _, _, distance = grid()
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(overlay[distance > 1.04], photo[distance > 1.04])
    inner = overlay[distance < 0.9].astype(float)
    assert inner.std(0).max() < photo.std()  # smooth, no photograph left
    assert overlay[45, 60].mean() > overlay[85, 90].mean()  # the lamp is above left
    through = pictures.draw_overlay(photo, ball(), TRIANGLES, opacity=0.5)
    expected = (photo.astype(float) + overlay) / 2
    assert np.abs(through - expected)[distance < 0.95].max() <= 1.5
    # Edges are smooth: some pixels are partly covered.
    flat = pictures.draw_overlay(np.zeros_like(photo), ball(), TRIANGLES, opacity=1).max(2)
    assert ((flat > 5) & (flat < flat[60, 32])).any()


def test_the_larger_face_is_nearer_and_hides_the_other():
    photo = np.full((*SIZE, 3), 90, np.uint8)
    large, small = ball(), ball(CENTRE + RIGHT, 25.0, depth=-9000.0)  # offsets of depth mean nothing between faces
    for order in ([large, small], [small, large]):
        both = pictures.draw_overlay(photo, order, TRIANGLES)
        alone = pictures.draw_overlay(photo, large, TRIANGLES)
        _, _, _, distance = grid()
        np.testing.assert_array_equal(both[distance < 0.95], alone[distance < 0.95])
        assert (both[60, 118] != 90).any()


def test_a_small_face_in_a_big_photo_is_drawn_in_its_window(monkeypatch):
    sizes = []
    honest = pictures.render_window

    def recorded(*args, **options):
        window = honest(*args, **options)
        sizes.append(window.face_index.size)
        return window

    monkeypatch.setattr(pictures, "render_window", recorded)
    photo = np.zeros((3000, 4000, 3), np.uint8)
    for radius in (100.0, 150.0):
        overlay = pictures.draw_overlay(photo, ball(np.array([2000.0, 1500.0]), radius), TRIANGLES)
        assert overlay[1500, 2000].any()
    assert sizes == [pytest.approx(4 * 203**2, rel=0.02), pytest.approx(303**2, rel=0.02)]


def test_a_huge_face_is_drawn_more_coarsely(monkeypatch):
    monkeypatch.setattr(pictures, "_MOST_CELLS", 50 * 50)
    photo = np.zeros((*SIZE, 3), np.uint8)
    overlay = pictures.draw_overlay(photo, ball(), TRIANGLES)
    monkeypatch.undo()
    fine = pictures.draw_overlay(photo, ball(), TRIANGLES)
    _, _, _, distance = grid()
    assert np.abs(overlay.astype(int) - fine)[distance < 0.9].max() < 12
    assert not overlay[distance > 1.1].any()


@pytest.mark.parametrize("centre", [(-20.0, 60.0), (150.0, 110.0), (70.0, -30.0)])
def test_a_face_across_the_border(centre):
    photo = np.zeros((*SIZE, 3), np.uint8)
    moved = pictures.draw_overlay(photo, ball(np.array(centre)), TRIANGLES)
    canvas = pictures.draw_overlay(np.zeros((320, 360, 3), np.uint8), ball(np.array(centre) + 100), TRIANGLES)
    difference = np.abs(moved.astype(int) - canvas[100:220, 100:260])
    assert moved.any()
    assert (difference > 3).mean() < 0.002


@pytest.mark.parametrize("bad", [ball(CENTRE * 1e6), np.full_like(ball(), np.nan)])
def test_a_face_outside_of_the_photo_changes_nothing(bad):
    photo = np.full((*SIZE, 3), 7, np.uint8)
    np.testing.assert_array_equal(pictures.draw_overlay(photo, bad, TRIANGLES), photo)
    depth, view = pictures.depth_picture(bad, TRIANGLES, SIZE)
    assert np.isnan(depth).all()
    assert not view.any()
    assert not pictures.normals_picture(bad, TRIANGLES, SIZE).any()
    assert not pictures.visible_vertices(bad, TRIANGLES, size=SIZE).any()
    assert not pictures.visible_triangles(bad, TRIANGLES, size=SIZE).any()
    assert pictures.draw_overlay(photo, [], TRIANGLES).mean() == 7
    assert pictures.depth_to_uint16(depth)[1] == 0


def test_landmarks_that_lie_on_pixel_centres_leave_no_holes():
    rows, columns = np.indices((9, 9))
    points = np.stack([columns.ravel() * 4.0 + 2, rows.ravel() * 4.0 + 2, 0 * rows.ravel()], 1)
    a = (np.arange(8)[:, None] * 9 + np.arange(8)).ravel()
    triangles = np.concatenate([np.stack([a, a + 9, a + 1], 1), np.stack([a + 1, a + 9, a + 10], 1)])
    window = render_window(points, triangles, (40, 40), scale=1)
    assert window.mask[3:34, 3:34].all()


def test_visibility_on_a_ball_and_behind_another():
    seen = pictures.visible_vertices(ball(), TRIANGLES)
    assert seen[POINTS[:, 2] > 0.15].all()
    assert not seen[POINTS[:, 2] < 0.0].any()
    both = np.concatenate([ball(), ball(CENTRE + RIGHT, 20.0, depth=-560.0)])
    triangles = np.concatenate([TRIANGLES, TRIANGLES + len(POINTS)])
    seen = pictures.visible_vertices(both, triangles)[: len(POINTS)]
    offset = np.hypot(ball()[:, 0] - CENTRE[0] - 30, ball()[:, 1] - CENTRE[1])
    front = POINTS[:, 2] > 0.2
    assert not seen[front & (offset < 18)].any()
    assert seen[front & (offset > 22)].all()
    faces = pictures.visible_triangles(both, triangles)[: len(TRIANGLES)]
    hidden = (front & (offset < 18))[TRIANGLES].all(1)
    assert not faces[hidden].any()
    assert faces[(front & (offset > 22))[TRIANGLES].all(1)].all()


def test_what_lies_outside_of_the_photo_is_not_seen():
    shifted = ball(np.array([0.0, 60.0]))
    seen = pictures.visible_vertices(shifted, TRIANGLES, size=SIZE)
    assert not seen[shifted[:, 0] < -1].any()
    assert seen[(shifted[:, 0] > 1) & (POINTS[:, 2] > 0.2)].all()


def test_landmarks_and_axes():
    photo = np.zeros((*SIZE, 3), np.uint8)
    points = np.array([[20.0, 30.0], [100.0, 30.0], [np.nan, 5.0], [1e9, 0.0]])
    drawn = pictures.draw_landmarks(photo, points, radius=2, lines=[(0, 1), (0, 2)])
    assert tuple(drawn[30, 20]) == pictures.GREEN
    assert drawn[30, 60].any()
    assert not drawn[:25].any()
    assert not photo.any()
    axes = pictures.draw_pose_axes(photo, np.eye(4) * 3, np.array([60.0, 60.0]), 30)
    assert axes[60, 75].argmax() == 0  # x, red, to the right
    assert axes[45, 60].argmax() == 1  # y, green, up


def test_views_of_a_mesh_from_its_sides():
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[:, :4], texture[:, 4:] = (255, 0, 0), (0, 0, 255)
    uv = np.stack([POINTS[:, 0] / 2 + 0.5, POINTS[:, 1] / 2 + 0.5], 1)
    mesh = TriangleMesh(POINTS, TRIANGLES, uv=uv, texture=texture)
    front = pictures.render_textured_view(mesh, 100)
    assert front.shape == (100, 100, 3)
    assert tuple(front[50, 30]) == (255, 0, 0)
    assert tuple(front[50, 70]) == (0, 0, 255)
    assert tuple(front[2, 2]) == (255, 255, 255)
    turned = pictures.render_textured_view(mesh, (80, 100), 90)  # its front looks to the right: its left side is seen
    assert tuple(turned[40, 50]) == (255, 0, 0)
    lit = pictures.render_textured_view(mesh, 100, shading=1.0)
    assert lit[35, 30, 0] > lit[75, 30, 0]
    clay = pictures.render_textured_view(mesh, 100, textured=False)
    assert np.ptp(clay[50, 50].astype(int)) < 40
    colored = TriangleMesh(POINTS, TRIANGLES, vertex_colors=np.full((len(POINTS), 3), (10, 200, 30), np.uint8))
    assert tuple(pictures.render_textured_view(colored, 64)[32, 32]) == (10, 200, 30)


def test_texture_rows_start_on_top():
    texture = np.zeros((16, 16, 3), np.uint8)
    texture[:8] = 255  # the upper half of the picture file is v > 0.5
    uv = np.stack([POINTS[:, 0] / 2 + 0.5, POINTS[:, 1] / 2 + 0.5], 1)
    view = pictures.render_textured_view(TriangleMesh(POINTS, TRIANGLES, uv=uv, texture=texture), 100)
    assert view[25, 50].min() == 255
    assert view[75, 50].max() == 0
    upside = pictures.render_textured_view(TriangleMesh(POINTS, TRIANGLES, uv=uv, texture=texture), 100, 0, 90)
    assert upside[60, 50].min() == 255  # turned down, the top looks at us
