"""Reads the face models of 3DDFA's family, and what goes with them, in the formats they are handed out in.

SynergyNet and 3DDFA: ``3dmm_data/`` (or a SynergyNet checkpoint, which holds the same arrays) and ``tri.mat``.
3DDFA_V2: ``configs/``, its basis a pickle. Both derive from the Basel Face Model 2009, with different bases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import InputError
from facecli.io.filetypes import check_file
from facecli.io.safe_pickle import load_object_npy, load_pickle

CAMERA, IDENTITIES, EXPRESSIONS = 12, 40, 10
PARAMETERS = CAMERA + IDENTITIES + EXPRESSIONS
MOST_IDENTITIES, MOST_EXPRESSIONS = 100, 29
"""The largest numbers of them that 3DDFA_V2's code knows; its own networks give 40 and 10."""
LANDMARKS = 68
BFM_VERTICES = 53215
"""Of the mesh of SynergyNet and 3DDFA, in which 3DDFA_V2's 38365 vertices are found by ``indices.npy``."""
TOPOLOGY = f"bfm{BFM_VERTICES}"
"""Its name among :class:`facecli.plugin.ExpressionBasis`; Deep3D's expressions are on it, too."""

_MEND = "get it again, see `facecli assets list`"


@dataclass(frozen=True)
class TddfaArrays:
    """A face model, float32 in micrometres: x to the image's right, y up, z towards the viewer.

    Args:
        mean: [V, 3] the mean face, its expression included.
        identity: [V, 3, 40 to 100] offsets per identity number, which are of the order 10⁵.
        expression: [V, 3, 10 to 29] offsets per expression number, which are of the order 1.
        landmarks: [68] int64 vertices, iBUG's order.
        triangles: [F, 3] int64 as in the official files: clockwise seen from outside.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    landmarks: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class Whitening:
    """What the networks' numbers are made of: parameters = numbers · deviation + mean. Both float32 [>= 62], of which
    the first count."""

    mean: np.ndarray
    deviation: np.ndarray


# --- face models -----------------------------------------------------------------------------------------------------

DATA_FILES = ("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy", "keypoints_sim.npy")
"""The face model in ``3dmm_data/``, without its triangles."""

CHECKPOINT_KEYS = ("u", "w_shp", "w_exp")
BASE_KEYS = ("u_base", "w_shp_base", "w_exp_base")
"""The face model in SynergyNet's checkpoints, and its landmarks' rows."""


def read_3dmm_data(paths: Mapping[str, Path], triangles: str | Path) -> TddfaArrays:
    """The face model of `3dmm_data/`.

    Args:
        paths: of :data:`DATA_FILES`, by these names.
        triangles: ``tri.mat``.

    Raises:
        InputError: a file is missing, damaged, hostile or something else.
    """
    raw = {name: _array(paths[name], load_object_npy(paths[name])) for name in DATA_FILES}
    shape = _column(paths["u_shp.npy"], raw["u_shp.npy"])
    mean = shape + _column(paths["u_exp.npy"], raw["u_exp.npy"], shape)
    return TddfaArrays(
        mean=_vertices(paths["u_shp.npy"], mean),
        identity=_basis(paths["w_shp_sim.npy"], raw["w_shp_sim.npy"], len(mean), IDENTITIES),
        expression=_basis(paths["w_exp_sim.npy"], raw["w_exp_sim.npy"], len(mean), EXPRESSIONS),
        landmarks=_landmarks(paths["keypoints_sim.npy"], raw["keypoints_sim.npy"], len(mean) // 3),
        triangles=read_tri_mat(triangles, len(mean) // 3),
    )


def checkpoint_model(
    path: str | Path, state: Mapping[str, np.ndarray], triangles: str | Path, landmarks: str | Path | None = None
) -> TddfaArrays | None:
    """The face model inside a SynergyNet checkpoint, or None where there is none.

    Args:
        path: the checkpoint's, for messages.
        state: its arrays by name, without ``module.``.
        triangles: ``tri.mat``.
        landmarks: ``keypoints_sim.npy``, for checkpoints without the landmarks' rows; None: the Basel face's 68.

    Raises:
        InputError: the arrays don't fit each other.
    """
    if not all(key in state for key in CHECKPOINT_KEYS):
        return None
    rows = _column(path, state["u"])
    identity = _basis(path, state["w_shp"], len(rows), IDENTITIES)
    expression = _basis(path, state["w_exp"], len(rows), EXPRESSIONS)
    mean = _vertices(path, rows)
    index = _checkpoint_landmarks(path, state, mean, identity, landmarks)
    return TddfaArrays(mean, identity, expression, index, read_tri_mat(triangles, len(mean)))


def _checkpoint_landmarks(
    path: str | Path,
    state: Mapping[str, np.ndarray],
    mean: np.ndarray,
    identity: np.ndarray,
    landmarks: str | Path | None,
) -> np.ndarray:
    """[68] vertices: those whose rows the checkpoint has, else those of a file, else the Basel face's."""
    known = np.array(BFM_LANDMARKS, np.int64) if len(mean) == BFM_VERTICES else None
    if all(key in state for key in BASE_KEYS):
        return _landmarks_of_rows(path, mean, identity, state, known)
    if landmarks is not None:
        return _landmarks(landmarks, _array(landmarks, load_object_npy(landmarks)), len(mean))
    if known is None:
        raise InputError(path, f"holds a face model of {len(mean)} vertices without its landmarks", _MEND)
    return known


