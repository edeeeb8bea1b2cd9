"""Landmarks of scans and meshes in files: MeshLab's `.pp`, `.npy`, `.txt` and `.json`."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import InputError
from facecli.io.filetypes import check_file, input_error
from facecli.io.safe_pickle import load_object_npy

NOW_ORDER = "right eye outer, inner, left eye inner, outer corner, nose base, right and left mouth corner"
"""The seven points of the NoW benchmark; right and left are the subject's."""


def read_landmarks(path: str | Path) -> np.ndarray:
    """NoW's seven points [7, 3], in the dtype that the official evaluation computes with.

    `.pp` and `.txt` give float32, `.npy` what is in the file. [1, 7, 3] is taken for [7, 3].

    Raises:
        InputError: the file can't be read, holds another number of points, or numbers that are not finite.
    """
    points = read_points(path)
    if len(points) != 7:
        raise InputError(path, f"holds {len(points)} points, not 7", f"the order is {NOW_ORDER}")
    return points


def read_points(path: str | Path) -> np.ndarray:
    """Any number of points [K, 3], float32 or float64.

    Raises:
        InputError: the file can't be read, holds no points in space, or numbers that are not finite.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(path, "is of no kind that landmarks are read from", "use one of " + ", ".join(READERS))
    check_file(path)
    try:
        points = np.asarray(reader(path))
    except OSError as error:
        raise input_error(path, error) from error
    if points.ndim == 3 and len(points) == 1:
        points = points[0]
    if points.dtype.kind not in "iuf" or points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise InputError(path, f"holds {_words(points)}, not points in space", "one row of x, y and z a point")
    if points.dtype != np.float32:
        points = points.astype(np.float64)
    if not np.isfinite(points).all():
        raise InputError(path, "holds landmarks that are not finite numbers")
    return points


def _words(array: np.ndarray) -> str:
    shape = " x ".join(map(str, array.shape))
    return f"an array of {shape} numbers" if array.dtype.kind in "iuf" and shape else "something else"


def _read_pp(path: Path) -> np.ndarray:
    """The `point` elements in the order of the file; their names don't count (nor do they in the official reader)."""
    content = path.read_bytes()
    if b"<!ENTITY" in content:
        raise InputError(path, "is refused: it defines XML entities", "MeshLab writes none")
    try:
        elements = list(ElementTree.fromstring(content).iter("point"))
        points = [[float(element.attrib[axis]) for axis in "xyz"] for element in elements]
    except ElementTree.ParseError as error:
        raise InputError(path, f"is no well-formed XML: {error}", "save the picked points in MeshLab again") from error
    except KeyError as error:
        raise InputError(path, f"has a point without {error.args[0]}") from error
    except ValueError as error:
        raise InputError(path, f"has a point that is no number: {error}") from error
    return np.array(points, dtype=np.float32).reshape(-1, 3)


def _read_txt(path: Path) -> np.ndarray:
    """One `x y z` line a point; commas or white space between the numbers, `#` begins a comment."""
    rows = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        try:
            row = [float(word) for word in words]
        except ValueError as error:
            raise InputError(path, f"line {number} is no point: {' '.join(line.split())[:60]!r}") from error
        if row and len(row) != 3:
            raise InputError(path, f"line {number} has {len(row)} numbers, not 3")
        if row:
            rows.append(row)
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


def _read_json(path: Path) -> np.ndarray:
    """A list of `[x, y, z]`, or an object that has it as `landmarks` or `points`."""
    try:
        content: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(path, f"is no JSON document: {error}") from error
    if isinstance(content, dict):
        content = next((content[name] for name in ("landmarks", "points") if name in content), None)
    try:
        return np.array(content, dtype=np.float64)
    except (ValueError, TypeError):
        raise InputError(path, "holds no list of [x, y, z]") from None


READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": load_object_npy,
    ".txt": _read_txt,
    ".pp": _read_pp,
    ".json": _read_json,
}
"""Suffix -> reader, the suffixes in the order in which files beside a mesh are looked for."""
