"""Similarity warps and the box crop, against scikit-image's numbers as SMIRK's official code used them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facecli.crop import box_crop, similarity_from_points, square_warp, transform_points, warp_bilinear
from facecli.detect.face import box_of_points

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.asarray(Image.open(ROOT / "assets/astronaut.png").convert("RGB"))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(ROOT / "tests/golden/crop/smirk_crop.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_crop_and_paste_back_are_golden(case, golden, astronaut):
    """Case b hangs over the border."""
    points = golden[f"{case}/landmarks_mp"]
    crop, warp = box_crop(astronaut, box_of_points(points), float(golden[f"{case}/scale"]), 224)
    np.testing.assert_allclose(warp, golden[f"{case}/tform"], atol=1e-9, rtol=0)
    np.testing.assert_allclose(
        transform_points(warp, points), golden[f"{case}/cropped_landmarks"][:, :2], atol=1e-6, rtol=0
    )
    np.testing.assert_array_equal(crop[::3, ::3], golden[f"{case}/crop_every_3"])
    pasted = warp_bilinear(crop, warp, (512, 512)).astype(np.uint8)
    np.testing.assert_array_equal(pasted[::8, ::8], golden[f"{case}/paste_back_every_8"])
    np.testing.assert_allclose([pasted.mean(), pasted.std()], golden[f"{case}/paste_back_stats"], rtol=1e-12)


@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.01, 100),
    shift=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_similarity_is_recovered_from_its_points(angle, scale, shift, seed):
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = np.random.default_rng(seed).normal(size=(5, 2)) * 50
    warp = similarity_from_points(source, source @ rotation.T + shift)
    np.testing.assert_allclose(warp[:2, :2], rotation, atol=1e-8 * scale)
    np.testing.assert_allclose(warp[:2, 2], shift, atol=1e-6 * max(scale, 1))


@given(seed=st.integers(0, 2**32 - 1))
def test_no_reflection_and_least_squares(seed):
    generator = np.random.default_rng(seed)
    source = generator.normal(size=(6, 2))
    target = source * (-1, 1) + generator.normal(size=(6, 2)) * 0.05  # a mirror image
    warp = similarity_from_points(source, target)
    assert np.linalg.det(warp[:2, :2]) >= 0

    def error(matrix):
        return ((transform_points(matrix, source) - target) ** 2).sum()

    best = error(warp)
    for _ in range(10):  # any similarity nearby is no better
        a, b, x, y = generator.normal(size=4) * 1e-3
        assert error(np.array([[1 + a, -b, x], [b, 1 + a, y], [0, 0, 1]]) @ warp) >= best - 1e-12


def test_coinciding_points_are_refused():
    with pytest.raises(ValueError, match="coincide"):
        similarity_from_points(np.ones((3, 2)), np.eye(3)[:, :2])


def naive_bilinear(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The definition: a weighted mean of the four neighbours, 0 outside."""
    total = np.zeros(image.shape[2])
    for column in (int(np.floor(x)), int(np.floor(x)) + 1):
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            if 0 <= column < image.shape[1] and 0 <= row < image.shape[0]:
                total += image[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    channels=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_sampling_is_the_definition(height, width, channels, seed):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, channels)).astype(np.uint8)
    matrix = np.eye(3)
    matrix[:2] += generator.normal(size=(2, 3))
    output = warp_bilinear(image, matrix, (5, 7))
    for y in range(5):
        for x in range(7):
            expected = naive_bilinear(image, *(matrix @ (x, y, 1))[:2])
            np.testing.assert_allclose(output[y, x], expected, atol=1e-9)


def test_identity_and_plain_masks(astronaut):
    mask = astronaut[:, :, 0] > 100
    np.testing.assert_array_equal(warp_bilinear(mask, np.eye(3), mask.shape), mask.astype(float))
    whole = warp_bilinear(astronaut, square_warp((255.5, 255.5), 511, 512), (512, 512))
    np.testing.assert_allclose(whole, astronaut, atol=1e-9)


def test_far_away_is_black(astronaut):
    for shift in (1e18, -1e18, np.nan, np.inf):
        matrix = np.eye(3)
        matrix[0, 2] = shift
        assert not warp_bilinear(astronaut, matrix, (4, 4)).any()


def test_a_crop_is_quick(astronaut):
    """One crop is about 2 ms; a python loop or a 4096² detour would be hundreds."""
    matrix = np.linalg.inv(square_warp((200, 200), 300, 224))
    warp_bilinear(astronaut, matrix, (224, 224))
    times = []
    for _ in range(5):
        start = time.process_time()
        warp_bilinear(astronaut, matrix, (224, 224))
        times.append(time.process_time() - start)
    assert min(times) < 0.05
