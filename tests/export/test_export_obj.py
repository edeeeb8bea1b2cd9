from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facecli.errors import InputError, OutputError
from facecli.export import obj
from facecli.export.obj import read_obj, write_obj
from facecli.export.ply import write_ply
from facecli.geometry.mesh import TriangleMesh


def test_what_is_written_reads_back_the_same(mesh, tmp_path):
    write_obj(tmp_path / "mesh.obj", mesh)
    back = read_obj(tmp_path / "mesh.obj")
    np.testing.assert_array_equal(back.vertices.astype(np.float32), mesh.vertices)
    np.testing.assert_array_equal(back.triangles, mesh.triangles)
    np.testing.assert_array_equal(back.uv.astype(np.float32), mesh.uv)
    np.testing.assert_array_equal(back.uv_triangles, mesh.uv_triangles)
    np.testing.assert_array_equal(back.texture, mesh.texture)
    assert back.vertex_colors is None
    assert back.metres_per_unit == 0.001
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mesh.mtl", "mesh.obj", "mesh.png"]


coordinates = hnp.arrays(np.float32, (7, 3), elements=st.floats(-1e6, 1e6, width=32))


@given(vertices=coordinates, unit=st.sampled_from([0.001, 0.01, 1.0, 0.0254]), data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_float32_survives_in_any_unit(vertices, unit, data, tmp_path):
    colors = data.draw(st.none() | hnp.arrays(np.uint8, (7, 3)))
    mesh = TriangleMesh(vertices, np.array([[0, 1, 2], [4, 6, 5]]), vertex_colors=colors, metres_per_unit=unit)
    write_obj(tmp_path / "any.obj", mesh)
    back = read_obj(tmp_path / "any.obj")
    np.testing.assert_array_equal(back.vertices.astype(np.float32), vertices)
    np.testing.assert_array_equal(back.triangles, mesh.triangles)
    assert (back.vertex_colors is None) == (colors is None)
    if colors is not None:
        np.testing.assert_array_equal(back.vertex_colors, colors)
    assert back.metres_per_unit == unit
    assert back.uv is None


@pytest.mark.parametrize("name", ["Gesicht äöü.obj", "顔 1.obj", "ohne.punkte.obj"])
def test_another_reader_sees_surface_and_texture(mesh, tmp_path, name):
    write_obj(tmp_path / name, mesh)
    other = trimesh.load(tmp_path / name, process=False)
    assert np.isclose(other.area, mesh.to_trimesh().area, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(other.visual.material.image.convert("RGB")), mesh.texture)


def test_names_that_are_no_text(mesh, tmp_path):
    name = os.fsdecode(b"foto-\xff.obj")
    write_obj(tmp_path / name, mesh)
    np.testing.assert_array_equal(read_obj(tmp_path / name).texture, mesh.texture)


def test_texture_under_another_name(mesh, tmp_path):
    write_obj(tmp_path / "mesh.obj", mesh, texture_name="skin.png")
    assert (tmp_path / "skin.png").exists()
    assert not (tmp_path / "mesh.png").exists()
    np.testing.assert_array_equal(read_obj(tmp_path / "mesh.obj").texture, mesh.texture)


def test_a_failure_midway_leaves_no_obj_without_its_texture(mesh, tmp_path, monkeypatch):
    monkeypatch.setattr(obj, "_material", lambda **pictures: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    with pytest.raises(OutputError, match="No space left"):
        write_obj(tmp_path / "mesh.obj", mesh)
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.png"]


def test_reads_what_other_programs_write(tmp_path):
    text = "v 0 0 0\r\nv 1 0 0\r\nv 1 1 0\r\nv 0 1 0\r\nvn 0 0 1\r\nvt 0 0 0\r\nvt 1 0 0\r\nvt 1 1 0\r\n"
    text += "s off\r\nf 1//1 2//1 3//1 4//1\r\nf -4/1/1 \\\n-3/2/1 -2/3/1\n"
    (tmp_path / "other.obj").write_bytes(text.encode())
    mesh = read_obj(tmp_path / "other.obj", metres_per_unit=1.0)
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert mesh.uv is None  # only one of the faces has it
    assert mesh.metres_per_unit == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v 1 2\n", "line 1: 2 numbers where 3 belong"),
        ("v 1 2 3\nv a b c\n", "line 2"),
        ("v 1 2 3\nf 1 2 3\n", "face of vertex 3, of 1"),
        ("v 1 2 3\nf 0 1 1\n", "line 2: index 0"),
        ("v 1 2 3\nf 1 1\n", "fewer than three"),
        ("P6 not an obj", "holds no vertices"),
    ],
)
def test_broken_files_are_named_with_their_line(tmp_path, text, message):
    (tmp_path / "broken.obj").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_obj(tmp_path / "broken.obj")
    assert "broken.obj" in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.obj"):
        read_obj(tmp_path / "none.obj")


def test_ply_keeps_order_unit_and_colors(mesh, tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (len(mesh.vertices), 3), dtype=np.uint8)
    write_ply(tmp_path / "mäsh.ply", dataclasses.replace(mesh, vertex_colors=colors))
    assert (tmp_path / "mäsh.ply").read_bytes().startswith(b"ply\nformat binary_little_endian")
    back = trimesh.load(tmp_path / "mäsh.ply", process=False)
    np.testing.assert_array_equal(np.asarray(back.vertices, np.float32), mesh.vertices)
    np.testing.assert_array_equal(back.faces, mesh.triangles)
    np.testing.assert_array_equal(back.visual.vertex_colors[:, :3], colors)
