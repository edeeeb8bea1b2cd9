"""Similarity warps, crops and both ways of sampling, against scikit-image's numbers as SMIRK and EMOCA used them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facecli.crop import (
    box_crop,
    similarity_from_points,
    square_around,
    square_warp,
    transform_points,
    warp_bicubic,
    warp_bilinear,
)
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


@pytest.fixture(scope="module")
def emoca() -> dict[str, np.ndarray]:
    with np.load(ROOT / "tests/golden/emoca/crop.npz") as archive:
        return dict(archive)


def test_bicubic_crop_and_its_way_back_are_golden(emoca, astronaut):
    """EMOCA's video path: crop, cut to bytes, and paste the bytes and a mask of them back."""
    centre, side = square_around(box_of_points(emoca["kpt68"]), 1.1 * 1.25)
    np.testing.assert_allclose(centre, emoca["video_center"], atol=1e-9)
    assert side == emoca["video_size"]
    warp = square_warp(centre, side, 224)
    crop = warp_bicubic(astronaut / 255.0, np.linalg.inv(warp), (224, 224))
    np.testing.assert_allclose(crop[::8, ::8], emoca["video_crop_f"], atol=1e-6)
    pixels = (crop * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels[::4, ::4], emoca["video_crop_u8"])
    back = warp_bicubic(pixels / 255.0, warp, (512, 512))
    np.testing.assert_allclose(back[40:220:3, 140:320:3], emoca["video_back"], atol=1e-6)
    stats = [back.mean(), back.std(), back.min(), back.max()]
    np.testing.assert_allclose(stats, emoca["video_back_stats"], atol=1e-6)
    mask = (pixels.astype(int).prod(-1) > 30).astype(float)
    np.testing.assert_allclose(
        warp_bicubic(mask, warp, (512, 512))[40:220:3, 140:320:3], emoca["video_mask_back"], atol=1e-6
    )


def naive_bicubic(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The definition: Keys' kernel with a = -0.5 over 16 neighbours, 0 outside."""

    def kernel(t: float) -> float:
        t = abs(t)
        if t <= 1:
            return 1.5 * t**3 - 2.5 * t**2 + 1
        return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0

    total = np.zeros(image.shape[2])
    for column in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
        for row in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
            if 0 <= column < image.shape[1] and 0 <= row < image.shape[0]:
                total += image[row, column] * kernel(x - column) * kernel(y - row)
    return total


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    channels=st.integers(1, 3),
    lowest=st.sampled_from([0, 0, 40]),
    seed=st.integers(0, 2**32 - 1),
)
def test_bicubic_sampling_is_the_definition(height, width, channels, lowest, seed):
    generator = np.random.default_rng(seed)
    image = generator.integers(lowest, 256, (height, width, channels)).astype(np.uint8)
    matrix = np.eye(3)
    matrix[:2] += generator.normal(size=(2, 3))
    output = warp_bicubic(image, matrix, (5, 7))
    raw = np.array([[naive_bicubic(image, *(matrix @ (x, y, 1))[:2]) for x in range(7)] for y in range(5)])
    least = min(image.min(), 0) if raw.min() <= 0 <= raw.max() else image.min()
    np.testing.assert_allclose(output, raw.clip(least, image.max()), atol=1e-9)


def test_bicubic_of_a_picture_without_black_keeps_the_black_around_it():
    bright = np.full((8, 8, 3), 200, np.uint8)
    output = warp_bicubic(bright, np.array([[1.0, 0, -12], [0, 1, 0], [0, 0, 1]]), (8, 24))
    assert (output[:, :10] == 0).all() and (output[2:6, 14:18] == 200).all() and output.max() == 200


def test_identity_and_plain_masks(astronaut):
    mask = astronaut[:, :, 0] > 100
    np.testing.assert_array_equal(warp_bilinear(mask, np.eye(3), mask.shape), mask.astype(float))
    whole = warp_bilinear(astronaut, square_warp((255.5, 255.5), 511, 512), (512, 512))
    np.testing.assert_allclose(whole, astronaut, atol=1e-9)


@pytest.mark.parametrize("warp", [warp_bilinear, warp_bicubic])
def test_a_window_has_the_values_of_the_whole(warp, astronaut):
    crop = square_warp((221.3, 118.7), 141, 60)
    whole = warp(astronaut[::3, ::3], crop, (200, 400))
    np.testing.assert_array_equal(warp(astronaut[::3, ::3], crop, (50, 70), start=(190, 95)), whole[95:145, 190:260])


@pytest.mark.parametrize("warp", [warp_bilinear, warp_bicubic])
def test_far_away_is_black(warp, astronaut):
    for shift in (1e18, -1e18, np.nan, np.inf):
        matrix = np.eye(3)
        matrix[0, 2] = shift
        assert not warp(astronaut, matrix, (4, 4)).any()


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
