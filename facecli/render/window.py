"""Rasterizes a mesh inside the rectangle of a photograph that it covers: a small face in a big photograph costs little.

Everything here is numpy. Meshes come as `projected` [V, 3]: x, y in pixels of the photograph (integers at pixel
centres) and depth growing away from the camera, in units of the model and of any offset.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

from facecli.geometry.normals import vertex_normals
from facecli.render.rasterize import pixels_to_image_ndc, rasterize, uses_numba

_OFF_CENTRE = np.array([1.37e-3, 1.73e-3, 0], np.float32)
"""Landmarks may lie on pixel centres exactly, and a centre on an edge belongs to no face: a hole in the picture."""


@dataclass(frozen=True)
class Window:
    """A mesh rasterized in a rectangle of the photograph, `scale` times finer (or coarser) than the photograph.

    Args:
        left, top, width, height: the rectangle in pixels of the photograph.
        scale: cells per pixel.
        triangles: [F, 3] the mesh's triangles.
        face_index, bary, depth: [h, w], [h, w, 3], [h, w] of the cells, as in `Fragments`.
        compiled: whether loops over the cells are numba's.
    """

    left: int
    top: int
    width: int
    height: int
    scale: float
    triangles: np.ndarray
    face_index: np.ndarray
    bary: np.ndarray
    depth: np.ndarray
    compiled: bool = False

    @functools.cached_property
    def mask(self) -> np.ndarray:
        return self.face_index >= 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as an index into the photograph."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """Per-vertex `values` [V, C] at the covered cells [N, C], in the order of ``mask.nonzero()``."""
        face_index, bary = self.face_index[self.mask], self.bary[self.mask]
        return interpolate_cells(face_index, bary, self.triangles, values, self.compiled)

    def picture(self, values: np.ndarray, background: float = 0) -> np.ndarray:
        """`values` [N, C] of the covered cells as a picture [h, w, C] float32."""
        picture = np.full((*self.face_index.shape, values.shape[1]), background, np.float32)
        picture[self.mask] = values
        return picture

    def cells(self, xy: np.ndarray) -> np.ndarray:
        """Pixels of the photograph [..., 2] in cells of this window (integers at cell centres)."""
        return (xy - [self.left, self.top] + 0.5) * self.scale - 0.5


def interpolate_cells(
    face_index: np.ndarray, bary: np.ndarray, triangles: np.ndarray, values: np.ndarray, compiled: bool = False
) -> np.ndarray:
    """Per-vertex `values` [V, C] at cells with `face_index` [N] and `bary` [N, 3]: [N, C] float32.

    With `compiled`, numba does it, without the GIL. The columns are contiguous, for arithmetic with them.
    """
    corners = np.ascontiguousarray(np.asarray(values, np.float32)[triangles])  # [F, 3, C]
    columns = np.empty((corners.shape[2], len(face_index)), np.float32)
    if compiled:
        from facecli.render import loops

        loops.interpolate(face_index, bary, corners, columns)
    else:
        np.einsum("nk,nkc->cn", bary, corners[face_index], out=columns)
    return columns.T


def render_window(
    projected: np.ndarray,
    triangles: np.ndarray,
    size: tuple[int, int] | None,
    *,
    scale: float | None = None,
    longest: int = 512,
    margin: int = 1,
    cull: bool = False,
    backend: str = "auto",
) -> Window | None:
    """Rasterize one mesh in its own rectangle; None if nothing of it is in the picture.

    Args:
        projected: [V, 3], see the module.
        triangles: int [F, 3].
        size: (H, W) of the photograph, outside of which nothing is drawn; None for no limit.
        scale: cells per pixel; None chooses so that the rectangle's longer side has `longest` cells.
        margin: pixels around the mesh.
    """
    triangles = np.ascontiguousarray(triangles, np.int64)
    rectangle = covered_rectangle(projected, triangles, size, margin)
    if rectangle is None:
        return None
    left, top, width, height = rectangle
    scale = longest / max(width, height) if scale is None else scale
    cells = max(round(height * scale), 1), max(round(width * scale), 1)
    points = (np.asarray(projected, np.float64) - [left, top, 0] + [0.5, 0.5, 0]) * [scale, scale, 1] - [0.5, 0.5, 0]
    nearest = np.nanmin(np.where(np.isfinite(points[:, 2]), points[:, 2], np.nan))
    points[:, 2] += 1 - nearest  # in double: depths far from zero keep their precision
    ndc = pixels_to_image_ndc(torch.from_numpy(points.astype(np.float32) + _OFF_CENTRE)[None], cells, shift_depth=False)
    found = rasterize(ndc, torch.from_numpy(triangles), cells, cull=cull, backend=backend)
    face_index, bary, depth = found.face_index[0].numpy(), found.bary[0].numpy(), found.depth[0].numpy()
    covered = face_index >= 0
    depth = np.add(depth, nearest - 1, dtype=np.float64, where=covered, out=np.full(depth.shape, -1.0))
    depth = depth.astype(np.float32)
    return Window(left, top, width, height, scale, triangles, face_index, bary, depth, uses_numba(backend))


def viewer_normals(projected: np.ndarray, triangles: np.ndarray, pixels_per_unit: float = 1.0) -> np.ndarray:
    """Unit vertex normals [V, 3] as the viewer sees them: x right, y up, z towards the viewer."""
    return vertex_normals(viewer_points(projected, pixels_per_unit), np.asarray(triangles, np.int64))


def viewer_points(projected: np.ndarray, pixels_per_unit: float = 1.0) -> np.ndarray:
    """`projected` [V, 3] with one unit (pixels) on all axes: x right, y up, z towards the viewer."""
    return np.asarray(projected, np.float64) * [1, -1, -pixels_per_unit]


def pixels_per_unit(vertices: np.ndarray, projected: np.ndarray) -> float:
    """How many pixels one unit of depth is, for a mesh that was turned, scaled and laid into the photograph.

    Turning keeps lengths: what the spread of `vertices` [V, 3] has beyond the spread in depth is its spread across the
    picture, in units. Exact without perspective.
    """
    good = np.isfinite(projected).all(1) & np.isfinite(vertices).all(1)
    units = np.var(np.asarray(vertices, np.float64)[good], axis=0).sum()
    across_x, across_y, depth = np.var(np.asarray(projected, np.float64)[good], axis=0)
    across = units - depth
    if not across > 1e-9 * units:
        raise ValueError("the depth of `projected` is not in the units of `vertices`")
    return math.sqrt((across_x + across_y) / across)


def covered_rectangle(
    projected: np.ndarray, triangles: np.ndarray, size: tuple[int, int] | None, margin: int = 1
) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) of the picture's pixels that the mesh may touch."""
    used = np.asarray(projected)[np.unique(triangles)]
    used = used[np.isfinite(used).all(1)]
    if not len(used):
        return None
    low, high = np.floor(used[:, :2].min(0)) - margin, np.ceil(used[:, :2].max(0)) + margin
    if size is not None:
        low, high = np.maximum(low, 0), np.minimum(high, [size[1] - 1, size[0] - 1])
    if (high < low).any():
        return None
    left, top, right, bottom = (int(value) for value in (*low, *high))
    return left, top, right - left + 1, bottom - top + 1
