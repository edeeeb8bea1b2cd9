"""Deep3D's alignment gives the official crops, and its warp says where in the photograph they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.crop import transform_points
from facecli.detect.landmarks import convert
from facecli.errors import InputError
from facecli_deep3d import align as module
from facecli_deep3d.align import SIZE, TEMPLATE, align, cut, whole
from facecli_deep3d.detections import faces_beside

FIVE = np.array([(88.0, 70.0), (130.0, 72.0), (110.0, 95.0), (92.0, 118.0), (127.0, 119.0)])


@pytest.mark.parametrize("case", ["photo", "toy_a", "toy_small", "toy_big"])
def test_official_crops(golden, pictures, case):
    wanted, image = golden("preprocess"), pictures[case]
    five = wanted[f"{case}_five_f64"]
    found = align(five, (image.shape[1], image.shape[0]))
    assert np.allclose(found.record, wanted[f"{case}_trans_params_f64"], rtol=1e-7)
    assert np.allclose(module.RESCALE / found.scale, wanted[f"{case}_pos_s_f64"], rtol=1e-7)
    assert found.scaled_size == tuple(wanted[f"{case}_resize_wh"])
    assert found.corner == tuple(wanted[f"{case}_left_up"])
    assert np.abs(found.points(five) - wanted[f"{case}_lm_new_f64"]).max() < 1e-5
    crop = cut(image, found)
    assert np.abs(crop[::3, ::3].astype(int) - wanted[f"{case}_crop_s"]).max() <= 1  # 0 with the same Pillow
    assert np.allclose(crop.mean((0, 1)), wanted[f"{case}_crop_mean_f64"], atol=0.01)


def test_the_template_and_the_five_of_68(golden):
    wanted = golden("preprocess")
    assert np.array_equal(np.array(TEMPLATE, np.float32), wanted["lm3d_five"])
    assert np.allclose(convert(wanted["extract5_in"], "ibug68", "five"), wanted["extract5_out"], atol=1e-6)


def _slope(height: int, width: int) -> np.ndarray:
    """A picture whose first two channels say where one is in it, 0.25 levels a pixel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns / 4, rows / 4, np.full((height, width), 90)], -1).round().astype(np.uint8)


@settings(max_examples=25)
@given(scale=st.floats(0.4, 4.0), turn=st.floats(-0.6, 0.6), x=st.floats(350, 650), y=st.floats(250, 500))
def test_the_warp_says_where_the_crop_is_from(scale, turn, x, y):
    c, s = np.cos(turn) * scale, np.sin(turn) * scale
    five = (FIVE - FIVE.mean(0)) @ np.array([[c, s], [-s, c]]) + (x, y)
    found = align(five, (1000, 760))
    crop = cut(_slope(760, 1000), found).astype(float)
    pixels = np.array([(20, 30), (112, 112), (200, 40), (60, 205)])
    there = transform_points(np.linalg.inv(found.warp), pixels.astype(float))
    for pixel, (column, row) in zip(pixels, there, strict=True):
        if 12 < column < 987 and 12 < row < 747:
            assert np.abs(crop[pixel[1], pixel[0], :2] - (column / 4, row / 4)).max() < 1.01


def test_the_warp_to_a_hundredth_of_a_pixel():
    """Of a picture that is scaled up, a smooth one: bicubic keeps slopes as they are."""
    rows, columns = np.mgrid[:200, :240].astype(float)
    image = np.stack([columns, rows, 0 * rows], -1).round().astype(np.uint8)
    found = align(FIVE, (240, 200))
    assert found.scale > 1.4
    crop = cut(image, found).astype(float)
    inside = np.stack(np.meshgrid(np.arange(60, 160), np.arange(60, 160)), -1).reshape(-1, 2)
    there = transform_points(np.linalg.inv(found.warp), inside.astype(float))
    assert np.abs((crop[inside[:, 1], inside[:, 0], :2] - there).mean(0)).max() < 0.02


def test_a_small_face_in_a_large_photograph(pictures, monkeypatch):
    """What would become very large isn't made as a whole, and comes out the same but for single levels."""
    image = pictures["toy_a"]
    found = align(FIVE, (400, 300))
    whole_way = cut(image, found).astype(int)
    monkeypatch.setattr(module, "_RESIZED_WHOLE", 0)
    in_part = cut(image, found).astype(int)
    assert np.abs(in_part - whole_way).max() <= 2 and (in_part != whole_way).mean() < 0.02
    tiny = (FIVE - FIVE.mean(0)) * 0.004 + (300, 200)
    huge = align(tiny, (400, 300))
    assert min(huge.scaled_size) > 100_000 and cut(image, huge).any()


@pytest.mark.parametrize(
    "five", [np.zeros((5, 2)), np.full((5, 2), np.nan), FIVE[:4], (FIVE - FIVE.mean(0)) * 1e-5 + 100]
)
def test_points_that_are_no_face_are_refused(five):
    with pytest.raises(ValueError, match=r"five points|can't be cropped"):
        align(five, (400, 300))


def test_a_face_beside_the_picture_gives_black():
    assert not cut(np.full((300, 400, 3), 200, np.uint8), align(FIVE + 5000, (400, 300))).any()


@pytest.mark.parametrize("size", [(224, 224), (500, 500), (300, 100), (50, 80)])
def test_whole_pictures(size):
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    found = whole(size)
    crop = cut(image, found)
    assert max(found.scaled_size) == SIZE and (crop == 200).all(2).sum() == np.prod(found.scaled_size)
    middle = transform_points(found.warp, np.array([[(size[0] - 1) / 2, (size[1] - 1) / 2]]))
    assert np.abs(middle - 111.5).max() <= 0.5
    if size == (224, 224):
        assert np.allclose(found.warp, np.eye(3)) and np.array_equal(crop, image)


def test_points_from_files_beside_photographs(tmp_path, golden):
    points = golden("preprocess")["extract5_in"].astype(float)
    (tmp_path / "detections").mkdir()
    kinds = {
        "rows": ("".join(f"{x}\t {y}\n" for x, y in FIVE), "five", FIVE),
        "flat": (" ".join(map(str, FIVE.ravel())), "five", FIVE),
        "all": ("".join(f"{x!r} {y!r}\n" for x, y in points.tolist()), "ibug68", points),
    }
    for name, (text, point_set, wanted) in kinds.items():
        (tmp_path / f"detections/{name}.txt").write_text(text)
        (found,) = faces_beside(tmp_path / f"{name}.PNG")
        assert found.point_set == point_set and np.array_equal(found.points, wanted)
    assert faces_beside(tmp_path / "other.png") is None
    for text in ("an astronaut", "1 2 3", "", "nan " * 10, "5 5\n" * 5, "\udcff"):
        (tmp_path / "detections/bad.txt").write_text(text, "utf-8", "surrogateescape")
        with pytest.raises(InputError, match=r"bad\.txt: .*five lines"):
            faces_beside(tmp_path / "bad.png")
