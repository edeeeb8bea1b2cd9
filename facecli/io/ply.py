"""Vertices and triangles of PLY files, text or binary.

Own code: trimesh splits vertices where texture coordinates differ, can't read binary files that mix triangles and
quads (Blender's), and takes a text that was cut off for a smaller mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.io.polygons import fans

_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"},
    **{"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4"},
    **{"double": "f8", "float64": "f8"},
}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_CUT = "is cut off", "copy or download it again"


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str
    count_kind: str = ""
    """Of a list: the type of its length."""


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)


Columns = dict[str, tuple[np.ndarray, np.ndarray | None]]
"""Property -> its values, and of a list (all rows' values in one array) how many are each row's."""


def parse_ply(path: str | Path, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float64 and triangles [F, 3] int64 of the PLY `data`; `path` is named in errors.

    Raises:
        InputError: the header or the data break the format, or data are missing.
    """
    order, elements, body = _header(path, data)
    reader = _TextReader(path, body) if not order else _BinaryReader(path, body, order)
    tables: dict[str, Columns] = {}
    for element in elements:
        tables[element.name] = reader.read(element) if element.count else {}
        if {"vertex", "face"} <= set(tables):
            break
    vertex, face = tables.get("vertex", {}), tables.get("face", {})
    if "tristrips" in tables and not face:
        raise InputError(path, "holds triangle strips", "open it in MeshLab and export it again")
    vertices = np.empty((0, 3))
    if vertex:
        if not {"x", "y", "z"} <= set(vertex):
            raise InputError(path, "has vertices without x, y and z", "is it a mesh?")
        vertices = np.stack([vertex[axis][0].astype(np.float64) for axis in "xyz"], axis=1)
    corners = face.get("vertex_indices") or face.get("vertex_index")
    if corners is None or corners[1] is None:
        return vertices, np.empty((0, 3), np.int64)
    return vertices, fans(*corners)


def _header(path: str | Path, data: bytes) -> tuple[str, list[_Element], bytes]:
    """Byte order ("" for text), elements, and what follows."""
    mend = "is it a PLY file?"
    if not data.startswith(b"ply"):
        raise InputError(path, "is no PLY file", mend)
    end = data.find(b"end_header")
    if end < 0:
        raise InputError(path, *_CUT)
    body = data.find(b"\n", end) + 1
    body = body or end + len(b"end_header\r")  # no line feed anywhere: an old Mac's line ends
    order, elements = None, []
    for line in data[:end].decode("latin1").splitlines()[1:]:
        words = line.split()
        try:
            match words:
                case ["format", name, *_]:
                    order = _FORMATS[name]
                case ["element", name, count]:
                    elements.append(_Element(name, _count(count)))
                case ["property", "list", count_kind, kind, name]:
                    elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[count_kind]))
                case ["property", kind, name]:
                    elements[-1].properties.append(_Property(name, _TYPES[kind]))
                case [] | ["comment" | "obj_info", *_]:
                    pass
                case _:
                    raise ValueError
        except (KeyError, ValueError, IndexError):
            raise InputError(path, f"has a header that breaks the format: {line[:60]!r}", mend) from None
    if order is None:
        raise InputError(path, "has a header without a format", mend)
    return order, elements, data[body:]


def _count(word: str) -> int:
    count = int(word)
    if count < 0:
        raise ValueError
    return count


