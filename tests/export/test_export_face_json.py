from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facecli.export.face_json import error_record, face_record, head_angles, to_jsonable, write_json


def record(**changes):
    words = {"input": Path("fotos/Mädchen.jpg"), "face": 0, "model": "mediapipe", "box": np.arange(4), "score": 0.9}
    return face_record(**words | changes)


def test_record_has_what_the_next_program_reads():
    made = record(files={"mesh": Path("out/mesh.obj")})
    for key in ("input", "frame", "face", "model", "box", "score", "mesh", "overlay", "codes"):
        assert key in made
    assert made["mesh"] == str(Path("out/mesh.obj"))
    assert made["overlay"] is None
    assert error_record("a.jpg", ValueError("is empty")) == {"input": "a.jpg", "error": "is empty"}


def test_file_is_strict_json_with_rounded_numbers(tmp_path):
    made = record(
        head_pose=np.full((4, 4), np.nan),
        landmarks={"five": torch.tensor([[1 / 3, float("inf")]])},
        camera={"focal": np.float32(1234.5678), "size": (480, 640)},
        blendshapes={"jawOpen": 0.123456789},
    )
    write_json(tmp_path / "face.json", made)
    text = (tmp_path / "face.json").read_text("utf-8")
    assert "Mädchen" in text

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    back = json.loads(text, parse_constant=refuse)
    assert back == made
    assert back["head_pose"] == [[None] * 4] * 4
    assert back["landmarks"] == {"five": [[0.3333333, None]]}
    assert back["camera"]["focal"] == 1234.568
    assert back["blendshapes"] == {"jawOpen": 0.1234568}


def test_names_that_are_no_text_still_make_a_file(tmp_path):
    write_json(tmp_path / "face.json", error_record("foto-\udcff.jpg", "is empty"))
    assert json.loads((tmp_path / "face.json").read_text("utf-8"))["input"] == "foto-?.jpg"


@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(-179, 179), st.floats(0.5, 3))
def test_angles_are_those_of_the_rotation(yaw, pitch, roll, scale):
    pose = np.eye(4)
    pose[:3, :3] = scale * Rotation.from_euler("YXZ", [yaw, -pitch, roll], degrees=True).as_matrix()
    angles = head_angles(pose)
    assert [angles["yaw"], angles["pitch"], angles["roll"]] == pytest.approx([yaw, pitch, roll], abs=1e-4)
    assert head_angles(torch.from_numpy(pose).requires_grad_()) == angles


def test_angles_have_the_documented_signs():
    def nose(yaw=0.0, pitch=0.0):
        return Rotation.from_euler("YXZ", [yaw, -pitch, 0], degrees=True).apply([0, 0, 1])

    assert nose(yaw=30)[0] > 0
    assert nose(pitch=30)[1] > 0
    for direction, angle in (("yaw", 30), ("pitch", 30)):
        turned = nose(**{direction: angle})
        across = np.cross([0, 1, 0], turned)
        across /= np.linalg.norm(across)
        matrix = np.stack([across, np.cross(turned, across), turned], 1)  # a head without tilt that looks that way
        assert head_angles(matrix)[direction] == pytest.approx(angle)


def test_unknown_things_are_not_guessed():
    with pytest.raises(TypeError, match="no JSON for a set"):
        to_jsonable({"a": {1, 2}})
