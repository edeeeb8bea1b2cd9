"""`facecli reconstruct --model synergynet` on stand-ins of the official files, in full size."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from facecli.assets import places
from facecli.codes import load_codes
from facecli.errors import UsageError
from facecli.export.obj import read_obj
from facecli.io.images import read_image, write_image
from facecli.io.safe_pickle import load_checkpoint
from standins import tddfa
from standins.write import WHITENING_V2

FACES = [(60.0, 70.0, 24.0, 32.0), (160.0, 80.0, 30.0, 38.0)]


@pytest.fixture
def photo(tmp_path, tiny) -> Path:
    write_image(tmp_path / "two.png", tiny.picture(FACES, (240, 160)))
    return tmp_path / "two.png"


@pytest.fixture
def loaded(monkeypatch, synergynet):
    """Models without options are the one that is loaded already."""
    from facecli_synergynet import reconstructor

    make = reconstructor.SynergyNetReconstructor
    monkeypatch.setattr(
        reconstructor, "SynergyNetReconstructor", lambda **options: make(**options) if len(options) > 1 else synergynet
    )


def run(cli, photo, *words):
    return cli("reconstruct", photo, "-m", "synergynet", "--detector", "reds", "-o", "out", *words)


def test_own_files_and_back_from_codes(cli, official, loaded, photo, tmp_path):
    """The whole way through an official checkpoint; all faces of a picture at once."""
    ran = run(cli, photo, "--save", "glb,obj,codes,json,overlay,pictures", "--render-orig", "--json")
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["face"] for row in rows] == [0, 1]
    box = rows[0]["box"]
    assert box[2] - box[0] == pytest.approx(66, abs=3) and len(rows[0]["camera"]["pose_degrees"]) == 3
    for number in range(2):
        face = tmp_path / f"out/two/face{number}"
        mesh = read_obj(face / "mesh.obj")
        assert mesh.vertices.shape == (53215, 3) and mesh.triangles.shape == (105840, 3)
        assert 150 < np.ptp(mesh.vertices[:, 1]) < 270 and mesh.uv is not None  # millimetres
        record = json.loads((face / "face.json").read_text())
        assert np.array(record["landmarks"]["ibug68"]).shape == (68, 2)
        codes = load_codes(face / "codes.npz").codes
        assert [codes[name].shape[1] for name in ("identity", "expression", "camera")] == [40, 10, 12]
        assert codes.family == "3ddfa"
        for name in ("sparse", "shape", "solid", "pose"):
            assert read_image(face / f"{name}.png").shape == (480, 480, 3)
            drawn = read_image(face / f"{name}_photo.png")
            assert drawn.shape == (160, 240, 3) and (drawn != read_image(photo)).any(-1).sum() > 20
    kept = read_image(tmp_path / "out/two/face0/overlay.png")
    ran = cli("reconstruct", "out/two/face0/codes.npz", "--photo", photo, "-o", "again", "--save", "overlay")
    assert ran.code == 0, ran.err
    again = read_image(next((tmp_path / "again").rglob("face0/overlay.png")))
    assert np.abs(kept.astype(int) - again).max() <= 2


def test_single_image_s_files(cli, official, loaded, photo, tmp_path):
    ran = run(cli, photo, "--layout", "synergynet", "--save", "all", "--option", f"uv_map={_maps(tmp_path)}")
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    picture = read_image(photo)
    for name in ("rendering_overlay/two.jpg", "rendering_overlay/two_solid.png", "landmarks/two.jpg", "poses/two.jpg"):
        drawn = read_image(out / name)
        changed = np.abs(drawn.astype(int) - picture).max(-1) > 40
        assert drawn.shape == picture.shape
        assert changed[:, :110].sum() > 20 and changed[:, 125:].sum() > 20, name  # both faces
    textured = read_image(out / "rendering_overlay/two_textured.jpg").astype(int)
    blue = (textured[..., 2] > textured[..., 0] + 60).sum()
    assert blue > 200
    lines = (out / "obj/two_1.obj").read_text().splitlines()
    parts = [line.split() for line in lines if line.startswith("v ")]
    assert 2000 < len(parts) < 53215 and {tuple(part[4:]) for part in parts} == {("10.0", "60.0", "250.0")}


def _maps(folder: Path) -> Path:
    (folder / "maps").mkdir()
    write_image(folder / "maps/two_fake_B.png", np.full((256, 256, 3), (10, 60, 250), np.uint8))
    return folder / "maps"


def test_without_a_uv_map_meshes_have_no_colours(cli, official, loaded, photo, tmp_path):
    ran = run(cli, photo, "--layout", "synergynet", "--save", "obj,poses", "--faces", "largest")
    assert ran.code == 0, ran.err
    lines = (tmp_path / "out/obj/two.obj").read_text().splitlines()
    assert len(lines) == 53215 + 105840 and len(lines[0].split()) == 4
    assert sorted(path.name for path in (tmp_path / "out/obj").iterdir()) == ["two.obj"]


def test_uv_maps(cli, official, photo, tmp_path, tiny):
    maps = _maps(tmp_path)
    ran = run(cli, photo, "--save", "obj", "--uv-map", maps / "two_fake_B.png", "--faces", "largest")
    assert ran.code == 0, ran.err
    texture = read_image(tmp_path / "out/two/face0/mesh.png")
    assert (texture == (10, 60, 250)).all()
    ran = run(cli, photo, "--layout", "synergynet", "--save", "textured")
    assert ran.code == 2 and "uv_map=" in ran.errors[0]
    shutil.copy(photo, tmp_path / "other.png")
    words = ("--layout", "synergynet", "--save", "obj", "--option", f"uv_map={maps}")
    ran = run(cli, tmp_path / "other.png", *words)
    assert ran.code == 1 and len(ran.errors) == 1 and "other_fake_B.png" in ran.errors[0]
    ran = run(cli, photo, "--option", "uv_map=nowhere")
    assert ran.code == 1 and "nowhere: doesn't exist" in ran.errors[0]


def test_a_folder_of_uv_maps_without_the_layout(cli, official, photo, tmp_path):
    """Maps go by the pictures' names in facecli's own files, too, and from codes again; who has none fails alone."""
    maps = _maps(tmp_path)
    shutil.copy(photo, tmp_path / "a_real_A.png")
    write_image(maps / "a_fake_B.png", np.full((64, 64, 3), (250, 60, 10), np.uint8))
    shutil.copy(photo, tmp_path / "other.png")
    words = ("--option", f"uv_map={maps}", "--save", "obj,codes")
    ran = run(cli, tmp_path / "other.png", photo, tmp_path / "a_real_A.png", *words)
    assert ran.code == 1 and len(ran.errors) == 1 and "other_fake_B.png" in ran.errors[0]
    for face in ("two/face0", "two/face1"):
        assert (read_image(tmp_path / "out" / face / "mesh.png") == (10, 60, 250)).all()
    assert (read_image(tmp_path / "out/a_real_A/face1/mesh.png") == (250, 60, 10)).all()
    ran = cli("reconstruct", "out/two/face0/codes.npz", "-o", "again", *words)
    assert ran.code == 0, ran.err
    assert (read_image(next((tmp_path / "again").rglob("face0/mesh.png"))) == (10, 60, 250)).all()


def test_uv_maps_need_the_layout_s_file(cli, own_assets, standins, photo, tmp_path):
    for path in (standins / "best.pth.tar", standins / "3dmm_data/tri.mat"):
        (own_assets / path.name).symlink_to(path)
    places.rescan()
    ran = run(cli, photo, "--option", f"uv_map={_maps(tmp_path)}")
    assert ran.code == 3 and len(ran.errors) == 1 and "facecli assets get bfm_uv" in ran.errors[0]


def test_lanczos_and_a_border_are_other_crops(synergynet, standins, monkeypatch, astronaut):
    from facecli_synergynet.reconstructor import SynergyNetReconstructor

    monkeypatch.setenv("FACECLI_ASSETS", str(standins))
    places.rescan()
    other = SynergyNetReconstructor(crop_interpolation="lanczos")
    image, box = read_image(astronaut), np.array([181.0, 67, 270, 176])
    rimmed = SynergyNetReconstructor(border=5).crop_box(image, box).image
    assert (rimmed[:, :5] == 0).all() and (rimmed == synergynet.crop_box(image, box).image)[:, 5:-5, 5:-5].all()
    with pytest.raises(UsageError, match="border is 0 to 59"):
        SynergyNetReconstructor(border=60)
    a, b = (model.crop_box(image, box).image for model in (synergynet, other))
    assert 0 < np.abs(a - b).max() < 0.3
    places.rescan()


def test_landmarks_of_any_landmarker(synergynet, astronaut):
    """With landmarks the crop is the training pictures', without it is the detector's box's."""
    pytest.importorskip("mediapipe")
    import facecli

    (face,) = facecli.landmarks(astronaut)
    image = read_image(astronaut)
    crops = [synergynet.crop(image, face), synergynet.crop_box(image, face.box)]
    scale = [1 / crop.warp[0, 0] for crop in crops]
    assert 0.9 < scale[0] / scale[1] < 1.5
    assert synergynet.whole_picture(image, face).warp[0, 0] == pytest.approx(120 / 512)