def read_bfm_noneck(path: str | Path, triangles: str | Path | None = None) -> TddfaArrays:
    """3DDFA_V2's ``bfm_noneck_v3.pkl``, or the slim one.

    Args:
        triangles: ``tri.pkl``, the rebuilt triangles that V2 takes with ``bfm_noneck_v3.pkl``; None: the pickle's own.

    Raises:
        InputError: as :func:`read_3dmm_data`.
    """
    content = load_pickle(path)
    keys = ("u", "w_shp", "w_exp", "keypoints", *(() if triangles else ("tri",)))
    _require(path, content, keys, "3DDFA_V2's face model")
    mean = _column(path, _array(path, content["u"]))
    count = len(mean) // 3
    return TddfaArrays(
        mean=_vertices(path, mean),
        identity=_basis(path, _array(path, content["w_shp"]), len(mean), IDENTITIES, MOST_IDENTITIES),
        expression=_basis(path, _array(path, content["w_exp"]), len(mean), EXPRESSIONS, MOST_EXPRESSIONS),
        landmarks=_landmarks(path, _array(path, content["keypoints"]), count),
        triangles=read_tri_pkl(triangles, count) if triangles else _triangles(path, content["tri"], count, 0),
    )


def read_tri_mat(path: str | Path, vertices: int) -> np.ndarray:
    """``tri.mat``: [F, 3] int64, 0-based as everywhere here. Raises InputError."""
    return _triangles(path, _mat(path, "tri"), vertices, 1)


def read_tri_pkl(path: str | Path, vertices: int) -> np.ndarray:
    """``tri.pkl``, a pickled array: [F, 3] int64. Raises InputError."""
    return _triangles(path, load_pickle(path), vertices, 0)


# --- what goes with them ---------------------------------------------------------------------------------------------


def read_whitening(path: str | Path) -> Whitening:
    """``param_whitening.pkl`` (of 62 or 102 numbers) or ``param_mean_std_62d_120x120.pkl``. Raises InputError."""
    content = load_pickle(path)
    for names in (("param_mean", "param_std"), ("mean", "std")):
        if isinstance(content, Mapping) and all(name in content for name in names):
            return whitening_of(path, *(content[name] for name in names))
    raise InputError(path, "is no whitening: it lacks param_mean and param_std (or mean and std)", _MEND)


def whitening_of(path: str | Path, mean: Any, deviation: Any) -> Whitening:
    """The whitening of two arrays [>= 62] in the file `path`. Raises InputError."""
    found = [np.asarray(_array(path, value), np.float32).reshape(-1) for value in (mean, deviation)]
    if len(found[0]) != len(found[1]) or len(found[0]) < PARAMETERS:
        sizes = f"{len(found[0])} means and {len(found[1])} deviations"
        raise InputError(path, f"is no whitening of {PARAMETERS} parameters: it has {sizes}", _MEND)
    for numbers in found:
        _check_finite(path, numbers[:PARAMETERS])
    return Whitening(*found)


