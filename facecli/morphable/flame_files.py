"""Reads FLAME's files and those that go with it, in all the formats they are handed out in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import InputError
from facecli.io.arrays import write_npz
from facecli.io.safe_pickle import load_object_npy, load_pickle

VERTICES, TRIANGLES, JOINTS = 5023, 9976, 5
IDENTITIES, EXPRESSIONS = 300, 100
"""Directions in the files: the first 300 columns of `shapedirs` are identities, then come expressions."""
POSE_FEATURES = 9 * (JOINTS - 1)

_MEND = "get it again, see `facecli assets list`"
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")


@dataclass(frozen=True)
class FlameArrays:
    """FLAME's numbers, float32 in metres: x to the subject's left, y up, z out of the face.

    Args:
        template: [V, 3] the mean head.
        identity: [V, 3, 300] offsets per identity number.
        expression: [V, 3, 100] offsets per expression number.
        pose: [V, 3, 36] corrective offsets per entry of the joints' rotations.
        joint_regressor: [5, V] joints from vertices: global, neck, jaw, left eye, right eye.
        weights: [V, 5] skinning weights.
        parents: [5] of the joints, -1 for the root.
        triangles: [F, 3] int64.
        eyelids: [2, V, 3] offsets that close the left and the right eye (SMIRK's), or None.
    """

    template: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    pose: np.ndarray
    joint_regressor: np.ndarray
    weights: np.ndarray
    parents: tuple[int, ...]
    triangles: np.ndarray
    eyelids: np.ndarray | None = None


def read_flame(path: str | Path) -> FlameArrays:
    """FLAME 2019/2020 (``generic_model.pkl``, chumpy's arrays included), 2023 and 2023 Open, or facecli's ``.npz``.

    Raises:
        InputError: missing, damaged, hostile, or not FLAME.
    """
    content = _read_npz(path) if Path(path).suffix == ".npz" else load_pickle(path)
    if not isinstance(content, Mapping):
        raise InputError(path, "is not FLAME: it holds no dictionary of arrays", _MEND)
    lacking = [key for key in _KEYS if key not in content]
    if lacking:
        raise InputError(path, f"is not FLAME: it lacks {', '.join(lacking)}", _MEND)
    try:
        arrays = {key: _dense(content[key]) for key in _KEYS}
    except (TypeError, ValueError) as error:
        raise InputError(path, f"is not FLAME: {' '.join(str(error).split())}", _MEND) from error
    problem = _misfit(arrays)
    if problem:
        raise InputError(path, f"is not FLAME: {problem}", _MEND)
    shapes = arrays["shapedirs"].astype(np.float32)
    parents = arrays["kintree_table"][0].astype(np.int64).astype(np.int32)  # the root's is 2**32 - 1
    return FlameArrays(
        template=arrays["v_template"].astype(np.float32),
        identity=shapes[..., :IDENTITIES],
        expression=shapes[..., IDENTITIES:],
        pose=arrays["posedirs"].astype(np.float32),
        joint_regressor=arrays["J_regressor"].astype(np.float32),
        weights=arrays["weights"].astype(np.float32),
        parents=(-1, *parents[1:].tolist()),
        triangles=arrays["f"].astype(np.int64),
    )


def convert_flame(source: str | Path, target: str | Path) -> None:
    """FLAME's pickle as a ``.npz`` of plain arrays, which reads faster and holds nothing but numbers.

    Raises:
        InputError: as :func:`read_flame`.
        OutputError: `target` can't be written.
    """
    read_flame(source)
    content = _read_npz(source) if Path(source).suffix == ".npz" else load_pickle(source)
    arrays = {key: _dense(content[key]) for key in _KEYS}
    plain = {key: array.astype(np.float32) if array.dtype.kind == "f" else array for key, array in arrays.items()}
    write_npz(target, plain, compressed=False)  # packing would save a sixth, and triple the time to read it


def _dense(value: Any) -> np.ndarray:
    """An array of an array, a sparse matrix, or what stands for chumpy's arrays."""
    array = np.asarray(value.toarray() if hasattr(value, "toarray") else value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"it holds {array.dtype} where numbers should be")
    return array


def _misfit(arrays: Mapping[str, np.ndarray]) -> str:
    """What is wrong with the arrays' shapes and indices, or ""."""
    shapes = {
        "v_template": (VERTICES, 3),
        "posedirs": (VERTICES, 3, POSE_FEATURES),
        "J_regressor": (JOINTS, VERTICES),
        "kintree_table": (2, JOINTS),
        "weights": (VERTICES, JOINTS),
        "f": (TRIANGLES, 3),
    }
    for key, shape in shapes.items():
        if arrays[key].shape != shape:
            return f"{key} has the shape {list(arrays[key].shape)}, not {list(shape)}"
    directions = arrays["shapedirs"].shape
    if len(directions) != 3 or directions[:2] != (VERTICES, 3) or directions[2] <= IDENTITIES:
        return f"shapedirs has the shape {list(directions)}, not [{VERTICES}, 3, {IDENTITIES + EXPRESSIONS}]"
    if arrays["f"].min() < 0 or arrays["f"].max() >= VERTICES:
        return "its triangles name vertices that are not there"
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return "it holds numbers that are not finite"
    return ""


def _read_npz(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(path, "no such file", _MEND) from None
    except Exception as error:
        raise InputError(path, f"can't be read: {' '.join(str(error).split())}", _MEND) from error


def read_eyelids(left: str | Path, right: str | Path) -> np.ndarray:
    """SMIRK's ``l_eyelid.npy`` and ``r_eyelid.npy`` as [2, V, 3] float32, metres.

    Raises:
        InputError: damaged, or not FLAME's vertices.
    """
    return np.stack([_numbers(path, load_object_npy(path), (VERTICES, 3)) for path in (left, right)])


def read_landmark_embedding(path: str | Path) -> dict[str, np.ndarray]:
    """``landmark_embedding.npy``: 68 landmarks as triangles and weights.

    Returns:
        static_triangles [51], static_weights [51, 3], contour_triangles [79, 17] and contour_weights [79, 17, 3] (a row
        a degree of yaw), full_triangles [68], full_weights [68, 3]; int64 and float32.

    Raises:
        InputError: damaged, hostile, or something else.
    """
    content = load_object_npy(path)
    if not isinstance(content, Mapping):
        raise InputError(path, "is no landmark embedding: it holds no dictionary", _MEND)
    shapes = {"static": (51,), "dynamic": (79, 17), "full": (68,)}
    names = {"static": "static", "dynamic": "contour", "full": "full"}
    found = {}
    for key, shape in shapes.items():
        for suffix, what, width in (("faces_idx", "triangles", ()), ("bary_coords", "weights", (3,))):
            entry = f"{key}_lmk_{suffix}"
            if entry not in content:
                raise InputError(path, f"is no landmark embedding: it lacks {entry}", _MEND)
            array = _numbers(path, content[entry], (*shape, *width), entry)
            found[f"{names[key]}_{what}"] = array if width else _triangle_indices(path, array, entry)
    return found


def read_mediapipe_embedding(path: str | Path) -> dict[str, np.ndarray]:
    """``mediapipe_landmark_embedding.npz``: triangles [105] int64, weights [105, 3] float32, indices [105] int64.

    Raises:
        InputError: damaged, or something else.
    """
    content = _read_npz(path)
    found = {}
    for entry, name, width in (("lmk_face_idx", "triangles", ()), ("lmk_b_coords", "weights", (3,))):
        if entry not in content:
            raise InputError(path, f"is no MediaPipe embedding: it lacks {entry}", _MEND)
        found[name] = _numbers(path, content[entry], (105, *width), entry)
    found["triangles"] = _triangle_indices(path, found["triangles"], "lmk_face_idx")
    if "landmark_indices" in content:
        found["indices"] = np.asarray(content["landmark_indices"], np.int64)
    return found


def read_template(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """``head_template.obj``'s UV layout: [T, 2] float32 (origin bottom-left) and its triangles [F, 3] int64.

    Raises:
        InputError: damaged, or not FLAME's triangles.
    """
    from facecli.export.obj import read_obj

    mesh = read_obj(path, metres_per_unit=1.0)
    if len(mesh.vertices) != VERTICES or mesh.triangles.shape != (TRIANGLES, 3) or mesh.uv is None:
        raise InputError(path, "is not FLAME's head template with its UV layout", _MEND)
    corners = mesh.triangles if mesh.uv_triangles is None else mesh.uv_triangles
    return np.asarray(mesh.uv, np.float32), np.asarray(corners, np.int64)


def read_masks(path: str | Path) -> dict[str, np.ndarray]:
    """``FLAME_masks.pkl``: region -> vertices [N] int64, sorted.

    Raises:
        InputError: damaged, hostile, or something else.
    """
    return _regions(path, load_pickle(path), VERTICES)


def read_triangle_masks(path: str | Path) -> dict[str, np.ndarray]:
    """``FLAME_masks_triangles.npy``: region -> triangles [N] int64, sorted. Raises as :func:`read_masks`."""
    return _regions(path, load_object_npy(path), TRIANGLES)


def _regions(path: str | Path, content: Any, count: int) -> dict[str, np.ndarray]:
    if not isinstance(content, Mapping) or "face" not in content:
        raise InputError(path, "holds no regions of FLAME", _MEND)
    regions = {}
    for name, members in content.items():
        ids = np.unique(np.asarray(members, np.int64))
        if len(ids) and (ids[0] < 0 or ids[-1] >= count):
            raise InputError(path, f"its region {name} names things that FLAME doesn't have", _MEND)
        regions[str(name)] = ids
    return regions


def _numbers(path: str | Path, value: Any, shape: tuple[int, ...], entry: str = "") -> np.ndarray:
    """`value` as float32 (or int64) of the `shape`; an axis of 1 in front is dropped."""
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if array.ndim == len(shape) + 1 and len(array) == 1:
        array = array[0]
    if array.dtype.kind not in "fiu" or array.shape != shape:
        what = f"{entry} is" if entry else "it is"
        raise InputError(path, f"{what} {array.dtype} {list(array.shape)}, not {list(shape)}", _MEND)
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


def _triangle_indices(path: str | Path, array: np.ndarray, entry: str) -> np.ndarray:
    if array.dtype != np.int64 or array.min() < 0 or array.max() >= TRIANGLES:
        raise InputError(path, f"{entry} names triangles that FLAME doesn't have", _MEND)
    return array
