"""Wavefront OBJ with its material, texture and normal map, written and read with separate UV indices.

Own code, since readers and writers at large split vertices at UV seams and so lose the model's vertex order.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.export.surface import outward_normals
from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write
from facecli.io.images import read_image, write_image

_UNITS = {0.001: "millimetres", 0.01: "centimetres", 1.0: "metres"}
_UNIT_LINE = re.compile(r"#\s*unit:\s*(\S+)(?:\s+metres)?")


@dataclass(frozen=True)
class Displacement:
    """A displacement map that a material names.

    Args:
        name: of the picture, in the OBJ's folder.
        low: what black means, along the normals in the mesh's unit.
        range: from black to white.
    """

    name: str
    low: float
    range: float


def write_obj(
    path: str | Path,
    mesh: TriangleMesh,
    *,
    texture_name: str | None = None,
    texture_png: bytes | None = None,
    normal_png: bytes | None = None,
    displacement: Displacement | None = None,
) -> None:
    """Write `mesh` as `path` and, with a texture, ``.mtl`` and ``.png`` of the same name beside it.

    A normal map becomes ``…_normals.png``, and the OBJ then holds the normals that it refers to. Positions keep the
    mesh's unit, to the last bit of float32. The OBJ is put in place last: a kill in between leaves none that points at
    a missing picture.

    Args:
        texture_name: another name for the texture file; without `mesh.texture`, a picture already in that folder.
        texture_png, normal_png: `mesh.texture` and `mesh.normal_map` as PNGs, if they were encoded already; the texture
            file must be a ``.png`` then.
        displacement: a map already in that folder.
    """
    path = Path(path)
    pictures = {}
    if mesh.uv is not None and (mesh.texture is not None or texture_name is not None):
        pictures["texture"] = texture_name or path.with_suffix(".png").name
        if mesh.texture is not None:
            _write_picture(path.with_name(pictures["texture"]), mesh.texture, texture_png)
    if mesh.uv is not None and mesh.normal_map is not None:
        pictures["normals"] = normals_name(path.stem)
        _write_picture(path.with_name(pictures["normals"]), mesh.normal_map, normal_png)
    material = path.with_suffix(".mtl")
    if pictures:
        with atomic_write(material) as temporary:
            temporary.write_text(_material(displacement=displacement, **pictures), "utf-8", "surrogateescape")
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file,
    ):
        file.writelines(_blocks(mesh, material.name if pictures else None))


def normals_name(stem: str) -> str:
    """The normal map's file beside ``stem.obj``."""
    return f"{stem}_normals.png"


def _write_picture(path: Path, pixels: np.ndarray, png: bytes | None) -> None:
    if png is None:
        write_image(path, pixels)
    else:
        with atomic_write(path) as temporary:
            temporary.write_bytes(png)


def _material(texture: str | None = None, normals: str | None = None, displacement: Displacement | None = None) -> str:
    """A matte material: a texture is a photograph and holds its light already; without one it is grey."""
    grey = 1 if texture else 0.7
    lines = ["newmtl face", "Ka 0 0 0", f"Kd {grey} {grey} {grey}", "Ks 0 0 0", "illum 1"]
    if texture:
        lines.append(f"map_Kd {_one_line(texture)}")
    if normals:
        # `norm` is the word for it. Blender doesn't know that one and takes `map_Bump` for a normal map, which by the
        # book is a height; three.js, which reads it so, prefers `norm`, and MeshLab and trimesh read neither.
        lines += [f"norm {_one_line(normals)}", f"map_Bump {_one_line(normals)}"]
    if displacement:
        # -mm: base and gain, so that what is read between 0 and 1 means lengths in the mesh's unit.
        lines.append(f"disp -mm {displacement.low:.9g} {displacement.range:.9g} {_one_line(displacement.name)}")
    return "\n".join(lines) + "\n"


def _one_line(name: str) -> str:
    """File names may hold line ends; these formats can't."""
    return re.sub(r"[\x00-\x1f]", "_", name)


def _blocks(mesh: TriangleMesh, material: str | None) -> Iterator[str]:
    """The file piece by piece; tables are formatted whole, at a third of the time that lines take."""
    unit = _UNITS.get(mesh.metres_per_unit) or f"{mesh.metres_per_unit!r} metres"
    yield f"# facecli\n# unit: {unit}\n# axes: x right, y up, z towards the viewer of a frontal face\n"
    if material:
        yield f"mtllib {_one_line(material)}\n"
    yield "o face\n"
    numbers = _text(mesh.vertices)
    if mesh.vertex_colors is not None:
        numbers = np.concatenate([numbers, _text(np.round(np.asarray(mesh.vertex_colors) / 255, 4))], axis=1)
    yield _table("v", numbers)
    if mesh.uv is not None:
        yield _table("vt", _text(mesh.uv))
    has_normals = mesh.uv is not None and mesh.normal_map is not None
    if has_normals:
        yield _table("vn", _text(np.round(outward_normals(mesh), 5)))
    if material:
        yield "usemtl face\n"
    yield _table("f", _corners(mesh, has_normals))


def _table(word: str, rows: np.ndarray) -> str:
    """A line for each of `rows` [N, C]."""
    return f"{word}{' %s' * rows.shape[1]}\n" * len(rows) % tuple(rows.ravel().tolist())


def _corners(mesh: TriangleMesh, has_normals: bool) -> np.ndarray:
    """The corners [F, 3] as the format has them: 1-based ``vertex``, ``vertex/uv`` or ``vertex/uv/normal``."""
    vertex = np.asarray(mesh.triangles, np.int64)
    if mesh.uv is None:
        return vertex + 1
    uv = vertex if mesh.uv_triangles is None else np.asarray(mesh.uv_triangles, np.int64)
    pairs, corner = np.unique(vertex * len(mesh.uv) + uv, return_inverse=True)  # a word once, not at every corner
    form = "{0}/{1}/{0}" if has_normals else "{0}/{1}"
    words = [form.format(*pair) for pair in (np.stack(np.divmod(pairs, len(mesh.uv)), axis=1) + 1).tolist()]
    return np.array(words, object)[corner.reshape(vertex.shape)]


def _text(numbers: np.ndarray) -> np.ndarray:
    """The shortest decimal of each float32, which reads back as the same float32."""
    return np.asarray(numbers, np.float32).astype(np.str_)


def read_obj(path: str | Path, *, metres_per_unit: float | None = None) -> TriangleMesh:
    """Read an OBJ: positions, UV with their own indices, vertex colours, texture and normal map of its first material.

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
            texture=self._picture("map_Kd") if has_uv else None,
            normal_map=self._picture("norm") if has_uv else None,
            vertex_colors=self._colors(),
            metres_per_unit=metres_per_unit or self.metres_per_unit or 0.001,
        )

    def _colors(self) -> np.ndarray | None:
        if any(len(row) < 6 for row in self.vertices):
            return None
        return np.rint(np.clip([row[3:6] for row in self.vertices], 0, 1) * np.float64(255)).astype(np.uint8)

    def _picture(self, kind: str) -> np.ndarray | None:
        """The first picture that exists of this `kind`; a mesh without its pictures is still a mesh."""
        for library in self.libraries:
            with contextlib.suppress(OSError, InputError):
                for line in self.path.with_name(library).read_text("utf-8", "surrogateescape").splitlines():
                    word, _, name = line.strip().partition(" ")
                    if word == kind:
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