def read_bfm_uv(path: str | Path) -> np.ndarray:
    """``BFM_UV.npy`` or ``BFM_UV.mat``: float32 [53215, 2], origin bottom-left. Raises InputError."""
    raw = _mat(path, "UV") if Path(path).suffix == ".mat" else load_object_npy(path)
    uv = _array(path, raw)
    if uv.ndim != 2 or uv.shape[1] < 2 or not len(uv) or uv.dtype.kind != "f":
        raise InputError(path, f"is no UV layout: an array {list(uv.shape)} of {uv.dtype}", _MEND)
    _check_finite(path, uv[:, :2])
    return np.ascontiguousarray(uv[:, :2], np.float32)


def read_indices(path: str | Path, vertices: int) -> np.ndarray:
    """``indices.npy``: int64 [`vertices`], for each of 3DDFA_V2's vertices the one of the 53215. Raises InputError."""
    indices = _array(path, load_object_npy(path)).reshape(-1)
    if indices.dtype.kind not in "iu" or len(indices) != vertices or indices.min(initial=0) < 0:
        raise InputError(path, f"has {len(indices)} numbers, not one for each of {vertices} vertices", _MEND)
    return indices.astype(np.int64)


def read_ncc_code(path: str | Path, vertices: int) -> np.ndarray:
    """``ncc_code.npy``: float32 [V, 3], colours 0..1 by the mean face's coordinates. Raises InputError."""
    code = _array(path, load_object_npy(path))
    code = code.T if code.shape == (3, vertices) else code
    if code.shape != (vertices, 3) or code.dtype.kind != "f":
        raise InputError(path, f"has the shape {list(code.shape)}, not [3, {vertices}]", _MEND)
    _check_finite(path, code)
    return np.ascontiguousarray(code, np.float32)


