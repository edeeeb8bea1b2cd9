"""`facecli reconstruct --model 3ddfa_v2`: on stand-ins of the official files in full size, and head poses alone."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import facecli
from facecli.assets import places
from facecli.codes import load_codes
from facecli.detect.face import Face
from facecli.export.obj import read_obj
from facecli.io.images import read_image, write_image
from facecli.io.meshes import read_mesh
from standins.write import tddfa_v2_state

FACES = [(60.0, 70.0, 24.0, 32.0), (160.0, 80.0, 30.0, 38.0)]
PHOTO_SIZE = (240, 160)


@pytest.fixture
def photo(tmp_path, tiny) -> Path:
    write_image(tmp_path / "two.png", tiny.picture(FACES, PHOTO_SIZE))
    return tmp_path / "two.png"


@pytest.fixture
def loaded(monkeypatch, tddfa_v2):
    """The model is the one that is loaded already."""
    from facecli_tddfa_v2 import reconstructor

    monkeypatch.setattr(reconstructor, "TddfaV2Reconstructor", lambda **options: tddfa_v2)


def run(cli, photo, *words):
    return cli("reconstruct", photo, "-m", "3ddfa_v2", "--detector", "reds", "-o", "out", *words)


# --- with a face model -----------------------------------------------------------------------------------------------


def test_own_files_and_back_from_codes(cli, official, whitening, photo, tmp_path):
    """The whole way through official formats, all faces of a picture at once."""
    save = "glb,obj,codes,json,overlay,pictures"
    ran = run(cli, photo, "--save", save, "--render-orig", "-O", whitening, "-O", "geometry=yes")
    assert ran.code == 0 and "no meshes" not in ran.err, ran.err
    picture = read_image(photo)
    for number in range(2):
        face = tmp_path / f"out/two/face{number}"
        mesh = read_obj(face / "mesh.obj")
        assert mesh.vertices.shape == (38365, 3) and mesh.triangles.shape == (76073, 3) and mesh.uv is not None
        record = json.loads((face / "face.json").read_text())
        assert np.array(record["landmarks"]["ibug68"]).shape == (68, 2) and len(record["camera"]["pose_degrees"]) == 3
        assert load_codes(face / "codes.npz").codes.family == "3ddfa_v2"
        for name in ("sparse", "dense", "shape", "nearness", "pncc", "pose"):
            assert read_image(face / f"{name}.png").shape == (480, 480, 3)
            drawn = read_image(face / f"{name}_photo.png")
            assert drawn.shape == picture.shape and (drawn != picture).any(-1).sum() > 20, name
        assert read_image(face / "uv_tex_photo.png").shape == (256, 256, 3)
    kept = read_image(tmp_path / "out/two/face0/overlay.png")
    again = cli(
        "reconstruct", "out/two/face0/codes.npz", "--photo", photo, "-o", "again", "--save", "overlay", "-O", whitening
    )
    assert again.code == 0, again.err
    drawn = read_image(next((tmp_path / "again").rglob("face0/overlay.png")))
    assert np.abs(kept.astype(int) - drawn).max() <= 2


def test_demo_s_files(cli, official, loaded, photo, tmp_path):
    ran = run(cli, photo, "--layout", "3ddfa_v2", "--save", "all")
    assert ran.code == 0, ran.err
    out, picture = tmp_path / "out", read_image(photo).astype(int)
    for name in ("2d_sparse", "2d_dense", "3d", "depth", "pncc", "pose"):
        changed = np.abs(read_image(out / f"two_{name}.jpg") - picture).max(-1) > 40
        assert changed[:, :110].sum() > 10 and changed[:, 125:].sum() > 10, name  # both faces
    assert read_image(out / "two_uv_tex.jpg").shape == (256, 512, 3)
    vertices, triangles = read_mesh(out / "two_ply.ply")
    assert vertices.shape == (2 * 38365, 3) and triangles.shape == (2 * 76073, 3)
    assert triangles[-1].min() >= 38365
    lines = (out / "two_obj.obj").read_text().splitlines()
    assert len(lines) == 2 * (38365 + 76073)
    colors = np.array([line.split()[4:] for line in lines[: 2 * 38365]], float)
    assert colors.min() >= 0 and colors.max() <= 1


def test_a_video_with_demo_s_name(cli, official, loaded, tmp_path, tiny):
    tiny.write_clip(tmp_path / "clip.mp4", 6, lambda number: [(60 + 2 * number, 70, 24, 32)], (160, 120))
    ran = run(cli, tmp_path / "clip.mp4", "--layout", "3ddfa_v2", "--save", "3d", "--smooth")
    assert ran.code == 0, ran.err
    frames = list(_frames(tmp_path / "out/clip_3d.mp4"))
    assert len(frames) == 6 and frames[0].shape == (120, 160, 3)


def _frames(path):
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def test_smoothing_takes_the_jitter_of_boxes_out(tddfa_v2):
    """The camera is smoothed in the photograph's terms."""
    from facecli.smoothing import steadiers

    steady, unsteady = steadiers(tddfa_v2)
    image = np.zeros((300, 300, 3), np.uint8)
    crops = [tddfa_v2.crop_box(image, np.array([80.0, 70, 180, 200]) + shift) for shift in (0.0, 9.0)]
    codes = tddfa_v2.encode(crops)
    codes = codes.replace(camera=codes["camera"][:1].expand(2, -1))
    moved = steady(codes)["camera"].view(2, 3, 4)
    np.testing.assert_allclose(moved[1, :2, 3] - moved[0, :2, 3], 9, atol=0.01)
    torch.testing.assert_close(unsteady(steady(codes))["camera"], codes["camera"], atol=1e-4, rtol=1e-4)


