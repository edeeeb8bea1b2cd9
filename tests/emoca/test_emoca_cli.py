"""`facecli reconstruct --model emoca`, on stand-ins of the official files."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest
import torch

from facecli.codes import load_codes
from facecli.export.obj import read_obj
from facecli.io.images import read_image, write_image
from facecli.io.video import VideoReader, VideoWriter
from facecli_emoca.files import DEFAULT_MODEL

PICTURES = ("inputs", "geometry_coarse", "geometry_detail", "out_im_coarse", "out_im_detail")


@pytest.fixture
def loaded(monkeypatch, model):
    """Models without options are the one that is loaded already."""
    from facecli_emoca import reconstructor

    make = reconstructor.EmocaReconstructor
    monkeypatch.setattr(
        reconstructor, "EmocaReconstructor", lambda **options: make(**options) if len(options) > 1 else model
    )


@pytest.fixture
def people(astronaut, tmp_path):
    """A photograph of two: the astronaut, and beside her her smaller twin."""
    head = read_image(astronaut)[:256, 96:352]
    picture = np.full((400, 640, 3), 90, np.uint8)
    picture[40:296, 20:276] = head
    picture[60:276, 370:586] = cv2.resize(head, (216, 216), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "two.png", picture)
    return tmp_path / "two.png"


def test_meshes_wrinkles_pictures_and_again_from_codes(cli, official, astronaut, tmp_path):
    ran = cli(
        "reconstruct", astronaut, "-o", tmp_path / "out", "-m", "emoca", "--render-orig",
        "--save", "obj,codes,json,detail,pictures",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    folder = tmp_path / "out/astronaut/face0"
    assert len(read_obj(folder / "mesh.obj").vertices) == 5023
    assert (folder / "mesh_detail.obj").read_text().count("\nv ") == 47380
    codes = load_codes(folder / "codes.npz").codes
    assert (codes.model, codes.family, codes["detail"].shape) == ("emoca", "flame", (1, 128))
    assert {"ibug68", "mediapipe105"} <= set(json.loads((folder / "face.json").read_text())["landmarks"])
    for name in PICTURES:
        assert read_image(folder / f"{name}.png").shape == (224, 224, 3)
        assert read_image(folder / f"{name}_photo.png").shape == (512, 512, 3)

    ran = cli(
        "reconstruct", folder / "codes.npz", "--photo", astronaut, "-o", tmp_path / "again",
        "--save", "obj,geometry_detail", "--render-orig",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (again,) = (tmp_path / "again").glob("*/face0")
    np.testing.assert_array_equal(read_obj(again / "mesh.obj").vertices, read_obj(folder / "mesh.obj").vertices)
    for name in ("geometry_detail.png", "geometry_detail_photo.png"):
        np.testing.assert_array_equal(read_image(again / name), read_image(folder / name))


def test_the_layout_with_two_faces_in_coarse_mode(cli, official, people, tmp_path):
    options = ("-m", "emoca", "--layout", "emoca", "--save", "all", "-O", "mode=coarse")
    ran = cli("reconstruct", people, "-o", tmp_path / "out", *options)
    assert ran.code == 0, ran.err
    below = tmp_path / "out" / DEFAULT_MODEL
    assert sorted(path.name for path in below.iterdir()) == ["two00", "two01"]
    pictures = [f"{name}.png" for name in PICTURES if not name.endswith("detail")]
    mesh = ["mesh_coarse.obj", "mesh_coarse.mtl", "mesh_coarse.png", "mesh_coarse_normals.png"]
    codes = ["shape.npy", "exp.npy", "tex.npy", "pose.npy"]
    for folder in below.iterdir():
        assert {path.name for path in folder.iterdir()} == {*pictures, *mesh, *codes}
    first, second = (read_image(below / f"two{n:02d}/inputs.png").astype(int) for n in range(2))
    assert 0 < abs(first - second).mean() < 10  # twins, the larger one first


def test_a_video_as_the_program_makes_it(cli, official, astronaut, tmp_path):
    """Bicubic crops, people by number, the overlay's panels, sound or none; three frames, one of them empty."""
    photo = read_image(astronaut)[:320, 32:416]
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, (384, 320), fps=25) as writer:
        for frame in (photo, np.zeros_like(photo), np.roll(photo, 8, axis=1)):
            writer.write(frame)
    ran = cli(
        "reconstruct", clip, "-o", tmp_path / "out", "-m", "emoca", "--layout", "emoca",
        "-O", "crop_interpolation=bicubic", "-O", "image_type=out_im_detail", "-O", "cat_dim=1",
        "-O", "include_transparent=no",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    below = tmp_path / "out" / DEFAULT_MODEL / "clip/results" / DEFAULT_MODEL
    assert sorted(path.name for path in below.iterdir()) == ["000001_000", "000003_000", "video_out_im_detail.mp4"]
    with VideoReader(below / "video_out_im_detail.mp4") as reader:
        frames = [frame.image for frame in reader.frames()]
    assert len(frames) == 3 and frames[0].shape == (320, 768, 3)
    original, pasted = frames[0][:, :384].astype(int), frames[0][:, 384:].astype(int)
    green = (original[..., 1] > 150) & (original[..., 0] < 90) & (original[..., 2] < 90)
    assert 500 < green.sum() < 8000
    assert (abs(pasted - original).max(-1) > 30).sum() > green.sum()  # the face, too
    assert frames[1].max() < 40


def test_whole_pictures_as_crops(cli, official, loaded, astronaut, tmp_path):
    write_image(tmp_path / "crop.png", read_image(astronaut)[:224, 110:334])
    ran = cli(
        "reconstruct", tmp_path / "crop.png", "-o", tmp_path / "out", "-m", "emoca", "--no-crop", "--save", "inputs",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(read_image(tmp_path / "out/crop/face0/inputs.png"), read_image(tmp_path / "crop.png"))


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("deca_model.tar", "holds DECA's weights, not EMOCA's"),
        ("SMIRK_em1.pt", "holds SMIRK's weights, not EMOCA's"),
        ({"state_dict": {"deca.E_mica.x": torch.zeros(1)}}, "holds EMICA"),
        ({"state_dict": {"deca.E_flame.x": torch.zeros(1)}, "more": _Evil()}, "is refused"),
        (b"<html>Please log in</html>", "is no torch checkpoint"),
        (b"", "is empty"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_wrong_checkpoints_are_one_line(content, words, cli, official, astronaut, tmp_path):
    path = tmp_path / "given.ckpt"
    if isinstance(content, str):
        path = official / content
    elif isinstance(content, dict):
        torch.save(content, path)
    else:
        path.write_bytes(content)
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", "-m", "emoca", "-O", f"checkpoint={path}")
    assert ran.code == 1
    (line,) = ran.errors
    assert str(path) in line and words in line and "Traceback" not in ran.err
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


def test_what_is_missing_is_said_at_once(cli, official, astronaut, tmp_path):
    """Another model than the one that is there."""
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", "-m", "emoca", "-O", "variant=EMOCA_v2_mp")
    assert ran.code == 3
    (line,) = ran.errors
    assert "EMOCA_v2_mp is missing" in line and "facecli assets get emoca_v2_mp" in line
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", "-m", "emoca", "-O", "variant=EMOCA_v3")
    assert ran.code == 2 and "no model 'EMOCA_v3'" in ran.errors[0]
