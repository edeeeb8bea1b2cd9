"""DECA on NoW: the crop around a detector's box, and the official neutral face with its seven points."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecli import registry
from facecli.benchmark.neutral import neutral_codes
from facecli.benchmark.points import now_landmarks
from facecli.benchmark.predict import Portrait, Predictor
from facecli.crop import transform_points
from facecli.detect.face import Face
from facecli.io.images import read_image
from facecli.plugin import Crop
from facecli_deca.crop import SIZE, detected_warp

boxes = st.tuples(st.floats(-50, 900), st.floats(-50, 900), st.floats(5, 700), st.floats(5, 700))


@given(boxes)
def test_the_square_around_a_box_is_the_official_one(box):
    left, top, width, height = box
    right, bottom = left + width, top + height
    size = int(1.6 * (((right - left) + (bottom - top)) / 2))
    x, y = (left + right) / 2, (top + bottom) / 2
    corners = np.array([(x - size / 2, y - size / 2), (x - size / 2, y + size / 2), (x + size / 2, y - size / 2)])
    found = transform_points(detected_warp(np.array([left, top, right, bottom])), corners)
    assert np.abs(found - [(0, 0), (0, SIZE - 1), (SIZE - 1, 0)]).max() < 1e-6


def test_a_boxs_crop_is_sampled_as_the_golden_ones(deca, golden, astronaut):
    """A box whose square is that of a golden crop."""
    case, photo = golden("crop"), read_image(astronaut)
    to_photo = np.linalg.inv(case["astronaut_txt_tform"].double().numpy())
    ends = transform_points(to_photo, np.array([(0.0, 0.0), (SIZE - 1.0, SIZE - 1.0)]))
    middle, size = ends.mean(0), np.round(np.diff(ends, axis=0)[0, 0])
    half = (size + 0.5) / 1.6 / 2
    crop = deca.crop_box(photo, np.array([*(middle - half), *(middle + half)]))
    assert np.abs(crop.image[:, ::7, ::7] - case["astronaut_txt_crop"].numpy()).max() < 1e-4
    assert np.abs(crop.image[:, 112] - case["astronaut_txt_row"].numpy()).max() < 1e-4
    assert crop.image.dtype == np.float32 and crop.photo_size == photo.shape[:2] and len(crop.face.points) == 0


def test_boxes_without_area_are_refused(deca, astronaut):
    with pytest.raises(ValueError, match="coincide"):
        deca.crop_box(read_image(astronaut), np.array([5.0, 5.0, 5.0, 5.0]))


def test_the_neutral_face_and_its_seven_points_are_the_official_ones(with_rules, golden, golden_image):
    case, model = golden("decode"), with_rules("standard")
    crop = Crop(Face(np.zeros(4), 1.0), golden_image[0].numpy(), np.eye(3), (224, 224))
    codes = model.encode([crop])
    seen, rest = model.decode(codes), model.decode(neutral_codes(model, codes))
    assert (rest.vertices[:, ::40] / 1000 - case["now_verts"]).abs().max() < 1e-5
    assert np.abs(now_landmarks(rest) / 1000 - case["now_landmark7"][0].numpy()).max() < 1e-5
    # What is forgotten to be set to zero is seen at once.
    assert (seen.vertices[:, ::40] / 1000 - case["now_verts"]).abs().max() > 1e-3


def test_from_photograph_and_box_to_the_neutral_face(deca, astronaut, monkeypatch):
    options = []
    monkeypatch.setattr(registry, "reconstructor", lambda name, **given: options.append(given) or deca)
    monkeypatch.setattr(registry, "landmarker", None)  # nobody looks for landmarks
    box, photo = np.array([170.0, 60.0, 280.0, 190.0]), read_image(astronaut)
    with Predictor("deca", device="cpu") as predictor:
        (found,) = predictor.predict([Portrait("astronaut", photo, box)], neutral=True)
    assert options == [{"device": "cpu", "detail": False}]
    codes = deca.encode([deca.crop_box(photo, box)])
    zero = {"expression": torch.zeros(1, 50), "jaw": torch.zeros(1, 3), "pose": torch.zeros(1, 3)}
    wanted = deca.decode(codes.replace(**zero))
    assert torch.allclose(found.neutral.vertices, wanted.vertices, atol=1e-3)
    assert np.allclose(now_landmarks(found.neutral) / 1000, wanted.extras["landmarks3d_world"][0][SEVEN], atol=1e-6)
    assert torch.allclose(found.face.projected, deca.decode(codes).projected, atol=1e-2)


SEVEN = [36, 39, 42, 45, 33, 48, 54]