def read_cut(kept: str | Path, triangles: str | Path, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """``keptInd.npy`` and ``deletedTri.npy``, the part of the face that SynergyNet's UV programs show: vertices [K]
    that are kept, and triangles [M, 3] of them. Raises InputError."""
    index = _array(kept, load_object_npy(kept)).reshape(-1)
    if index.dtype.kind not in "iu" or not len(index) or index.min() < 0 or index.max() >= vertices:
        raise InputError(kept, f"holds no vertices of the {vertices}", _MEND)
    return index.astype(np.int64), _triangles(triangles, load_object_npy(triangles), len(index), 1)


# --- checks ----------------------------------------------------------------------------------------------------------


def _array(path: str | Path, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise InputError(path, f"holds {array.dtype} where numbers should be", _MEND)
    return array


def _check_finite(path: str | Path, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        raise InputError(path, "holds numbers that aren't finite", _MEND)


def _require(path: str | Path, content: Any, keys: tuple[str, ...], what: str) -> None:
    if not isinstance(content, Mapping):
        raise InputError(path, f"is not {what}: it holds no dictionary of arrays", _MEND)
    lacking = [key for key in keys if key not in content]
    if lacking:
        raise InputError(path, f"is not {what}: it lacks {', '.join(lacking)}", _MEND)


def _column(path: str | Path, array: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """[3V] float32: x0, y0, z0, x1, …"""
    if array.size != max(array.shape, default=0) or array.size % 3 or not array.size:
        raise InputError(path, f"has the shape {list(array.shape)}, not [3 V, 1]", _MEND)
    if like is not None and array.size != like.size:
        raise InputError(path, f"has {array.size // 3} vertices, not {like.size // 3}", _MEND)
    column = array.reshape(-1).astype(np.float32)
    _check_finite(path, column)
    return column


def _vertices(path: str | Path, column: np.ndarray) -> np.ndarray:
    return column.reshape(-1, 3)


def _basis(path: str | Path, array: np.ndarray, rows: int, columns: int, most: int = 0) -> np.ndarray:
    """[V, 3, columns] float32, or up to `most` columns: files may hold more."""
    if array.ndim != 2 or array.shape[0] != rows or array.shape[1] < columns:
        raise InputError(path, f"has a basis of the shape {list(array.shape)}, not [{rows}, {columns}]", _MEND)
    basis = np.ascontiguousarray(array[:, : max(columns, most)], np.float32)
    _check_finite(path, basis)
    return basis.reshape(rows // 3, 3, -1)


def _landmarks(path: str | Path, rows: np.ndarray, vertices: int) -> np.ndarray:
    """[68] vertices of the 204 rows 3i, 3i + 1, 3i + 2."""
    rows = rows.reshape(-1)
    if rows.dtype.kind not in "iu" or len(rows) != 3 * LANDMARKS:
        raise InputError(path, f"has {len(rows)} landmark rows, not {3 * LANDMARKS}", _MEND)
    triples = rows.astype(np.int64).reshape(-1, 3)
    index = triples[:, 0] // 3
    if (triples != 3 * index[:, None] + np.arange(3)).any() or index.min() < 0 or index.max() >= vertices:
        raise InputError(path, f"has landmark rows that aren't those of 68 of {vertices} vertices", _MEND)
    return index


# Vertices of iBUG's 68 points in the 53215-vertex mesh, which checkpoints don't name.
BFM_LANDMARKS = (
    21873, 22149, 21653, 21036, 43236, 44918, 46166, 47135, 47914, 48695, 49667, 50924, 52613, 33678, 33005, 32469,
    32709, 38695, 39392, 39782, 39987, 40154, 40893, 41059, 41267, 41661, 42367, 8161, 8177, 8187, 8192, 6515, 7243,
    8204, 9163, 9883, 2215, 3886, 4920, 5828, 4801, 3640, 10455, 11353, 12383, 14066, 12653, 11492, 5522, 6025, 7495,
    8215, 8935, 10395, 10795, 9555, 8836, 8236, 7636, 6915, 5909, 7384, 8223, 9064, 10537, 8829, 8229, 7629,
)  # fmt: skip


def _landmarks_of_rows(
    path: str | Path,
    mean: np.ndarray,
    identity: np.ndarray,
    state: Mapping[str, np.ndarray],
    likely: np.ndarray | None,
) -> np.ndarray:
    """[68] the vertices that the landmarks' rows are copies of.

    Raises:
        InputError: they are copies of none.
    """
    rows = _column(path, state["u_base"])
    offsets = _basis(path, state["w_shp_base"], len(rows), IDENTITIES)
    wanted = np.concatenate([rows.reshape(-1, 3), offsets.reshape(len(offsets), -1)], 1)
    if len(wanted) != LANDMARKS:
        raise InputError(path, f"has rows of {len(wanted)} landmarks, not {LANDMARKS}", _MEND)
    if likely is not None and _same(mean, identity, likely, wanted):
        return likely
    found = np.array([((mean - point[:3]) ** 2).sum(1).argmin() for point in wanted])
    if not _same(mean, identity, found, wanted):
        raise InputError(path, "has landmarks that are none of its face model's vertices", _MEND)
    return found


def _same(mean: np.ndarray, identity: np.ndarray, index: np.ndarray, wanted: np.ndarray) -> bool:
    there = np.concatenate([mean[index], identity[index].reshape(len(index), -1)], 1)
    return bool((there == wanted).all())


def _triangles(path: str | Path, value: Any, vertices: int, first: int) -> np.ndarray:
    """[F, 3] int64, 0-based, of an array [3, F] or [F, 3] that counts from `first`."""
    array = _array(path, value)
    if array.ndim == 2 and array.shape[1] != 3 and array.shape[0] == 3:
        array = array.T
    if array.ndim != 2 or array.shape[1] != 3 or not len(array):
        raise InputError(path, f"has the shape {list(array.shape)}, not [3, F]", _MEND)
    _check_finite(path, array)  # MATLAB's are often floats
    triangles = array.astype(np.int64) - first
    if triangles.min() < 0 or triangles.max() >= vertices:
        raise InputError(path, f"has triangles that name other vertices than the {vertices} of the face model", _MEND)
    return np.ascontiguousarray(triangles)


def _mat(path: str | Path, key: str) -> np.ndarray:
    """The array `key` of a MATLAB file. Raises InputError."""
    import scipy.io

    check_file(path)
    try:
        content = scipy.io.loadmat(str(path), variable_names=[key], appendmat=False)
    except Exception as error:  # scipy raises nearly anything
        raise InputError(path, f"is not a readable MATLAB file: {' '.join(str(error).split())}", _MEND) from error
    if key not in content:
        raise InputError(path, f"holds no {key}", _MEND)
    return _array(path, content[key])