# --- files that are none ---------------------------------------------------------------------------------------------


@pytest.fixture
def wrong(own_assets, standins):
    """A folder with all files but the checkpoint, which `write` writes."""
    for name in ("tri.mat", "BFM_UV.npy"):
        (own_assets / name).symlink_to(standins / "3dmm_data" / name)

    def write(content) -> Path:
        path = own_assets / "best.pth.tar"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        places.rescan()
        return path

    return write


@pytest.fixture(scope="module")
def official_state(standins) -> dict[str, torch.Tensor]:
    return load_checkpoint(standins / "best.pth.tar")["state_dict"]


def _cut(state):
    return {key: value for key, value in state.items() if not key.endswith("features.18.0.weight")}


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state, path: {"state_dict": _cut(state)}, "best.pth.tar"),
        (lambda state, path: {"state_dict": {"E_flame.x": torch.zeros(1)}}, "SynergyNet"),
        (lambda state, path: [1], "holds no weights of SynergyNet"),
        (lambda state, path: path.read_bytes()[:100_000], "best.pth.tar"),
        (lambda state, path: {"state_dict": state | {"module.u": torch.full((159645, 1), torch.nan)}}, "finite"),
        (lambda state, path: {"state_dict": state | {"module.u": torch.zeros(30, 1)}}, "best.pth.tar"),
        (lambda state, path: {"state_dict": state, "x": Evil()}, "refused|holds code|isn't|asks for"),
    ],
)
def test_checkpoints_that_are_none(cli, wrong, photo, official_state, standins, change, words, capsys):
    wrong(change(official_state, standins / "best.pth.tar"))
    ran = run(cli, photo)
    assert ran.code in (1, 3) and len(ran.errors) == 1, ran.err
    assert re.search(words, ran.errors[0]), ran.errors[0]
    assert "executed" not in ran.out and not Path("out/two").exists()


