"""`import facecli`: the same work in memory."""

import re
from pathlib import Path

import numpy as np
import pytest

import facecli
from facecli.errors import InputError, UsageError
from facecli.export.obj import read_obj

ROOT = Path(__file__).parents[2]


def test_a_photograph(astronaut, tmp_path):
    (face,) = facecli.reconstruct(astronaut, model="mediapipe", texture_size=256)
    assert face.input == str(astronaut)
    assert (face.face, face.index) == (0, 0)
    assert face.mesh.vertices.shape == (468, 3)
    assert face.mesh.texture.shape == (256, 256, 3)
    assert face.codes["surface"].shape == (1, 478, 3)
    assert face.head_pose.shape == (4, 4)
    assert face.landmarks["ibug68"].shape == (68, 2)
    assert face.overlay().shape == face.photo.shape == (512, 512, 3)
    assert face.record()["model"] == "mediapipe"
    assert len(face.reconstruction) == 1
    for name in ("face.obj", "face.glb", "face.ply"):
        facecli.save_mesh(tmp_path / name, face.mesh)
        assert (tmp_path / name).exists()
    np.testing.assert_allclose(read_obj(tmp_path / "face.obj").vertices, face.mesh.vertices, atol=1e-4)
    with pytest.raises(UsageError, match=r"\.obj, \.glb, \.ply"):
        facecli.save_mesh(tmp_path / "face.fbx", face.mesh)


def test_arrays_lists_and_errors(astronaut, tmp_path):
    image = facecli.read_image(astronaut)
    two = list(facecli.reconstruct([image, astronaut]))
    np.testing.assert_allclose(two[0].box, two[1].box)
    missing = tmp_path / "none.jpg"
    with pytest.raises(InputError, match="no such file"):
        list(facecli.reconstruct([missing, image]))
    assert len(list(facecli.reconstruct([missing, image], on_error="skip"))) == 1
    assert list(facecli.reconstruct(np.zeros((64, 64, 3), np.uint8))) == []
    with pytest.raises(UsageError, match="unknown model"):
        list(facecli.reconstruct(image, model="nobody"))
    with pytest.raises(UsageError, match="--faces"):
        list(facecli.reconstruct(image, faces=0))
    assert len(list(facecli.reconstruct(image, faces=1))) == 1


def test_arrays_of_other_kinds(astronaut):
    image = facecli.read_image(astronaut)
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    (expected,) = facecli.reconstruct(image)
    for other in (rgba, image.astype(np.uint16) * 257):
        (face,) = facecli.reconstruct(other)
        np.testing.assert_allclose(face.box, expected.box)
        np.testing.assert_array_equal(face.mesh.texture, expected.mesh.texture)
    (grey,) = facecli.reconstruct(image.mean(2).astype(np.uint8))
    assert grey.mesh.texture.std(2).max() <= 1
    for wrong in (image / 255, np.zeros((0, 0, 3), np.uint8), np.zeros((5, 5, 2), np.uint8), np.zeros(7, np.uint8)):
        with pytest.raises(InputError, match="array 0"):
            list(facecli.reconstruct(wrong))


def test_smoothed_codes_are_those_of_the_mesh(media):
    from facecli import registry

    model = registry.reconstructor("mediapipe")
    for number, face in enumerate(facecli.reconstruct(media / "dafoe.mp4", smooth=True)):
        decoded = model.decode(face.codes)
        np.testing.assert_allclose(decoded.vertices[0], face.reconstruction.vertices[0], atol=1e-4)
        if number == 5:
            break


def test_landmarks_and_models(astronaut):
    (face,) = facecli.landmarks(astronaut)
    assert face.points.shape == (478, 3)
    assert "mediapipe" in facecli.models()


def test_the_example_in_the_readme_runs(astronaut, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("photo.jpg", str(astronaut))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "(468, 3)" in capsys.readouterr().out
    assert (tmp_path / "face0.glb").exists()
