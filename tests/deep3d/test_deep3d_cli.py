"""`facecli reconstruct --model deep3d` and `facecli assets convert bfm` as users with the official files run them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import scipy.io
import torch

from facecli.codes import load_codes
from facecli.export.obj import read_obj
from facecli.io.images import read_image
from standins.checkpoints import flat_state


@pytest.fixture
def loaded(monkeypatch, deep3d):
    """The model without options is the one that is loaded already."""
    from facecli_deep3d import reconstructor

    make = reconstructor.Deep3DReconstructor
    monkeypatch.setattr(
        reconstructor, "Deep3DReconstructor", lambda **options: make(**options) if len(options) > 1 else deep3d
    )


@pytest.fixture
def folder(tmp_path, astronaut, five):
    """Pictures as Deep3D's users have them."""
    pictures = tmp_path / "pictures"
    (pictures / "detections").mkdir(parents=True)
    shutil.copy(astronaut, pictures / "a.png")
    np.savetxt(pictures / "detections/a.txt", five)
    return pictures


def test_the_programs_files_with_points_beside_the_photograph(cli, official, folder, deep3d, pictures, face, tmp_path):
    """The whole way, through the official files' stand-ins of full size."""
    ran = cli(
        "reconstruct", folder / "a.png", "-m", "deep3d", "-o", "out", "--layout", "deep3d", "--save", "png,obj,mat,crop"
    )
    assert ran.code == 0, ran.err
    below = tmp_path / "out/epoch_20_000000"
    content = scipy.io.loadmat(below / "a.mat")
    codes = deep3d.encode([deep3d.crop(pictures["photo"], face)])
    assert np.abs(content["id"] - codes["identity"].numpy()).max() < 1e-4
    mesh = read_obj(below / "a.obj")
    assert mesh.vertices.shape == (35709, 3) and mesh.triangles.shape == (70789, 3)
    assert np.abs(mesh.vertices).max() < 2 and mesh.vertex_colors is not None
    assert read_image(below / "a.png").shape == (224, 672, 3)
    record = json.loads((below / "a_crop.json").read_text())
    assert record["resized"] == [872, 872] and record["left_up"] == [275, 101]


def test_a_bad_file_of_points_is_one_line_and_the_others_go_on(cli, official, loaded, folder, astronaut, tmp_path):
    shutil.copy(astronaut, folder / "b.png")
    (folder / "detections/b.txt").write_text("1 2 3")
    ran = cli("reconstruct", folder / "b.png", folder / "a.png", "-m", "deep3d", "-o", "out", "--save", "codes")
    assert ran.code == 1 and len(ran.errors) == 1 and "b.txt: holds 3 numbers" in ran.errors[0]
    assert (tmp_path / "out/a/face0/codes.npz").exists()


def test_faceclis_own_files_and_back_from_codes(cli, official, loaded, astronaut, tmp_path):
    save = "obj,codes,json,crop,overlay,rendered,strip"
    ran = cli("reconstruct", astronaut, "-m", "deep3d", "-o", "out", "--save", save, "--render-orig")
    assert ran.code == 0, ran.err
    face = tmp_path / "out/astronaut/face0"
    assert {path.name for path in face.iterdir()} >= {
        "mesh.obj", "codes.npz", "face.json", "crop.png", "overlay.png", "rendered.png", "rendered_photo.png",
        "strip.png",
    }  # fmt: skip
    record = json.loads((face / "face.json").read_text())
    assert record["camera"]["kind"] == "perspective" and len(record["landmarks"]["ibug68"]) == 68
    kept = load_codes(face / "codes.npz").codes
    assert kept.family == "deep3d" and kept["light"].shape == (1, 3, 9) and kept["pose"].shape == (1, 3)

    again = cli("reconstruct", face / "codes.npz", "-o", "again", "--save", "obj,rendered,strip")
    assert again.code == 0, again.err
    below = next((tmp_path / "again").glob("*/face0"))
    first, second = (read_obj(one / "mesh.obj") for one in (face, below))
    assert np.abs(first.vertices - second.vertices).max() < 1e-3
    assert np.array_equal(first.vertex_colors, second.vertex_colors)
    assert np.array_equal(read_image(face / "rendered.png"), read_image(below / "rendered.png"))
    assert not (below / "strip.png").exists()  # there is no photograph


