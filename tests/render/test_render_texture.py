"""Textures of a ball whose photograph and colours are known by formula."""

from __future__ import annotations

import numpy as np
import pytest

from facecli.render.texture import complete_texture, push_pull, sample_texture, texel_coordinates, uv_layout

WIDEST = np.deg2rad(110)
SIZE = 256


def face_ball(rings=49, spokes=61):
    """The front of a ball of radius 1 (azimuth ±110°), its UV (linear in the angles), triangles and mirrored UV."""
    latitude, azimuth = np.meshgrid(np.linspace(-1.3, 1.3, rings), np.linspace(-WIDEST, WIDEST, spokes), indexing="ij")
    x, y = np.cos(latitude) * np.sin(azimuth), np.sin(latitude)
    points = np.stack([x, y, np.cos(latitude) * np.cos(azimuth)], -1).reshape(-1, 3)
    uv = np.stack([0.5 + azimuth / WIDEST * 0.48, 0.5 + latitude / 1.3 * 0.48], -1).reshape(-1, 2)
    a = (np.arange(rings - 1)[:, None] * spokes + np.arange(spokes - 1)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + spokes], 1), np.stack([a + 1, a + spokes + 1, a + spokes], 1)])
    return points, uv, triangles, uv * [-1, 1] + [1, 0]


POINTS, UV, TRIANGLES, MIRROR = face_ball()


def paint(x, y, z):
    """Colours of the ball's points, the same left and right."""
    azimuth, latitude = np.abs(np.arctan2(x, z)), np.arcsin(np.clip(y, -1, 1))
    red = 130 + 60 * np.cos(5 * azimuth) * np.cos(4 * latitude)
    green = 120 + 50 * np.sin(6 * latitude)
    return np.stack([red, green, 100 + 40 * np.cos(3 * azimuth)], -1)


def texel_angles():
    row, column = np.indices((SIZE, SIZE))
    azimuth = ((column + 0.5) / SIZE - 0.5) / 0.48 * WIDEST
    latitude = ((SIZE - 0.5 - row) / SIZE - 0.5) / 0.48 * 1.3
    return azimuth, latitude


def true_texture():
    azimuth, latitude = texel_angles()
    return paint(np.cos(latitude) * np.sin(azimuth), np.sin(latitude), np.cos(latitude) * np.cos(azimuth))


