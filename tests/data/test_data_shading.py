"""Light, shadow and what a camera makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from facecli.data import noise
from facecli.data.camera_effects import Wear, sample_wear, take_picture, to_srgb
from facecli.data.lights import Light
from facecli.data.paint import Materials
from facecli.data.shading import ShadowMap, openness, shade


def plate(side: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.box((side, side, 1))
    return np.asarray(mesh.vertices) + np.array([0, 0, z]), np.asarray(mesh.faces, np.int64)


def test_a_plate_throws_its_shadow_on_what_is_behind_it():
    (small, faces), (large, more) = plate(40, 60), plate(200, 0)
    shadow = ShadowMap(
        np.concatenate([small, large]), np.concatenate([faces, more + len(small)]), np.array([0, 0, 1.0])
    )
    behind = np.array([[0, 0, 0.5], [15, -15, 0.5]])
    beside = np.array([[40, 0, 0.5], [0, -60, 0.5], [0, 0, 60.5]])
    assert (shadow.lit(behind, 0.0) == 0).all() and (shadow.lit(beside, 0.0) == 1).all()
    edge = shadow.lit(np.array([[20.0, 0, 0.5]]), 1.0)
    assert 0 < edge[0] < 1


def test_a_slanting_lamp_moves_the_shadow_away_from_itself():
    (small, faces), (large, more) = plate(40, 60), plate(300, 0)
    lamp = np.array([1, 0, 1]) / np.sqrt(2)  # from the right
    shadow = ShadowMap(np.concatenate([small, large]), np.concatenate([faces, more + len(small)]), lamp)
    assert shadow.lit(np.array([[-60.0, 0, 0.5]]), 0.0)[0] == 0
    assert shadow.lit(np.array([[0.0, 0, 0.5], [60.0, 0, 0.5]]), 0.0).tolist() == [1, 1]


def test_a_ball_is_open_and_the_inside_of_a_cup_is_not():
    ball = trimesh.creation.icosphere(3, 100)
    assert openness(np.asarray(ball.vertices), np.asarray(ball.faces, np.int64)).min() > 0.85
    tube = trimesh.creation.annulus(20, 25, 200)
    free = openness(np.asarray(tube.vertices), np.asarray(tube.faces, np.int64))
    middle = np.hypot(*tube.vertices[:, :2].T) > 24  # the outer wall
    assert free[middle].mean() > 0.99 and 0.4 < free[~middle].mean() < 0.65


def one_light(direction, color=(1, 1, 1)) -> Light:
    return Light(np.zeros(3), np.zeros(3), np.array([0, 1.0, 0]), np.array([direction], float), np.array([color]), 0.0)


def matt(count: int, soft: float = 0.0) -> Materials:
    grey, none = np.full((3, count), 0.5, np.float32), np.zeros(count, np.float32)
    return Materials(grey, none, none + 10, none, none + soft, np.zeros((3, count), np.float32))


def test_matt_surfaces_follow_lamberts_cosine():
    angle = np.deg2rad(np.array([0, 30, 60, 120]))
    normals = np.stack([np.sin(angle), 0 * angle, np.cos(angle)]).astype(np.float32)
    ahead = np.repeat(np.array([[0], [0], [1]], np.float32), 4, 1)
    ones = np.ones(4, np.float32)
    lit = shade(matt(4), normals, ahead, ones, one_light([0, 0, 1]), ones)
    assert lit == pytest.approx(0.5 * np.cos(angle).clip(0)[None].repeat(3, 0), abs=1e-5)
    assert (shade(matt(4), normals, ahead, ones, one_light([0, 0, 1]), 0 * ones) == 0).all()  # in the shadow
    soft = shade(matt(4, 1.0), normals, ahead, ones, one_light([0, 0, 1]), ones)
    assert soft[0, 2] > soft[2, 2] > lit[2, 2]  # red goes farther round than blue


def test_a_shine_is_where_the_mirror_is():
    angle = np.deg2rad(np.linspace(-60, 60, 121))
    normals = np.stack([np.sin(angle), 0 * angle, np.cos(angle)]).astype(np.float32)
    ahead = np.repeat(np.array([[0], [0], [1]], np.float32), len(angle), 1)
    glossy, ones = matt(len(angle)), np.ones(len(angle), np.float32)
    glossy.gloss = ones
    glossy.albedo = 0 * glossy.albedo
    lamp = [np.sin(np.deg2rad(40)), 0, np.cos(np.deg2rad(40))]
    shine = shade(glossy, normals, ahead, ones, one_light(lamp), ones)[0]
    assert np.rad2deg(angle[shine.argmax()]) == pytest.approx(20, abs=1)


def test_the_tone_curve_rises_and_reaches_white_softly():
    levels = to_srgb(np.linspace(0, 4, 500, dtype=np.float32)[None, :, None].repeat(3, 2))[0, :, 0].astype(int)
    assert (np.diff(levels) >= 0).all() and levels[0] == 0 and levels[-1] >= 254
    assert to_srgb(np.full((1, 1, 3), 0.2158605, np.float32))[0, 0, 0] == 128  # sRGB's definition


def test_wear_blurs_and_adds_noise_as_much_as_it_says():
    rng = np.random.default_rng(3)
    flat = np.full((256, 256, 3), 0.2, np.float32)
    clean = Wear(0.0, (0.0, 0.0), (1, 1, 1), (0.0, 0.0), 0, 1.0)
    assert (take_picture(flat, clean, rng) == to_srgb(flat)).all()
    noisy = Wear(0.0, (0.0, 0.0), (1, 1, 1), (0.05, 0.01), 0, 1.0)
    assert take_picture(flat, noisy, rng).std() > 4
    step = np.where(np.arange(512)[None, :, None] < 256, 0.1, 0.6).astype(np.float32) * np.ones((512, 1, 3), np.float32)
    for blurred in (Wear(3.0, (0, 0), (1, 1, 1), (0, 0), 0, 1.0), Wear(0, (12.0, 0.0), (1, 1, 1), (0, 0), 0, 1.0)):
        sharp, soft = (take_picture(step, wear, rng).astype(int) for wear in (clean, blurred))
        assert np.abs(np.diff(soft[100, :, 0])).max() < 0.5 * np.abs(np.diff(sharp[100, :, 0])).max()
    upright = take_picture(step, Wear(0, (12.0, np.pi / 2), (1, 1, 1), (0, 0), 0, 1.0), rng)
    assert (upright[100] == to_srgb(step)[100]).all()  # along the edge nothing smears


def test_strength_nought_leaves_pictures_nearly_perfect():
    for seed in range(30):
        wear = sample_wear(0.0, np.random.default_rng(seed))
        assert wear.coarse == 1 and wear.motion[0] == 0 and wear.quality in (0, *range(95, 100)) and wear.focus <= 0.3


def test_noise_sticks_to_its_place_and_repeats():
    points = np.random.default_rng(0).uniform(-100, 100, (500, 3)).astype(np.float32)
    offset = np.array([0.1, 0.5, 0.9])
    smooth = noise.at_points(points, 20, offset)
    assert 0.5 < smooth.std() < 1.5
    assert noise.at_points(points + np.float32(0.05), 20, offset) == pytest.approx(smooth, abs=0.1)
    grains = noise.grain(points.T, 2.0, offset)
    assert (noise.grain(points.T, 2.0, offset) == grains).all() and 0.7 < grains.std() < 1.3
    assert abs(np.corrcoef(grains, noise.grain(points.T, 2.0, offset + 0.37))[0, 1]) < 0.2
