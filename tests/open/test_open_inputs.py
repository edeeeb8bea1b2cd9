"""What the network is told of a face."""

import numpy as np
import pytest

from facecli.detect.face import Face
from facecli_mediapipe.surface import load_surface
from facecli_open.crop import crop_head
from facecli_open.inputs import INPUTS, PLACES, inputs_of, mirrored_inputs_of, sampled_points

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


def test_points_of_the_mean_face_are_where_they_are_expected(photo):
    inputs = inputs_of(crop_head(photo, face()))
    assert inputs.shape == (INPUTS,)
    assert inputs.dtype == np.float32
    assert np.abs(inputs[: 3 * 478]).max() < 1e-3
    turn = inputs[3 * 478 : 3 * 478 + 9].reshape(3, 3)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert turn[0, 2] == pytest.approx(np.sin(0.2), abs=1e-4)


def test_a_mirrored_face_is_the_twin(photo):
    found = face()
    mirrored = found.points[load_surface().mirror] * (-1, 1, 1) + (SIDE - 1, 0, 0)
    twin = Face(found.box, 1.0, mirrored, "mediapipe478")
    ours = mirrored_inputs_of(crop_head(photo, found))
    theirs = inputs_of(crop_head(np.ascontiguousarray(photo[:, ::-1]), twin))
    assert np.abs(ours[: 3 * 478 + 9] - theirs[: 3 * 478 + 9]).max() < 1e-3
    assert np.abs(ours - theirs).max() < 0.02  # what is left is the crop's interpolation


def test_light_and_contrast_hardly_count(photo):
    bright = inputs_of(crop_head(photo, face()))[-17 * PLACES :]
    dim = inputs_of(crop_head((photo * 0.5 + 20).astype(np.uint8), face()))[-17 * PLACES :]
    elsewhere = inputs_of(crop_head(np.roll(photo, 40, axis=1), face()))[-17 * PLACES :]
    assert np.abs(bright - dim).mean() < 0.1 * np.abs(bright - elsewhere).mean()


def test_places_are_spread_over_the_face():
    chosen = sampled_points()
    assert len(set(chosen.tolist())) == len(chosen) == 180
    mean = load_surface().mean[:468]
    distance = np.linalg.norm(mean[:, None] - mean[chosen][None], axis=2).min(1)
    assert distance.max() < 12  # mm
