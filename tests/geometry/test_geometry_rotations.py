"""Rotations round-trip, everywhere, and agree with scipy."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facecli.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quaternion

VECTORS = st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=3, max_size=3)


@given(VECTORS)
def test_matrices_are_scipys(vector):
    ours = axis_angle_to_matrix(torch.tensor(vector, dtype=torch.float64))
    np.testing.assert_allclose(ours, Rotation.from_rotvec(vector).as_matrix(), atol=1e-7)


@given(VECTORS)
def test_round_trip(vector):
    matrix = torch.from_numpy(Rotation.from_rotvec(vector).as_matrix())
    np.testing.assert_allclose(axis_angle_to_matrix(matrix_to_axis_angle(matrix)), matrix, atol=1e-6)
    quaternion = matrix_to_quaternion(matrix).numpy()
    np.testing.assert_allclose(Rotation.from_quat(np.roll(quaternion, -1)).as_matrix(), matrix, atol=1e-6)
    assert quaternion[0] >= 0


def test_half_turns_and_zero():
    for vector in ([np.pi, 0, 0], [0, np.pi, 0], [0, 0, np.pi], [0, 0, 0], np.array([1, 1, 1]) * np.pi / np.sqrt(3)):
        matrix = torch.from_numpy(Rotation.from_rotvec(vector).as_matrix())
        np.testing.assert_allclose(axis_angle_to_matrix(matrix_to_axis_angle(matrix)), matrix, atol=1e-6)


def test_gradients_are_finite_at_zero():
    vector = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    axis_angle_to_matrix(vector).sum().backward()
    assert torch.isfinite(vector.grad).all()
    np.testing.assert_allclose(vector.grad, 0, atol=1e-6)
    assert torch.autograd.gradcheck(
        axis_angle_to_matrix, torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    )
