"""Meshes from outside: every format's vertices in the file's order, polygons, and one clear line for broken files."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli.errors import InputError
from facecli.geometry.mesh import TriangleMesh
from facecli.io.meshes import read_mesh
from facecli.io.polygons import fans

SQUARE = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
V = "".join(f"v {x} {y} {z}\n" for x, y, z in SQUARE)
PLY = """ply
format {format} 1.0
comment made up
element vertex 4
property float x
property double y
property float z
property uchar red
element face 2
property uchar flags
property list uchar int vertex_indices
property list uchar float texcoord
end_header
"""


@pytest.fixture
def read(tmp_path):
    """Reads `data` as a file of this name."""

    def call(name: str, data: str | bytes):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_mesh(path)

    return call


def refused(read, name: str, data: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(name, data)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@given(st.lists(st.integers(0, 7), max_size=9))
def test_polygons_become_fans(counts):
    corners = np.arange(sum(counts)) * 10
    expected, start = [], 0
    for count in counts:
        polygon = corners[start : start + count]
        expected += [[polygon[0], polygon[i], polygon[i + 1]] for i in range(1, count - 1)]
        start += count
    assert fans(corners, np.array(counts, int)).tolist() == expected


@pytest.mark.parametrize(
    "faces, expected",
    [
        ("f 1 2 3 4\n", [[0, 1, 2], [0, 2, 3]]),
        ("f 1/9 2/9 3/9\nf 1//7 3//7 4//7\nf 2/1/1 3/1/1 4/1/1\n", [[0, 1, 2], [0, 2, 3], [1, 2, 3]]),
        ("f 1 2 3\nf 1/1 2/1 3/1 4/1 # a quad\n", [[0, 1, 2], [0, 1, 2], [0, 2, 3]]),
        ("f -4 -3 -2\nv 5 5 5\nf -1 1 -2\n", [[0, 1, 2], [4, 0, 3]]),
        ("f 1 2 \\\n 3 4\n", [[0, 1, 2], [0, 2, 3]]),
        ("  f 1 2 3\r\n\tf\t2 3 4\r\n", [[0, 1, 2], [1, 2, 3]]),
        ("g mouth\nusemtl skin\nl 1 2\np 1\nvt 0 0\nvn 0 0 1\ns off\nf 4 1 2\n", [[3, 0, 1]]),
        ("# from C:\\scans\\\nf 1 2 3\n", [[0, 1, 2]]),
        ("", []),
    ],
)
def test_obj_faces(read, faces, expected):
    vertices, triangles = read("scan.obj", V + faces)
    assert triangles.tolist() == expected
    assert vertices[:4].tolist() == SQUARE
    assert triangles.shape[1] == 3 and vertices.dtype == np.float64 and triangles.dtype == np.int64


def test_obj_vertices_may_have_colours_and_need_no_triangle(read):
    vertices, _ = read("scan.obj", "v 1 2 3 0.1 0.2 0.3\nv 4 5 6\nv 4 5 6 1.0 # twice\nv nan 1e-3 -inf\n")
    np.testing.assert_array_equal(vertices, [[1, 2, 3], [4, 5, 6], [4, 5, 6], [np.nan, 1e-3, -np.inf]])


@pytest.mark.parametrize(
    "lines, words",
    [
        ("f 1 2\n", "line 5"),
        ("v 1 2\n", "line 5"),
        ("\nv 1 2,5 3\n", "line 6"),
        ("f 1 2 \\\n3\nf 1 2 x\n", "line 7"),
        ("f 1 2 3\nf /1 /2 /3\n", "line 6"),
        ("f 0 1 2\n", "vertex 0"),
        ("f 1 2 -5\n", "vertex -5"),
        ("f 1 2 5\n", "where there are 4"),
    ],
)
def test_obj_broken_lines_are_named(read, lines, words):
    assert words in refused(read, "scan.obj", V + lines)


def ply_binary(order: str, second_face: bytes) -> bytes:
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    rows = b"".join(struct.pack(order + "fdfB", *vertex, 200) for vertex in SQUARE)
    return PLY.format(format=name).encode() + rows + struct.pack(order + "BBiiiB", 0, 3, 0, 1, 2, 0) + second_face


@pytest.mark.parametrize("order", "<>")
def test_ply_binary_with_polygons_of_mixed_sizes(read, order):
    quad = struct.pack(order + "BBiiiiBff", 0, 4, 0, 1, 2, 3, 2, 0.5, 0.5)
    vertices, triangles = read("scan.ply", ply_binary(order, quad))
    assert vertices.tolist() == SQUARE
    assert triangles.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]
    assert "cut off" in refused(read, "cut.ply", ply_binary(order, quad[:-1]))


@pytest.mark.parametrize("order", "<>")
def test_ply_binary_of_triangles(read, order):
    triangle = struct.pack(order + "BBiiiB", 0, 3, 3, 1, 2, 0)
    assert read("scan.ply", ply_binary(order, triangle))[1].tolist() == [[0, 1, 2], [3, 1, 2]]
    assert "cut off" in refused(read, "cut.ply", ply_binary(order, triangle[:-1]))
    assert "where there are 4" in refused(
        read, "far.ply", ply_binary(order, struct.pack(order + "BBiiiB", 0, 3, 3, 1, 4, 0))
    )


def test_ply_text(read):
    rows = "".join(f"{x} {y} {z} 200\n" for x, y, z in SQUARE)
    head = PLY.format(format="ascii") + rows
    assert read("mixed.ply", head + "0 3 0 1 2 2 0.5 0.5\n0 4 0 1 2 3 0\n")[1].tolist() == [
        *([0, 1, 2], [0, 1, 2], [0, 2, 3])
    ]
    vertices, triangles = read("equal.ply", head + "0 3 0 1 2 0\n0 3 3 1 2 0\n")
    assert vertices.tolist() == SQUARE and triangles.tolist() == [[0, 1, 2], [3, 1, 2]]
    for cut in (head + "0 3 0 1 2 0\n0 3 3 1", head + "0 3 0 1 2 0\n", head[:-9], head[:60]):
        assert "cut off" in refused(read, "cut.ply", cut)
    assert "format" in refused(read, "broken.ply", head + "0 3 0 1 x 0\n0 3 3 1 2 0\n")


def test_ply_keeps_doubles(read):
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 1\n"
    head += "".join(f"property double {axis}\n" for axis in "xyz") + "end_header\n"
    vertices, triangles = read("points.ply", head.encode() + struct.pack("<ddd", np.pi, 1 / 3, 1e-17))
    assert vertices.tolist() == [[np.pi, 1 / 3, 1e-17]] and triangles.shape == (0, 3)


def test_ply_sizes_from_strangers_take_no_memory(read):
    head = "ply\nformat binary_little_endian 1.0\nelement vertex {}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") + "element face 99999999999\n"
    head += "property list uint int vertex_index\nend_header\n"
    for count, body in ((10**12, bytes(40)), (1, bytes(12) + b"\xff" * 40), (1, bytes(40))):
        refused(read, "huge.ply", head.format(count).encode() + body)


@pytest.mark.parametrize("suffix", ["ply", "stl", "off", "glb", "gltf", "obj"])
def test_what_trimesh_writes(tmp_path, suffix):
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=2)
    path = tmp_path / f"sphere.{suffix}"
    if suffix == "gltf":
        for name, data in sphere.export(file_type="gltf").items():
            (tmp_path / ("sphere.gltf" if name == "model.gltf" else name)).write_bytes(data)
    else:
        sphere.export(path)
    vertices, triangles = read_mesh(path)
    assert vertices.shape == sphere.vertices.shape and triangles.shape == sphere.faces.shape
    np.testing.assert_allclose(vertices[triangles], sphere.vertices[sphere.faces], atol=1e-6)
    if suffix != "stl":
        np.testing.assert_array_equal(triangles, sphere.faces)


def test_glb_nodes_put_their_meshes_in_place(tmp_path):
    import trimesh

    scene = trimesh.Scene()
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    for x in (0.0, 5.0):
        scene.add_geometry(triangle, transform=trimesh.transformations.translation_matrix([x, 0, 0]))
    scene.export(tmp_path / "two.glb")
    vertices, triangles = read_mesh(tmp_path / "two.glb")
    assert sorted(vertices[:, 0]) == [0, 0, 1, 5, 5, 6] and triangles.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_what_facecli_writes(tmp_path):
    from facecli.export.obj import write_obj
    from facecli.export.ply import write_ply

    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(9, 3)).astype(np.float32)
    triangles = rng.permuted(np.tile(np.arange(9), (6, 1)), axis=1)[:, :3]
    colors = rng.integers(0, 255, (9, 3), dtype=np.uint8)
    uv, uv_triangles = rng.random((18, 2)), np.arange(18).reshape(6, 3)  # a seam at every edge
    write_ply(tmp_path / "face.ply", TriangleMesh(vertices, triangles, vertex_colors=colors))
    write_obj(tmp_path / "face.obj", TriangleMesh(vertices, triangles, uv, uv_triangles, vertex_colors=colors))
    for name in ("face.ply", "face.obj"):
        read, read_triangles = read_mesh(tmp_path / name)
        np.testing.assert_array_equal(read.astype(np.float32), vertices)
        np.testing.assert_array_equal(read_triangles, triangles)


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("face.obj", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a PNG picture"),
        ("face.obj", b"<html><body>log in", "a web page"),
        ("face.obj", b"", "empty"),
        ("face.ply", bytes(range(256)), "no PLY file"),
        (
            "face.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
            "without x, y and z",
        ),
        ("face.stl", bytes(range(256)), "no STL file"),
        ("face.glb", bytes(range(256)), "can't be read as glTF"),
        ("face.gltf", b"{}", "no vertices"),
        ("face.off", b"OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "cut off"),
        ("face.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n", "can't be read as OFF"),
        ("face.fbx", b"Kaydara", "no mesh that facecli reads"),
    ],
)
def test_files_that_are_no_meshes(read, name, data, words):
    assert words in refused(read, name, data)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_mesh(tmp_path / "nowhere.obj")
    with pytest.raises(InputError, match="folder"):
        read_mesh(tmp_path)
