"""NME, its bins and head pose: SynergyNet's own numbers on a synthetic AFLW2000-3D, its messages word by word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli.benchmark.aflw2000 import alignment, head_pose
from facecli.geometry.euler import label_angles, rotation_of_labels, split_affine, synergynet_angles
from standins import tddfa

GOLDEN = np.load(Path(__file__).parents[1] / "golden/synergynet/benchmark.npz")


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """[57, 68, 3] of the stand-in model, in the photographs."""
    return tddfa.landmarks_in_photo(GOLDEN["param"], GOLDEN["roi"])


def truth(name: str) -> np.ndarray:
    return GOLDEN[name].transpose(0, 2, 1)


@pytest.mark.parametrize(("labels", "expected"), [("pts68", "nme"), ("pts68_re", "nme_re")])
def test_official_nme_of_each_image(landmarks, labels, expected):
    np.testing.assert_allclose(alignment.nme(landmarks, truth(labels)), GOLDEN[expected], atol=1e-6)


def test_official_bins_and_words(landmarks):
    """Yaws of exactly 30 and 60 degrees belong to the lower bin."""
    assert {30.0, -30.0, 60.0, -60.0} <= set(GOLDEN["yaw"].tolist())
    binned = alignment.by_yaw(alignment.nme(landmarks, truth("pts68")), GOLDEN["yaw"])
    np.testing.assert_allclose(100 * np.array([*binned.means, binned.mean, binned.std]), GOLDEN["bins_f64"], atol=1e-5)
    assert alignment.official_text(binned) == str(GOLDEN["message"])


def test_official_nme_on_21_points(landmarks):
    errors = alignment.nme21(landmarks, truth("pts21"), truth("pts68"))
    np.testing.assert_allclose(errors, GOLDEN["nme_aflw21"], atol=1e-6)
    binned = alignment.by_yaw(errors, GOLDEN["yaw"])
    expected = GOLDEN["bins_aflw21_f64"]
    np.testing.assert_allclose(100 * np.array([*binned.means, binned.mean, binned.std]), expected, atol=1e-5)


def test_official_head_pose():
    """Also the images that are left out are those whose truth is beyond 99 degrees."""
    rotation, _, _ = split_affine(tddfa.camera_of(GOLDEN["param"]))
    judged = np.delete(np.arange(len(rotation)), GOLDEN["skip"])
    errors = head_pose.pose_errors(synergynet_angles(rotation[judged]), GOLDEN["pose_gt_f64"][:, [1, 0, 2]])
    expected = GOLDEN["mae_pitch_yaw_roll_f64"]
    np.testing.assert_allclose([errors.pitch, errors.yaw, errors.roll], expected, atol=1e-4)
    assert head_pose.official_text(errors) == str(GOLDEN["message_pose"])


def test_a_point_of_21_that_cant_be_seen_has_no_say():
    rng = np.random.default_rng(1)
    predicted = rng.uniform(0, 100, (1, 68, 2))
    seen = alignment.points21(predicted) + np.array([3.0, 4.0])
    seen[0, 5:] = -1
    size = alignment.box_size(predicted)
    np.testing.assert_allclose(alignment.nme21(predicted, seen, predicted), 5 / size)
    assert np.isnan(alignment.nme21(predicted, np.full((1, 21, 2), -1.0), predicted)).all()


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=30), st.integers(0, 2**32 - 1))
def test_bins_hold_each_found_image_once(errors, seed):
    errors = np.array(errors)
    yaw = np.random.default_rng(seed).uniform(-90, 90, len(errors))
    binned = alignment.by_yaw(errors, yaw)
    assert binned.counts.sum() == np.isfinite(errors).sum()
    total = np.nansum(binned.counts * np.nan_to_num(binned.means))
    assert total == pytest.approx(np.nansum(errors))
    assert np.isfinite(binned.mean) == bool((binned.counts > 0).all())


@given(st.lists(st.one_of(st.floats(0, 0.2), st.just(float("nan"))), min_size=1, max_size=30))
def test_failures_and_area_are_those_of_the_curve(errors):
    """Images without a face never come under the curve."""
    errors = np.array(errors)
    at = np.linspace(0, 0.1, 20001)
    curve = alignment.cumulative(errors, at)
    assert alignment.failure_rate(errors, 0.1) == pytest.approx(1 - curve[-1])
    assert alignment.area_under_curve(errors, 0.1) == pytest.approx(curve.mean(), abs=1e-3)
    assert curve.max() <= np.isfinite(errors).mean() + 1e-12


def test_pose_errors_are_those_of_the_rows_that_have_numbers():
    truth = np.array([[10.0, 0, 0], [0, 20, 0], [np.nan] * 3, [5, 5, 5]])
    predicted = np.array([[13.0, 1, 0], [-3, 20, 2], [0, 0, 0], [np.nan] * 3])
    errors = head_pose.pose_errors(predicted, truth)
    assert (errors.yaw, errors.pitch, errors.roll, errors.images) == (3.0, 0.5, 1.0, 2)
    assert np.isnan(head_pose.pose_errors(predicted[2:], truth[2:]).mean)


def test_images_beyond_99_degrees_dont_count():
    angles = np.array([[99.0, -99, 0], [99.1, 0, 0], [0, 0, -100], [np.nan, 0, 0]])
    assert head_pose.judged(angles).tolist() == [True, False, False, False]


def test_the_mean_offset_is_found_and_removed():
    rng = np.random.default_rng(2)
    truth = rng.uniform(-40, 40, (50, 3))
    own = rotation_of_labels(np.array([4.0, 12, -3]))
    noise = rotation_of_labels(rng.normal(0, 2, (50, 3)))
    rotations = rotation_of_labels(truth) @ own @ noise
    rotations[7] = np.nan
    offset = head_pose.mean_offset(rotations, truth)
    assert head_pose.geodesic(offset, label_angles(own)) < 1
    assert np.linalg.det(offset) == pytest.approx(1)
    left = head_pose.geodesic(rotations @ offset.T, truth)
    assert np.nanmean(left) < 4 < np.nanmean(head_pose.geodesic(rotations, truth))
    assert np.isnan(left[7])


@given(st.floats(0, 180))
def test_geodesic_is_the_angle_of_the_turn(degrees):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0, 0.8])).as_matrix()
    assert head_pose.geodesic(turn, np.zeros(3)) == pytest.approx(degrees, abs=1e-5)