def test_a_checkpoint_without_the_face_model(cli, wrong, own_assets, photo, official_state, standins):
    """As the code's "offline" variant writes it: the face model comes from `3dmm_data/`."""
    buffers = ("u", "w_shp", "w_exp", "u_base", "w_shp_base", "w_exp_base", "param_mean", "param_std")
    wrong({"state_dict": {key: value for key, value in official_state.items() if key[7:] not in buffers}})
    ran = run(cli, photo)
    assert ran.code == 3 and "param_whitening.pkl" in ran.errors[0]
    tddfa.write_3dmm(own_assets / "3dmm_data", names=("param_whitening.pkl",))
    places.rescan()
    ran = run(cli, photo)
    assert ran.code == 3 and "holds no face model" in ran.errors[0] and "w_shp_sim.npy" in ran.errors[0]
    names = ("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy", "keypoints_sim.npy")
    tddfa.write_3dmm(own_assets / "3dmm_data", names=names)
    places.rescan()
    ran = run(cli, photo, "--save", "json", "--faces", "largest")
    assert ran.code == 0, ran.err


def test_what_is_missing_is_told_at_once(cli, own_assets, photo):
    ran = run(cli, photo)
    assert ran.code == 3 and len(ran.errors) == 1
    assert "best.pth.tar" in ran.errors[0] and "tri.mat" in ran.errors[0] and "academic" in ran.errors[0]


def test_codes_of_another_basis_are_refused(cli, official, loaded, photo, tmp_path):
    """3DDFA_V2's numbers mean other faces."""
    run(cli, photo, "--save", "codes", "--faces", "largest")
    words = ("-O", f"whitening={official / WHITENING_V2}")
    ran = cli("reconstruct", "out/two/face0/codes.npz", "-m", "3ddfa_v2", "-o", "x", *words)
    assert ran.code != 0 and len(ran.errors) == 1 and "famil" in ran.errors[0]


def test_real_faces_of_the_published_maps(cli, official, photo, tmp_path):
    """uv_texture_realFaces.py: pictures that are the crop already, and maps by another name."""
    (tmp_path / "real").mkdir()
    shutil.copy(photo, tmp_path / "real/image00001_real_A.png")
    maps = _maps(tmp_path)
    (maps / "two_fake_B.png").rename(maps / "image00001_fake_B.png")
    words = ("--no-crop", "--layout", "synergynet", "--save", "obj,textured", "-O", f"uv_map={maps}")
    ran = run(cli, tmp_path / "real", *words)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/obj/image00001_real_A.obj").read_text().split("\n")[0].endswith(" 10.0 60.0 250.0")


def test_expressions_within_the_family_and_no_further(cli, official, loaded, photo, tmp_path):
    words = ("--model", "synergynet", "--detector", "reds", "--save", "codes")
    ran = cli("transfer", "expression", photo, "-t", photo, "-o", "moved", *words, "--faces", "largest")
    assert ran.code == 0, ran.err
    made = load_codes(next((tmp_path / "moved").rglob("codes.npz"))).codes
    assert made.family == "3ddfa" and made["expression"].shape == (1, 10)
    ran = cli("transfer", "expression", photo, "-t", photo, "-o", "no", *words, "--target-model", "deca")
    assert ran.code == 2 and "different families, 3ddfa and flame (synergynet goes with " in ran.errors[0]
