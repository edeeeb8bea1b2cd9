"""Wavefront OBJ with its material and texture, written and read with separate UV indices.

Own code, since readers and writers at large split vertices at UV seams and so lose the model's vertex order.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write
from facecli.io.images import read_image, write_image

_UNITS = {0.001: "millimetres", 0.01: "centimetres", 1.0: "metres"}
_UNIT_LINE = re.compile(r"#\s*unit:\s*(\S+)(?:\s+metres)?")


def write_obj(
    path: str | Path, mesh: TriangleMesh, *, texture_name: str | None = None, texture_png: bytes | None = None
) -> None:
    """Write `mesh` as `path` and, with a texture, ``.mtl`` and ``.png`` of the same name beside it.

    Positions keep the mesh's unit, to the last bit of float32. The OBJ is put in place last: a kill in between leaves
    none that points at a missing texture.

    Args:
        texture_name: another name for the texture file; without `mesh.texture`, a picture already in that folder.
        texture_png: `mesh.texture` as a PNG, if it was encoded already; the texture file must be a ``.png`` then.
    """
    path = Path(path)
    textured = mesh.uv is not None and (mesh.texture is not None or texture_name is not None)
    material = path.with_suffix(".mtl")
    if textured:
        picture = path.with_name(texture_name or path.with_suffix(".png").name)
        if mesh.texture is not None:
            _write_texture(picture, mesh.texture, texture_png)
        with atomic_write(material) as temporary:
            temporary.write_text(_material(picture.name), "utf-8", "surrogateescape")
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file,
    ):
        file.writelines(line + "\n" for line in _lines(mesh, material.name if textured else None))


def _write_texture(path: Path, texture: np.ndarray, png: bytes | None) -> None:
    if png is None:
        write_image(path, texture)
    else:
        with atomic_write(path) as temporary:
            temporary.write_bytes(png)


def _material(picture: str) -> str:
    """A matte material: the texture is a photograph and holds its light already."""
    return f"newmtl face\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {_one_line(picture)}\n"


def _one_line(name: str) -> str:
    """File names may hold line ends; these formats can't."""
    return re.sub(r"[\x00-\x1f]", "_", name)


def _lines(mesh: TriangleMesh, material: str | None) -> Iterable[str]:
    unit = _UNITS.get(mesh.metres_per_unit) or f"{mesh.metres_per_unit!r} metres"
    yield "# facecli"
    yield f"# unit: {unit}"
    yield "# axes: x right, y up, z towards the viewer of a frontal face"
    if material:
        yield f"mtllib {_one_line(material)}"
    yield "o face"
    numbers = _text(mesh.vertices)
    if mesh.vertex_colors is not None:
        numbers = np.concatenate([numbers, _text(np.round(np.asarray(mesh.vertex_colors) / 255, 4))], axis=1)
    yield from ("v " + " ".join(row) for row in numbers.tolist())
    if mesh.uv is not None:
        yield from ("vt " + " ".join(row) for row in _text(mesh.uv).tolist())
    if material:
        yield "usemtl face"
    corners = np.asarray(mesh.triangles, np.int64) + 1
    if mesh.uv is None:
        yield from (f"f {a} {b} {c}" for a, b, c in corners.tolist())
        return
    uv_corners = corners if mesh.uv_triangles is None else np.asarray(mesh.uv_triangles, np.int64) + 1
    for (a, b, c), (s, t, u) in zip(corners.tolist(), uv_corners.tolist(), strict=True):
        yield f"f {a}/{s} {b}/{t} {c}/{u}"


def _text(numbers: np.ndarray) -> np.ndarray:
    """The shortest decimal of each float32, which reads back as the same float32."""
    return np.asarray(numbers, np.float32).astype(np.str_)


