"""EMOCA's own files: names, formats and contents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from emoca_cases import GOLDEN, codes_of, crops_of, golden_case, picture
from PIL import Image

from facecli.export.obj import read_obj
from facecli.plugin import FaceView, Layout
from facecli_emoca.layout import EmocaLayout
from facecli_emoca.overlay import Panels

MODEL = "EMOCA_v2_lr_mse_20"


def view_of(model, codes, crop, *, number=0, frame=None, photo=None, stem="name") -> FaceView:
    with torch.inference_mode():
        found = model.decode(codes)
    photo = np.zeros((224, 224, 3), np.uint8) if photo is None else photo
    return FaceView(stem, f"{stem}.png", number, frame, photo, crop, codes, found)


@pytest.fixture(scope="module")
def golden():
    return golden_case("export")


@pytest.fixture(scope="module")
def written(model, golden, tmp_path_factory) -> Path:
    """All files of the golden case's face."""
    root = tmp_path_factory.mktemp("out")
    layout = EmocaLayout(model, save=("images", "mesh", "codes"))
    assert isinstance(layout, Layout)
    layout.write_photograph(root, [view_of(model, codes_of(golden), crops_of(picture("export.img", 1))[0])])
    assert [path.name for path in root.iterdir()] == [MODEL]
    return root / MODEL / "name00"


def test_all_files_of_a_face(written):
    pictures = {"inputs", "geometry_coarse", "geometry_detail", "out_im_coarse", "out_im_detail"}
    codes = {"shape", "exp", "tex", "pose", "detail"}
    meshes = set(json.loads((GOLDEN / "export_lines.json").read_text())["files"])
    names = {f"{name}.png" for name in pictures} | {f"{name}.npy" for name in codes} | meshes
    assert {path.name for path in written.iterdir()} == names


def test_obj_files_are_golden_line_by_line(written):
    """Numbers but for their last digits."""
    for name, golden in json.loads((GOLDEN / "export_lines.json").read_text()).items():
        if not name.endswith(".obj"):
            continue
        lines = (written / name).read_text().split("\n")
        assert len(lines) == golden["count"]
        for number, wanted in golden["lines"].items():
            words, expected = lines[int(number)].split(" "), wanted.split(" ")
            assert len(words) == len(expected)
            for word, other in zip(words, expected, strict=True):
                assert word == other or abs(float(word) - float(other)) < 1e-7


def test_the_material_names_the_normal_map_beside_it(written):
    """The program writes the path that it was called with; else the text is the same."""
    golden = json.loads((GOLDEN / "export_lines.json").read_text())["mesh_coarse.mtl"]
    assert (written / "mesh_coarse.mtl").read_text() == golden.replace("name00/", "")


def test_pictures_of_the_material_are_golden(written, golden):
    texture = np.asarray(Image.open(written / "mesh_coarse.png"))[::4, ::4].astype(int)
    normals = np.asarray(Image.open(written / "mesh_coarse_normals.png"))[::4, ::4].astype(int)
    for found, key in ((texture, "texture_rgb"), (normals, "normals_rgb")):
        difference = abs(found - golden[key])
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_the_dense_mesh_is_golden(written, golden):
    rows = [line.split() for line in (written / "mesh_coarse_detail.obj").read_text().splitlines()]
    vertices = np.array([row[1:] for row in rows if row[0] == "v"], np.float64)
    triangles = np.array([row[1:] for row in rows if row[0] == "f"], np.int64) - 1
    assert [len(vertices), len(triangles)] == golden["dense_count"].tolist()
    np.testing.assert_allclose(vertices[::50, :3], golden["dense_vertices"], atol=1e-6)
    assert abs(vertices[::50, 3:] - golden["dense_colors"]).max() <= 1
    np.testing.assert_array_equal(triangles[::500], golden["dense_faces"])


def test_the_coarse_mesh_reads_back(written, model, golden):
    mesh = read_obj(written / "mesh_coarse.obj", metres_per_unit=1.0)
    np.testing.assert_allclose(mesh.vertices[::20], golden["verts"][0], atol=1e-6)
    np.testing.assert_array_equal(mesh.triangles, model.head.triangles.numpy())
    assert mesh.texture is not None and mesh.texture.shape == (256, 256, 3)


