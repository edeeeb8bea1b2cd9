"""Angles of a head's turn: the official decoders' numbers, what their signs mean, and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facecli.geometry.euler import (
    label_angles,
    rotation_of_labels,
    split_affine,
    synergynet_angles,
    tddfa_angles,
    tddfa_v2_angles,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden/synergynet/pose.npz")
DECODERS = {"synergynet": synergynet_angles, "tddfa_v2": tddfa_v2_angles, "tddfa_v1": tddfa_angles}

turns = st.tuples(*(st.floats(-limit, limit) for limit in (85.0, 179.0, 179.0))).map(np.array)
"""Yaw, pitch, roll in degrees, away from the poles."""


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between angles, on the circle."""
    return np.abs((a - b + 180) % 360 - 180)


def test_affine_cameras_are_taken_apart_as_officially():
    rotation, scale, translation = split_affine(GOLDEN["P"])
    np.testing.assert_allclose(rotation, GOLDEN["R"], atol=1e-6)
    np.testing.assert_allclose(scale, GOLDEN["scale"], rtol=1e-6)
    np.testing.assert_array_equal(translation, GOLDEN["P"][..., 3])


@pytest.mark.parametrize("name", DECODERS)
def test_official_degrees(name):
    """Proper rotations, others, and those at and near ±90 degrees of yaw, the branches of which must be the same."""
    expected = GOLDEN[f"{name}_deg_f64"]
    np.testing.assert_allclose(apart(DECODERS[name](GOLDEN["R"]), expected), 0, atol=1e-9)
    np.testing.assert_allclose(apart(DECODERS[name](split_affine(GOLDEN["P"])[0]), expected), 0, atol=1e-3)
    assert (np.abs(expected[:, 0]) > 89).sum() >= 4


def test_signs():
    """Where a face that is turned about one axis looks, and where the top of its head leans; y is up."""
    ahead, up = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    yaw, pitch, roll = (rotation_of_labels(angles) for angles in 30 * np.eye(3))
    assert (yaw @ ahead)[0] < -0.4  # to the image's left
    assert (pitch @ ahead)[1] > 0.4  # up
    assert (roll @ up)[0] > 0.4  # to the image's right
    for number, turn in enumerate((yaw, pitch, roll)):
        expected = 30 * np.eye(3)[number]
        np.testing.assert_allclose(label_angles(turn), expected, atol=1e-9)
        np.testing.assert_allclose(synergynet_angles(turn), expected, atol=1e-9)
        for decode in (tddfa_v2_angles, tddfa_angles):
            np.testing.assert_allclose(decode(turn), expected * (1, -1, -1), atol=1e-9)


@given(turns)
def test_labels_there_and_back(angles):
    np.testing.assert_allclose(apart(label_angles(rotation_of_labels(angles)), angles), 0, atol=1e-6)


@given(turns)
def test_3ddfa_there_and_back(angles):
    """R = Rz(roll) Ry(−yaw) Rx(pitch), elementary turns as SciPy has them."""
    yaw, pitch, roll = angles
    rotation = Rotation.from_euler("ZYX", [roll, -yaw, pitch], degrees=True).as_matrix()
    for decode in (tddfa_v2_angles, tddfa_angles):
        np.testing.assert_allclose(apart(decode(rotation), angles), 0, atol=1e-6)


@given(turns)
def test_synergynet_is_exact_in_pitch_and_roll_alone(angles):
    """Its pitch and roll are the labels'; its yaw is that of another order of the axes."""
    rotation = rotation_of_labels(angles)
    decoded = synergynet_angles(rotation)
    np.testing.assert_allclose(apart(decoded, angles)[1:], 0, atol=1e-6)
    np.testing.assert_allclose(np.sin(np.radians(decoded[0])), rotation[2, 0], atol=1e-9)


@given(st.sampled_from((-90.0, 90.0)), st.floats(-179, 179), st.floats(-179, 179))
def test_at_the_poles_the_angles_give_the_same_rotation(yaw, pitch, roll):
    rotation = rotation_of_labels(np.array([yaw, pitch, roll]))
    decoded = label_angles(rotation)
    assert decoded[2] == 0
    np.testing.assert_allclose(rotation_of_labels(decoded), rotation, atol=1e-7)


def test_rounding_beyond_one_gives_no_nan():
    turned = rotation_of_labels(np.array([90.0, 0, 0]))
    turned[2, 0], turned[0, 2] = 1 + 1e-7, -1 - 1e-7
    for decode in (synergynet_angles, tddfa_v2_angles, tddfa_angles, label_angles):
        assert np.isfinite(decode(turned)).all()


def test_any_number_of_rotations():
    many = rotation_of_labels(np.random.default_rng(0).uniform(-80, 80, (2, 5, 3)))
    for decode in (synergynet_angles, tddfa_v2_angles, tddfa_angles, label_angles):
        assert decode(many).shape == (2, 5, 3)
        np.testing.assert_allclose(decode(many)[1, 3], decode(many[1, 3]))
