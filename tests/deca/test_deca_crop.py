"""Crops are the official ones; whole pictures are taken as they are; landmarks may lie beside a picture."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from facecli.crop import square_warp, transform_points
from facecli.detect.face import Face
from facecli.detect.landmarks import MEDIAPIPE_TO_IBUG68
from facecli.errors import InputError
from facecli.io.images import read_image
from facecli_deca.crop import SIZE, cut, face_square, face_warp, square_of, whole_warp
from facecli_deca.keypoints import faces_beside


@pytest.fixture(scope="module")
def pictures(astronaut):
    synthetic = np.random.default_rng(21).integers(0, 256, (150, 211, 3), np.uint8)
    return {"astronaut": read_image(astronaut), "synthetic": synthetic}


@pytest.fixture(scope="module")
def crops(golden):
    return golden("crop")


def face_of(points) -> Face:
    return Face(np.zeros(4), 1.0, np.asarray(points, np.float64), "ibug68")


def check(crops, tag: str, picture: np.ndarray, warp: np.ndarray) -> None:
    assert np.abs(warp - crops[f"{tag}_tform"].numpy()).max() < 1e-4
    crop = cut(picture, warp)
    assert np.abs(crop[:, ::7, ::7] - crops[f"{tag}_crop"].numpy()).max() < 1e-4
    assert np.abs(crop[:, 112] - crops[f"{tag}_row"].numpy()).max() < 1e-4
    stats = [crop.mean(dtype=np.float64), crop.std(dtype=np.float64), crop.min(), crop.max()]
    assert np.abs(stats - crops[f"{tag}_stats"].numpy()).max() < 1e-4


@pytest.mark.parametrize("tag", ["astronaut_txt", "astronaut_mat", "astronaut_fan", "synthetic_txt", "synthetic_rgba"])
def test_landmarks_give_the_official_crop(crops, pictures, tag):
    name = tag.split("_")[0]
    check(crops, tag, pictures[name], face_warp(face_of(crops[f"{name}_kpt"])))


def test_a_box_gives_the_official_square(crops, pictures):
    fallback = square_warp(*square_of(np.array([0, 0, 149, 210]), "kpt68"), SIZE)
    check(crops, "synthetic_noface", pictures["synthetic"], fallback)
    for kind in ("kpt68", "bbox"):
        for row, (left, right, top, bottom) in enumerate(crops["boxes_left_right_top_bottom"].tolist()):
            centre, side = square_of(np.array([left, top, right, bottom]), kind)
            assert side == crops[f"box_{kind}_int_size"][row]
            assert np.abs(centre - crops[f"box_{kind}_center"][row].numpy()).max() < 1e-4


def test_whole_pictures(crops, pictures):
    check(crops, "synthetic_nocrop", pictures["synthetic"], whole_warp((150, 211), turned=True))
    same = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert np.abs(cut(same, whole_warp((224, 224))) - same.transpose(2, 0, 1) / 255).max() < 1e-6
    corners = np.array([(0.0, 0.0), (0, 149), (210, 149)])
    placed = transform_points(whole_warp((150, 211)), corners)
    assert np.allclose(placed[:, 0], [0, 0, 223]) and np.allclose(placed[0, 1] + placed[1, 1], 223)
    assert np.allclose(whole_warp((300, 300)), whole_warp((300, 300), turned=True))
    cut(np.zeros((1, 1, 3), np.uint8), whole_warp((1, 1)))


def test_landmarks_of_other_detectors_count_as_the_68():
    points = np.random.default_rng(1).uniform(50, 200, (478, 3))
    mediapipe = face_square(Face(np.array([0, 0, 1, 1.0]), 1.0, points, "mediapipe478"))
    as_68 = face_square(face_of(points[list(MEDIAPIPE_TO_IBUG68)]))
    assert np.array_equal(mediapipe[0], as_68[0]) and mediapipe[1] == as_68[1]
    box = np.array([10.0, 20, 110, 140])
    with_five = face_square(Face(box, 1.0, points[:5, :2], "five"))
    without = face_square(Face(box, 1.0))
    assert with_five[1] == without[1] == square_of(box, "bbox")[1]


def test_a_face_without_area_is_refused(deca):
    with pytest.raises(ValueError):
        deca.crop(np.zeros((64, 64, 3), np.uint8), face_of(np.full((68, 2), 30.0)))


def test_landmarks_beside_a_picture(tmp_path, crops):
    points = crops["astronaut_kpt"].numpy().astype(np.float64)
    picture = tmp_path / "a.b.jpg"
    assert faces_beside(picture) is None
    np.savetxt(tmp_path / "a.b.txt", points)
    (face,) = faces_beside(picture)
    assert face.point_set == "ibug68" and np.allclose(face.points, points)
    scipy.io.savemat(tmp_path / "a.b.mat", {"pt3d_68": np.vstack([points.T + 1, np.zeros(68)])})
    (preferred,) = faces_beside(picture)
    assert np.allclose(preferred.points, points + 1)


def test_any_number_of_rows_will_do_beside_a_picture(tmp_path):
    rows = np.array([[10.0, 20, 1], [30, 50, 1], [20, 10, 0]])
    np.savetxt(tmp_path / "x.txt", rows)
    (face,) = faces_beside(tmp_path / "x.png")
    assert face_square(face)[1] == int(1.25 * 1.1 * 30)


@pytest.mark.parametrize("text", ["a caption, not landmarks", "", "1 2\n", "1\n2\n3\n", "nan 1\n2 3\n", "\x00\x01\xff"])
def test_a_text_that_is_something_else_is_named(tmp_path, text):
    (tmp_path / "x.txt").write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=r"x\.txt"):
        faces_beside(tmp_path / "x.png")