class _BinaryReader:
    """Elements one after the other, from bytes."""

    def __init__(self, path: str | Path, body: bytes, order: str):
        self.path, self.body, self.order, self.at = path, body, order, 0

    def read(self, element: _Element) -> Columns:
        sizes = self._first_sizes(element)
        layout = self._layout(element, sizes)
        if self.at + element.count * layout.itemsize <= len(self.body):
            table = np.frombuffer(self.body, layout, element.count, self.at)
            if all((table[f"count of {name}"] == size).all() for name, size in sizes.items()):
                self.at += element.count * layout.itemsize
                return {
                    p.name: (table[p.name].ravel(), table[f"count of {p.name}"] if p.count_kind else None)
                    for p in element.properties
                }
        if not sizes:
            raise InputError(self.path, *_CUT)
        return self._row_by_row(element)

    def _first_sizes(self, element: _Element) -> dict[str, int]:
        """Lengths of the lists in the first row; mostly they are those of all."""
        sizes: dict[str, int] = {}
        at = self.at
        for item in element.properties:
            size = 1
            if item.count_kind:
                size = sizes[item.name] = int(self._numbers(item.count_kind, 1, at)[0])
                at += np.dtype(item.count_kind).itemsize
            at += size * np.dtype(item.kind).itemsize
        return sizes

    def _layout(self, element: _Element, sizes: dict[str, int]) -> np.dtype:
        fields = []
        for item in element.properties:
            if item.count_kind:
                fields.append((f"count of {item.name}", self.order + item.count_kind))
                fields.append((item.name, self.order + item.kind, (sizes[item.name],)))
            else:
                fields.append((item.name, self.order + item.kind))
        try:
            return np.dtype(fields)
        except ValueError as error:
            raise InputError(self.path, f"breaks the format: {error}", "export it again as PLY") from None

    def _row_by_row(self, element: _Element) -> Columns:
        values: dict[str, list] = {item.name: [] for item in element.properties}
        counts: dict[str, list[int]] = {item.name: [] for item in element.properties if item.count_kind}
        for _ in range(element.count):
            for item in element.properties:
                size = 1
                if item.count_kind:
                    size = int(self._take(item.count_kind, 1)[0])
                    counts[item.name].append(size)
                values[item.name].append(self._take(item.kind, size))
        return {
            name: (np.concatenate(parts), np.array(counts[name]) if name in counts else None)
            for name, parts in values.items()
        }

    def _take(self, kind: str, count: int) -> np.ndarray:
        numbers = self._numbers(kind, count, self.at)
        self.at += numbers.nbytes
        return numbers

    def _numbers(self, kind: str, count: int, at: int) -> np.ndarray:
        if count < 0 or at + count * np.dtype(kind).itemsize > len(self.body):
            raise InputError(self.path, *_CUT)
        return np.frombuffer(self.body, self.order + kind, count, at)


class _TextReader:
    """Elements one after the other, from words."""

    def __init__(self, path: str | Path, body: bytes):
        self.path, self.words, self.at = path, body.split(), 0

    def read(self, element: _Element) -> Columns:
        numbers = self._equal_rows(element)
        return numbers if numbers is not None else self._row_by_row(element)

    def _equal_rows(self, element: _Element) -> Columns | None:
        """All rows at once where their lists are as long as the first row's; None where not."""
        columns, width = [], 0
        for item in element.properties:
            size = self._count(self.at + width) if item.count_kind else 1
            start = width + bool(item.count_kind)
            columns.append((item, start, size))
            width = start + size
        words = self.words[self.at : self.at + element.count * width]
        has_lists = any(item.count_kind for item in element.properties)
        if len(words) < element.count * width:
            if has_lists:
                return None
            raise InputError(self.path, *_CUT)
        table = self._floats(words).reshape(element.count, width)
        if any((table[:, start - 1] != size).any() for item, start, size in columns if item.count_kind):
            return None
        self.at += len(words)
        return {
            item.name: (
                table[:, start : start + size].ravel(),
                table[:, start - 1].astype(np.int64) if item.count_kind else None,
            )
            for item, start, size in columns
        }

    def _row_by_row(self, element: _Element) -> Columns:
        values: dict[str, list[bytes]] = {item.name: [] for item in element.properties}
        counts: dict[str, list[int]] = {item.name: [] for item in element.properties if item.count_kind}
        for _ in range(element.count):
            for item in element.properties:
                size = 1
                if item.count_kind:
                    size = self._count(self.at)
                    counts[item.name].append(size)
                    self.at += 1
                words = self.words[self.at : self.at + size]
                if len(words) < size:
                    raise InputError(self.path, *_CUT)
                values[item.name] += words
                self.at += size
        return {
            name: (self._floats(words), np.array(counts[name]) if name in counts else None)
            for name, words in values.items()
        }

    def _count(self, at: int) -> int:
        if at >= len(self.words):
            raise InputError(self.path, *_CUT)
        try:
            return _count(self.words[at].decode("latin1"))
        except ValueError:
            raise InputError(self.path, f"has {self.words[at]!r} where a length belongs", "export it again") from None

    def _floats(self, words: list[bytes]) -> np.ndarray:
        try:
            return np.array(list(map(float, words)), np.float64)
        except ValueError as error:
            raise InputError(self.path, f"breaks the format: {error}", "export it again as PLY") from None
