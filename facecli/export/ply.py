"""Binary PLY."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write


def write_ply(path: str | Path, mesh: TriangleMesh, *, texture_name: str | None = None) -> None:
    """Write positions (float32, the mesh's unit and vertex order), triangles and vertex colours if there are any.

    Args:
        texture_name: a picture in that folder, for a mesh with UV per vertex: MeshLab and Blender find the UV as ``s``
            and ``t``, MeshLab the picture by a comment.
    """
    columns = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    values = list(np.asarray(mesh.vertices).T)
    if texture_name is not None and mesh.uv is not None and mesh.uv_triangles is None:
        columns += [("s", "<f4"), ("t", "<f4")]
        values += list(np.asarray(mesh.uv).T)
    if mesh.vertex_colors is not None:
        columns += [("red", "u1"), ("green", "u1"), ("blue", "u1"), ("alpha", "u1")]
        values += [*np.asarray(mesh.vertex_colors).T, 255]
    vertices = np.empty(len(mesh.vertices), columns)
    for (name, _), column in zip(columns, values, strict=True):
        vertices[name] = column
    triangles = np.empty(len(mesh.triangles), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, mesh.triangles
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(_header(columns, len(vertices), len(triangles), texture_name).encode("utf-8", "surrogateescape"))
        file.write(vertices.tobytes())
        file.write(triangles.tobytes())


def _header(columns: list[tuple[str, str]], vertices: int, triangles: int, texture_name: str | None) -> str:
    lines = ["ply", "format binary_little_endian 1.0", "comment facecli"]
    if texture_name is not None:
        lines.append("comment TextureFile " + re.sub(r"[\x00-\x1f]", "_", texture_name))
    lines.append(f"element vertex {vertices}")
    lines += [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind in columns]
    lines += [f"element face {triangles}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(lines)
