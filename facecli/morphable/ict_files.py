"""Reads ICT-FaceKit's light face model: one `.npz` of plain arrays, or the published folder of OBJ files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.errors import InputError

MILLIMETRES = 10.0
"""The files are in centimetres."""
FULL_VERTICES = 26_719
"""Of ICT-FaceKit's mesh with teeth, lashes and the rest; `source_vertex` counts in it."""

_MEND = "it should hold ICT-FaceKit's mean, identity, expression, expression_names, faces, uv, uv_faces, source_vertex"
_KINDS = {
    "mean": "f", "identity": "f", "expression": "f", "uv": "f",
    "faces": "iu", "uv_faces": "iu", "source_vertex": "iu", "expression_names": "U",
}  # fmt: skip


@dataclass(frozen=True)
class IctArrays:
    """ICT-FaceKit's numbers, millimetres: x right as seen from the front, y up, z to the viewer.

    Args:
        mean: [V, 3] float32.
        identity: [I, V, 3] float32, one standard deviation each.
        expression: [E, V, 3] float32 at weight 1; `expression_names` [E] are ARKit's, with ``_L`` and
            ``_R`` for the subject's left and right.
        triangles: [F, 3] int64. uv: [T, 2] float32, origin bottom-left; uv_triangles: [F, 3] int64.
        source_vertex: [V] int64, which of ICT-FaceKit's 26719 vertices each is, ascending.
        fingerprint: of the numbers, 16 hexadecimal digits.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    source_vertex: np.ndarray
    fingerprint: str


def read_ict(path: str | Path) -> IctArrays:
    """The model, of its ``.npz`` or of the folder ``FaceXModel`` (or a clone around it), which is made into one, once.

    Raises:
        InputError: missing, damaged, or something else.
    """
    content = _read_folder(path) if Path(path).is_dir() else _read(path)
    problem = _misfit(content)
    if problem:
        raise InputError(path, f"is not ICT-FaceKit's face model: {problem}", _MEND)
    return IctArrays(
        mean=content["mean"].astype(np.float32) * np.float32(MILLIMETRES),
        identity=content["identity"].astype(np.float32) * np.float32(MILLIMETRES),
        expression=content["expression"].astype(np.float32) * np.float32(MILLIMETRES),
        expression_names=tuple(str(name) for name in content["expression_names"]),
        triangles=content["faces"].astype(np.int64),
        uv=content["uv"].astype(np.float32),
        uv_triangles=content["uv_faces"].astype(np.int64),
        source_vertex=content["source_vertex"].astype(np.int64),
        fingerprint=_fingerprint(content),
    )


def _read_folder(folder: str | Path) -> dict[str, np.ndarray]:
    from facecli.morphable.ict_convert import converted_folder, ict_content

    made = converted_folder(folder)
    return _read(made) if made else ict_content(folder)


def _read(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, Mapping):
                raise TypeError("it holds one array")
            return {name: archive[name] for name in _KINDS if name in archive.files}
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except Exception as error:  # numpy and zipfile raise a dozen kinds
        raise InputError(path, f"can't be read: {' '.join(str(error).split())}", _MEND) from error


def _misfit(content: Mapping[str, np.ndarray]) -> str:
    """What is wrong with names, kinds, shapes, indices or numbers, or ""."""
    lacking = [name for name in _KINDS if name not in content]
    if lacking:
        return f"it lacks {', '.join(lacking)}"
    for name, kinds in _KINDS.items():
        if content[name].dtype.kind not in kinds:
            return f"{name} holds {content[name].dtype}"
    count, triangles = len(np.atleast_1d(content["mean"])), len(np.atleast_1d(content["faces"]))
    shapes = {
        "mean": (count, 3),
        "identity": (None, count, 3),
        "expression": (None, count, 3),
        "expression_names": (len(np.atleast_1d(content["expression"])),),
        "faces": (triangles, 3),
        "uv": (None, 2),
        "uv_faces": (triangles, 3),
        "source_vertex": (count,),
    }
    for name, shape in shapes.items():
        found = content[name].shape
        if len(found) != len(shape) or any(want not in (None, is_) for want, is_ in zip(shape, found, strict=True)):
            wanted = ", ".join("…" if side is None else str(side) for side in shape)
            return f"{name} has the shape {list(found)}, not [{wanted}]"
    for name, limit in (("faces", count), ("uv_faces", len(content["uv"])), ("source_vertex", FULL_VERTICES)):
        if not content[name].size or content[name].min() < 0 or content[name].max() >= limit:
            return f"{name} holds numbers outside 0..{limit - 1}"
    if (np.diff(content["source_vertex"].astype(np.int64)) <= 0).any():
        return "source_vertex is not ascending"
    if not all(np.isfinite(content[name]).all() for name, kinds in _KINDS.items() if kinds == "f"):
        return "it holds numbers that are not finite"
    return ""


def _fingerprint(content: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(_KINDS):
        array = np.ascontiguousarray(content[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