def read_obj(path: str | Path, *, metres_per_unit: float | None = None) -> TriangleMesh:
    """Read an OBJ: positions, UV with their own indices, vertex colours, the texture of its first material.

    Polygons become fans of triangles; negative indices count from the end; normals, groups and lines are ignored.
    Vertex order is kept. Colours are read when every vertex has them, UV when every corner has one.

    Args:
        metres_per_unit: overrides the unit that facecli's own files name in a comment; else millimetres.

    Raises:
        InputError: it can't be read or breaks the format; the line is named.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from error
    parser = _Parser(path)
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        parser.line(number, line)
    return parser.mesh(metres_per_unit)


class _Parser:
    """Collects what the lines of one OBJ say."""

    def __init__(self, path: Path):
        self.path = path
        self.vertices: list[list[float]] = []
        self.uv: list[list[float]] = []
        self.triangles: list[tuple[int, int, int]] = []
        self.uv_triangles: list[tuple[int, int, int]] = []
        self.libraries: list[str] = []
        self.metres_per_unit: float | None = None

    def line(self, number: int, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "v":
                self.vertices.append(_floats(rest, at_least=3))
            elif word == "vt":
                self.uv.append(_floats(rest, at_least=2)[:2])
            elif word == "f":
                self._polygon(rest.split())
            elif word == "mtllib":
                self.libraries.append(rest.strip())
            elif word == "#":
                self._comment(line)
        except ValueError as error:
            raise InputError(self.path, f"is broken at line {number}: {error}") from error

    def _comment(self, line: str) -> None:
        found = _UNIT_LINE.match(line)
        if found:
            names = {name: unit for unit, name in _UNITS.items()}
            with contextlib.suppress(ValueError):
                self.metres_per_unit = names.get(found[1]) or float(found[1])

    def _polygon(self, corners: list[str]) -> None:
        if len(corners) < 3:
            raise ValueError("a face of fewer than three corners")
        parts = [corner.split("/") for corner in corners]
        vertices = [_index(part[0], len(self.vertices)) for part in parts]
        uv = [_index(part[1], len(self.uv)) for part in parts if len(part) > 1 and part[1]]
        for i in range(1, len(corners) - 1):
            self.triangles.append((vertices[0], vertices[i], vertices[i + 1]))
            if len(uv) == len(vertices):
                self.uv_triangles.append((uv[0], uv[i], uv[i + 1]))

    def mesh(self, metres_per_unit: float | None) -> TriangleMesh:
        if not self.vertices:
            raise InputError(self.path, "holds no vertices", "is it an OBJ file?")
        triangles = np.array(self.triangles, np.int64).reshape(-1, 3)
        uv_triangles = np.array(self.uv_triangles, np.int64).reshape(-1, 3)
        if len(triangles) and triangles.max() >= len(self.vertices):
            raise InputError(self.path, f"has a face of vertex {triangles.max() + 1}, of {len(self.vertices)}")
        if len(uv_triangles) and uv_triangles.max() >= len(self.uv):
            raise InputError(self.path, f"has a face of texture vertex {uv_triangles.max() + 1}, of {len(self.uv)}")
        has_uv = len(self.uv) > 0 and len(uv_triangles) == len(triangles)
        return TriangleMesh(
            vertices=np.array([row[:3] for row in self.vertices], np.float64),
            triangles=triangles,
            uv=np.array(self.uv, np.float64) if has_uv else None,
            uv_triangles=uv_triangles if has_uv else None,
            texture=self._texture() if has_uv else None,
            vertex_colors=self._colors(),
            metres_per_unit=metres_per_unit or self.metres_per_unit or 0.001,
        )

    def _colors(self) -> np.ndarray | None:
        if any(len(row) < 6 for row in self.vertices):
            return None
        return np.rint(np.clip([row[3:6] for row in self.vertices], 0, 1) * np.float64(255)).astype(np.uint8)

    def _texture(self) -> np.ndarray | None:
        """The first texture that exists; a mesh without its picture is still a mesh."""
        for library in self.libraries:
            with contextlib.suppress(OSError, InputError):
                for line in self.path.with_name(library).read_text("utf-8", "surrogateescape").splitlines():
                    word, _, name = line.strip().partition(" ")
                    if word == "map_Kd":
                        return read_image(self.path.parent / name.strip())
        return None


def _floats(text: str, at_least: int) -> list[float]:
    numbers = [float(word) for word in text.split()]
    if len(numbers) < at_least:
        raise ValueError(f"{len(numbers)} numbers where {at_least} belong")
    return numbers


def _index(word: str, count: int) -> int:
    """0-based from the 1-based (or negative, from the end) number in the file."""
    index = int(word)
    if index == 0 or index < -count:
        raise ValueError(f"index {index}")
    return index - 1 if index > 0 else count + index
