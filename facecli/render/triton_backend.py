"""Rasterizer for CUDA: one Triton program per (face, tile of its bounding box), nearest kept by an atomic minimum.

Triton comes with torch's CUDA wheels for Linux. ``TRITON_INTERPRET=1`` runs the kernel on a CPU, slowly, for tests.
"""

from __future__ import annotations

import contextlib
import os

import torch
import triton
import triton.language as tl

from facecli.render.arithmetic import EPSILON, pixel_centres
from facecli.render.torch_backend import pixel_boxes

_TILE = 32  # a face over the whole picture is drawn by many programs
_BLOCK_ROWS, _BLOCK_COLUMNS = 4, 8
_NOTHING = torch.iinfo(torch.int64).max
_FACE_BITS = 32


def unavailable(device: torch.device) -> str:
    """Why this backend can't serve tensors on `device`."""
    if device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1":
        return ""
    return "triton draws on CUDA devices only"


def cover(
    verts: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], perspective: bool, cull: bool
) -> tuple[torch.Tensor, None, None]:
    """Face index [B, H, W]; weights and depth are left to the shared function."""
    images, (height, width) = len(verts), size
    nearest = torch.full((images, height, width), _NOTHING, dtype=torch.int64, device=verts.device)
    if images and len(faces):
        corners = verts.detach()[:, faces].flatten(0, 1).contiguous()  # [B·F, 3, 3]
        tiles = _tiles(pixel_boxes(corners, size, cull))
        if len(tiles):
            columns, rows = (torch.from_numpy(axis).to(verts.device) for axis in pixel_centres(size))
            arguments = corners, tiles, columns, rows, nearest, len(faces), height, width
            with torch.cuda.device(verts.device) if verts.is_cuda else contextlib.nullcontext():
                _draw[(len(tiles),)](
                    *arguments,
                    EPSILON=EPSILON,
                    PERSPECTIVE=perspective,
                    ROWS=_BLOCK_ROWS,
                    COLUMNS=_BLOCK_COLUMNS,
                    # A fused multiply-add would change the last bits, and with them who owns a pixel on an edge.
                    enable_fp_fusion=False,
                    num_warps=1,
                )
    return torch.where(nearest == _NOTHING, -1, nearest & ((1 << _FACE_BITS) - 1)), None, None


def _tiles(boxes: torch.Tensor) -> torch.Tensor:
    """Face, first column, first row, end column, end row [N, 5] int32: `boxes` [F, 4] cut into tiles."""
    left, top, across, down = boxes.unbind(1)
    tiles_across, tiles_down = (across + _TILE - 1) // _TILE, (down + _TILE - 1) // _TILE
    counts = tiles_across * tiles_down
    face = torch.repeat_interleave(torch.arange(len(boxes), device=boxes.device), counts)
    within = torch.arange(len(face), device=boxes.device) - (counts.cumsum(0) - counts)[face]
    first_column = left[face] + within % tiles_across[face] * _TILE
    first_row = top[face] + within // tiles_across[face] * _TILE
    end_column = torch.minimum(first_column + _TILE, (left + across)[face])
    end_row = torch.minimum(first_row + _TILE, (top + down)[face])
    return torch.stack([face, first_column, first_row, end_column, end_row], 1).int().contiguous()


@triton.jit
def _draw(
    corners,
    tiles,
    columns,
    rows,
    nearest,
    faces_per_image,
    height,
    width,
    EPSILON: tl.constexpr,
    PERSPECTIVE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Draw one tile: steps 3 to 9 of rendering.md, whose order of operations is kept."""
    tile = tiles + tl.program_id(0).to(tl.int64) * 5
    face = tl.load(tile).to(tl.int64)
    first_column, first_row = tl.load(tile + 1), tl.load(tile + 2)
    end_column, end_row = tl.load(tile + 3), tl.load(tile + 4)
    corner = corners + face * 9
    x0, y0, z0 = tl.load(corner), tl.load(corner + 1), tl.load(corner + 2)
    x1, y1, z1 = tl.load(corner + 3), tl.load(corner + 4), tl.load(corner + 5)
    x2, y2, z2 = tl.load(corner + 6), tl.load(corner + 7), tl.load(corner + 8)
    left, right = tl.minimum(tl.minimum(x0, x1), x2), tl.maximum(tl.maximum(x0, x1), x2)
    top, bottom = tl.minimum(tl.minimum(y0, y1), y2), tl.maximum(tl.maximum(y0, y1), y2)
    area64 = ((x2 - x0) * (y1 - y0) - (y2 - y0) * (x1 - x0)).to(tl.float64) + EPSILON
    area = area64.to(tl.float32)
    image = face // faces_per_image
    local = face - image * faces_per_image
    for row_start in range(first_row, end_row, ROWS):
        row = row_start + tl.arange(0, ROWS)[:, None]
        y = tl.load(rows + row, mask=row < end_row, other=0.0)
        for column_start in range(first_column, end_column, COLUMNS):
            column = column_start + tl.arange(0, COLUMNS)[None, :]
            x = tl.load(columns + column, mask=column < end_column, other=0.0)
            n0 = (x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)
            n1 = (x - x2) * (y0 - y2) - (y - y2) * (x0 - x2)
            n2 = (x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)
            w0, w1, w2 = tl.div_rn(n0, area), tl.div_rn(n1, area), tl.div_rn(n2, area)
            inside = (row < end_row) & (column < end_column)
            inside &= (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
            if PERSPECTIVE:
                w0, w1, w2 = w0 * z1 * z2, w1 * z0 * z2, w2 * z0 * z1
                total = tl.maximum(w0 + w1 + w2, EPSILON)
                w0, w1, w2 = tl.div_rn(w0, total), tl.div_rn(w1, total), tl.div_rn(w2, total)
            depth = w0 * z0 + w1 * z1 + w2 * z2
            inside &= (w0 > 0) & (w1 > 0) & (w2 > 0) & (depth >= 0)
            # The bits of a float that is not negative grow with its value; ties go to the lower face.
            key = (depth.to(tl.int32, bitcast=True).to(tl.int64) << 32) | local
            pixel = (image * height + row) * width + column
            tl.atomic_min(nearest + pixel, key, mask=inside)