def test_pictures_that_need_a_file(cli, own_assets, standins, photo, tmp_path):
    """Those who ask for all pictures get the others."""
    for path in (*(standins / "configs").glob("*.pkl"), *standins.glob("*v2.pkl"), standins / "mb1_120x120.pth"):
        (own_assets / path.name).symlink_to(path)
    places.rescan()
    words = ("--faces", "largest", "-O", f"whitening={next(own_assets.glob('*v2.pkl'))}")
    ran = run(cli, photo, "--save", "pncc", *words)
    assert ran.code == 3 and "facecli assets get tddfa_v2_ncc" in ran.errors[0]
    ran = run(cli, photo, "--save", "pictures", *words)
    assert ran.code == 0, ran.err
    made = {path.stem for path in (tmp_path / "out/two/face0").glob("*.png")}
    assert {"sparse", "pose"} <= made and not {"pncc", "uv_tex"} & made
    ran = run(cli, photo, "--layout", "3ddfa_v2", "--save", "uv_tex", *words)
    assert ran.code == 3 and "BFM_UV.mat" in ran.errors[0] and "assets get tddfa_v2_indices" in ran.errors[0]


# --- head poses alone ------------------------------------------------------------------------------------------------


def test_head_poses_without_the_face_model(cli, trained, astronaut, tmp_path):
    """With nothing but the trained network and its whitening; boxes as the golden case's are FaceBoxes' to have."""
    pytest.importorskip("mediapipe")
    ran = cli(
        "reconstruct", astronaut, "-m", "3ddfa_v2", "--landmarker", "mediapipe", "-o", "out", "--json", "--report"
    )
    assert ran.code == 0, ran.err
    assert len(re.findall("no meshes: bfm_noneck_v3.pkl is missing", ran.err)) == 1
    (row,) = [json.loads(line) for line in ran.out.splitlines()]
    yaw, pitch, roll = row["camera"]["pose_degrees"]
    assert abs(yaw - 1.5) < 5 and abs(pitch - 9.7) < 6 and abs(roll + 4.2) < 4
    assert row["mesh"] is None
    face = tmp_path / "out/astronaut/face0"
    assert {path.name for path in face.iterdir()} == {"face.json", "codes.npz", "overlay.png"}
    record = json.loads((face / "face.json").read_text())
    assert record["head_angles"]["pitch"] == pytest.approx(-pitch, abs=1.5) and record["landmarks"] == {}
    changed = (read_image(face / "overlay.png") != read_image(astronaut)).any(-1)
    assert 200 < changed.sum() < 20_000 and not changed[300:].any()  # axes on the face
    # Back from codes, and from Python.
    ran = cli("reconstruct", face / "codes.npz", "--photo", astronaut, "-o", "again", "--save", "json,pose")
    assert ran.code == 0, ran.err
    again = json.loads(next((tmp_path / "again").rglob("face0/face.json")).read_text())
    np.testing.assert_allclose(again["camera"]["pose_degrees"], [yaw, pitch, roll], atol=1e-3)
    (found,) = facecli.reconstruct(astronaut, model="3ddfa_v2", landmarker="mediapipe")
    assert found.head_pose.shape == (4, 4) and len(found.mesh.vertices) == 0


