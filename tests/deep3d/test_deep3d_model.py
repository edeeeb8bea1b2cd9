"""Deep3D through facecli's contract: the official program's files, batches, codes, places on the photograph."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import torch

from facecli.codes import Codes
from facecli.detect.face import Face, box_of_points
from facecli.errors import UsageError
from facecli.export.obj import read_obj
from facecli.geometry.camera import crop_to_photo
from facecli.io.images import read_image
from facecli.plugin import FaceView
from facecli_deep3d.layout import Deep3DLayout, coefficients
from facecli_deep3d.reconstructor import CAMERA, Deep3DReconstructor, five_points


@pytest.mark.parametrize("case", ["photo", "toy"])
def test_what_the_official_program_writes(golden, seeded_model, pictures, tmp_path, case):
    wanted, image = golden("pipeline"), pictures[case]
    five = wanted[f"{case}_five_f64"]
    crop = seeded_model.crop(image, Face(box_of_points(five), 1.0, five, "five"))
    codes = seeded_model.encode([crop])
    view = FaceView(case, f"{case}.png", 0, None, image, crop, codes, seeded_model.decode(codes))
    numbers = coefficients(view)
    found = np.concatenate([value for name, value in numbers.items() if name != "lm68"], 1)
    assert np.abs(found - wanted[f"{case}_coeffs"]).max() < 1e-4

    Deep3DLayout(seeded_model).write_photograph(tmp_path, [view])
    folder = tmp_path / "epoch_20_000000"
    content = {k: v for k, v in scipy.io.loadmat(folder / f"{case}.mat").items() if not k.startswith("__")}
    assert list(content) == wanted[f"{case}_mat_keys"].tolist()
    shapes = [f"{value.shape} {value.dtype}" for value in content.values()]
    assert shapes == wanted[f"{case}_mat_shapes"].tolist()
    assert np.abs(content["lm68"] - wanted[f"{case}_lm68"]).max() < 0.005

    lines = (folder / f"{case}.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    triangles = np.array([line.split()[1:] for line in lines if line.startswith("f ")], int)
    assert [len(vertices), len(triangles)] == wanted[f"{case}_obj_counts"].tolist()
    assert np.abs(vertices[::20, :3] - wanted[f"{case}_obj_vertices"][:, :3]).max() < 1e-4
    assert np.abs(vertices[::20, 3:] - wanted[f"{case}_obj_vertices"][:, 3:]).max() < 1.01 / 255
    assert np.array_equal(triangles[:8], wanted[f"{case}_obj_first_faces"])

    strip = read_image(folder / f"{case}.png")
    assert strip.shape == tuple(wanted[f"{case}_vis_shape"])
    differing = np.abs(strip[::4, ::4].astype(int) - wanted[f"{case}_vis_s"]).max(2) > 1
    assert differing.mean() < 0.005


def test_batches_equal_single_faces(deep3d, pictures, five):
    crops = [deep3d.crop(pictures["photo"], _face(five + np.array([6 * i, -4 * i]))) for i in range(3)]
    together = deep3d.encode(crops)
    decoded = deep3d.decode(together)
    for number, crop in enumerate(crops):
        alone = deep3d.encode([crop])
        for name, value in alone.values.items():
            assert torch.allclose(value[0], together[name][number], atol=1e-4), name
        one = deep3d.decode(alone)
        assert (one.projected[0] - decoded.projected[number]).abs().max() < 1e-2
        assert (one.extras["colors"][0] - decoded.extras["colors"][number]).abs().max() < 1e-4
    assert (decoded.vertices[0] - decoded.vertices[1]).abs().max() > 0.01  # and they aren't all the same


def _face(points: np.ndarray) -> Face:
    return Face(box_of_points(points), 1.0, points, "five")


def test_the_face_lies_where_the_alignment_puts_it(deep3d, codes, five):
    """The stand-in weights leave the camera nearly alone, and the template is the model's own size."""
    found = deep3d.decode(codes)
    eyes, mouth = found.landmarks["ibug68"][0, 36:48].mean(0), found.landmarks["ibug68"][0, 48:].mean(0)
    assert (eyes - torch.tensor(five[:2].mean(0))).norm() < 12
    assert (mouth - torch.tensor(five[3:].mean(0))).norm() < 12
    x0, y0, x1, y1 = box_of_points(found.projected[0].numpy())
    assert 60 < x1 - x0 < 120 and 80 < y1 - y0 < 140


