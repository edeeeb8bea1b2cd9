"""One-Euro: less jitter at rest, little lag in motion, rotations as rotations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecli.codes import Codes
from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.smoothing import CodesSmoother, OneEuroFilter, OneEuroRotationFilter

TIMES = np.arange(200) / 30


def smooth(values, smoother):
    return torch.stack([smoother(value, time) for value, time in zip(values, TIMES, strict=False)])


def test_jitter_at_rest_is_reduced():
    torch.manual_seed(0)
    shape = torch.randn(50, 3) * 40
    noisy = shape + 0.3 * torch.randn(200, 50, 3)
    result = smooth(noisy, OneEuroFilter())
    before, after = (part.diff(dim=0)[50:].std() for part in (noisy, result))
    assert after < 0.35 * before
    assert (result[50:].mean(0) - shape).abs().mean() < 0.1


def test_motion_is_followed():
    shape = torch.randn(50, 3) * 40
    moving = shape + torch.linspace(0, 200, 200)[:, None, None]  # 30 units a second
    result = smooth(moving, OneEuroFilter())
    assert (moving - result)[50:].abs().max() < 6  # a fifth of a second at worst


def test_a_constant_stays_exactly():
    value = torch.randn(5)
    assert (smooth([value] * 20, OneEuroFilter()) == value).all()


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_rotations_stay_rotations_through_the_half_turn(axis):
    # A head that turns through pi: axis-angle jumps there, the rotation does not.
    around = torch.tensor([0.0, 1.0, 0.0]) * torch.linspace(3.0, 3.3, 30)[:, None]
    wrapped = torch.where(
        around.norm(dim=1, keepdim=True) > np.pi, around * (1 - 2 * np.pi / around.norm(dim=1, keepdim=True)), around
    )
    result = smooth(wrapped, OneEuroRotationFilter())
    steps = axis_angle_to_matrix(result[1:]) @ axis_angle_to_matrix(result[:-1]).transpose(1, 2)
    angles = torch.arccos(((steps.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
    assert angles.max() < 0.05
    turned = smooth([torch.tensor(axis)] * 5, OneEuroRotationFilter())
    torch.testing.assert_close(
        axis_angle_to_matrix(turned[-1]), axis_angle_to_matrix(torch.tensor(axis)), atol=1e-5, rtol=0
    )


def test_facts_about_the_picture_are_left_alone_and_gaps_start_afresh():
    smoother = CodesSmoother(gap=0.5)
    first = Codes({"pose": torch.zeros(1, 3), "warp": torch.eye(3)[None]})
    moved = Codes({"pose": torch.full((1, 3), 0.02), "warp": 5 * torch.eye(3)[None]})
    smoother(first, 0.0)
    near = smoother(moved, 0.03)
    assert (near["warp"] == moved["warp"]).all()
    assert (near["pose"] < 0.012).all()
    assert smoother(moved, 2.0)["pose"] == pytest.approx(moved["pose"])
