"""Poses, cameras and light that are drawn by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli.data.lights import sample_light
from facecli.data.scene import SETS, Camera, View, rotation, rotation_angles, sample_view

degrees = st.floats(-85, 85)


@given(degrees, degrees, st.floats(-175, 175))
def test_angles_come_back_from_their_rotation(yaw, pitch, roll):
    turn = rotation(yaw, pitch, roll)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-12) and np.linalg.det(turn) > 0
    assert rotation_angles(turn) == pytest.approx((yaw, pitch, roll), abs=1e-6)


def test_signs_are_what_they_are_called():
    forward, up = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    assert (rotation(40, 0, 0) @ forward)[0] > 0.6  # yaw: the face looks to the picture's right
    assert (rotation(0, 40, 0) @ forward)[1] > 0.6  # pitch: up
    assert (rotation(0, 0, 40) @ up)[0] > 0.6  # roll: its top leans to the right


def test_camera_puts_points_where_a_pinhole_does():
    camera = Camera(1000.0, (255.5, 255.5), (512, 512))
    view = View(np.eye(3), np.array([0, 0, -500.0]), camera, 500.0)
    points = np.array([[0, 0, 0], [50, 0, 0], [0, 50, 0], [50, 0, 250]], np.float32)
    assert view.project(points) == pytest.approx(
        np.array([[255.5, 255.5, 500], [355.5, 255.5, 500], [255.5, 155.5, 500], [455.5, 255.5, 250]])
    )
    assert view.head_pose[:3, 3] == pytest.approx([0, 0, -500])


@pytest.mark.parametrize("name", SETS)
def test_views_stay_in_their_range_and_use_it(name):
    scene, anchor = SETS[name], np.array([0, 30.0, 90])
    views = [sample_view(scene, 512, anchor, np.random.default_rng(seed)) for seed in range(400)]
    angles = np.abs([view.angles for view in views])
    assert (angles <= np.array([scene.yaw, scene.pitch, scene.roll]) + 1e-6).all()
    assert angles[:, 0].max() > 0.9 * scene.yaw
    distances = np.array([view.distance for view in views])
    assert distances.min() >= scene.distance[0] and distances.max() <= scene.distance[1]
    assert np.ptp(np.log(distances)) > 0.9 * np.log(scene.distance[1] / scene.distance[0])
    for view in views:
        x, y, depth = view.project(anchor)
        assert depth == pytest.approx(view.distance) and 60 < x < 450 and 60 < y < 450


def test_lamps_are_unit_vectors_and_light_scales():
    for seed in range(50):
        light = sample_light(np.random.default_rng(seed))
        assert np.allclose(np.linalg.norm(light.directions, axis=1), 1) and np.isclose(np.linalg.norm(light.up), 1)
        assert min(light.sky.min(), light.ground.min(), light.colors.min()) >= 0
        up = light.up[:, None]
        assert light.ambient(np.concatenate([up, -up], 1)) == pytest.approx(np.stack([light.sky, light.ground], 1))
        assert light.scaled(2).colors == pytest.approx(2 * light.colors)