def photograph(yaw, radius=150.0, size=(360, 400), lamp=0.0):
    """A photograph of the ball turned by `yaw`, exact at each pixel, and the turned mesh as `projected`."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    row, column = np.indices(size)
    x, y = (column - 190) / radius, (180 - row) / radius
    on_ball = np.hypot(x, y) < 1
    z = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    colors = paint(x * cosine - z * sine, y, x * sine + z * cosine) + lamp * x[..., None]
    photo = np.where(on_ball[..., None], colors, (0, 0, 255))
    turned = np.stack(
        [POINTS[:, 0] * cosine + POINTS[:, 2] * sine, POINTS[:, 1], POINTS[:, 2] * cosine - POINTS[:, 0] * sine], 1
    )
    projected = turned * [radius, -radius, -radius] + [190, 180, 0]
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8), projected


def facing(yaw):
    azimuth, latitude = texel_angles()
    return np.cos(latitude) * np.cos(azimuth + yaw)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_what_is_seen_is_sampled(backend):
    photo, projected = photograph(0.5)
    texture, weight = sample_texture(photo, projected, TRIANGLES, UV, TRIANGLES, SIZE, backend=backend)
    layout = uv_layout(UV, TRIANGLES, SIZE)
    good = weight > 0.5
    assert good.mean() > 0.3
    error = np.abs(texture - true_texture())[good]
    assert error.mean() < 1.5
    assert np.percentile(error, 99) < 6
    assert (weight[~layout.mask] == 0).all()
    assert (weight[facing(0.5) < 0.1] == 0).all()  # sideways or behind
    assert weight[layout.mask & (facing(0.5) > 0.8)].min() > 0.9
    assert (texture[weight == 0] == 0).all()
    assert weight.max() <= 1


def test_depth_in_other_units():
    photo, projected = photograph(0.5)
    _, weight = sample_texture(photo, projected, TRIANGLES, UV, None, SIZE)
    scaled = projected * [1, 1, 1 / 12.5] + [0, 0, 7000]
    _, again = sample_texture(photo, scaled, TRIANGLES, UV, None, SIZE, pixels_per_unit=12.5)
    assert np.abs(weight - again).max() < 0.2
    assert np.abs(weight - again).mean() < 1e-3


def test_the_hidden_side_mirrors_the_seen_one():
    photo, projected = photograph(0.7)
    texture, weight = sample_texture(photo, projected, TRIANGLES, UV, TRIANGLES, SIZE)
    azimuth, latitude = texel_angles()
    hidden = (azimuth > 1.1) & (azimuth < 1.7) & (np.abs(latitude) < 0.8)
    assert (weight[hidden] == 0).all()
    full = complete_texture(texture, weight, UV, TRIANGLES, MIRROR)
    assert np.abs(full - true_texture())[hidden].mean() < 4
    inpainted = complete_texture(texture, weight, UV, TRIANGLES)
    assert np.abs(inpainted - true_texture())[hidden].mean() > 12  # without the mirror it can't know
    good = weight > 0.7
    assert np.abs(full.astype(int) - texture)[good].max() <= 1  # what was seen stays


def test_light_from_one_side_leaves_no_seam():
    photo, projected = photograph(0.7, lamp=40.0)
    texture, weight = sample_texture(photo, projected, TRIANGLES, UV, TRIANGLES, SIZE)
    full = complete_texture(texture, weight, UV, TRIANGLES, MIRROR).astype(float)
    azimuth, latitude = texel_angles()
    around_seam = (azimuth > 0.2) & (azimuth < 1.2) & (np.abs(latitude) < 0.8)
    step = np.abs(np.diff(full, axis=1)).max(2)[around_seam[:, 1:]]
    own = np.abs(np.diff(true_texture(), axis=1)).max(2)[around_seam[:, 1:]]
    assert step.max() < own.max() + 5


def test_another_part_in_front_hides_the_face():
    photo, projected = photograph(0.0)
    nose = projected * [0.3, 0.3, 0.3] + [190 * 0.7, 180 * 0.7, -200]  # a small ball in front of the large one
    both, triangles = np.concatenate([projected, nose]), np.concatenate([TRIANGLES, TRIANGLES + len(POINTS)])
    uv = np.concatenate([UV * [0.5, 1], UV * [0.5, 1] + [0.5, 0]])
    _, weight = sample_texture(photo, both, triangles, uv, triangles, SIZE)
    layout = uv_layout(uv, triangles, SIZE)
    xy = layout.picture(layout.interpolate(triangles, both[:, :2]), np.nan)
    left = np.zeros((SIZE, SIZE), bool)
    left[:, : SIZE // 2] = True
    distance = np.hypot(xy[..., 0] - 190, xy[..., 1] - 180) / 150
    z = layout.picture(layout.interpolate(triangles, np.concatenate([POINTS, POINTS])[:, 2:]))[..., 0]
    front = left & layout.mask & (z > 0.1)
    assert (weight[front & (distance < 0.29)] == 0).all()
    assert weight[front & (distance > 0.4) & (distance < 0.6)].min() > 0.5
    assert weight[~left & (z > 0.8)].min() > 0.5


def test_a_face_beyond_the_border_is_not_smeared():
    photo, projected = photograph(0.0)
    cut = photo[:, :190]  # the right half is outside
    texture, weight = sample_texture(cut, projected, TRIANGLES, UV, TRIANGLES, SIZE)
    azimuth, _ = texel_angles()
    assert (weight[azimuth > 0.02] == 0).all()
    assert weight[(azimuth < -0.3) & (facing(0) > 0.8)].min() > 0.5
    full = complete_texture(texture, weight, UV, TRIANGLES, MIRROR)
    assert np.abs(full - true_texture())[facing(0) > 0.7].mean() < 4


def test_a_fine_photograph_is_averaged_not_aliased():
    _, projected = photograph(0.0, radius=600.0)
    photo = np.random.default_rng(0).choice([0, 255], (900, 900, 1)).astype(np.uint8).repeat(3, 2)
    texture, weight = sample_texture(photo, projected + np.array([200, 200, 0]), TRIANGLES, UV, TRIANGLES, 128)
    assert texture[weight > 0.8].astype(float).std() < 60  # noise of 127 before


def test_the_texture_bleeds_past_its_borders():
    photo, projected = photograph(0.0)
    texture, weight = sample_texture(photo, projected, TRIANGLES, UV, TRIANGLES, SIZE)
    full = complete_texture(texture, weight, UV, TRIANGLES, MIRROR).astype(int)
    layout = uv_layout(UV, TRIANGLES, SIZE)
    top = np.flatnonzero(layout.mask.any(1))[0]
    left = np.flatnonzero(layout.mask.any(0))[0]
    inner = slice(left + 5, -left - 5)
    np.testing.assert_array_equal(full[0, inner], full[top, inner])
    np.testing.assert_array_equal(full[inner, 0], full[inner, left])


def test_a_face_that_was_not_seen():
    photo, projected = photograph(0.0)
    texture, weight = sample_texture(photo, projected + np.array([5000, 0, 0]), TRIANGLES, UV, TRIANGLES, 64)
    assert not weight.any()
    assert not texture.any()
    assert (complete_texture(texture, weight, UV, TRIANGLES, MIRROR) == 128).all()
    with pytest.raises(ValueError, match="not finite"):
        sample_texture(photo, projected * np.nan, TRIANGLES, UV, TRIANGLES, 64)


def test_the_layout_starts_at_the_bottom_left():
    corners = texel_coordinates(np.array([[0.0, 0.0], [1.0, 1.0]]), 8)
    np.testing.assert_array_equal(corners, [[-0.5, 7.5], [7.5, -0.5]])
    lower = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]])
    mask = uv_layout(lower, np.array([[0, 1, 2]]), 16).mask
    assert mask[8:].any()
    assert not mask[:8].any()


def test_push_pull_keeps_what_is_known_and_stays_in_range():
    random = np.random.default_rng(1)
    values = random.uniform(20, 200, (37, 53, 3)).astype(np.float32)
    weight = (random.random((37, 53)) < 0.02).astype(np.float32)
    filled = push_pull(values, weight)
    np.testing.assert_allclose(filled[weight == 1], values[weight == 1], rtol=1e-5)
    known = values[weight == 1]
    assert filled.min() >= known.min() - 1
    assert filled.max() <= known.max() + 1
    constant = push_pull(np.full((64, 64, 1), 77, np.float32), (random.random((64, 64)) < 0.01).astype(np.float32))
    np.testing.assert_allclose(constant, 77, rtol=1e-4)
