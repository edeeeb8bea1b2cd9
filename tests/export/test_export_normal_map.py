from __future__ import annotations

import dataclasses
import io

import cv2
import numpy as np
import pytest
import trimesh
from gltf_reader import read_glb
from PIL import Image
from surfaces import bumpy_dome
from wrinkles import skin, wrinkled_head

import facecli.export.glb as glb_module
from facecli.export.detail import with_normal_map
from facecli.export.glb import write_glb
from facecli.export.normal_map import mapped_normals, normal_map
from facecli.export.obj import read_obj, write_obj
from facecli.export.surface import outward_normals
from facecli.render.texture import uv_layout

FLAT = [128, 128, 255]


@pytest.fixture(scope="module")
def head():
    reconstruction = wrinkled_head()
    return with_normal_map(reconstruction.mesh(0, skin(64)), reconstruction, 0)


def detail_normals() -> np.ndarray:
    return wrinkled_head().detail.normals[0].permute(1, 2, 0).numpy()


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-9)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_a_viewer_gets_the_detailed_surface_back(head):
    """At every texel of a much finer raster than the map's own."""
    found, layout = mapped_normals(head, 1024)
    wanted = cv2.resize(detail_normals(), (1024, 1024), interpolation=cv2.INTER_LINEAR)[layout.mask]
    known = np.linalg.norm(wanted, axis=1) > 0.9
    errors = degrees(found, wanted)[known]
    assert errors.mean() < 0.25  # 8 bits alone leave 0.16
    assert np.percentile(errors, 99) < 0.7
    plain = dataclasses.replace(head, normal_map=np.full((8, 8, 3), FLAT, np.uint8))
    assert degrees(mapped_normals(plain, 1024)[0], wanted)[known].mean() > 1


def test_the_coarse_surface_itself_is_flat(head):
    layout = uv_layout(head.uv, head.uv_triangles, 256)
    own = layout.picture(layout.interpolate(head.triangles, outward_normals(head)))
    made = normal_map(head, own, size=256)
    off = np.abs(made.astype(int) - FLAT)
    assert off.max() <= 1


def test_mirrored_islands_and_seams():
    """A tilted surface comes back on both islands, one of which is mirrored."""
    mesh = bumpy_dome()
    tilt = np.array([0.3, -0.2, 0.9]) / np.linalg.norm([0.3, -0.2, 0.9])
    made = dataclasses.replace(mesh, normal_map=normal_map(mesh, np.broadcast_to(tilt, (128, 128, 3)), size=1024))
    found, layout = mapped_normals(made, 1024)
    steep = (outward_normals(mesh)[mesh.triangles] @ tilt).min(1)[layout.face_index] < 0.2
    assert degrees(found, tilt)[~steep].mean() < 0.3
    assert set(np.unique(layout.face_index)) == set(range(len(mesh.triangles)))


