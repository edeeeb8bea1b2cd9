"""Less jitter at rest, little lag in motion (One-Euro), none at all (Savitzky-Golay), rotations as rotations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from facecli.codes import Codes
from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.smoothing import CodesSmoother, OneEuroFilter, OneEuroRotationFilter, savitzky_golay

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


def test_rotations_stay_rotations_through_the_half_turn():
    # A head that turns through pi: axis-angle jumps there, the rotation does not.
    around = torch.tensor([0.0, 1.0, 0.0]) * torch.linspace(3.0, 3.3, 30)[:, None]
    turned = torch.where(
        around.norm(dim=1, keepdim=True) > np.pi, around * (1 - 2 * np.pi / around.norm(dim=1, keepdim=True)), around
    )
    result = smooth(turned, OneEuroRotationFilter())
    steps = axis_angle_to_matrix(result[1:]) @ axis_angle_to_matrix(result[:-1]).transpose(1, 2)
    angles = torch.arccos(((steps.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
    assert angles.max() < 0.05


@settings(max_examples=30)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_a_rotation_at_rest_stays(axis):
    result = smooth([torch.tensor(axis)] * 3, OneEuroRotationFilter())
    torch.testing.assert_close(
        axis_angle_to_matrix(result[-1]), axis_angle_to_matrix(torch.tensor(axis)), atol=1e-5, rtol=0
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


# --- Savitzky-Golay --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
def test_at_regular_times_it_is_scipys(order, fps):
    values = np.random.default_rng(fps).normal(size=(120, 3, 2))
    frames = max(2 * int(np.floor((0.3 * fps - 1) / 2 + 0.5 - 1e-6)) + 1, 2 * ((order + 3) // 2) + 1)
    smooth = savitzky_golay(values, np.arange(120) / fps, order=order)
    np.testing.assert_allclose(smooth, savgol_filter(values, frames, order, axis=0, mode="interp"), atol=1e-12)


@given(st.lists(st.floats(0.01, 0.1), min_size=8, max_size=60), st.integers(2, 3))
def test_polynomials_pass_unchanged_at_any_times(steps, order):
    times = np.cumsum(steps)
    values = np.polynomial.polynomial.polyval(times, [1.0, -2.0, 0.5, 0.25][: order + 1])[:, None]
    np.testing.assert_allclose(savitzky_golay(values, times, order=order), values, atol=1e-8)


def test_noise_is_reduced_without_lag():
    random = np.random.default_rng(3)
    truth = np.sin(TIMES * 2)[:, None]
    noisy = truth + 0.1 * random.normal(size=truth.shape)
    smooth = savitzky_golay(noisy, TIMES)
    assert np.abs(smooth - truth).mean() < 0.7 * np.abs(noisy - truth).mean()
    shifted = [np.abs(smooth[10 - lag : 190 - lag] - truth[10:190]).mean() for lag in (-3, -2, -1, 0, 1, 2, 3)]
    assert np.argmin(shifted) == 3


def test_gaps_part_the_track_and_single_frames_do_not():
    values = np.concatenate([np.zeros(20), np.ones(20)])[:, None]
    apart = np.concatenate([np.arange(20), np.arange(20) + 30]) / 30  # a third of a second between them
    np.testing.assert_allclose(savitzky_golay(values, apart), values, atol=1e-12)
    together = np.concatenate([np.arange(20), np.arange(20) + 21]) / 30  # one frame is missing
    assert np.abs(savitzky_golay(values, together) - values).max() > 0.1


@pytest.mark.parametrize("count", range(1, 8))
def test_short_tracks_get_shorter_windows(count):
    values = np.random.default_rng(count).normal(size=(count, 4))
    smooth = savitzky_golay(values, np.arange(count) / 30)
    if count < 3:
        np.testing.assert_array_equal(smooth, values)
    else:
        window = count - (count + 1) % 2
        expected = savgol_filter(values, window, min(2, window - 2), axis=0, mode="interp")
        np.testing.assert_allclose(smooth, expected, atol=1e-12)


def angles_between(first, second):
    turns = axis_angle_to_matrix(torch.as_tensor(first)) @ axis_angle_to_matrix(torch.as_tensor(second)).transpose(1, 2)
    return torch.arccos(((turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)).numpy()


def wrapped(rotations):
    """The same rotations with angles up to pi, as networks and quaternions give them."""
    from facecli.geometry.rotations import matrix_to_axis_angle

    return matrix_to_axis_angle(axis_angle_to_matrix(torch.as_tensor(rotations))).numpy()


def test_rotations_are_smoothed_through_the_half_turn():
    random = np.random.default_rng(0)
    truth = np.linspace(3.0, 3.4, 90)[:, None] * np.array([0.0, 1.0, 0.0])
    noisy = wrapped(truth + 0.02 * random.normal(size=truth.shape))
    assert np.abs(np.diff(noisy, axis=0)).max() > 5  # axis-angle jumps
    smooth = savitzky_golay(noisy, np.arange(90) / 30, rotations=True)
    assert angles_between(smooth, truth).mean() < 0.75 * angles_between(noisy, truth).mean()
    assert angles_between(smooth, truth).max() < 0.05


def test_two_rotations_in_one_code_are_smoothed_each_by_itself():
    random = np.random.default_rng(1)
    eyes = wrapped(0.3 * random.normal(size=(60, 3))), wrapped(0.3 * random.normal(size=(60, 3)))
    times = np.arange(60) / 30
    both = savitzky_golay(np.concatenate(eyes, 1), times, rotations=True)
    for part, eye in zip((both[:, :3], both[:, 3:]), eyes, strict=True):
        np.testing.assert_allclose(part, savitzky_golay(eye, times, rotations=True), atol=1e-12)
    smoother = CodesSmoother()
    first = smoother(Codes({"eyes": torch.zeros(1, 6)}), 0.0)
    second = smoother(Codes({"eyes": torch.tensor([[0.1, 0, 0, 0, 0.2, 0]])}), 0.03)
    assert first["eyes"].shape == second["eyes"].shape == (1, 6)
    assert 0 < second["eyes"][0, 0] < 0.1 and second["eyes"][0, 3] == 0


def test_long_tracks_are_done_in_blocks(monkeypatch):
    values = np.random.default_rng(2).normal(size=(100, 6))
    times = np.cumsum(np.random.default_rng(2).uniform(0.02, 0.05, 100))
    for rotations in (False, True):
        whole = savitzky_golay(values, times, rotations=rotations)
        monkeypatch.setattr("facecli.smoothing.BLOCK_NUMBERS", 200)
        np.testing.assert_allclose(savitzky_golay(values, times, rotations=rotations), whole, atol=1e-12)
        monkeypatch.undo()


def test_what_depends_on_the_crop_is_smoothed_as_it_lies_on_the_photograph():
    def steady(codes):
        return codes.replace(camera=codes["camera"] / codes["warp"][:, 0, :1])

    def unsteady(codes):
        return codes.replace(camera=codes["camera"] * codes["warp"][:, 0, :1])

    smoother = CodesSmoother(steady=(steady, unsteady))
    for number in range(10):  # the head rests, the crop doesn't
        zoom = 1.0 + number % 2
        codes = Codes({"camera": torch.full((1, 1), 3 * zoom), "warp": zoom * torch.eye(3)[None]})
        assert smoother(codes, number / 30)["camera"].item() == pytest.approx(3 * zoom)
