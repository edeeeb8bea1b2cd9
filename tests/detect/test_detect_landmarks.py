"""Landmark sets: the golden tables and conversions, and what mirroring must keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli.detect import landmarks
from facecli.detect.landmarks import POINT_SETS, convert, convertible_to, flip_indices, mirror
from facecli.errors import UsageError

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/landmarks"
CANONICAL = ROOT.parent / "shared/data/canonical_face_model.obj"


@pytest.fixture(scope="module")
def maps() -> dict:
    return json.loads((GOLDEN / "maps.json").read_text())


@pytest.fixture(scope="module")
def astronaut() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "mediapipe_astronaut.npz") as archive:
        return dict(archive)


def pixels(normalised: np.ndarray) -> np.ndarray:
    """MediaPipe's normalised x, y, z on the 512 × 512 picture."""
    return normalised.astype(np.float64) * 512


def test_tables_are_the_golden_ones(maps):
    assert list(landmarks.MEDIAPIPE_TO_IBUG68) == maps["mediapipe_to_68"]
    assert list(landmarks.MEDIAPIPE105) == maps["mediapipe_105_subset"]
    assert list(landmarks.FLIP_IBUG68) == maps["flip_68"]
    assert list(landmarks.IBUG68_TO_NOW7) == maps["ibug68_to_7_now"]
    five = maps["mediapipe_to_5"]
    names = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    assert [list(entry) for entry in landmarks.MEDIAPIPE_TO_FIVE] == [five[name] for name in names]
    for table, key in (
        (landmarks.IBUG68_TO_FIVE, "ibug68_to_5_deep3d"),
        (landmarks.IBUG68_TO_FIVE_SMIRK, "ibug68_to_5_smirk_arcface"),
    ):
        golden = maps[key]
        assert list(table[0]) == golden["left_image_eye"]
        assert list(table[1]) == golden["right_image_eye"]
        assert list(table[2]) == golden["nose"]
        assert [table[3][0], table[4][0]] == golden["mouth"]
    groups = {name: [part.start, part.stop] for name, part in landmarks.IBUG68_GROUPS.items()}
    assert groups == maps["ibug68_groups"]


def test_conversions_of_the_astronaut_are_golden(astronaut):
    points = pixels(astronaut["mediapipe_refine1"])
    for name, key in (("ibug68", "to68"), ("five", "to5"), ("mediapipe105", "subset105"), ("now7", "to7_from68")):
        np.testing.assert_allclose(convert(points, "mediapipe478", name)[:, :2], astronaut[key], atol=1e-6, rtol=0)
    np.testing.assert_allclose(convert(astronaut["to68"], "ibug68", "now7"), astronaut["to7_from68"], atol=0)


def test_conversion_from_68_to_five_averages_the_eye_corners(astronaut):
    points = astronaut["to68"]
    five = convert(points, "ibug68", "five")
    np.testing.assert_allclose(five[0], (points[36] + points[39]) / 2)
    np.testing.assert_allclose(five[1], (points[42] + points[45]) / 2)
    np.testing.assert_array_equal(five[2:], points[[30, 48, 54]])


def test_conversion_keeps_leading_axes_dtype_and_nan():
    points = np.full((3, 2, 478, 3), np.nan, np.float32)
    points[0, 0] = np.random.default_rng(0).random((478, 3))
    for name in convertible_to("mediapipe478"):
        result = convert(points, "mediapipe478", name)
        assert result.shape == (3, 2, POINT_SETS[name].count, 3) and result.dtype == np.float32
        assert np.isfinite(result[0, 0]).all() and np.isnan(result[1:]).all() and np.isnan(result[0, 1]).all()


@pytest.mark.parametrize(
    ("from_set", "to_set", "word"),
    [
        ("mediapipe468", "mediapipe478", "irises"),
        ("five", "ibug68", "can be made from: mediapipe478, mediapipe468, ibug68"),
        ("ibug68", "mediapipe468", "can't be turned"),
        ("ibug68", "ibug86", "unknown landmark set 'ibug86'"),
        ("dlib", "ibug68", "unknown landmark set 'dlib'"),
    ],
)
def test_impossible_conversions_say_why_in_one_line(from_set, to_set, word):
    count = POINT_SETS[from_set].count if from_set in POINT_SETS else 68
    with pytest.raises(UsageError, match=word) as caught:
        convert(np.zeros((count, 2)), from_set, to_set)
    assert "\n" not in str(caught.value)


def test_a_wrong_number_of_points_is_refused():
    with pytest.raises(UsageError, match=r"mediapipe478 has 478 points, but an array of shape \[468, 3\]"):
        convert(np.zeros((468, 3)), "mediapipe478", "five")


@pytest.mark.parametrize("name", POINT_SETS)
def test_flips_are_involutions_over_all_points(name):
    flip = np.array(flip_indices(name))
    np.testing.assert_array_equal(flip[flip], np.arange(POINT_SETS[name].count))


@given(
    name=st.sampled_from(list(POINT_SETS)),
    target=st.sampled_from(list(POINT_SETS)),
    width=st.integers(1, 5000),
    seed=st.integers(0, 2**32 - 1),
)
def test_mirroring_and_converting_commute(name, target, width, seed):
    if target not in convertible_to(name):
        return
    points = np.random.default_rng(seed).uniform(-width, 2 * width, (POINT_SETS[name].count, 3))
    one = mirror(convert(points, name, target), target, width)
    other = convert(mirror(points, name, width), name, target)
    np.testing.assert_allclose(one, other, atol=1e-9 * width)
    np.testing.assert_allclose(mirror(mirror(points, name, width), name, width), points, atol=1e-9 * width)


def test_the_mediapipe_flip_pairs_opposite_points_of_a_real_face(astronaut):
    """A near-frontal face laid upon its mirror image: with the right twins little is left, irises included."""
    from facecli.crop import similarity_from_points

    points = pixels(astronaut["mediapipe_refine1"])[:, :2]
    twins = mirror(points, "mediapipe478", 512)
    warp = similarity_from_points(twins, points)
    laid = twins @ warp[:2, :2].T + warp[:2, 2]
    width = np.ptp(points[:, 0])
    assert np.linalg.norm(laid - points, axis=1).max() < 0.1 * width
    iris = slice(468, 478)
    assert np.linalg.norm(laid - points, axis=1)[iris].max() < 0.03 * width


@pytest.mark.skipif(not CANONICAL.exists(), reason="needs ../shared/data/canonical_face_model.obj")
def test_the_mediapipe_flip_is_the_canonical_face_s_symmetry():
    lines = CANONICAL.read_text().splitlines()
    vertices = np.array([[float(word) for word in line.split()[1:4]] for line in lines if line.startswith("v ")])
    np.testing.assert_array_equal(vertices[list(flip_indices("mediapipe468"))], vertices * (-1, 1, 1))
