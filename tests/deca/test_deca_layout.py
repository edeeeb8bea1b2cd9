"""`--layout deca` writes the files of demo_reconstruct.py, under its names and in its formats."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.io
import torch

from facecli.codes import load_codes
from facecli.detect.face import Face
from facecli.export.obj import read_obj
from facecli.io.images import read_image
from facecli.plugin import FaceView, Layout
from facecli_deca import plugin
from facecli_deca.layout import DecaLayout, contact_sheet

PHOTO = (200, 280)
EVERYTHING = tuple(plugin.layouts["deca"].saves)
SINGLE = ["inputs", "rendered_images", "shape_images", "shape_detail_images", "landmarks2d"]


@pytest.fixture(scope="module")
def model(with_rules):
    return with_rules("standard")


@pytest.fixture(scope="module")
def views(model, golden_codes, golden_image) -> list[FaceView]:
    """Two faces of one photograph."""
    photo = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 11, 3), np.uint8), PHOTO[::-1])
    warp = torch.tensor([[[1.6, 0, -60.0], [0, 1.6, -30], [0, 0, 1]]])
    codes = golden_codes.replace(warp=warp, photo_size=torch.tensor([[200.0, 280.0]]))
    made = []
    for number in range(2):
        crop = model.crop(photo, Face(np.array([60.0, 40, 160, 140]), 1.0))
        made.append(FaceView("my.photo", "my.photo.JPG", number, None, photo, crop, codes, model.decode(codes)))
    return made


@pytest.fixture(scope="module")
def written(model, views, tmp_path_factory):
    """(folder, all files) with every word of ``--save`` and pictures on the photograph."""
    root = tmp_path_factory.mktemp("deca")
    layout = DecaLayout(model, save=EVERYTHING, photo_size=True)
    assert isinstance(layout, Layout)
    layout.write_photograph(root, views)
    return root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def expected(name: str) -> set[str]:
    below = {f"{name}_{key}.jpg" for key in [*SINGLE, "depth"]} | {f"orig_{name}_{key}.jpg" for key in SINGLE}
    below |= {f"{name}_{key}.txt" for key in ("kpt2d", "kpt3d", "kpt2d_photo", "kpt3d_photo")}
    below |= {f"{name}.{suffix}" for suffix in ("obj", "mtl", "png", "mat")}
    below |= {f"{name}_normals.png", f"{name}_detail.obj", f"{name}_codes.npz"}
    return {f"{name}_vis.jpg", f"{name}_vis_original_size.jpg"} | {f"{name}/{file}" for file in below}


def test_all_files_have_decas_names(written):
    assert set(written[1]) == expected("my.photo") | expected("my.photo_1")


def test_only_what_is_asked_for(model, views, tmp_path):
    for words, files in (
        (("vis",), {"my.photo_vis.jpg"}),
        (("depth",), {"my.photo/my.photo_depth.jpg"}),
        (("kpt",), {"my.photo/my.photo_kpt2d.txt", "my.photo/my.photo_kpt3d.txt"}),
    ):
        root = tmp_path / words[0]
        DecaLayout(model, save=words).write_photograph(root, views[:1])
        assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == files
    assert plugin.layouts["deca"].default == ("vis",)


def test_contact_sheets(written, views):
    root, _ = written
    assert read_image(root / "my.photo_vis.jpg").shape == (224, 7 * 224, 3)  # with depth
    wide = int(280 * 224 / 200)
    assert read_image(root / "my.photo_vis_original_size.jpg").shape == (224, 6 * wide, 3)
    first = read_image(root / "my.photo_vis.jpg")[:, :224].astype(int)
    assert (
        np.abs(first - views[0].crop.image.transpose(1, 2, 0) * 255).mean() < 3
    )  # true RGB, whatever OpenCV thinks of it


def test_a_tile_is_scaled_by_its_nearest_pixels():
    tile = np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)
    sheet = contact_sheet([tile, tile[:, :, ::-1]])
    assert sheet.shape == (224, 2 * 336, 3)
    rows, columns = (
        np.floor(np.arange(224) * (100 / 224)).astype(int),
        np.floor(np.arange(336) * (150 / 336)).astype(int),
    )
    assert np.array_equal(sheet[:, :336], tile[rows][:, columns])


def test_landmarks_as_text(written, views):
    root, _ = written
    extras = views[0].reconstruction.extras
    lines = (root / "my.photo/my.photo_kpt2d.txt").read_text().splitlines()
    assert len(lines) == 68 and lines[0] == f"{float(extras['landmarks2d'][0, 0, 0]):.18e} " + (
        f"{float(extras['landmarks2d'][0, 0, 1]):.18e}"
    )
    three = np.loadtxt(root / "my.photo/my.photo_kpt3d.txt")
    assert three.shape == (68, 4) and set(three[:, 3]) <= {0.0, 1.0}
    assert np.allclose(three[:, :3], extras["landmarks3d"][0], atol=1e-6)
    photo = np.loadtxt(root / "my.photo/my.photo_kpt2d_photo.txt")
    assert np.allclose(photo, views[0].reconstruction.landmarks["ibug68"][0, :, :2], atol=1e-2)
    depth = np.loadtxt(root / "my.photo/my.photo_kpt3d_photo.txt")
    # One scale on all axes.
    spread = np.ptp(three[:, :3], axis=0) / np.ptp(depth[:, :3], axis=0)
    assert np.allclose(spread, spread[0], rtol=1e-3)


def test_the_mat_file(written, model, views, golden):
    content = scipy.io.loadmat(written[0] / "my.photo/my.photo.mat")
    keys = {key for key in content if not key.startswith("__")}
    assert keys == set(golden("decode")["tex_keys"].tolist())
    shapes = {
        "verts": (5023, 3), "trans_verts": (5023, 3), "landmarks2d": (68, 2), "landmarks3d": (68, 4),
        "landmarks3d_world": (68, 3), "grid": (224, 224, 2), "rendered_images": (3, 224, 224),
        "alpha_images": (1, 224, 224), "normal_images": (3, 224, 224), "albedo": (3, 256, 256),
        "uv_texture": (3, 256, 256), "normals": (5023, 3), "uv_detail_normals": (3, 256, 256),
        "displacement_map": (1, 256, 256), "uv_texture_gt": (3, 256, 256),
    }  # fmt: skip
    assert {key: content[key].shape for key in keys} == shapes
    assert all(content[key].dtype == np.float32 for key in keys)
    assert np.abs(content["trans_verts"][:, 2]).max() < 5  # without the tens that upstream's renderer leaves there


def test_meshes(written, views):
    folder = written[0] / "my.photo"
    mesh = read_obj(folder / "my.photo.obj", metres_per_unit=1)
    assert np.array_equal(mesh.vertices.astype(np.float32), views[0].reconstruction.extras["verts"][0].numpy())
    assert np.array_equal(mesh.triangles, views[0].reconstruction.triangles.numpy())
    assert mesh.uv.shape == (5118, 2) and mesh.texture.shape == (256, 256, 3)
    assert (folder / "my.photo.mtl").read_text().split("\n")[1:] == ["map_Kd my.photo.png", "disp my.photo_normals.png"]
    normals = read_image(folder / "my.photo_normals.png")
    assert normals.shape == (256, 256, 3) and tuple(normals[0, 0]) == (127, 127, 127)
    with (folder / "my.photo_detail.obj").open() as file:
        first = file.readline().split()
    assert first[0] == "v" and len(first) == 7 and all(word.isdigit() for word in first[4:])


def test_codes_are_kept(written, views):
    read = load_codes(written[0] / "my.photo/my.photo_codes.npz").codes
    assert read.model == "deca" and torch.equal(read["detail"], views[0].codes["detail"])


def test_depth_is_grey_and_nearest_is_white(written):
    depth = cv2.imread(str(written[0] / "my.photo/my.photo_depth.jpg"), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (224, 224, 3) and depth.max() > 240 and depth[0, 0].max() < 8


def test_frames_of_a_video(model, views, tmp_path):
    layout = DecaLayout(model)
    frame = [
        FaceView("clip", "clip.mp4", n, 12, v.photo, v.crop, v.codes, v.reconstruction) for n, v in enumerate(views)
    ]
    layout.write_frame(tmp_path, frame)
    assert {path.name for path in tmp_path.iterdir()} == {"clip_frame0012_vis.jpg", "clip_frame0012_1_vis.jpg"}
    layout.write_frame(tmp_path, [])
    assert layout.video_name("clip.mp4") is None


def test_codes_without_a_photograph(model, views, tmp_path):
    """What needs the photograph is left out, all else is there."""
    view = views[0]
    bare = FaceView("codes", "codes.npz", 0, None, view.photo * 0, None, view.codes, view.reconstruction)
    DecaLayout(model, save=EVERYTHING).write_photograph(tmp_path, [bare])
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    wanted = {file for file in expected("codes") if "orig" not in file}
    assert files == wanted - {"codes/codes_inputs.jpg", "codes/codes_landmarks2d.jpg"}
    assert read_image(tmp_path / "codes_vis.jpg").shape == (224, 4 * 224, 3)
