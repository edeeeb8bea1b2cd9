"""Vertices and faces of OBJ files, quickly: scans have hundreds of thousands of lines.

`facecli.export.obj.read_obj` also reads colours and textures, a line at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.io.polygons import fans

_UV_AND_NORMAL = re.compile(rb"/\S*")
_UV = re.compile(rb"(?<!\S)[^\s/]+/(-?\d{1,18})(?![^\s/])")
_INDENTED = b"\n ", b"\n\t", b"\r ", b"\r\t"
_BACKSLASH = b"\\"
_MEND = "was it cut off? else export it again as OBJ"


@dataclass
class _Lines:
    """Lines of one keyword."""

    keyword: bytes
    numbers: list[int]
    """From 1, as editors count."""
    lines: list[bytes]

    def rows(self) -> list[list[bytes]]:
        """The words behind the keyword."""
        return [line.partition(b"#")[0].split()[1:] for line in self.lines]

    def table(self) -> tuple[list[bytes], int] | None:
        """All words one behind the other, keywords too, and how many a line has; None if not all have as many."""
        text = b" ".join(self.lines)
        words = [] if b"#" in text else text.split()
        width, rest = divmod(len(words), max(len(self.lines), 1))
        if rest or not width or words[::width].count(self.keyword) != len(self.lines):
            return None
        return words, width


def parse_obj(path: str | Path, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float64 and triangles [F, 3] int64 of the OBJ `data`; `path` is named in errors.

    Vertices are those of the file, in its order, used or not. Whatever else a ``v`` line holds (colours, a weight) is
    ignored, and so are UV, normals, groups, materials and lines. Indices may be negative: from the last vertex so far.

    Raises:
        InputError: a line breaks the format; its number is named.
    """
    vertices, corners, counts = parse_obj_polygons(path, data)
    return vertices, fans(corners, counts)


