"""Pictures of SynergyNet's and 3DDFA_V2's programs, to the pixel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facecli.render import sim3dr
from facecli.render import tddfa_pictures as pictures
from standins import tddfa

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def programs() -> dict[str, dict[str, np.ndarray]]:
    """Golden numbers of both; what V2's case lacks is as in SynergyNet's."""
    synergynet = golden("render_synergynet")
    shared = {name: synergynet[name] for name in ("background", "vertices_a", "vertices_b", "vertex_colour")}
    return {"synergynet": synergynet, "3ddfa_v2": shared | golden("render_tddfa_v2")}


@pytest.fixture(scope="module")
def triangles() -> np.ndarray:
    return tddfa.toy_surface("small")["tri"].T.astype(np.int64) - 1


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Share of pixels that are more than a level off."""
    return float((np.abs(found.astype(int) - expected) > 1).reshape(*found.shape[:2], -1).any(-1).mean())


@pytest.mark.parametrize("program", sim3dr.PROGRAMS)
def test_sim3dr(programs, triangles, program):
    case, light = programs[program], sim3dr.LIGHTS[program]
    a, b, background, colors = (case[name] for name in ("vertices_a", "vertices_b", "background", "vertex_colour"))
    normals = sim3dr.vertex_normals(a, triangles, program=program)
    np.testing.assert_allclose(normals[::13], case["normal_a"], atol=1e-4)
    lit = sim3dr.vertex_light(a, triangles, program=program, parts=light)
    np.testing.assert_allclose(lit[::13], case["light_a"], atol=1e-3)
    np.testing.assert_allclose((lit * colors)[:50], case["vertex_colour_after"], atol=1e-3)
    options = {"program": program, "parts": light}
    solid = sim3dr.paint_lit(b, triangles, sim3dr.paint_lit(a, triangles, background, **options), **options)
    assert off(solid[::8], case["solid_rows"]) <= 0.005
    assert off(cv2.addWeighted(background, 0.4, solid, 0.6, 0)[::12], case["overlay_rows"]) <= 0.005
    textured = sim3dr.paint_lit(a, triangles, background, colors=colors, **options)
    assert off(textured[::12], case["textured_rows"]) <= 0.005
    painted, depth = sim3dr.paint(a, triangles, colors, background, program=program)
    assert off(painted[::12], case["rasterized_rows"]) <= 0.005
    expected = np.nan_to_num(case["depth_rows"], nan=-1e8)
    np.testing.assert_allclose(depth[::12], expected, rtol=1e-5)
    mixed, _ = sim3dr.paint(a, triangles, colors, background, program=program, alpha=0.5, reverse=True)
    assert off(mixed[40:60:7], case["reversed_rows"]) <= 0.005


@pytest.mark.parametrize("program", sim3dr.PROGRAMS)
def test_which_pixels_an_edge_belongs_to(programs, program):
    corner = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0]], np.float32)
    white, black = np.ones((3, 3), np.float32), np.zeros((8, 8, 3), np.uint8)
    painted, _ = sim3dr.paint(corner, np.array([[0, 1, 2]]), white, black, program=program)
    np.testing.assert_array_equal(painted[..., 0], programs[program]["edge_rule"])


def test_synergynet_s_axes(programs):
    case = programs["synergynet"]
    rgb = np.ascontiguousarray(case["background"][..., ::-1])
    drawn = pictures.draw_axes(rgb, case["axes_landmarks"].T, case["axes_angles_f64"])[..., ::-1]
    expected = case["background"].copy()
    touched = np.unpackbits(case["axes_painted"])[: expected[..., 0].size].astype(bool).reshape(expected.shape[:2])
    expected[touched] = case["axes"]
    assert touched.sum() > 300
    np.testing.assert_array_equal(drawn, expected)


def test_synergynet_s_uv_textures(programs):
    case, surface = programs["synergynet"], tddfa.toy_surface("small")
    texture = np.repeat(np.repeat(case["uv_image"], 4, 0), 4, 1)
    colors = pictures.texture_colors(texture, surface["uv"])
    np.testing.assert_array_equal(colors[::7], case["uv_vertex_colour_bgr"])
    kept, triangles = surface["kept"], surface["cut"].T - 1
    painted = sim3dr.paint_lit(
        case["vertices_a"][kept], triangles, case["background"], program="synergynet",
        parts=sim3dr.LIGHTS["synergynet"], colors=colors[kept] / np.float32(255),
    )  # fmt: skip
    assert off(painted[::8], case["uv_textured_solid_rows"]) <= 0.005


def test_synergynet_s_meshes(programs, triangles, tmp_path):
    from facecli_synergynet.layout import write_coloured_obj, write_plain_obj

    case, surface = programs["synergynet"], tddfa.toy_surface("small")
    write_plain_obj(tmp_path / "plain.obj", case["vertices_a"], triangles)
    texture = np.repeat(np.repeat(case["uv_image"], 4, 0), 4, 1)[..., ::-1]  # RGB, as pictures are here
    kept = surface["kept"]
    colors = pictures.texture_colors(texture, surface["uv"][kept])
    write_coloured_obj(tmp_path / "coloured.obj", case["vertices_a"][kept], surface["cut"].T - 1, colors)
    for name in ("plain", "coloured"):
        lines = (tmp_path / f"{name}.obj").read_text().splitlines()
        points = [line for line in lines if line.startswith("v ")]
        faces = [line for line in lines if line.startswith("f ")]
        found = [points[0], points[-1], faces[0], faces[-1]]
        assert found == case[f"obj_{name}_lines"].tolist()


