"""Vertices and triangles of OBJ files, quickly: scans have hundreds of thousands of lines.

`facecli.export.obj.read_obj` also reads UV, colours and textures, a line at a time.
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
    v, f = _lines_of(data)
    vertices = _vertices(path, v)
    indices, counts = _corners(path, f)
    if (indices < 1).any():
        indices = _from_the_end(path, indices, counts, f.numbers, v.numbers)
    return vertices, fans(indices - 1, counts)


def _lines_of(data: bytes) -> tuple[_Lines, _Lines]:
    """The lines that begin with ``v`` and those with ``f``."""
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

    return beginning(b"v"), beginning(b"f")


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


def _vertices(path: str | Path, v: _Lines) -> np.ndarray:
    table = v.table()
    try:
        if table is not None and table[1] >= 4:
            words, width = table
            return np.array([list(map(float, words[axis::width])) for axis in (1, 2, 3)], np.float64).T.copy()
        rows = [(float(row[0]), float(row[1]), float(row[2])) for row in v.rows()]
        return np.array(rows, np.float64).reshape(-1, 3)
    except (ValueError, IndexError):
        raise _broken(path, v, _three_numbers) from None


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


def _three_numbers(words: list[bytes]) -> None:
    if len(words) < 3:
        raise ValueError(f"{len(words)} numbers where 3 belong")
    for word in words[:3]:
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


def _from_the_end(path, indices: np.ndarray, counts: np.ndarray, f_lines: list[int], v_lines: list[int]) -> np.ndarray:
    """`indices` with the negative ones counted from the start."""
    line = np.repeat(f_lines, counts)
    so_far = np.searchsorted(v_lines, line)
    absolute = np.where(indices < 0, so_far + 1 + indices, indices)
    if (absolute < 1).any():
        bad = int(np.argmax(absolute < 1))
        raise InputError(path, f"is broken at line {line[bad]}: vertex {indices[bad]}", _MEND)
    return absolute
