"""What the network is told of a face."""

import numpy as np
import pytest

from facecli.detect.face import Face
from facecli_mediapipe.surface import load_surface
from facecli_open.crop import SIZE, crop_head
from facecli_open.gradients import LIMIT, NUMBERS, ORIENTATIONS, GradientMaps
from facecli_open.inputs import GEOMETRY, PLACES, first_look, sampled_points
from facecli_open.network import OUTPUTS
from facecli_open.second_look import LOOKED, LOWEST, SECOND_GEOMETRY, SecondLook, looked_at
from facecli_open.seen import Seen

SIDE = 300


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Blobs, by chance, and none like another."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.full((SIDE, SIDE, 3), 120.0)
    for _ in range(60):
        (cx, cy), size, color = rng.uniform(0, SIDE, 2), rng.uniform(4, 25), rng.uniform(-70, 70, 3)
        image += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2))[..., None] * color
    return image.clip(0, 255).astype(np.uint8)


def face(turn: float = 0.2, scale: float = 0.9) -> Face:
    """MediaPipe's mean face, turned to the side."""
    cos, sin = np.cos(turn), np.sin(turn)
    points = load_surface().mean @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T
    points = scale * points * (1, -1, -1) + (SIDE / 2 + 5, SIDE / 2 - 8, 0)
    return Face(np.array([60.0, 60, 240, 240]), 1.0, points, "mediapipe478")


def seen(photo: np.ndarray, found: Face) -> Seen:
    return Seen.of(crop_head(photo, found))


def in_the_mirror(photo: np.ndarray, found: Face) -> Seen:
    """The face of the mirrored photograph."""
    points = found.points[load_surface().mirror] * (-1, 1, 1) + (SIDE - 1, 0, 0)
    return seen(np.ascontiguousarray(photo[:, ::-1]), Face(found.box, 1.0, points, "mediapipe478"))


def test_points_of_the_mean_face_are_where_they_are_expected(photo):
    look = first_look(seen(photo, face()))
    assert look.geometry.shape == (GEOMETRY,)
    assert look.picture.shape == (PLACES, NUMBERS)
    assert look.geometry.dtype == look.picture.dtype == np.float32
    assert 0 <= look.picture.min() < look.picture.max() <= LIMIT
    assert np.abs(look.geometry[: 3 * 478]).max() < 1e-3
    turn = look.geometry[3 * 478 :].reshape(3, 3)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert turn[0, 2] == pytest.approx(np.sin(0.2), abs=1e-4)


def test_a_mirrored_face_is_the_twin(photo):
    ours, theirs = (first_look(one) for one in (seen(photo, face()).mirrored(), in_the_mirror(photo, face())))
    assert np.abs(ours.geometry - theirs.geometry).max() < 1e-3
    difference = np.abs(ours.picture - theirs.picture)  # what is left is the crop's interpolation
    assert difference.max() < 0.1
    assert difference.mean() < 0.002


def test_a_leaning_head_is_seen_upright(photo):
    """Roll is the crop's business: the turn that the network is told has none."""
    found = face()
    middle, angle = found.points[:, :2].mean(0), 0.5
    cos, sin = np.cos(angle), np.sin(angle)
    leaning = found.points.copy()
    leaning[:, :2] = (leaning[:, :2] - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle
    turn = slice(3 * 478, None)
    upright, rolled = (
        first_look(seen(photo, Face(found.box, 1.0, points, "mediapipe478"))).geometry
        for points in (found.points, leaning)
    )
    assert np.abs(upright[: 3 * 478] - rolled[: 3 * 478]).max() < 1e-3
    assert np.abs(upright[turn] - rolled[turn]).max() < 1e-4


def test_light_and_contrast_hardly_count(photo):
    bright = first_look(seen(photo, face())).picture
    dim = first_look(seen((photo * 0.5 + 20).astype(np.uint8), face())).picture
    elsewhere = first_look(seen(np.roll(photo, 40, axis=1), face())).picture
    assert np.abs(bright - dim).mean() < 0.1 * np.abs(bright - elsewhere).mean()


@pytest.mark.parametrize(("turns", "direction"), [(0, 0), (3, 2), (2, 4), (1, 6)])
def test_an_edge_is_told_by_its_direction(turns, direction):
    """Dark on the left, bright on the right, and the same turned by quarters."""
    grey = np.full((SIZE, SIZE), 60, np.uint8)
    grey[:, SIZE // 2 :] = 180
    on_it, beside = GradientMaps(np.ascontiguousarray(np.rot90(grey, turns))).at(
        np.array([[SIZE / 2, SIZE / 2], [30, 30]])
    )
    narrow, wide, brightness = np.split(on_it, [9 * ORIENTATIONS, 18 * ORIENTATIONS])
    for block in (narrow, wide):
        assert block.reshape(9, ORIENTATIONS).sum(0).argmax() == direction
        assert 2 < np.linalg.norm(block) < 3
    assert np.ptp(brightness) > 0.2
    assert np.abs(beside[: 18 * ORIENTATIONS]).max() < 1e-3


def test_places_are_spread_over_the_face():
    chosen = sampled_points()
    assert len(set(chosen.tolist())) == len(chosen) == 180
    mean = load_surface().mean[:468]
    distance = np.linalg.norm(mean[:, None] - mean[chosen][None], axis=2).min(1)
    assert distance.max() < 12  # mm


@pytest.fixture(scope="module")
def second_look(ict, fitting) -> SecondLook:
    return SecondLook(ict, fitting)


def test_the_second_look_is_at_all_of_the_head(ict):
    places = ict.arrays.mean[looked_at(ict)]
    assert len(places) == LOOKED
    assert places[:, 1].min() > LOWEST
    middle = ict.arrays.mean[ict.arrays.mean[:, 1] > LOWEST].mean(0)
    for axis in range(3):  # to both sides of everything
        assert (places[:, axis] < middle[axis]).sum() > 40
        assert (places[:, axis] > middle[axis]).sum() > 40


def test_the_second_look_at_a_head_that_is_right_misses_nothing(photo, ict, fitting, second_look):
    """MediaPipe's points exactly on the head that was guessed: nothing is missing, and the pose is found."""
    told = np.zeros(OUTPUTS, np.float32)
    told[:100] = np.random.default_rng(1).normal(0, 1, 100)
    from facecli.morphable.ict_fit import project, rotation

    turn, scale, middle = rotation(np.array([0.1, 0.3, 0.0])), 1.4, np.full(2, (SIDE - 1) / 2)
    camera = np.array([scale * 800, scale, *middle])
    surface = fitting.surface(told[:100].astype(float), np.zeros(57))
    points = np.concatenate([project(surface, turn, camera, middle), -scale * (surface @ turn.T)[:, 2:]], 1)
    look = second_look.of(seen(photo, Face(np.zeros(4), 1.0, points, "mediapipe478")), told)
    assert look.geometry.shape == (SECOND_GEOMETRY,)
    assert look.picture.shape == (LOOKED, NUMBERS)
    assert look.geometry.dtype == look.picture.dtype == np.float32
    assert np.abs(look.geometry[: 2 * 478]).max() < 0.1  # mm
    assert np.array_equal(look.geometry[-OUTPUTS:], told)


def test_the_second_look_in_the_mirror(photo, second_look):
    found, told = face(), np.zeros(OUTPUTS, np.float32)
    ours, theirs = (second_look.of(one, told) for one in (seen(photo, found).mirrored(), in_the_mirror(photo, found)))
    assert np.abs(ours.geometry - theirs.geometry).max() < 0.02
    assert np.abs(ours.picture - theirs.picture).mean() < 0.005