# --- 3DDFA_V2 --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def v2() -> dict[str, np.ndarray]:
    toy = tddfa.toy_v2("small")
    case = golden("tddfa_v2_draw")
    uv = toy["BFM_UV.mat"]["UV"][toy["indices.npy"]]
    further = {"triangles": toy["tri.pkl"].T.astype(np.int64), "uv": uv, "codes": toy["ncc_code.npy"].T}
    return case | further | {"vertices": case["dense"][0].T, "landmarks": case["sparse"][0].T}


def test_v2_s_pictures(v2):
    mesh, black = (v2["vertices"], v2["triangles"]), np.zeros_like(v2["image"])
    assert off(sim3dr.draw_overlay(*mesh, v2["image"])[::4], v2["render"]) <= 0.005
    quick = cv2.addWeighted(v2["image"], 0.4, sim3dr.paint_quick(*mesh, v2["image"]), 0.6, 0)
    assert off(quick[::8], v2["render_ctypes"]) <= 0.005
    behind = (v2["vertices"] - (0, 0, 1e4), v2["triangles"])
    np.testing.assert_array_equal(sim3dr.paint_quick(*behind, v2["image"]), v2["image"])
    depth = pictures.draw_nearness(*mesh, black)
    assert off(depth[::4, :, 0], v2["depth"]) <= 0.005
    assert (depth[..., 0] == depth[..., 2]).all()
    assert off(pictures.draw_codes(*mesh, v2["codes"], black)[::4], v2["pncc"]) <= 0.005


def test_v2_s_textures(v2):
    np.testing.assert_allclose(pictures.uv_places(v2["uv"], (96, 96))[::7], v2["uv_coords"], atol=1e-4)
    colors = pictures.sample_clipped(v2["image"], v2["vertices"])
    np.testing.assert_allclose(colors[::7], v2["bilinear_colour"], atol=1e-3)
    texture = pictures.uv_texture(v2["image"], v2["vertices"], v2["triangles"], v2["uv"], 96)
    assert off(texture[::4], v2["uv_tex"]) <= 0.005
    far = np.array([[-5, 3], [3, 500], [127, 4], [4, 127], [3.5, 4.5]])
    assert pictures.sample_clipped(v2["image"], far).any(1).tolist() == [False, False, False, False, True]


def test_v2_s_pose_box(v2):
    np.testing.assert_array_equal(pictures.pose_box(30), v2["camera_box_30"])
    case = golden("preprocess_roi")
    sizes = [pictures.box_size(points.T) for points in case["landmarks"]]
    np.testing.assert_allclose(sizes, case["hypotenuse_f64"], atol=1e-3)
    corners = pictures.project_pose_box(v2["param"][0, :12].reshape(3, 4), v2["landmarks"])
    drawn = pictures.draw_pose_box(np.zeros_like(v2["image"]), corners)
    assert off(drawn[..., 1], v2["pose_box"]) <= 0.005


def test_v2_s_meshes(v2, tmp_path):
    from facecli_tddfa_v2.layout import write_obj, write_ply

    class Drawn:
        vertices, triangles = v2["vertices"], v2["triangles"]

    rgb = np.ascontiguousarray(v2["image"][..., ::-1])
    write_ply(tmp_path / "a.ply", [Drawn], rgb.shape[0])
    lines = (tmp_path / "a.ply").read_text().split("\n")[:-1]
    expected = v2["ply_lines"].tolist()
    assert [*lines[: len(expected) - 1], lines[-1]] == expected
    write_obj(tmp_path / "a.obj", [Drawn], rgb)
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert [lines[0], lines[699], lines[700], lines[-1]] == v2["obj_lines"].tolist()
    # Two faces in one file.
    write_obj(tmp_path / "b.obj", [Drawn, Drawn], rgb)
    both = (tmp_path / "b.obj").read_text().splitlines()
    assert len(both) == 2 * len(lines)
    assert both[1400:1401] == lines[700:701] and both[-1] == "f " + " ".join(
        str(int(number) + 700) for number in lines[-1].split()[1:]
    )


def test_a_face_beside_the_picture_keeps_its_shape_in_the_mesh(v2, tmp_path):
    """V2's program flattens what sticks out."""
    from facecli_tddfa_v2.layout import write_obj

    class Drawn:
        vertices, triangles = v2["vertices"] + np.array([-90, 0, 0], np.float32), v2["triangles"]

    rgb = np.ascontiguousarray(v2["image"][..., ::-1])
    write_obj(tmp_path / "a.obj", [Drawn], rgb)
    points = np.array([line.split()[1:] for line in (tmp_path / "a.obj").open() if line.startswith("v ")], float)
    np.testing.assert_allclose(points[:, 0], Drawn.vertices[:, 0], atol=6e-3)


def test_points_far_away_are_drawn_without_harm():
    picture = np.zeros((40, 40, 3), np.uint8)
    points = np.full((68, 3), 1e12)
    points[3] = np.nan
    for drawn in (
        pictures.draw_points(picture, points, radius=2),
        pictures.draw_outlines(picture, points),
        pictures.draw_axes_at(picture, np.array([1e9, np.nan]), np.zeros(3), 1e9),
        pictures.draw_pose_box(picture, np.full((10, 2), -1e15)),
    ):
        assert drawn.shape == picture.shape
