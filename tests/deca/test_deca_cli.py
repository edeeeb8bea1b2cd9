"""`facecli reconstruct --model deca` as users with the official files run it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import scipy.io

from facecli.codes import load_codes
from facecli.export.obj import read_obj
from facecli.io.images import read_image


@pytest.fixture
def loaded(monkeypatch, deca):
    """Models without options are the one that is loaded already."""
    from facecli_deca import reconstructor

    make = reconstructor.DecaReconstructor
    monkeypatch.setattr(
        reconstructor, "DecaReconstructor", lambda **options: make(**options) if len(options) > 1 else deca
    )


def test_the_demos_files_with_landmarks_beside_the_photograph(cli, official, astronaut, tmp_path, golden):
    """The whole way through an official checkpoint, and the official crop."""
    case = golden("crop")
    shutil.copy(astronaut, tmp_path / "a.png")
    np.savetxt(tmp_path / "a.txt", case["astronaut_kpt"].numpy())
    words = ("--layout", "deca", "--save", "vis,mat,kpt,codes", "--option", "keypoints=yes")
    ran = cli("reconstruct", tmp_path / "a.png", "--model", "deca", "-o", "out", *words)
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    assert read_image(out / "a_vis.jpg").shape == (224, 5 * 224, 3)
    kept = load_codes(out / "a/a_codes.npz").codes
    assert np.abs(kept["warp"][0] - case["astronaut_txt_tform"]).max() < 1e-4
    content = scipy.io.loadmat(out / "a/a.mat")
    assert np.array_equal(content["landmarks2d"], np.loadtxt(out / "a/a_kpt2d.txt").astype(np.float32))
    assert content["displacement_map"].any() and not content["rendered_images"].any()


def test_a_bad_file_beside_a_photograph_is_named(cli, official, loaded, deca, monkeypatch, astronaut, tmp_path):
    monkeypatch.setattr(deca, "_keypoints", True)
    shutil.copy(astronaut, tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("an astronaut")
    ran = cli("reconstruct", tmp_path / "a.png", "-m", "deca", "-o", "out", "--save", "json")
    assert ran.code == 1 and len(ran.errors) == 1 and "a.txt" in ran.errors[0]


def test_faceclis_own_files_and_back_from_codes(cli, official, loaded, astronaut, tmp_path):
    save = "obj,detail,codes,json,shape_detail,rendered"
    ran = cli("reconstruct", astronaut, "-m", "deca", "-o", "out", "--save", save, "--render-orig")
    assert ran.code == 0, ran.err
    face = tmp_path / "out/astronaut/face0"
    assert {path.name for path in face.iterdir()} >= {
        "mesh.obj", "mesh_normals.png", "mesh_detail.obj", "mesh_displacement.tif", "codes.npz", "face.json",
        "shape_detail.png", "shape_detail_photo.png", "rendered.png", "rendered_photo.png",
    }  # fmt: skip
    assert read_image(face / "shape_detail.png").shape == (224, 224, 3)
    assert read_image(face / "shape_detail_photo.png").shape == (512, 512, 3)
    record = json.loads((face / "face.json").read_text())
    assert len(record["landmarks"]["ibug68"]) == 68 and record["camera"]["kind"] == "scaled orthographic"

    again = cli("reconstruct", face / "codes.npz", "-o", "again", "--save", "obj,shape_detail,landmarks2d")
    assert again.code == 0, again.err
    below = next((tmp_path / "again").glob("*/face0"))
    first, second = (read_obj(folder / "mesh.obj") for folder in (face, below))
    assert np.abs(first.vertices - second.vertices).max() < 1e-3
    assert np.array_equal(read_image(face / "shape_detail.png"), read_image(below / "shape_detail.png"))
    assert not (below / "landmarks2d.png").exists()  # there is no photograph


def test_a_whole_picture(cli, official, loaded, astronaut, tmp_path):
    ran = cli("reconstruct", astronaut, "-m", "deca", "-o", "out", "--no-crop", "--save", "crop,codes")
    assert ran.code == 0, ran.err
    warp = load_codes(tmp_path / "out/astronaut/face0/codes.npz").codes["warp"][0]
    assert np.allclose(warp, np.diag([223 / 511, 223 / 511, 1]), atol=1e-5)


def test_pictures_of_what_was_left_out_are_refused(cli, official, astronaut):
    ran = cli("reconstruct", astronaut, "-m", "deca", "-O", "detail=no", "--save", "shape_detail")
    assert ran.code != 0 and len(ran.errors) == 1 and "detail=no" in ran.errors[0]
    ran = cli("reconstruct", astronaut, "-m", "deca", "-O", "use_tex=bfm")
    assert ran.code == 3 and len(ran.errors) == 1 and "FLAME_albedo_from_BFM.npz is missing" in ran.errors[0]
