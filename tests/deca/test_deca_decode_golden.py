"""The whole decoder gives DECA's official numbers and pictures, with both rasterizers' rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.detect.face import Face
from facecli.geometry.spherical_harmonics import shade
from facecli.plugin import Crop
from facecli.render.ndc import RULES
from facecli_deca.layout import PICTURES, contact_sheet, write_detail_obj, write_obj
from facecli_deca.pictures import draw, to_bytes


@pytest.fixture(scope="module")
def case(golden):
    return golden("decode")


@pytest.fixture(scope="module")
def crop(golden_image):
    return Crop(Face(np.zeros(4), 1.0), golden_image[0].numpy(), np.eye(3), (224, 224))


@pytest.fixture(scope="module")
def decoded(with_rules, golden_codes, crop):
    """Rules and changes of the codes -> a decoded face."""

    @torch.inference_mode()
    def make(rules="standard", model=None, **changes):
        model = model or with_rules(rules)
        codes = golden_codes.replace(**changes)
        return model.decoded(codes, model.decode(codes), crop)

    return make


@pytest.fixture(scope="module")
def face(decoded):
    """By the standard rules, all as in the golden case."""
    return decoded()


def test_codes(with_rules, crop, golden_codes, case, golden_image):
    assert (golden_image[..., ::7, ::7] - case["image"]).abs().max() < 1e-6
    codes = with_rules("standard").encode([crop])
    for name, wanted in golden_codes.values.items():
        assert (codes[name] - wanted).abs().max() < 1e-4, name


@pytest.mark.parametrize("rules", RULES)
def test_outputs(decoded, case, rules):
    with torch.inference_mode():
        outputs = decoded(rules).outputs()
    assert sorted(outputs) == sorted(case["tex_keys"].tolist())
    wanted = {key: case[f"{rules}_{key}"] for key in outputs}
    wanted["trans_verts"] = wanted["trans_verts"] - torch.tensor([0, 0, 30.0])  # which upstream's renderer adds
    wanted |= {key: case[f"{rules}_{key}_ndc"] for key in ("landmarks2d", "landmarks3d")}
    for key, value in outputs.items():
        found = value
        if key in ("verts", "trans_verts", "normals"):
            found = value[:, ::40]
        elif key == "grid":
            found = value[:, ::8, ::8]
        elif value.ndim == 4:
            found = value[..., ::8, ::8]
        assert differing(found, wanted[key], 1e-4 if value.ndim == 4 else 1e-5) <= 0.001, key


@pytest.mark.parametrize("rules", RULES)
def test_statistics_of_whole_maps(decoded, case, rules):
    with torch.inference_mode():
        outputs = decoded(rules).outputs()
    for key, name in (("rendered_images", "rendered"), ("uv_detail_normals", "detail_normals")):
        flat = outputs[key].double()
        stats = torch.stack([flat.mean(), flat.std(correction=0), flat.min(), flat.max()])
        assert (stats - case[f"{rules}_{name}_stats"]).abs().max() < 1e-4


@pytest.mark.parametrize("rules", RULES)
def test_pictures(decoded, case, rules):
    with torch.inference_mode():
        drawn = draw(decoded(rules), [*PICTURES.values()])
    for theirs, ours in PICTURES.items():
        if theirs == "depth_images":
            continue
        wanted = to_bytes(case[f"{rules}_vis_{theirs}"])
        difference = np.abs(drawn[ours][::8, ::8].astype(int) - wanted)
        assert difference.max() <= 1 and (difference > 0).mean() < 0.01, theirs


def test_the_contact_sheet(face, case):
    with torch.inference_mode():
        drawn = draw(face, [*PICTURES.values()])
    tiles = [to_bytes(face.image), *(drawn[ours] for theirs, ours in PICTURES.items() if theirs != "depth_images")]
    sheet = contact_sheet(tiles)
    assert list(sheet.shape) == case["visualize_shape"].tolist()
    wanted = case["visualize_sub"].numpy()[..., ::-1].astype(int)  # BGR, for OpenCV
    difference = np.abs(sheet[::8, ::8] - wanted)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_pictures_on_the_photograph(with_rules, golden_codes, crop, case):
    model, warp = with_rules("standard"), case["orig_tform"]
    photo = (np.random.default_rng(63).random((1, 3, 90, 120), dtype=np.float32)[0] * 255).astype(np.uint8)
    photo = np.ascontiguousarray(photo.transpose(1, 2, 0))
    codes = golden_codes.replace(warp=warp, photo_size=torch.tensor([[90.0, 120.0]]))
    with torch.inference_mode():
        found = model.decode(codes)
    ndc = found.landmarks["ibug68"][..., :2] * torch.tensor([2 / 120, 2 / 90]) - 1
    assert (ndc - case["orig_landmarks2d"]).abs().max() < 1e-5
    names = [ours for theirs, ours in PICTURES.items() if theirs not in ("depth_images", "landmarks2d")]
    drawn = model.draw(names, [crop], codes, found, [photo])
    for theirs, ours in PICTURES.items():
        if ours in names:
            wanted = to_bytes(case[f"orig_{theirs}"])
            difference = np.abs(drawn[ours][0][::4, ::4].astype(int) - wanted)
            assert difference.max() <= 1 and (difference > 0).mean() < 0.01, theirs
    drawn = model.draw(["landmarks2d"], [crop], codes, found, [photo])["landmarks2d"][0]
    x, y = (int(value) for value in found.landmarks["ibug68"][0, 66, :2])  # the last one drawn
    assert drawn[y, x].tolist() == [0, 255, 0]


def test_normals_of_a_displacement(face, case, golden_codes):
    noise = 0.005 * np.random.default_rng(61).standard_normal((1, 1, 256, 256))
    offsets = torch.from_numpy(noise.astype(np.float32))
    normals = face.decoder.surface.normals(offsets, face.verts, face.normals)
    assert differing(normals[..., ::6, ::6], case["displacement2normal"], 1e-4) == 0
    shading = shade(normals, golden_codes["light"])
    assert differing(shading[..., ::8, ::8], case["uv_shading"], 1e-4) == 0
    flat = normals.double()
    stats = torch.stack([flat.mean(), flat.std(correction=0), flat.min(), flat.max()])
    assert (stats - case["displacement2normal_stats"]).abs().max() < 1e-4


def test_transfer_and_neutral_faces(decoded, case):
    with torch.inference_mode():
        moved = decoded(expression=case["transfer_exp"], jaw=case["transfer_jaw"])
        assert (moved.verts[:, ::40] - case["transfer_verts"]).abs().max() < 1e-5
        assert differing(moved.displacement_map[..., ::8, ::8], case["transfer_displacement"], 1e-5) == 0
        zero = {"expression": torch.zeros(1, 50), "jaw": torch.zeros(1, 3)}
        still = decoded(**zero)
        assert differing(still.displacement_map[..., ::8, ::8], case["iddict_displacement"], 1e-5) == 0
        now = decoded(**zero, pose=torch.zeros(1, 3))
    assert (now.verts[:, ::40] - case["now_verts"]).abs().max() < 1e-5
    seven = now.reconstruction.extras["landmarks3d_world"][:, [36, 39, 42, 45, 33, 48, 54]]
    assert (seven - case["now_landmark7"]).abs().max() < 1e-5


def test_textures_by_the_options(decoded, with_rules, case):
    with torch.inference_mode():
        plain = decoded(model=with_rules("standard", textured=False))
        own = decoded(model=with_rules("standard", extract=False))
        assert differing(plain.uv_texture_gt[..., ::8, ::8], case["notex_uv_texture_gt"], 1e-4) == 0
        assert differing(own.uv_texture_gt[..., ::8, ::8], case["noextract_uv_texture_gt"], 1e-4) == 0
        assert torch.equal(own.reconstruction.texture, own.uv_texture) and plain.reconstruction.texture is None
        outputs = plain.outputs()
    assert sorted(outputs) == sorted(case["notex_keys"].tolist())
    assert not outputs["rendered_images"].any() and not outputs["uv_texture"].any()


def test_the_dense_mesh(face, case):
    dense = face.decoder.surface.dense
    assert [len(dense), len(dense.triangles)] == case["dense_count"].tolist()
    with torch.inference_mode():
        assert (face.dense_vertices[0, ::200] - case["dense_vertices"]).abs().max() < 1e-5
        assert np.abs(to_bytes(face.uv_texture_gt)[::8, ::8].astype(int) - case["tensor2image"].numpy()).max() <= 1


def test_meshes_as_files(face, case, tmp_path):
    with torch.inference_mode():
        write_obj(tmp_path / "x.obj", face)
        write_detail_obj(tmp_path / "x_detail.obj", face)
    lines = (tmp_path / "x.obj").read_text().split("\n")
    same_text(lines[:5] + lines[5024:5028] + lines[-4:], case["obj_lines"])
    dense = (tmp_path / "x_detail.obj").read_text().split("\n")
    same_text(dense[:3] + dense[-4:], case["detail_obj_lines"])
    colors = np.array([line.split()[4:] for line in dense[: len(face.decoder.surface.dense)]], int)
    assert np.abs(colors[::200] - case["dense_colors"].numpy().astype(int)).max() <= 1
    assert (tmp_path / "x.mtl").read_text() == "newmtl FaceTexture\nmap_Kd x.png\ndisp x_normals.png"


def same_text(found: list[str], wanted) -> None:
    """Equal but for the numbers' last digits."""
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted.tolist(), strict=True):
        for a, b in zip(ours.split(), theirs.split(), strict=True):
            assert a == b or abs(float(a) - float(b)) < 1e-5


def differing(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> float:
    """Share of the numbers that differ by more."""
    assert found.shape == wanted.shape
    return float(((found - wanted).abs() > tolerance).float().mean())