def parse_obj_polygons(path: str | Path, data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`parse_obj`, with polygons as they are: vertices [V, 3], the vertices of all polygons one behind the
    other [N] int64, and how many each has [P] int64.

    Raises:
        InputError: as :func:`parse_obj`.
    """
    v, f = _lines_of(data, b"v", b"f")
    vertices = _vertices(path, v)
    indices, counts = _corners(path, f)
    return vertices, _absolute(path, indices, counts, f, v) - 1, counts


def parse_obj_vertices(path: str | Path, data: bytes) -> tuple[np.ndarray, bytes]:
    """Vertices [V, 3] float64 and the lines of the faces as they stand, by which files of one mesh are known without
    reading its faces again.

    Raises:
        InputError: a line of a vertex breaks the format; its number is named.
    """
    v, f = _lines_of(data, b"v", b"f")
    return _vertices(path, v), b"\n".join(f.lines)


@dataclass(frozen=True)
class TexturedPolygons:
    """A mesh whose every corner has a UV.

    Args:
        vertices: [V, 3] float64. uv: [T, 2] float64.
        corners, uv_corners: [N] int64, the vertex and the UV of each corner of all polygons, one behind the other.
        counts: [P] int64, corners of each polygon.
    """

    vertices: np.ndarray
    uv: np.ndarray
    corners: np.ndarray
    uv_corners: np.ndarray
    counts: np.ndarray


def parse_textured_obj(path: str | Path, data: bytes) -> TexturedPolygons:
    """As :func:`parse_obj`, with UV and with polygons as they are.

    Raises:
        InputError: a line breaks the format, a corner has no UV, or one names what isn't there.
    """
    v, vt, f = _lines_of(data, b"v", b"vt", b"f")
    vertices, uv = _vertices(path, v), _vertices(path, vt, axes=2)
    corners, counts = _corners(path, f)
    corners = _absolute(path, corners, counts, f, v) - 1
    found = _UV.findall(b" ".join(b" ".join(row) for row in f.rows()))
    if len(found) != len(corners):
        raise InputError(path, "has faces without UV", _MEND)
    uv_corners = _absolute(path, np.array(list(map(int, found)), np.int64), counts, f, vt) - 1
    for what, found, there in (("vertices", corners, vertices), ("UV", uv_corners, uv)):
        if len(found) and found.max() >= len(there):
            raise InputError(path, f"has faces of {found.max() + 1} {what} and holds {len(there)}", _MEND)
    return TexturedPolygons(vertices, uv, corners, uv_corners, counts)


def _lines_of(data: bytes, *keywords: bytes) -> Iterator[_Lines]:
    """The lines that begin with each keyword."""
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()
    numbers = None
    if _BACKSLASH in data:
        numbers, lines = map(list, zip(*_joined(lines), strict=True))
    if data[:1].isspace() or any(word in data for word in _INDENTED):
        lines = [line.lstrip() for line in lines]

    def beginning(keyword: bytes) -> _Lines:
        starts = keyword + b" ", keyword + b"\t"
        found = [index for index, line in enumerate(lines) if line.startswith(starts)]
        at = [index + 1 if numbers is None else numbers[index] for index in found]
        return _Lines(keyword, at, [lines[index] for index in found])

    return map(beginning, keywords)


def _joined(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that end in a backslash with the next one; comments don't go on (``# made in C:\\scans\\``)."""
    start, parts = 0, []
    for number, line in enumerate(lines, 1):
        start = start if parts else number
        goes_on = line.rstrip().endswith(_BACKSLASH) and (parts or not line.lstrip().startswith(b"#"))
        parts.append(line.rstrip()[:-1] if goes_on else line)
        if not goes_on:
            yield start, b" ".join(parts)
            parts = []
    if parts:
        yield start, b" ".join(parts)


def _vertices(path: str | Path, v: _Lines, axes: int = 3) -> np.ndarray:
    table = v.table()
    try:
        if table is not None and table[1] > axes:
            words, width = table
            columns = [list(map(float, words[1 + axis :: width])) for axis in range(axes)]
            return np.array(columns, np.float64).T.copy()
        rows = [[float(row[axis]) for axis in range(axes)] for row in v.rows()]
        return np.array(rows, np.float64).reshape(-1, axes)
    except (ValueError, IndexError):
        raise _broken(path, v, lambda words: _numbers(words, axes)) from None


def _corners(path: str | Path, f: _Lines) -> tuple[np.ndarray, np.ndarray]:
    """The vertex of each corner, as the file counts, and the corners of each face."""
    table = f.table()
    if table is not None and table[1] >= 4:
        words, width = table
        del words[::width]
        counts = np.full(len(f.lines), width - 1)
    else:
        rows = f.rows()
        words = [word for row in rows for word in row]
        counts = np.array([len(row) for row in rows], np.int64)
    text = b" ".join(words)
    if b"/" in text:
        words = _UV_AND_NORMAL.sub(b"", text).split()
    try:
        indices = np.array(list(map(int, words)), np.int64)
    except (ValueError, OverflowError):
        raise _broken(path, f, _three_corners) from None
    if (counts < 3).any() or len(indices) != counts.sum():  # `//1`: a corner without a vertex
        raise _broken(path, f, _three_corners)
    return indices, counts


def _numbers(words: list[bytes], axes: int) -> None:
    if len(words) < axes:
        raise ValueError(f"{len(words)} numbers where {axes} belong")
    for word in words[:axes]:
        float(word)


def _three_corners(words: list[bytes]) -> None:
    if len(words) < 3:
        raise ValueError("a face of fewer than three corners")
    for word in words:
        np.int64(int(word.partition(b"/")[0]))


def _broken(path: str | Path, lines: _Lines, check: Callable[[list[bytes]], None]) -> InputError:
    """The error that names the first line which `check` refuses."""
    for number, line, words in zip(lines.numbers, lines.lines, lines.rows(), strict=True):
        try:
            check(words)
        except (ValueError, OverflowError) as error:
            shown = line.strip()[:60].decode("utf-8", "replace")
            return InputError(path, f"is broken at line {number}, {shown!r}: {error}", _MEND)
    return InputError(path, "is broken", _MEND)


def _absolute(path, indices: np.ndarray, counts: np.ndarray, f: _Lines, named: _Lines) -> np.ndarray:
    """`indices` of lines of `named`, with the negative ones counted from the start."""
    if not (indices < 1).any():
        return indices
    line = np.repeat(f.numbers, counts)
    so_far = np.searchsorted(named.numbers, line)
    absolute = np.where(indices < 0, so_far + 1 + indices, indices)
    if (absolute < 1).any():
        bad = int(np.argmax(absolute < 1))
        raise InputError(path, f"is broken at line {line[bad]}: vertex {indices[bad]}", _MEND)
    return absolute
