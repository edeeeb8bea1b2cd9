"""Regions and crops of SynergyNet and 3DDFA_V2: official numbers, and boxes that are none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli import roi
from facecli.detect.face import Face

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"
PHOTOS = ("astronaut", "two_people", "test_image1", "test_image2")


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


def test_official_regions():
    case = golden("preprocess_roi")
    for name, recipe in (("synergynet", roi.synergynet_roi), ("tddfa", roi.tddfa_v2_roi)):
        found = np.stack([recipe(box) for box in case["boxes"]])
        np.testing.assert_allclose(found, case[f"{name}_roi_f64"], atol=1e-3)
    found = np.stack([roi.landmark_roi(points.T) for points in case["landmarks"]])
    np.testing.assert_allclose(found, case["landmark_roi_f64"], atol=1e-3)


def test_official_crops():
    case = golden("preprocess_crop")
    for number, region in enumerate(case["rois_f64"]):
        pixels = roi.cut(case["image"], region)
        assert pixels.shape == tuple(case[f"crop{number}_shape"])
        assert pixels.sum(dtype=np.int64) == case[f"crop{number}_sum"][0]
        for interpolation in roi.INTERPOLATIONS:
            scaled = roi.crop(case["image"], region, interpolation)
            mean = case[f"{interpolation}{number}_mean"]
            np.testing.assert_allclose(scaled.reshape(-1, 3).mean(0), mean, atol=0.1)
            if f"{interpolation}{number}" in case:
                assert np.abs(scaled[::5, ::5].astype(int) - case[f"{interpolation}{number}"]).max() <= 1
    np.testing.assert_array_equal(roi.cut(case["image"], case["rois_f64"][1])[::3, ::3], case["crop1"])
    # Here pictures are RGB, in the programs BGR.
    linear = roi.crop(case["image"], case["rois_f64"][1])
    normalised = (linear.transpose(2, 0, 1)[:, 60, ::4].astype(np.float32) - 127.5) / 128
    np.testing.assert_allclose(normalised, case["normalised1_row60"], atol=1e-5)
    rimmed = (roi.with_border(linear, 5).astype(np.float64) - 127.5) / 128
    # `centercrop_test_stat`: mean and deviation of the crop that SynergyNet's benchmark sees.
    np.testing.assert_allclose([rimmed.mean(), rimmed.std(ddof=1)], [-0.42398022, 0.56694824], atol=1e-5)
    assert (rimmed[:5] == -127.5 / 128).all() and (rimmed[:, -5:] == -127.5 / 128).all()
    np.testing.assert_array_equal(roi.with_border(linear, 0), linear)


@pytest.mark.parametrize("photo", PHOTOS)
def test_official_crops_of_photographs(photo, request, astronaut):
    case, boxes = golden("preprocess_photos"), golden("faceboxes_photos")
    image = cv2.imread(str(photograph(photo, request, astronaut)))
    recipes = {"synergynet": (roi.synergynet_roi, "linear"), "synergynet_api": (roi.synergynet_roi, "lanczos")}
    recipes["tddfa"] = roi.tddfa_v2_roi, "linear"
    for number, box in enumerate(boxes[photo]):
        for name, (recipe, interpolation) in recipes.items():
            key = f"{photo}.{number}.{name}"
            region = recipe(box)
            np.testing.assert_allclose(region, case[f"{key}.roi_f64"], atol=1e-3)
            assert roi.cut(image, region).shape == tuple(case[f"{key}.crop_shape"])
            crop = roi.crop(image, region, interpolation)
            assert np.abs(crop[::8, ::8].astype(int) - case[f"{key}.strided"]).max() <= 1
            np.testing.assert_allclose(crop.reshape(-1, 3).mean(0), case[f"{key}.mean"], atol=0.05)


def photograph(name: str, request, astronaut: Path) -> Path:
    """The photograph of the golden cases, or a skip."""
    if name == "astronaut":
        return astronaut
    media = request.getfixturevalue("media")
    return next(path for path in (media / f"{name}.jpg", media / f"{name}.png") if path.exists())


def test_borders_round_half_to_even():
    image = np.full((20, 20, 3), 9, np.uint8)
    assert roi.cut(image, np.array([0.5, 1.5, 10.5, 11.5])).shape == (10, 10, 3)  # 0 to 10, 2 to 12
    assert roi.cut(image, np.array([0.5, 1.5, 11.5, 10.5])).shape == (8, 12, 3)


@given(st.floats(-60, 120), st.floats(-60, 120), st.floats(1, 150), st.floats(1, 150))
def test_outside_is_black_and_inside_is_the_photograph(x, y, width, height):
    image = np.random.default_rng(0).integers(1, 255, (50, 70, 3), np.uint8)
    region = np.array([x, y, x + width, y + height])
    left, top, right, bottom = (round(number) for number in region.tolist())
    if right <= left or bottom <= top or left >= 70 or top >= 50 or right <= 0 or bottom <= 0:
        with pytest.raises(ValueError):
            roi.cut(image, region)
        return
    padded = np.pad(image, ((300, 300), (300, 300), (0, 0)))
    np.testing.assert_array_equal(roi.cut(image, region), padded[300 + top : 300 + bottom, 300 + left : 300 + right])


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ([5, 5, 5, 9], "no area"),
        ([9, 5, 5, 9], "no area"),
        ([np.nan, 0, 9, 9], "isn't finite"),
        ([200, 200, 300, 300], "outside of the picture"),
        ([-9e8, -9e8, 9e8, 9e8], "far larger"),
    ],
)
def test_boxes_that_are_none(region, words):
    with pytest.raises(ValueError, match=words):
        roi.crop(np.zeros((50, 50, 3), np.uint8), np.array(region, float))


def test_landmarks_count_before_boxes():
    points = np.random.default_rng(1).uniform(100, 200, (68, 2))
    face = Face(np.array([0, 0, 50, 50.0]), 1.0, points, "ibug68")
    np.testing.assert_array_equal(roi.roi_of_face(face, roi.synergynet_roi), roi.landmark_roi(points))
    face = Face(np.array([0, 0, 50, 50.0]), 1.0, points[:5], "five")  # none that 68 can be made of
    np.testing.assert_array_equal(roi.roi_of_face(face, roi.synergynet_roi), roi.synergynet_roi(face.box))