def test_what_needs_a_mesh_says_so(cli, trained, photo, tmp_path):
    for words, code in (
        (("--save", "obj,json"), 3),
        (("--save", "obj", "-O", "geometry=no"), 2),
        (("-O", "geometry=yes"), 3),
        (("--layout", "3ddfa_v2"), 3),
        (("--save", "sparse"), 3),
    ):
        ran = run(cli, photo, *words)
        assert ran.code == code and len(ran.errors) == 1, (words, ran.err)
        assert ("geometry=no" if code == 2 and "geometry=no" in words else "bfm_noneck_v3.pkl") in ran.errors[0]
    ran = run(cli, photo, "-O", "geometry=no", "--save", "all")
    assert ran.code == 0 and "warning" not in ran.err
    made = {path.name for path in (tmp_path / "out/two/face0").iterdir()}
    assert made == {"face.json", "codes.npz", "overlay.png", "crop.png"}
    assert (read_image(tmp_path / "out/two/overlay.png") != read_image(photo)).any(-1)[:, 120:].any()
    ran = run(cli, photo, "--layout", "3ddfa_v2", "--save", "pose", "-O", "geometry=no")
    assert ran.code == 0 and (tmp_path / "out/two_pose.jpg").exists()


def test_a_video_of_poses(cli, trained, tmp_path, tiny):
    tiny.write_clip(tmp_path / "clip.mp4", 5, lambda number: [(60 + 3 * number, 60, 24, 32)], (160, 120))
    ran = run(cli, tmp_path / "clip.mp4", "--smooth", "--json", "--save", "all,pose")
    assert ran.code == 0 and ran.err.count("no meshes") == 1, ran.err
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert len(rows) == 5 and all(row["mesh"] is None and row["head_angles"] for row in rows)
    made = {path.name for path in (tmp_path / "out/clip/face0").iterdir()}
    assert {"codes.npz", "face.json", "pose.mp4"} <= made and not made & {"mesh.glb", "meshes", "depth"}
    assert len(list(_frames(tmp_path / "out/clip/overlay.mp4"))) == 5


def test_when_the_face_model_comes_inputs_are_done_again(cli, trained, standins, photo, tmp_path):
    assert run(cli, photo).code == 0
    for name in ("bfm_noneck_v3.pkl", "tri.pkl"):
        (trained / name).symlink_to(standins / "configs" / name)
    places.rescan()
    ran = run(cli, photo)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/two/face0/mesh.glb").exists()


def test_expressions_can_t_be_transferred_without_a_mesh(cli, trained, photo, tmp_path):
    ran = cli("transfer", "expression", photo, "-t", photo, "--model", "3ddfa_v2", "--detector", "reds", "-o", "out")
    assert ran.code == 3 and len(ran.errors) == 1 and "needs its mesh" in ran.errors[0]


# --- boxes and files that are none -----------------------------------------------------------------------------------


class Odd:
    """A detector whose second box lies beyond the picture, and whose third has no area."""

    def __init__(self, confidence: float = 0.5, max_faces: int | None = None, device: str = "cpu"):
        pass

    def detect(self, images):
        boxes = ([40.0, 40, 90, 100], [900.0, 900, 960, 980], [50.0, 50, 50, 50])
        return [[Face(np.array(box), 0.9) for box in boxes] for _ in images]

    def close(self):
        pass


