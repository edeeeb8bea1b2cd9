"""FLAME's dense mesh, ``texture_data_256.npy``: a vertex for each texel of the face, 59,315 in the official file.

Its vertices lie on FLAME's triangles and are moved along the normals by the displacement that is found at their texel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from facecli.errors import InputError
from facecli.geometry.normals import vertex_normals
from facecli.io.safe_pickle import load_object_npy
from facecli.morphable.flame_files import VERTICES

_KEYS = ("img_size", "f", "x_coords", "y_coords", "valid_pixel_ids", "valid_pixel_3d_faces", "valid_pixel_b_coords")
_MEND = "get it again, see `facecli assets list`"


class DenseTemplate(nn.Module):
    """Where the dense vertices lie on FLAME.

    Args:
        corners: int64 [D, 3], FLAME's vertices around each dense one.
        weights: [D, 3] of these.
        triangles: int64 [E, 3] of the dense vertices, in the file's order and winding.
        columns, rows: int64 [D], each vertex's texel.
        size: side of the maps.
    """

    def __init__(self, corners, weights, triangles, columns, rows, size: int):
        super().__init__()
        self.size = size
        self.register_buffer("corners", corners)
        self.register_buffer("weights", weights)
        self.register_buffer("triangles", triangles)
        self.register_buffer("columns", columns)
        self.register_buffer("rows", rows)
        # Texels' centres, so that a nearest or bilinear look-up gives the texel itself.
        self.register_buffer("uv", torch.stack([(columns + 0.5) / size, 1 - (rows + 0.5) / size], 1))

    def __len__(self) -> int:
        return len(self.corners)

    def forward(self, vertices: torch.Tensor, normals: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
        """Dense vertices [B, D, 3].

        Args:
            vertices, normals: [B, V, 3] FLAME's and its vertex normals.
            displacement: [B, 1, S, S] along the normals, in the unit of `vertices`.
        """
        points = self._mix(vertices)
        directions = nn.functional.normalize(self._mix(normals), dim=-1)
        return points + self.at_texels(displacement) * directions

    def at_texels(self, values: torch.Tensor) -> torch.Tensor:
        """Maps [B, C, S, S] at the vertices' texels [B, D, C]."""
        return values[:, :, self.rows, self.columns].transpose(1, 2)

    def _mix(self, values: torch.Tensor) -> torch.Tensor:
        return sum(values[:, self.corners[:, k]] * self.weights[:, k, None] for k in range(3))

    def outward_triangles(self, vertices: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
        """`self.triangles` [E, 3] turned so that they are counter-clockwise from outside.

        Args:
            vertices: [V, 3] any FLAME head. triangles: [F, 3] FLAME's, which are.
        """
        points = self._mix(vertices[None])[0]
        outwards = self._mix(vertex_normals(vertices, triangles)[None])[0]
        agreement = (vertex_normals(points, self.triangles, eps=1e-12) * outwards).sum()
        return self.triangles if agreement >= 0 else self.triangles.flip(1)


def read_dense_template(path: str | Path) -> DenseTemplate:
    """``texture_data_256.npy``.

    Raises:
        InputError: damaged, hostile, or something else.
    """
    content = load_object_npy(path)
    lacking = [key for key in _KEYS if not isinstance(content, Mapping) or key not in content]
    if lacking:
        raise InputError(path, f"is no dense template of FLAME: it lacks {', '.join(lacking)}", _MEND)
    size = int(content["img_size"])
    ids, corners, triangles = (
        _integers(path, content, key) for key in ("valid_pixel_ids", "valid_pixel_3d_faces", "f")
    )
    weights = _floats(path, content, "valid_pixel_b_coords")
    columns, rows = (_floats(path, content, key).astype(np.int64) for key in ("x_coords", "y_coords"))  # cut
    count = len(ids)
    if corners.shape != (count, 3) or weights.shape != (count, 3) or triangles.shape[1:] != (3,) or ids.ndim != 1:
        raise InputError(path, "is no dense template of FLAME: its arrays don't fit together", _MEND)
    limits = (
        (ids, min(len(columns), len(rows))),
        (corners, VERTICES),
        (triangles, count),
        (columns, size),
        (rows, size),
    )
    if any(len(array) == 0 or array.min() < 0 or array.max() >= limit for array, limit in limits):
        raise InputError(path, "is no dense template of FLAME: it names things that are not there", _MEND)
    parts = (corners, weights.astype(np.float32), triangles, columns[ids], rows[ids])
    return DenseTemplate(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts), size=size)


def _integers(path: str | Path, content: Mapping, key: str) -> np.ndarray:
    array = np.asarray(content[key])
    if array.dtype.kind not in "iu":
        raise InputError(path, f"its {key} is {array.dtype}, not integers", _MEND)
    return array.astype(np.int64)


def _floats(path: str | Path, content: Mapping, key: str) -> np.ndarray:
    array = np.asarray(content[key])
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InputError(path, f"its {key} holds no finite numbers", _MEND)
    return array
