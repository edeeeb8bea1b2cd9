"""The one reader of meshes from outside: scans, and other programs' predictions. Vertices stay in the file's order."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.io.filetypes import check_file, input_error, sniff

MESH_SUFFIXES = (".obj", ".ply", ".stl", ".off", ".glb", ".gltf")
_OFF_COUNTS = re.compile(rb"\s*[A-Z0-9]*OFF\s+\d+\s+(\d+)")


def read_mesh(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float64 and triangles [F, 3] int64 (0-based) of an OBJ, PLY, STL, OFF, GLB or glTF file.

    OBJ, PLY and OFF keep the file's vertices and their order, also those that no triangle has. STL knows no shared
    vertices: equal ones become one, in the order of their first appearance. The meshes of a GLB's scene are put
    together where their nodes have them. Polygons become triangles; a file of points gives [0, 3] triangles.
    Coordinates that are not finite are left to the caller.

    Raises:
        InputError: missing, empty, of another kind, cut off, against its format, without vertices, or with a triangle
            of a vertex that isn't there.
    """
    path = check_file(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise InputError(path, "is no mesh that facecli reads", f"it reads {', '.join(MESH_SUFFIXES)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise input_error(path, error) from error
    vertices, triangles = _parse(path, suffix, data)
    _check(path, vertices, triangles, data)
    return vertices, triangles


def _parse(path: Path, suffix: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    if suffix == ".obj":
        from facecli.io.wavefront import parse_obj

        return parse_obj(path, data)
    if suffix == ".ply":
        from facecli.io.ply import parse_ply

        return parse_ply(path, data)
    if suffix == ".stl":
        return _stl(path, data)
    if suffix == ".off":
        return _off(path, data)
    return _gltf(path, suffix)


def _check(path: Path, vertices: np.ndarray, triangles: np.ndarray, data: bytes) -> None:
    if len(vertices) == 0:
        words = sniff(data[:512]).words
        looks = f"; it looks like {words}" if words.startswith(("a ", "an ")) and words != "a text file" else ""
        raise InputError(path, "holds no vertices" + looks, "is it a mesh?")
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        bad = int(np.argmax(((triangles < 0) | (triangles >= len(vertices))).any(axis=1)))
        word = triangles[bad].tolist()
        raise InputError(
            path,
            f"has a triangle of vertices {word} (counted from 0) where there are {len(vertices)}",
            "was it cut off, or its indices counted from another start?",
        )


@contextlib.contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """trimesh's readers raise whatever happens to them."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(path, f"can't be read as {name}: {reason}", "is it cut off, or of another kind?") from error


def _stl(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    from trimesh.exchange.stl import load_stl

    with _reading(path, "STL"):
        kwargs = load_stl(io.BytesIO(data))
        # A text of several solids comes as one mesh each.
        parts = kwargs["geometry"].values() if "geometry" in kwargs else [kwargs]
        if not parts:
            raise InputError(path, "is cut off, or no STL file", "copy or download it again")
        corners = [np.asarray(part["vertices"], np.float64)[np.asarray(part["faces"])] for part in parts]
        soup = np.concatenate(corners).reshape(-1, 3)
    return _merge_equal(soup)


def _merge_equal(soup: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of `soup` [3 F, 3], three corners a triangle."""
    order = np.lexsort(soup.T)
    ordered = soup[order]
    is_new = np.ones(len(soup), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.minimum.reduceat(order, np.flatnonzero(is_new)) if len(soup) else order
    group = np.empty(len(soup), np.int64)
    group[order] = np.cumsum(is_new) - 1
    by_appearance = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[by_appearance] = np.arange(len(first))
    return soup[first[by_appearance]], rank[group].reshape(-1, 3)


def _off(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    from trimesh.exchange.off import load_off

    with _reading(path, "OFF"):
        kwargs = load_off(io.BytesIO(data))
        vertices = np.asarray(kwargs["vertices"], np.float64).reshape(-1, 3)
        triangles = np.asarray(kwargs.get("faces", ()), np.int64).reshape(-1, 3)
    counts = _OFF_COUNTS.match(re.sub(rb"#[^\r\n]*", b"", data))
    if counts and len(triangles) < int(counts[1]):  # polygons give more
        raise InputError(path, "is cut off", "copy or download it again")
    return vertices, triangles


def _gltf(path: Path, suffix: str) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    with _reading(path, "glTF"):
        scene = trimesh.load(path, file_type=suffix[1:], process=False, force="scene", skip_materials=True)
        vertices, triangles, count = [], [], 0
        for node in scene.graph.nodes_geometry:
            transform, name = scene.graph[node]
            part = scene.geometry[name]
            vertices.append(trimesh.transform_points(np.asarray(part.vertices, np.float64), transform))
            triangles.append(np.asarray(getattr(part, "faces", np.empty((0, 3))), np.int64) + count)
            count += len(vertices[-1])
    if not vertices:
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    return np.concatenate(vertices), np.concatenate(triangles)