def test_a_box_that_is_none_leaves_the_others(cli, official, loaded, photo, monkeypatch, tmp_path):
    from facecli import registry
    from facecli.plugin import Plugin

    known = registry.plugins() | {
        "odd": Plugin("odd", "odd", "Apache-2.0", "none needed", detectors={"odd": f"{__name__}:Odd"})
    }
    monkeypatch.setattr(registry, "plugins", lambda: known)
    ran = cli("reconstruct", photo, "-m", "3ddfa_v2", "--detector", "odd", "-o", "out", "--save", "json", "--json")
    assert ran.code == 1 and len(ran.errors) == 1
    assert "two.png: 2 of 3 faces left out: the face's box" in ran.errors[0]
    assert [path.name for path in sorted((tmp_path / "out/two").glob("face*")) if path.is_dir()] == ["face0"]
    again = cli("reconstruct", photo, "-m", "3ddfa_v2", "--detector", "odd", "-o", "out", "--save", "json")
    assert again.code == 1 and "left out" in again.errors[0]


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mb1_120x120.pth", b"PK\x03\x04 and no more", "mb1_120x120.pth"),
        ("mb1_120x120.pth", {"state_dict": {"I2P.backbone.x": torch.zeros(2)}}, "SynergyNet's weights, not 3DDFA_V2's"),
        ("mb1_120x120.pth", {"state_dict": Evil()}, "mb1_120x120.pth"),
        ("bfm_noneck_v3.pkl", b"<!DOCTYPE html>", "web page"),
        ("bfm_noneck_v3.pkl", Evil(), "asks for"),
        ("bfm_noneck_v3.pkl", {"u": np.zeros((9, 1))}, "lacks w_shp"),
        ("whitening.pkl", {"mean": np.zeros(62)}, "no whitening"),
        ("param_mean_std_62d_120x120.pkl", {"mean": np.zeros(62), "std": np.ones(62)}, "expected 713"),
    ],
)
def test_files_that_are_none(cli, own_assets, standins, photo, name, content, words):
    official = {"mb1_120x120.pth": standins, "bfm_noneck_v3.pkl": standins / "configs", "tri.pkl": standins / "configs"}
    for other, folder in official.items():
        if other != name:
            (own_assets / other).symlink_to(folder / other)
    path = own_assets / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif name.endswith(".pth"):
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    places.rescan()
    option = []
    if not name.startswith("param"):
        option = ["-O", f"whitening={path if name == 'whitening.pkl' else next(standins.glob('*v2.pkl'))}"]
    ran = run(cli, photo, *option)
    assert ran.code in (1, 3) and len(ran.errors) == 1, ran.err
    assert words in ran.errors[0] and "executed" not in ran.out


def test_networks_of_more_numbers(own_assets, standins, photo, tmp_path):
    """12 + 40 + 20, as V2's code knows; the whitening must have as many."""
    from facecli.errors import InputError
    from facecli_tddfa_v2.reconstructor import TddfaV2Reconstructor

    state = tddfa_v2_state()
    for part in ("weight", "bias"):
        key = f"module.fc_param.{part}"
        state[key] = torch.cat([state[key], state[key][:10]])
    torch.save({"state_dict": state}, tmp_path / "net72.pth")
    (own_assets / "bfm_noneck_v3.pkl").symlink_to(standins / "configs/bfm_noneck_v3.pkl")
    places.rescan()
    options = {"checkpoint": str(tmp_path / "net72.pth"), "geometry": "no"}
    with pytest.raises(InputError, match="has 62 numbers, and the network gives 72"):
        TddfaV2Reconstructor(whitening=str(next(standins.glob("*v2.pkl"))), **options)
    with pytest.raises(InputError, match="net72"):
        TddfaV2Reconstructor(whitening=str(tmp_path / "net72.pth"), **options)
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"mean": np.zeros(72), "std": np.ones(72)}, protocol=2))
    model = TddfaV2Reconstructor(whitening=str(tmp_path / "w.pkl"), **options)
    codes = model.encode([model.crop_box(read_image(photo), np.array([40.0, 40, 90, 100]))])
    assert codes["identity"].shape == (1, 40) and codes["expression"].shape == (1, 20)
    assert len(model.decode(codes)) == 1