def test_nothing_known_is_flat_and_borders_are_continued(head):
    assert (normal_map(head, np.zeros((64, 64, 3)), size=64).reshape(-1, 3) == FLAT).all()
    layout = uv_layout(head.uv, head.uv_triangles, len(head.normal_map))
    outside = ~layout.mask
    column, row = layout.nearest[outside].T
    np.testing.assert_array_equal(head.normal_map[outside], head.normal_map[row, column])
    # In the small versions that viewers use from afar, texels on the border are as their parts inside are.
    inside = layout.mask.astype(np.float32)
    share = cv2.resize(inside, (64, 64), interpolation=cv2.INTER_AREA)
    border = (share > 0.2) & (share < 0.8)

    def off(picture):
        small, inner = (
            cv2.resize(part.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
            for part in (picture, picture * inside[..., None])
        )
        return np.abs(small[border] - inner[border] / share[border][:, None]).max()

    assert off(head.normal_map) < 6 < off(np.where(outside[..., None], FLAT, head.normal_map))


def test_map_sizes(head):
    assert normal_map(head, detail_normals()).shape == (512, 512, 3)
    assert normal_map(head, detail_normals()[::2, ::2]).shape == (256, 256, 3)
    assert normal_map(head, np.zeros((600, 600, 3))).shape == (600, 600, 3)


def test_normals_that_turn_away_keep_some_blue(head):
    made = normal_map(head, -detail_normals(), size=64)
    assert made[..., 2].min() >= 128


def test_the_glb_has_tangents_and_both_textures(head, tmp_path):
    write_glb(tmp_path / "mesh.glb", head)
    glb = read_glb(tmp_path / "mesh.glb")
    normals, tangents = glb.attribute("NORMAL"), glb.attribute("TANGENT")
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    assert set(np.unique(tangents[:, 3])) == {1}
    assert np.abs((normals * tangents[:, :3]).sum(1)).max() < 1e-5
    material = glb.document["materials"][0]
    np.testing.assert_array_equal(glb.texture(material["normalTexture"]["index"]), head.normal_map)
    base = material["pbrMetallicRoughness"]
    np.testing.assert_array_equal(glb.texture(base["baseColorTexture"]["index"]), head.texture)
    assert base["baseColorFactor"] == [1, 1, 1, 1]
    other = trimesh.load(tmp_path / "mesh.glb", process=False, force="mesh").visual.material
    np.testing.assert_array_equal(np.asarray(other.normalTexture.convert("RGB")), head.normal_map)
    back = glb_module.read_glb(tmp_path / "mesh.glb")
    np.testing.assert_array_equal(back.normal_map, head.normal_map)
    np.testing.assert_array_equal(back.texture, head.texture)


def test_without_a_texture_the_glb_is_grey_and_bumpy(head, tmp_path):
    write_glb(tmp_path / "mesh.glb", dataclasses.replace(head, texture=None))
    glb = read_glb(tmp_path / "mesh.glb")
    material = glb.document["materials"][0]
    np.testing.assert_array_equal(glb.texture(material["normalTexture"]["index"]), head.normal_map)
    assert "baseColorTexture" not in material["pbrMetallicRoughness"]
    assert 0.3 < material["pbrMetallicRoughness"]["baseColorFactor"][0] < 0.7
    assert "TANGENT" in glb.primitive["attributes"]
    back = glb_module.read_glb(tmp_path / "mesh.glb")
    assert back.texture is None
    np.testing.assert_array_equal(back.normal_map, head.normal_map)


def test_without_a_map_there_are_no_tangents(head, tmp_path):
    write_glb(tmp_path / "mesh.glb", dataclasses.replace(head, normal_map=None))
    glb = read_glb(tmp_path / "mesh.glb")
    assert "TANGENT" not in glb.primitive["attributes"]
    assert "normalTexture" not in glb.document["materials"][0]


def test_obj_with_a_normal_map_reads_back_the_same(head, tmp_path):
    write_obj(tmp_path / "mesh.obj", head)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mesh.mtl", "mesh.obj", "mesh.png", "mesh_normals.png"]
    back = read_obj(tmp_path / "mesh.obj")
    np.testing.assert_array_equal(back.normal_map, head.normal_map)
    np.testing.assert_array_equal(back.texture, head.texture)
    np.testing.assert_array_equal(back.vertices.astype(np.float32), head.vertices)
    np.testing.assert_array_equal(back.uv_triangles, head.uv_triangles)
    lines = (tmp_path / "mesh.mtl").read_text().splitlines()
    # For those who know the word, and for Blender; never as the texture.
    assert "map_Kd mesh.png" in lines
    assert lines.index("norm mesh_normals.png") < lines.index("map_Bump mesh_normals.png")
    rows = [line.split()[1:] for line in (tmp_path / "mesh.obj").read_text().splitlines() if line.startswith("vn ")]
    np.testing.assert_allclose(np.array(rows, float), outward_normals(head), atol=1e-5)
    other = trimesh.load(tmp_path / "mesh.obj", process=False)
    np.testing.assert_array_equal(np.asarray(other.visual.material.image.convert("RGB")), head.texture)
    assert np.isclose(other.area, head.to_trimesh().area, rtol=1e-6)


def test_a_grey_obj_with_a_normal_map(head, tmp_path):
    write_obj(tmp_path / "mesh.obj", dataclasses.replace(head, texture=None))
    back = read_obj(tmp_path / "mesh.obj")
    assert back.texture is None
    np.testing.assert_array_equal(back.normal_map, head.normal_map)
    assert "map_Kd" not in (tmp_path / "mesh.mtl").read_text()


def test_the_map_is_lossless(head, tmp_path):
    write_obj(tmp_path / "mesh.obj", head)
    with Image.open(io.BytesIO((tmp_path / "mesh_normals.png").read_bytes())) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        assert not {"gamma", "srgb", "icc_profile"} & set(picture.info)  # these are directions, not colours
