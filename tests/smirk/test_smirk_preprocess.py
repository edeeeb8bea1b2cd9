"""What SMIRK's networks see of a photograph is what the official program shows them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli.crop import transform_points, warp_bilinear
from facecli.detect.face import Face, box_of_points
from facecli.detect.landmarks import convert
from facecli_smirk.crops import CROP_SCALE, crop_points, detected_crop, face_crop, hull_mask, whole_crop, whole_warp

GOLDEN = Path(__file__).resolve().parents[1] / "golden/smirk/preprocess.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as archive:
        return dict(archive)


def golden_face(golden, case) -> Face:
    points = golden[f"{case}/landmarks_mp"]
    return Face(box_of_points(points), 1.0, points, "mediapipe478")


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_official_crop_and_mask(case, golden, photo):
    """Case b hangs over the border."""
    crop = face_crop(photo, golden_face(golden, case), float(golden[f"{case}/scale"]))
    np.testing.assert_allclose(crop.warp, golden[f"{case}/tform"], atol=1e-9, rtol=0)
    pixels = np.rint(crop.image.transpose(1, 2, 0) * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels[::5, ::5], golden[f"{case}/crop_rgb_every_5"])
    assert pixels.sum(dtype=np.int64) == golden[f"{case}/crop_sum"]
    mask = hull_mask(crop_points(crop))
    np.testing.assert_array_equal(np.packbits(mask), golden[f"{case}/hull_mask_packed"])


def test_the_networks_input_is_official(golden, photo):
    crop = face_crop(photo, golden_face(golden, "a"))
    assert crop.image.dtype == np.float32
    assert golden["a/scale"] == CROP_SCALE
    np.testing.assert_allclose(crop.image[:, ::7, ::7], golden["sample_a/img_every_7"], atol=1e-6, rtol=0)
    stats = [crop.image.mean(), crop.image.std(), crop.image.min(), crop.image.max()]
    np.testing.assert_allclose(stats, golden["sample_a/img_stats"], atol=1e-5, rtol=0)


def test_a_detectors_box_gets_a_wider_square(photo):
    box = np.array([170.0, 60.0, 280.0, 190.0])
    crop = detected_crop(photo, box)
    half = int(1.6 * 120) / 2
    ends = transform_points(crop.warp, np.array([(225 - half, 125 - half), (225 + half, 125 + half)]))
    np.testing.assert_allclose(ends, [(0, 0), (223, 223)], atol=1e-9)
    same = face_crop(photo, Face(box, 1.0), 1.6)
    assert np.array_equal(crop.image, same.image) and np.array_equal(crop.face.box, box)
    assert len(crop_points(crop)) == 0


def test_the_whole_picture_is_resized_as_official(golden, photo):
    crop = whole_crop(photo, Face(np.zeros(4), 1.0))
    pixels = np.rint(crop.image.transpose(1, 2, 0) * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels[::4, ::4], golden["nocrop/resized_every_4"])


@given(height=st.integers(40, 600), width=st.integers(40, 600))
def test_the_whole_pictures_warp_is_that_of_resizing(height, width):
    """A ramp is resized to what the warp says, away from the border, which resizing repeats."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    back = np.linalg.inv(whole_warp((height, width)))
    for ramp, axis in ((x, 0), (y, 1)):
        resized = cv2.resize(ramp, (224, 224))
        wanted = back[axis, axis] * np.arange(8, 216) + back[axis, 2]
        found = resized[100, 8:216] if axis == 0 else resized[8:216, 100]
        np.testing.assert_allclose(found, wanted, atol=0.02)


def test_no_landmarks_leave_no_hull():
    assert hull_mask(np.zeros((0, 2))).all()
    assert hull_mask(np.array([[50.0, 60.0]])).sum() == 224 * 224 - 1
    beyond = hull_mask(np.array([[-500.0, -500.0], [900.0, -500.0], [900.0, 900.0], [-500.0, 900.0]]))
    assert not beyond.any()


def test_other_landmarkers_give_nearly_the_same_square(photo):
    from facecli import registry

    landmarker = registry.landmarker("mediapipe", confidence=0.1)
    try:
        found = landmarker.detect([photo])[0][0]
    finally:
        landmarker.close()
    ibug = convert(found.points[:, :2], "mediapipe478", "ibug68")
    crops = [
        face_crop(photo, found),
        face_crop(photo, Face(box_of_points(ibug), 1.0, ibug, "ibug68")),
        face_crop(photo, Face(found.box, 1.0)),
    ]
    for other in crops[1:]:
        corners = crops[0].warp @ np.linalg.inv(other.warp) @ np.array([[0, 0, 1], [223, 223, 1]]).T
        np.testing.assert_allclose(corners[:2].T, [[0, 0], [223, 223]], atol=0.04 * 224)


@given(x0=st.integers(0, 60), y0=st.integers(0, 60), seed=st.integers(0, 2**32 - 1))
def test_a_window_of_a_warp_has_the_values_of_the_whole(x0, y0, seed):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    warp = np.array([[0.7, 0.01, -3.3], [-0.02, 0.6, 1.7], [0, 0, 1]]) + random.normal(0, 1e-3, (3, 3)) * [
        [1],
        [1],
        [0],
    ]
    whole = warp_bilinear(image, warp, (90, 80))
    window = warp_bilinear(image, warp, (90 - y0, 80 - x0), (x0, y0))
    np.testing.assert_array_equal(window, whole[y0:, x0:])
