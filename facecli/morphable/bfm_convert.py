"""Makes ``BFM_model_front.mat`` of the Basel Face Model of 2009 and an expression basis, as Deep3D's program does.

The face of the 2009 head without ears and neck, in decimetres (the head is in micrometres), with expressions of Guo et
al. for the 53,215 vertices that remain of the head without the insides of mouth and nose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.assets.catalogue import Asset
from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli.morphable import bfm_assets as files
from facecli.morphable.bfm_files import ALBEDOS, EXPRESSIONS, IDENTITIES, KEYS, TRIANGLES, VERTICES, arrays_of
from facecli.morphable.mat_files import read_mat, zero_based

HEAD_VERTICES, EXPRESSION_VERTICES = 53490, 53215
PER_DECIMETRE = 1e5
"""Micrometres."""

_HEAD_KEYS = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV")
_INFO_KEYS = ("tri", "point_buf", "tri_mask2", "keypoints", "frontmask2_idx", "skinmask")
_EXPRESSION_MODES = 79
_AGAIN = "get it again, see `facecli assets list --model deep3d`"
_WHAT = {
    files.BFM09: "the Basel Face Model of 2009 (01_MorphableModel.mat)",
    files.EXPRESSION_VERTICES: "Deep3D's BFM_exp_idx.mat",
    files.FRONT_VERTICES: "Deep3D's BFM_front_idx.mat",
    files.FRONT_INFO: "Deep3D's facemodel_info.mat",
}
_VERTICES = {
    files.EXPRESSION_VERTICES: ("trimIndex", EXPRESSION_VERTICES, HEAD_VERTICES),
    files.FRONT_VERTICES: ("idx", VERTICES, EXPRESSION_VERTICES),
}
"""Of the files of vertices: the array, how many, among how many."""


def make_bfm_front(parts: Mapping[str, Path], target: str | Path) -> None:
    """Write `target`, a MATLAB file, of the files `parts` (by the names in :mod:`facecli.morphable.bfm_assets`).

    Raises:
        InputError: one of them is damaged or something else.
        OutputError: `target` can't be written.
    """
    import scipy.io

    sources = read_sources(parts)
    path = parts[files.FRONT_INFO.name]
    info = read_mat(path, _INFO_KEYS, _WHAT[files.FRONT_INFO], _AGAIN)
    _check_count(path, "tri", info["tri"], TRIANGLES * 3)
    content = bfm_front(sources, info)
    arrays_of(content, path)
    with atomic_write(target) as temporary:
        scipy.io.savemat(str(temporary), content, appendmat=False)


@dataclass(frozen=True)
class Sources:
    """What is in the files that the model is made of.

    Args:
        head: of ``01_MorphableModel.mat``: shapeMU [3 H, 1], shapePC [3 H, 199], shapeEV [199, 1], texMU, texPC, texEV.
        expressions: [79, 3 E] float32 the basis' rows.
        spread: [79] standard deviations.
        expression_vertices: [E] the head's vertex of each vertex with expressions.
        front: [V] the face's vertices among these.
    """

    head: Mapping[str, np.ndarray]
    expressions: np.ndarray
    spread: np.ndarray
    expression_vertices: np.ndarray
    front: np.ndarray


def read_sources(parts: Mapping[str, Path], further: Sequence[str] = ()) -> Sources:
    """All of `parts` (by the assets' names) but ``facemodel_info.mat``.

    Args:
        further: arrays of ``01_MorphableModel.mat``, beside those that are needed.

    Raises:
        InputError: one of them is damaged or something else.
    """

    path = parts[files.BFM09.name]
    head = read_mat(path, (*_HEAD_KEYS, *further), _WHAT[files.BFM09], _AGAIN)
    _check_head(path, head)
    return Sources(
        head,
        read_expressions(parts[files.EXPRESSIONS.name], EXPRESSION_VERTICES),
        read_spread(parts[files.EXPRESSION_SPREAD.name]),
        read_vertices(files.EXPRESSION_VERTICES, parts[files.EXPRESSION_VERTICES.name]),
        read_vertices(files.FRONT_VERTICES, parts[files.FRONT_VERTICES.name]),
    )


def bfm_front(sources: Sources, info: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The content of ``BFM_model_front.mat``, in its order; what `info` has is taken over as it is."""
    head, spread = sources.head, sources.spread
    vertex = sources.expression_vertices[sources.front]
    rows, moving = ((3 * v[:, None] + np.arange(3)).ravel() for v in (vertex, sources.front))
    # Only the columns and rows that are kept: the whole bases would be 500 MB in double precision.
    identity = head["shapePC"][rows, :IDENTITIES] * head["shapeEV"].ravel()[:IDENTITIES] / PER_DECIMETRE
    expression = sources.expressions[:EXPRESSIONS, moving].T * spread[:EXPRESSIONS] / PER_DECIMETRE
    made = {
        "meanshape": (head["shapeMU"].ravel()[rows] / PER_DECIMETRE)[None],
        "meantex": head["texMU"].ravel()[rows][None],
        "idBase": identity,
        "exBase": expression,
        "texBase": head["texPC"][rows, :ALBEDOS] * head["texEV"].ravel()[:ALBEDOS],
        **{key: info[key] for key in _INFO_KEYS},
    }
    return {key: made[key] for key in KEYS}


def read_vertices(asset: Asset, path: str | Path) -> np.ndarray:
    """``BFM_exp_idx.mat``: [53215] int64, the head's vertex of each vertex with expressions; or ``BFM_front_idx.mat``:
    [35709], which of these the face's are.

    Raises:
        InputError: it is damaged or something else.
    """
    key, count, among = _VERTICES[asset]
    found = zero_based(path, key, read_mat(path, (key,), _WHAT[asset], _AGAIN)[key], among, _AGAIN).ravel()
    _check_count(path, key, found, count)
    return found


def read_expressions(path: str | Path, vertices: int) -> np.ndarray:
    """``Exp_Pca.bin``: [79, 3 `vertices`] float32. The mean expression in it isn't used.

    Raises:
        InputError: it is cut or something else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(path, f"can't be read: {error.strerror or error}", _AGAIN) from error
    count = int.from_bytes(content[:4], "little")
    wanted = 4 + 4 * 3 * vertices * (1 + _EXPRESSION_MODES)
    if count != _EXPRESSION_MODES or len(content) != wanted:
        problem = f"is not the expression basis: {len(content):,} bytes of {count} expressions, not {wanted:,} of"
        raise InputError(path, f"{problem} {_EXPRESSION_MODES}", _AGAIN)
    numbers = np.frombuffer(content, "<f4", offset=4).reshape(1 + _EXPRESSION_MODES, 3 * vertices)
    if not np.isfinite(numbers).all():
        raise InputError(path, "is damaged: it holds numbers that are not finite", _AGAIN)
    return numbers[1:]


def read_spread(path: str | Path) -> np.ndarray:
    """``std_exp.txt``: [79] float64 standard deviations.

    Raises:
        InputError: it is something else.
    """
    try:
        numbers = np.array([float(word) for word in Path(path).read_text("ascii").split()])
    except (OSError, ValueError) as error:
        raise InputError(path, "is no text with numbers", _AGAIN) from error
    if len(numbers) != _EXPRESSION_MODES or not np.isfinite(numbers).all():
        raise InputError(path, f"holds {len(numbers)} numbers, not {_EXPRESSION_MODES}", _AGAIN)
    return numbers


def _check_head(path: str | Path, head: Mapping[str, np.ndarray]) -> None:
    rows = 3 * HEAD_VERTICES
    for key, size in (("MU", rows), ("EV", None)):
        for kind in ("shape", "tex"):
            found = head[f"{kind}{key}"].size
            if (size is not None and found != size) or (size is None and found < max(IDENTITIES, ALBEDOS)):
                raise InputError(path, f"is not {_WHAT[files.BFM09]}: {kind}{key} holds {found} numbers", _AGAIN)
    for kind in ("shape", "tex"):
        found = head[f"{kind}PC"].shape
        if len(found) != 2 or found[0] != rows or found[1] < max(IDENTITIES, ALBEDOS):
            raise InputError(path, f"is not {_WHAT[files.BFM09]}: {kind}PC has the shape {list(found)}", _AGAIN)


def _check_count(path: str | Path, key: str, array: np.ndarray, count: int) -> None:
    if array.size != count:
        raise InputError(path, f"{key} holds {array.size} numbers, not {count}", _AGAIN)