def test_codes_are_the_official_arrays(written, golden):
    sizes = {"shape": 100, "exp": 50, "tex": 50, "pose": 6, "detail": 128}
    for name, size in sizes.items():
        array = np.load(written / f"{name}.npy", allow_pickle=False)
        assert array.shape == (size,) and array.dtype == np.float32
        np.testing.assert_array_equal(array, golden[f"in_{name}code"][0])


def test_pictures_are_cut_not_rounded(written, model, golden):
    codes, crop = codes_of(golden), crops_of(picture("export.img", 1))[0]
    view = view_of(model, codes, crop)
    face = model.decoded(view.codes, view.reconstruction, crop)
    with torch.inference_mode():
        wanted = {name: getattr(face, name)[0] for name in ("geometry_coarse", "out_im_detail")}
    wanted["inputs"] = torch.from_numpy(crop.image)
    for name, values in wanted.items():
        found = np.asarray(Image.open(written / f"{name}.png"))
        np.testing.assert_array_equal(found, (values.permute(1, 2, 0).numpy() * 255).clip(0, 255).astype(np.uint8))


def test_several_faces_are_numbered(model, golden, tmp_path):
    """The program keeps one of them."""
    codes, crop = codes_of(golden), crops_of(picture("export.img", 1))[0]
    views = [view_of(model, codes, crop, number=number) for number in range(2)]
    EmocaLayout(model, save=("codes",)).write_photograph(tmp_path, views)
    assert sorted(path.name for path in (tmp_path / MODEL).iterdir()) == ["name00", "name01"]


def test_frames_and_the_video(model, golden, tmp_path):
    codes, crop = codes_of(golden), crops_of(picture("export.img", 1))[0]
    layout = EmocaLayout(model)
    photo = np.full((120, 160, 3), 90, np.uint8)
    warp = np.array([[2.0, 0, -40], [0, 2, -10], [0, 0, 1]])
    placed = codes.replace(warp=torch.from_numpy(warp).float()[None])
    view = view_of(model, placed, crop, number=1, frame=11, photo=photo, stem="clip")
    layout.write_frame(tmp_path, [view])
    below = tmp_path / MODEL / "clip/results" / MODEL
    assert [path.name for path in below.iterdir()] == ["000012_001"]
    names = {"geometry_coarse.png", "geometry_detail.png", "out_im_coarse.png", "out_im_detail.png"}
    assert {path.name for path in (below / "000012_001").iterdir()} == names
    assert tmp_path / layout.video_name("somewhere/clip.mp4") == below / "video_geometry_detail.mp4"

    frame, empty = layout.video_frame(photo, [view]), layout.video_frame(photo, [])
    assert frame.shape == empty.shape == (360, 160, 3) and frame.dtype == np.uint8
    assert (empty == 90).all()
    geometry = np.asarray(Image.open(below / "000012_001/geometry_detail.png"))
    mask = np.asarray(Image.open(below / "000012_001/geometry_coarse.png"))
    expected = Panels().frame(photo, [geometry], [(mask.astype(int).prod(-1) > 30).astype(float)], [warp])
    np.testing.assert_array_equal(frame, expected)
    assert (frame[120:240] != 90).any()


def test_without_a_photograph_what_needs_it_is_left_out(model, golden, tmp_path):
    """Codes from a file; these from another FLAME model, without texture, light and wrinkles."""
    few = codes_of(golden)
    few.values = {name: few[name] for name in ("identity", "expression", "pose", "jaw", "camera")}
    layout = EmocaLayout(model, save=("images", "mesh", "codes"))
    layout.write_photograph(tmp_path, [view_of(model, few, None)])
    found = {path.name for path in (tmp_path / MODEL / "name00").iterdir()}
    assert "inputs.png" not in found and {"out_im_detail.png", "mesh_coarse.obj", "mesh_coarse.png"} <= found
    assert {name for name in found if name.endswith(".npy")} == {"shape.npy", "exp.npy", "pose.npy"}
    shaded = np.asarray(Image.open(tmp_path / MODEL / "name00/out_im_detail.png")).astype(int)
    assert 60 < shaded[shaded.max(-1) > 20].mean() < 200  # lit by a light that it hasn't got
