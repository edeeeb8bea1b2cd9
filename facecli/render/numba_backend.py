"""Rasterizer for the CPU: a z-buffer loop over each face's bounding box, compiled by numba.

Images, or bands of rows where images are fewer than threads, run on a pool of Python threads: numba's own `prange` may
abort the process when two Python threads enter it at once.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from facecli.render.arithmetic import EPSILON, pixel_centres
from facecli.render.jit import jit

_EPSILON32 = np.float32(EPSILON)
_ZERO = np.float32(0)
_ONE_EMPTY = np.float32(-1)
_BAND_MIN_PIXELS = 16_384  # less work than this is not worth a second thread


def unavailable(device: torch.device) -> str:
    """Why this backend can't serve tensors on `device`; it copies them to the CPU, so it always can."""
    return ""


def cover(
    verts: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], perspective: bool, cull: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Face index [B, H, W], weights [B, H, W, 3] and depth [B, H, W], without gradients."""
    points = np.ascontiguousarray(verts.detach().cpu().numpy())
    triangles = np.ascontiguousarray(faces.detach().cpu().numpy())
    images, (height, width) = len(points), size
    face_index = np.empty((images, height, width), np.int64)
    bary = np.empty((images, height, width, 3), np.float32)
    depth = np.empty((images, height, width), np.float32)
    columns, rows = pixel_centres(size)

    def draw(job: tuple[int, int, int]) -> None:
        image, first, last = job
        buffers = face_index[image], bary[image], depth[image]
        _draw(points[image], triangles, columns, rows, first, last, perspective, cull, *buffers)

    _run(draw, _jobs(images, size, torch.get_num_threads()))
    return tuple(torch.from_numpy(buffer).to(verts.device) for buffer in (face_index, bary, depth))


def _jobs(images: int, size: tuple[int, int], threads: int) -> list[tuple[int, int, int]]:
    """(image, first row, row after the last): whole images, or bands where that keeps all threads busy."""
    height, width = size
    bands = max(1, min(threads // max(images, 1), height * width // _BAND_MIN_PIXELS, height))
    edges = [height * band // bands for band in range(bands + 1)]
    return [(image, edges[band], edges[band + 1]) for image in range(images) for band in range(bands)]


def _run(draw, jobs: list[tuple[int, int, int]]) -> None:
    if len(jobs) <= 1 or torch.get_num_threads() == 1:
        for job in jobs:
            draw(job)
    else:
        list(_pool(torch.get_num_threads()).map(draw, jobs))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="facecli-rasterizer")


# A forked data-loader worker inherits the pool's object but not its threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


@jit
def _draw(verts, faces, columns, rows, first_row, last_row, perspective, cull, face_index, bary, depth):
    """Draw rows `first_row`..`last_row` of one image: verts [V, 3], faces [F, 3]; the steps are rendering.md's."""
    face_index[first_row:last_row] = -1
    bary[first_row:last_row] = _ONE_EMPTY
    depth[first_row:last_row] = _ONE_EMPTY
    height, width = rows.size, columns.size
    half_short = min(height, width) / 2.0
    column_middle, row_middle = (width - 1) / 2.0, (height - 1) / 2.0
    for face in range(faces.shape[0]):
        i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
        x0, y0, z0 = verts[i0, 0], verts[i0, 1], verts[i0, 2]
        x1, y1, z1 = verts[i1, 0], verts[i1, 1], verts[i1, 2]
        x2, y2, z2 = verts[i2, 0], verts[i2, 1], verts[i2, 2]
        # 0·x is 0 for finite x only; all comparisons are written so that a NaN drops the face.
        flat = _ZERO * x0 + _ZERO * y0 + _ZERO * x1 + _ZERO * y1 + _ZERO * x2 + _ZERO * y2
        if flat + _ZERO * z0 + _ZERO * z1 + _ZERO * z2 != _ZERO:
            continue
        if not (z0 >= _EPSILON32 and z1 >= _EPSILON32 and z2 >= _EPSILON32):
            continue
        facing = (x0 - x1) * (y2 - y1) - (y0 - y1) * (x2 - x1)
        if not (facing > _EPSILON32 or (facing < -_EPSILON32 and not cull)):
            continue
        left, right = min(x0, x1, x2), max(x0, x1, x2)
        top, bottom = min(y0, y1, y2), max(y0, y1, y2)
        # Pixels of the box, widened a little; the exact test against the pixel centres follows in the loop.
        # Clamped as floats: a huge coordinate has no integer.
        column_from = int(min(max(np.ceil(left * half_short + column_middle - 2e-3), 0.0), width))
        column_to = int(min(max(np.floor(right * half_short + column_middle + 2e-3), -1.0), width - 1.0))
        row_from = int(min(max(np.ceil(top * half_short + row_middle - 2e-3), first_row), last_row))
        row_to = int(min(max(np.floor(bottom * half_short + row_middle + 2e-3), -1.0), last_row - 1.0))
        if column_from > column_to or row_from > row_to:
            continue
        area = np.float32(np.float64((x2 - x0) * (y1 - y0) - (y2 - y0) * (x1 - x0)) + EPSILON)
        positive = area > _ZERO
        for row in range(row_from, row_to + 1):
            y = rows[row]
            if y < top or y > bottom:
                continue
            across0, across1, across2 = (y - y1) * (x2 - x1), (y - y2) * (x0 - x2), (y - y0) * (x1 - x0)
            for column in range(column_from, column_to + 1):
                x = columns[column]
                n0 = (x - x1) * (y2 - y1) - across0
                n1 = (x - x2) * (y0 - y2) - across1
                n2 = (x - x0) * (y1 - y0) - across2
                if positive:
                    if not (n0 > _ZERO and n1 > _ZERO and n2 > _ZERO):
                        continue
                elif not (n0 < _ZERO and n1 < _ZERO and n2 < _ZERO):
                    continue
                if x < left or x > right:
                    continue
                w0, w1, w2 = n0 / area, n1 / area, n2 / area
                if perspective:
                    w0, w1, w2 = w0 * z1 * z2, w1 * z0 * z2, w2 * z0 * z1
                    total = max(w0 + w1 + w2, _EPSILON32)
                    w0, w1, w2 = w0 / total, w1 / total, w2 / total
                if not (w0 > _ZERO and w1 > _ZERO and w2 > _ZERO):
                    continue  # a quotient that underflowed
                z = w0 * z0 + w1 * z1 + w2 * z2
                if not z >= _ZERO:
                    continue
                if face_index[row, column] < 0 or z < depth[row, column]:
                    face_index[row, column] = face
                    depth[row, column] = z
                    bary[row, column, 0], bary[row, column, 1], bary[row, column, 2] = w0, w1, w2