def test_a_whole_picture(cli, official, loaded, astronaut, tmp_path):
    ran = cli("reconstruct", astronaut, "-m", "deep3d", "-o", "out", "--no-crop", "--save", "codes,strip")
    assert ran.code == 0, ran.err
    warp = load_codes(tmp_path / "out/astronaut/face0/codes.npz").codes["warp"][0]
    scale = 224 / 512
    assert np.allclose(warp, [[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]], atol=1e-5)


def test_transfer_within_the_family(cli, official, loaded, folder, five, tmp_path):
    """The expression of another face, on this one's identity."""
    shutil.copy(folder / "a.png", folder / "b.png")
    np.savetxt(folder / "detections/b.txt", five + np.array([12, -7]))
    assert cli("reconstruct", folder, "-m", "deep3d", "-o", "both", "--save", "codes,obj").code == 0
    files = [tmp_path / f"both/{name}/face0/codes.npz" for name in "ab"]
    ran = cli("transfer", "expression", files[0], "--target", files[1], "-o", "moved", "--save", "obj,codes")
    assert ran.code == 0, ran.err
    made = load_codes(next((tmp_path / "moved").rglob("codes.npz"))).codes
    source, target = (load_codes(path).codes for path in files)
    assert torch.equal(made["identity"], source["identity"]) and torch.equal(made["expression"], target["expression"])
    assert not torch.equal(source["expression"], target["expression"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("epoch_20.pth", "foreign", "holds DECA's weights"),
        ("epoch_20.pth", b"PK\x03\x04 and no more", "epoch_20.pth"),
        ("BFM_model_front.mat", b"\x89HDF\r\n\x1a\n" + bytes(500), "2017"),
        ("BFM_model_front.mat", b"MATLAB 5.0 MAT-file" + bytes(500), "is no MATLAB file, or a damaged one"),
        ("BFM_model_front.mat", "cut", "is no MATLAB file, or a damaged one"),
        ("BFM_model_front.mat", "small", "2000 vertices and 3850 triangles, not 35709"),
        ("BFM_model_front.mat", "head", "it lacks meanshape"),
        ("BFM_model_front.mat", b"<html>please log in</html>", "web page"),
    ],
)
def test_wrong_files_are_one_line(cli, own_assets, standins, astronaut, name, content, words):
    """What facecli finds under the official names isn't always the official file."""
    for file in ("epoch_20.pth", "BFM_model_front.mat"):
        if file != name:
            (own_assets / file).symlink_to(standins / file)
    path = own_assets / name
    if content == "foreign":
        torch.save({"E_flame": flat_state("deca/manifest_E_flame.json")}, path)
    elif content == "cut":
        path.write_bytes((standins / name).read_bytes()[:2_000_000])
    elif content == "small":
        from standins.bfm import write_bfm

        write_bfm(own_assets, 2000)
    elif content == "head":
        scipy.io.savemat(path, {"shapeMU": np.zeros((30, 1)), "shapePC": np.zeros((30, 199))})
    else:
        path.write_bytes(content)
    ran = cli("reconstruct", astronaut, "-m", "deep3d", "-o", "out")
    assert ran.code in (1, 3) and len(ran.errors) == 1 and words in ran.errors[0], ran.err
    assert "Traceback" not in ran.err


def test_missing_files_are_named(cli, own_assets, astronaut):
    ran = cli("reconstruct", astronaut, "-m", "deep3d", "-o", "out")
    assert ran.code == 3 and "epoch_20.pth" in ran.err and "BFM_model_front.mat" in ran.err
    assert "assets convert bfm" in ran.err


def test_the_whole_head_needs_its_files(cli, official, astronaut):
    ran = cli("reconstruct", astronaut, "-m", "deep3d", "-O", "head=full", "-o", "out")
    assert ran.code == 3 and "01_MorphableModel.mat" in ran.err and "BFM_front_idx.mat" in ran.err
    ran = cli("reconstruct", astronaut, "-m", "deep3d", "-O", "head=half", "-o", "out")
    assert ran.code == 2 and "head" in ran.err


def test_the_catalogue_knows_the_files(cli, official):
    ran = cli("assets", "list", "--model", "deep3d", "--json")
    found = {entry["name"]: entry for entry in map(json.loads, ran.out.splitlines())}
    assert found["bfm"]["status"] == found["deep3d"]["status"] == "present"
    assert found["bfm_expressions"]["size"] == 51_086_404
    assert all(entry["license"] and (entry["url"] or entry["register"]) for entry in found.values())