def test_numbers_in_the_record_project_the_mesh(deep3d, codes):
    found = deep3d.decode(codes)
    camera = {name: value[0].double() for name, value in found.camera.items() if name != "kind"}
    turn = found.head_pose[0, :3, :3].double()
    x, y, z = (found.vertices[0].double() @ turn.T + camera["translation_mm"]).unbind(1)
    pixels = torch.stack([x / -z, -y / -z], 1) * camera["focal_pixels"] + camera["principal_point"]
    assert (pixels - found.projected[0, :, :2]).abs().max() < 5e-3
    assert torch.allclose(-z, found.projected[0, :, 2].double(), atol=1e-2)
    assert torch.allclose(found.landmarks_3d["ibug68"][0], found.vertices[0, deep3d.bfm.keypoints])


def test_the_head_pose_is_in_front_of_the_photographs_camera(deep3d, codes):
    found = deep3d.decode(codes)
    centre = crop_to_photo(CAMERA.pixels(CAMERA.to_camera(codes["camera"]))[:, None], codes["warp"])[0, 0]
    focal = 256 / np.tan(np.radians(31.5))
    x, y, z = found.head_pose[0, :3, 3].tolist()
    assert np.allclose([255.5 + focal * x / -z, 255.5 - focal * y / -z], centre, atol=0.05)


def test_cameras_in_terms_of_the_photograph_and_back(deep3d, codes):
    steady = deep3d.steady(codes)
    again = deep3d.unsteady(steady)
    assert (again["camera"] - codes["camera"]).abs().max() < 1e-4
    assert 20 < steady["camera"][0, 0] < 100 and 1e-2 < deep3d.code_unit("camera", steady["camera"]) < 10
    assert deep3d.code_unit("identity", codes["identity"]) is None
    without = Codes({"identity": codes["identity"]}, "deep3d", "deep3d")
    assert deep3d.steady(without) is without and deep3d.unsteady(without) is without


def test_steady_cameras_dont_depend_on_the_crop(deep3d, codes):
    """The same face in a crop that is shifted and scaled: another camera, the same place."""
    warp = codes["warp"].clone()
    warp[:, :2, :2] *= 1.2
    warp[:, :2, 2] += torch.tensor([9.0, -5.0])
    moved = deep3d.unsteady(deep3d.steady(codes).replace(warp=warp))
    first, second = deep3d.decode(codes), deep3d.decode(moved)
    middle = [found.projected[0, :, :2].mean(0) for found in (first, second)]
    assert (moved["camera"] - codes["camera"]).abs().max() > 0.05
    assert (middle[0] - middle[1]).norm() < 0.5  # the perspective changes a little


def test_codes_alone_decode(deep3d, codes):
    found = deep3d.decode(Codes({"identity": codes["identity"]}, "deep3d", "deep3d"))
    assert torch.equal(found.vertices, deep3d.decode(codes.replace(expression=codes["expression"] * 0)).vertices)
    x0, y0, x1, y1 = box_of_points(found.projected[0].numpy())
    assert 0 < x0 < x1 < 223 and 0 < y0 < y1 < 223  # without a warp the photograph is the crop
    with pytest.raises(UsageError, match="no identity"):
        deep3d.decode(Codes({"expression": codes["expression"]}, "deep3d", "deep3d"))
    with pytest.raises(UsageError, match="'expression'"):
        deep3d.decode(codes.replace(expression=torch.zeros(1, 50)))


def test_expressions_and_identity_keep_apart(deep3d, codes):
    """What a transfer relies on."""
    other = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    moved = deep3d.decode(codes.replace(expression=other)).vertices - deep3d.decode(codes).vertices
    wanted = ((other - codes["expression"]) @ deep3d.bfm.basis[80:]).unflatten(1, (-1, 3)) * 100
    assert (moved - wanted).abs().max() < 1e-2


def test_blend_shapes_are_the_expressions(deep3d, codes, monkeypatch):
    assert deep3d.rig() is None
    monkeypatch.setattr(deep3d, "_rigged", True)
    rig = deep3d.rig()
    rest = deep3d.decode(codes.replace(expression=codes["expression"] * 0)).vertices[0].numpy()
    weights = np.array([codes[name][0, number] for name, number in rig.codes])
    posed = rest + np.einsum("k,kvc->vc", weights, rig.shapes)
    assert np.abs(posed - deep3d.decode(codes).vertices[0].numpy()).max() < 1e-2


