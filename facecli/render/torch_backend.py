"""Rasterizer in plain torch, for any device: lists the (face, pixel) pairs of all bounding boxes and keeps the nearest.

Depth and face index share one int64 per pixel, so that a single scatter-minimum decides both (ties: lower index).
"""

from __future__ import annotations

import torch

from facecli.render.arithmetic import EPSILON, corner_weights, edge, pixel_centres, weights_and_depth

_CHUNK = 1 << 21  # (face, pixel) pairs at a time: bounds the memory to about 300 MB
_NOTHING = torch.iinfo(torch.int64).max
_FACE_BITS = 32


def unavailable(device: torch.device) -> str:
    """Why this backend can't serve tensors on `device`: it serves them all."""
    return ""


def cover(
    verts: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], perspective: bool, cull: bool
) -> tuple[torch.Tensor, None, None]:
    """Face index [B, H, W]; weights and depth are left to the shared function."""
    images, (height, width) = len(verts), size
    columns, rows = (torch.from_numpy(axis).to(verts.device) for axis in pixel_centres(size))
    nearest = torch.full((images * height * width,), _NOTHING, dtype=torch.int64, device=verts.device)
    if images and len(faces):
        corners = verts.detach()[:, faces].flatten(0, 1)  # [B·F, 3, 3]
        boxes = pixel_boxes(corners, size, cull)
        for face, row, column in _pairs(boxes, _CHUNK):
            _keep_nearest(nearest, corners, face, (row, column), (rows, columns), len(faces), perspective)
    face_index = torch.where(nearest == _NOTHING, -1, nearest & ((1 << _FACE_BITS) - 1))
    return face_index.view(images, height, width), None, None


def pixel_boxes(corners: torch.Tensor, size: tuple[int, int], cull: bool) -> torch.Tensor:
    """First column, first row, columns and rows [N, 4] int64 of the pixels around each triangle of `corners` [N, 3, 3].

    Triangles that aren't drawn at all (steps 1 and 2 of the contract) get no pixels.
    """
    height, width = size
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = (corner.unbind(-1) for corner in corners.unbind(1))
    facing = edge(x0, y0, x1, y1, x2, y2)
    drawn = (facing > EPSILON) | ((facing < -EPSILON) & (not cull))
    drawn &= (corners[:, :, 2] >= EPSILON).all(1) & corners.isfinite().all(2).all(1)
    corners = torch.where(drawn[:, None, None], corners, torch.zeros_like(corners))
    limit = torch.tensor([width - 1, height - 1], dtype=corners.dtype, device=corners.device)
    slack = 2e-3 + 1e-6 * max(size)  # more than the rounding of this formula
    low, high = corners[:, :, :2].amin(1), corners[:, :, :2].amax(1)
    first = (low * (min(size) / 2) + limit / 2 - slack).ceil().clamp(min=0).minimum(limit + 1)
    last = (high * (min(size) / 2) + limit / 2 + slack).floor().clamp(min=-1).minimum(limit)
    extent = ((last - first + 1).clamp(min=0) * drawn[:, None]).long()
    return torch.cat([first.long(), extent], 1)


def _pairs(boxes: torch.Tensor, chunk: int):
    """Yield (triangle, row, column) [<= chunk] of all pixels in `boxes`, split anywhere, inside a box too."""
    kept = (boxes[:, 2] * boxes[:, 3]).nonzero().squeeze(1)
    left, top, across, down = boxes[kept].unbind(1)
    ends = (across * down).cumsum(0)
    starts = ends - across * down
    total = int(ends[-1]) if len(ends) else 0
    for begin in range(0, total, chunk):
        stop = min(begin + chunk, total)
        first = int(torch.searchsorted(ends, begin, right=True))
        last = int(torch.searchsorted(ends, stop))  # the box in which the chunk ends
        here = slice(first, last + 1)
        counts = ends[here].clamp(max=stop) - starts[here].clamp(min=begin)
        box = torch.repeat_interleave(
            torch.arange(first, last + 1, device=boxes.device), counts, output_size=stop - begin
        )
        within = torch.arange(begin, stop, device=boxes.device) - starts[box]
        down_in, across_in = within // across[box], within % across[box]
        yield kept[box], top[box] + down_in, left[box] + across_in


def _keep_nearest(nearest, corners, face, pixel, axes, faces_per_image, perspective):
    """Draw the pairs: `nearest` [B·H·W] keeps the smallest (depth bits, face) of each pixel."""
    (row, column), (rows, columns) = pixel, axes
    x, y, tri = columns[column], rows[row], corners[face]
    n0, n1, n2, area = corner_weights(tri, x, y)
    positive = (area > 0) & (n0 > 0) & (n1 > 0) & (n2 > 0)
    inside = positive | ((area < 0) & (n0 < 0) & (n1 < 0) & (n2 < 0))
    low, high = tri[:, :, :2].amin(1), tri[:, :, :2].amax(1)
    inside &= (x >= low[:, 0]) & (x <= high[:, 0]) & (y >= low[:, 1]) & (y <= high[:, 1])
    hit = inside.nonzero().squeeze(1)
    face, row, column = face[hit], row[hit], column[hit]
    weights, depth = weights_and_depth(tri[hit], x[hit], y[hit], perspective)
    local, image = face % faces_per_image, face // faces_per_image
    # The bits of a float that is not negative grow with its value.
    key = (depth.contiguous().view(torch.int32).long() << _FACE_BITS) | local
    key = torch.where((weights > 0).all(1) & (depth >= 0), key, _NOTHING)
    target = (image * len(rows) + row) * len(columns) + column
    nearest.scatter_reduce_(0, target, key, "amin")
