"""FFHQ alignment against the official aligner's numbers, step by step and pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facecli.align import (
    AlignError,
    Alignment,
    align_face,
    crop_region,
    crop_to_border,
    oriented_quad,
    pad_to_border,
    shrink,
)

ROOT = Path(__file__).parents[2]
CASES = ["plain128", "shrink32", "up3_256", "corner128", "bottom64", "rot64", "int64", "toolow512"]


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.asarray(Image.open(ROOT / "assets/astronaut.png").convert("RGB"))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(ROOT / "tests/golden/diffusionrig/align_astronaut.npz") as archive:
        return dict(archive)


def picture(case: str, astronaut: np.ndarray) -> np.ndarray:
    return astronaut.repeat(3, 0).repeat(3, 1) if case.startswith("up3") else astronaut


@pytest.mark.parametrize("case", CASES)
def test_every_step_is_golden(case, golden, astronaut):
    def expect(name, value):
        np.testing.assert_allclose(value, golden[f"{case}/{name}"], atol=1e-6, rtol=0, err_msg=name)

    size = int(golden[f"{case}/size"])
    quad, side = oriented_quad(golden[f"{case}/lm68"])
    expect("quad0", quad)
    expect("qsize0", side)
    region = shrink(Alignment(picture(case, astronaut), quad, side), size)
    expect("quad_shrunk", region.quad)
    region = crop_to_border(region)
    expect("quad_cropped", region.quad)
    expect("size_cropped", region.image.shape[1::-1])
    region = pad_to_border(region)
    expect("quad_final", region.quad)
    expect("size_final", region.image.shape[1::-1])
    expect("padded_shape", region.image.shape)
    difference = np.abs(region.image[::16, ::16].astype(int) - golden[f"{case}/padded_strided"])
    assert difference.max() <= 1
    values = region.image.astype(np.float64)
    np.testing.assert_allclose(
        [values.mean(), values.std(), values.min(), values.max()], golden[f"{case}/padded_stats"], atol=1e-2
    )


@pytest.mark.parametrize("case", CASES)
def test_pixels_are_golden(case, golden, astronaut):
    size, points = int(golden[f"{case}/size"]), golden[f"{case}/lm68"]
    if not golden[f"{case}/written"]:
        with pytest.raises(AlignError, match=r"resolution too low: .* 218×216 pixels, 512×512 are wanted"):
            align_face(picture(case, astronaut), points, size)
        return
    aligned = align_face(picture(case, astronaut), points, size)
    assert aligned.dtype == np.uint8 and aligned.shape == (size, size, 3)
    difference = np.abs(aligned.astype(int) - golden[f"{case}/aligned"])
    assert (difference <= 1).mean() >= 0.995
    assert difference.max() <= 4


@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.1, 10),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_the_quad_follows_the_face(angle, scale, shift):
    """A turned, scaled, moved face has its quad turned, scaled and moved alike: results don't depend on the pose."""
    points = np.random.default_rng(7).uniform(0, 100, (68, 2))
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    quad, side = oriented_quad(points)
    moved_quad, moved_side = oriented_quad(points @ rotation.T + shift)
    np.testing.assert_allclose(moved_quad, quad @ rotation.T + shift, atol=1e-6)
    assert moved_side == pytest.approx(side * scale)


def test_landmarks_are_not_changed_and_depth_is_ignored(golden, astronaut):
    points = golden["shrink32/lm68"]
    deep = np.concatenate([points, np.random.default_rng(0).normal(size=(68, 1))], axis=1)
    before = deep.copy()
    one = crop_region(astronaut, points, 32)
    other = crop_region(astronaut, deep, 32)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(deep, before)


@pytest.mark.parametrize(
    ("points", "word"),
    [
        (np.zeros((68, 2)), "no face region"),
        (np.full((68, 2), np.nan), "no face region"),
        (np.random.default_rng(0).normal(size=(68, 2)) + 9000, "outside the picture"),
    ],
)
def test_impossible_landmarks_get_one_line(points, word, astronaut):
    with pytest.raises(AlignError, match=word):
        align_face(astronaut, points, 64)