def test_meshes_have_the_lit_colours(deep3d, codes):
    found = deep3d.decode(codes)
    mesh = found.mesh(0)
    wanted = (found.extras["colors"][0].clamp(0, 1) * 255).round().numpy()
    assert mesh.vertex_colors.dtype == np.uint8 and np.array_equal(mesh.vertex_colors, wanted)
    assert mesh.vertex_colors.std() > 5


def test_pictures_on_the_photograph_agree_with_those_of_the_crop(deep3d, codes, pictures, face):
    """The face drawn on the photograph, and then cropped, is the face drawn on the crop."""
    photo, crop = pictures["photo"], deep3d.crop(pictures["photo"], face)
    found = deep3d.decode(codes)
    names = ["rendered", "albedo", "pasted", "landmarks2d", "strip"]
    drawn = deep3d.draw(names, [crop], codes, found)
    assert set(drawn) == set(names) and drawn["strip"][0].shape == (224, 672, 3)
    assert np.array_equal(drawn["strip"][0][:, 224:448], drawn["pasted"][0])
    on_photo = deep3d.draw(names, [crop], codes, found, [photo])
    assert set(on_photo) == {"rendered", "albedo"}
    again = deep3d.crop(on_photo["rendered"][0], face).image.transpose(1, 2, 0) * 255
    inside = drawn["rendered"][0].any(2)
    assert np.abs(again - drawn["pasted"][0])[inside].mean() < 3
    assert (on_photo["rendered"][0] != photo).any(2).sum() == pytest.approx(inside.sum() / 1.704**2, rel=0.03)
    of_file = deep3d.draw(names, None, codes, found)
    assert set(of_file) == {"rendered", "albedo"}


def test_points_of_any_landmarker(five, golden):
    points = golden("preprocess")["extract5_in"].astype(float)
    assert np.allclose(five_points(Face(box_of_points(points), 1.0, points, "ibug68")), _mean_eyes(points))
    assert np.allclose(five_points(Face(box_of_points(points), 1.0, points)), _mean_eyes(points))
    mesh = np.random.default_rng(0).random((478, 3))
    assert np.allclose(five_points(Face(np.zeros(4), 1.0, mesh, "mediapipe478"))[2], mesh[4, :2])
    with pytest.raises(UsageError, match="five points"):
        five_points(Face(np.zeros(4), 1.0))


def _mean_eyes(points: np.ndarray) -> np.ndarray:
    eyes = [points[[36, 39]].mean(0), points[[42, 45]].mean(0)]
    return np.stack([*eyes, points[30], points[48], points[54]])


def test_the_layout_names_faces_and_frames(deep3d, codes, pictures, face, tmp_path):
    crop = deep3d.crop(pictures["photo"], face)
    found = deep3d.decode(codes)
    view = FaceView("clip", "clip.mp4", 2, 31, pictures["photo"], crop, codes, found)
    Deep3DLayout(deep3d, ("obj", "crop", "png")).write_frame(tmp_path, [view])
    folder = tmp_path / "epoch_20_000000"
    assert sorted(path.name for path in folder.iterdir()) == [
        "clip_frame0031_2.obj", "clip_frame0031_2.png", "clip_frame0031_2_crop.json",
    ]  # fmt: skip
    mesh = read_obj(folder / "clip_frame0031_2.obj")
    assert np.abs(mesh.vertices - found.extras["posed"][0].numpy()).max() < 1e-5
    view.crop = None  # codes of a file
    Deep3DLayout(deep3d, ("mat", "png")).write_photograph(tmp_path, [view])
    assert (folder / "clip_2.mat").exists() and not (folder / "clip_2.png").exists()
    assert Deep3DLayout(deep3d).video_name("clip.mp4") is None


def test_it_keeps_the_contract(deep3d):
    from facecli.plugin import Layout, Reconstructor

    assert isinstance(deep3d, Reconstructor) and isinstance(Deep3DLayout(deep3d), Layout)
    assert Deep3DReconstructor.family == "deep3d"
