"""`facecli reconstruct --model smirk`, on stand-ins of the official files."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from facecli.codes import load_codes
from facecli.export.obj import read_obj
from facecli.io.images import read_image, write_image
from facecli.io.video import VideoReader, VideoWriter


@pytest.fixture
def loaded(monkeypatch, smirk):
    """Models without options are the one that is loaded already."""
    from facecli_smirk import reconstructor

    make = reconstructor.SmirkReconstructor
    monkeypatch.setattr(
        reconstructor, "SmirkReconstructor", lambda **options: make(**options) if len(options) > 1 else smirk
    )


@pytest.fixture
def people(photo, tmp_path):
    """A photograph of two: the astronaut, and beside her her smaller twin."""
    head = photo[:256, 96:352]
    picture = np.full((400, 640, 3), 90, np.uint8)
    picture[40:296, 20:276] = head
    picture[60:276, 370:586] = cv2.resize(head, (216, 216), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "two.png", picture)
    return tmp_path / "two.png"


def test_meshes_codes_pictures_and_again_from_codes(cli, official, astronaut, tmp_path):
    options = ("--model", "smirk", "--save", "obj,glb,codes,json,overlay,pictures", "--render-orig")
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", *options, "--json")
    assert ran.code == 0, ran.err
    (record,) = (json.loads(line) for line in ran.out.splitlines())
    assert record["mesh"].endswith("mesh.glb")
    folder = tmp_path / "out/astronaut/face0"
    assert len(read_obj(folder / "mesh.obj").vertices) == 5023
    codes = load_codes(folder / "codes.npz").codes
    assert (codes.model, codes.family, codes["identity"].shape) == ("smirk", "flame", (1, 300))
    face = json.loads((folder / "face.json").read_text())
    assert {"ibug68", "mediapipe105"} <= set(face["landmarks"])
    for name in ("rendering", "generator", "masked"):
        assert read_image(folder / f"{name}.png").shape == (224, 224, 3)
        assert read_image(folder / f"{name}_photo.png").shape == (512, 512, 3)

    ran = cli(
        "reconstruct", folder / "codes.npz", "--photo", astronaut, "-o", tmp_path / "again",
        "--save", "obj,overlay,rendering", "--render-orig", "--option", "full_head=yes",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (again,) = (tmp_path / "again").glob("*/face0")
    np.testing.assert_array_equal(read_obj(again / "mesh.obj").vertices, read_obj(folder / "mesh.obj").vertices)
    np.testing.assert_array_equal(read_image(again / "overlay.png"), read_image(folder / "overlay.png"))
    face_only, head = (read_image(where / "rendering_photo.png").any(-1) for where in (folder, again))
    assert (head | ~face_only).all()
    assert head.sum() > 1.05 * face_only.sum()


def test_the_layout_with_two_faces(cli, official, loaded, people, tmp_path):
    ran = cli("reconstruct", people, "-o", tmp_path / "out", "-m", "smirk", "--layout", "smirk", "--render-orig")
    assert ran.code == 0, ran.err
    first, second = (read_image(tmp_path / "out" / name) for name in ("two.png", "two_1.png"))
    assert first.shape == second.shape == (400, 1280, 3)
    np.testing.assert_array_equal(first[:, :640], read_image(people))
    drawn = [picture[:, 640:].any(-1).nonzero()[1].mean() for picture in (first, second)]
    assert drawn[0] < 320 < drawn[1]


def test_whole_pictures(cli, official, loaded, tmp_path):
    """Nobody is in it; the demo without --crop takes it all the same."""
    write_image(tmp_path / "wall.png", np.full((100, 150, 3), 120, np.uint8))
    ran = cli(
        "reconstruct", tmp_path / "wall.png", "-o", tmp_path / "out", "-m", "smirk", "--no-crop",
        "--layout", "smirk", "--save", "generator", "--render-orig",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert read_image(tmp_path / "out/wall.png").shape == (100, 450, 3)


@pytest.fixture
def clip(photo, tmp_path):
    """Six frames of the astronaut, who drifts, and two black ones."""
    path = tmp_path / "short.clip.mp4"
    with VideoWriter(path, (256, 256)) as writer:
        for index in range(8):
            frame = photo[:256, 80 + 4 * index : 336 + 4 * index] if index < 6 else np.zeros((256, 256, 3), np.uint8)
            writer.write(np.ascontiguousarray(frame))
    return path


def test_a_video_keeps_its_identity_and_its_size(cli, official, loaded, clip, tmp_path):
    """Frames without a face stay in the strip; the demo breaks off there."""
    ran = cli(
        "reconstruct", clip, "-o", tmp_path / "out", "-m", "smirk", "--layout", "smirk", "--hold", "auto", "--smooth",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    with VideoReader(tmp_path / "out/short.mp4") as reader:
        frames = [frame.image for frame in reader.frames()]
    assert {frame.shape for frame in frames} == {(224, 448, 3)}
    lit = [bool((frame[:, 224:] > 40).any()) for frame in frames]
    assert lit == [True] * 6 + [False] * 2

    ran = cli("reconstruct", clip, "-o", tmp_path / "own", "-m", "smirk", "--hold", "auto", "--save", "codes")
    assert ran.code == 0, ran.err
    (path,) = (tmp_path / "own").glob("*/face0/codes.npz")
    codes = load_codes(path).codes
    seen = codes["expression"].isfinite().all(1)
    assert seen.tolist() == [True] * 6 + [False] * 2
    identity, expression = codes["identity"][seen], codes["expression"][seen]
    assert (identity == identity[0]).all()
    assert not (expression == expression[0]).all()


def test_what_is_wrong_is_one_line(cli, official, astronaut, tmp_path):
    for words, told in (
        (("--option", "colour=red"), "no option 'colour'"),
        (("--option", "mask_ratio=2"), "mask_ratio"),
        (("--save", "texture"), "can't save texture"),
    ):
        ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", "-m", "smirk", *words)
        assert ran.code == 2, words
        assert len(ran.errors) == 1
        assert told in ran.err
