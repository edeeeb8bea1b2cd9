"""Reads the Basel Face Model as Deep3D uses it: ``BFM_model_front.mat``, of whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.morphable.mat_files import read_mat, zero_based

VERTICES, TRIANGLES, LANDMARKS = 35709, 70789, 68
IDENTITIES, EXPRESSIONS, ALBEDOS = 80, 64, 80
VALENCE = 8
"""Triangles that a vertex has at most."""

KEYS = (
    "meanshape", "meantex", "idBase", "exBase", "texBase", "tri", "point_buf", "tri_mask2", "keypoints",
    "frontmask2_idx", "skinmask",
)  # fmt: skip
WHAT = "the Basel Face Model's front (BFM_model_front.mat)"
MEND = "`facecli assets convert bfm 01_MorphableModel.mat Exp_Pca.bin` makes it of BFM 2009"


@dataclass(frozen=True)
class BfmArrays:
    """The model's numbers: decimetres, x to the picture's right, y up, z out of the face; colours 0..255.

    Args:
        mean: [V, 3] float32 the mean face, its centroid at the origin.
        identity: [3 V, 80] float32 offsets of a standard deviation; rows are x0, y0, z0, x1, …
        expression: [3 V, 64], likewise.
        albedo: [V, 3] float32 the mean colour.
        albedo_basis: [3 V, 80], likewise.
        triangles: [F, 3] int64, counter-clockwise from outside.
        around: [V, 8] int64 triangles at each vertex, filled up with F.
        keypoints: [68] int64 vertices of iBUG's landmarks.
        front: [N] int64 vertices of the inner face, increasing.
        front_triangles: [M, 3] int64 triangles of the inner face: positions in `front`.
        skin: [V] bool.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    albedo: np.ndarray
    albedo_basis: np.ndarray
    triangles: np.ndarray
    around: np.ndarray
    keypoints: np.ndarray
    front: np.ndarray
    front_triangles: np.ndarray
    skin: np.ndarray


def read_bfm(path: str | Path) -> BfmArrays:
    """``BFM_model_front.mat``, as Deep3D's programs, facecli's conversion or other projects made it.

    Raises:
        InputError: missing, damaged, or something else: BFM 2017 or 2019, the whole head of 2009, another mesh.
    """
    content = read_mat(path, KEYS, WHAT, MEND)
    counts = content["meanshape"].size // 3, len(content["tri"])
    if counts != (VERTICES, TRIANGLES):
        found = f"{counts[0]} vertices and {counts[1]} triangles, not {VERTICES} and {TRIANGLES}"
        raise InputError(path, f"is not {WHAT}: it has {found}", MEND)
    return arrays_of(content, path)


def arrays_of(content: Mapping[str, np.ndarray], path: str | Path = "BFM_model_front.mat") -> BfmArrays:
    """The file's `content` (:data:`KEYS`) checked and counted from 0, of a face of any number of vertices.

    Raises:
        InputError: shapes don't fit, indices name what isn't there, or numbers aren't finite.
    """
    count = content["meanshape"].size // 3
    _check(path, content, count)
    triangles = zero_based(path, "tri", content["tri"], count, MEND)
    mean = np.asarray(content["meanshape"], np.float32).reshape(-1, 3)
    front = zero_based(path, "frontmask2_idx", content["frontmask2_idx"], count, MEND).ravel()
    return BfmArrays(
        mean=mean - mean.mean(0, keepdims=True),
        identity=np.asarray(content["idBase"], np.float32)[:, :IDENTITIES],
        expression=np.asarray(content["exBase"], np.float32)[:, :EXPRESSIONS],
        albedo=np.asarray(content["meantex"], np.float32).reshape(-1, 3),
        albedo_basis=np.asarray(content["texBase"], np.float32)[:, :ALBEDOS],
        triangles=triangles,
        around=zero_based(path, "point_buf", content["point_buf"], len(triangles) + 1, MEND),
        keypoints=zero_based(path, "keypoints", content["keypoints"], count, MEND).ravel(),
        front=front,
        front_triangles=zero_based(path, "tri_mask2", content["tri_mask2"], len(front), MEND),
        skin=np.asarray(content["skinmask"]).ravel() > 0,
    )


def _check(path: str | Path, content: Mapping[str, np.ndarray], count: int) -> None:
    """Shapes, and that numbers are finite."""
    shapes = {
        "meanshape": (1, 3 * count),
        "meantex": (1, 3 * count),
        "idBase": (3 * count, IDENTITIES),
        "exBase": (3 * count, EXPRESSIONS),
        "texBase": (3 * count, ALBEDOS),
        "tri": (None, 3),
        "point_buf": (count, VALENCE),
        "tri_mask2": (None, 3),
        "keypoints": (1, LANDMARKS),
        "frontmask2_idx": (None, 1),
        "skinmask": (1, count),
    }
    for key, shape in shapes.items():
        found = content[key].shape
        fits = len(found) == len(shape) and all(want in (None, have) for have, want in zip(found, shape, strict=True))
        more_columns = key.endswith("Base") and found[:1] == shape[:1] and len(found) == 2 and found[1] > shape[1]
        if not (fits or more_columns):
            wanted = ", ".join("N" if size is None else str(size) for size in shape)
            raise InputError(path, f"is not {WHAT}: {key} has the shape {list(found)}, not [{wanted}]", MEND)
        if not np.isfinite(content[key]).all():
            raise InputError(path, f"is damaged: {key} holds numbers that are not finite", MEND)
