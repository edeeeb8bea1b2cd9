"""DECA's own rasterizer, `standard`: edges count as inside, weights sum to 1, depth is harmonic. Pictures only.

It differs from :func:`facecli.render.rasterize.rasterize` (pytorch3d's rules) at pixel centres on edges and in the last
bits of the weights. Compiled by numba on the CPU; other devices' tensors are copied there and back.
"""

from __future__ import annotations

import numpy as np
import torch

from facecli.render.jit import jit
from facecli.render.rasterize import Fragments

_FAR = np.float32(1e6)


def rasterize_standard(vertices: torch.Tensor, triangles: torch.Tensor, size: tuple[int, int]) -> Fragments:
    """Draw B meshes that share `triangles`, without gradients.

    Each pixel shows the nearest triangle with weights w0 > 0, w1 >= 0, w2 >= 0; of equally near ones the last.
    Triangles without area, and such that are not finite, aren't drawn.

    Args:
        vertices: [B, V, 3] NDC, -1..1 on both axes whatever the picture's shape (x right, y down), and depth > 0.
        triangles: int [F, 3].
        size: (H, W).

    Returns:
        Fragments as the common rasterizer's (face index within each mesh; -1 where nothing is), `depth` being
        1 / (w0/z0 + w1/z1 + w2/z2).
    """
    height, width = size
    points = vertices.detach().float().cpu()
    scale = points.new_tensor([width / 2, height / 2])
    xy = (points[..., :2] + 1) * scale - 0.5
    points = torch.cat([xy, points[..., 2:]], -1).numpy()
    faces = np.ascontiguousarray(triangles.cpu().numpy(), np.int64)
    face_index = np.full((len(points), height, width), -1, np.int64)
    bary = np.full((len(points), height, width, 3), -1, np.float32)
    depth = np.full((len(points), height, width), _FAR, np.float32)
    for one in zip(np.ascontiguousarray(points), face_index, bary, depth, strict=True):
        _draw(one[0], faces, *one[1:])
    depth[face_index < 0] = -1
    found = (torch.from_numpy(array).to(vertices.device) for array in (face_index, bary, depth))
    index, bary, depth = found
    return Fragments(index, bary, depth, index >= 0)


@jit
def _draw(points, triangles, face_index, bary, depth):
    """One mesh: `points` [V, 3] in pixels and depth, `triangles` [F, 3], into [H, W] and [H, W, 3]. All in float32."""
    height, width = face_index.shape
    one, zero = np.float32(1), np.float32(0)
    for face in range(triangles.shape[0]):
        i0, i1, i2 = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        x0, y0, z0 = points[i0, 0], points[i0, 1], points[i0, 2]
        x1, y1, z1 = points[i1, 0], points[i1, 1], points[i1, 2]
        x2, y2, z2 = points[i2, 0], points[i2, 1], points[i2, 2]
        if not (z0 > zero and z1 > zero and z2 > zero):
            continue
        # Clamped as floats: a huge coordinate has no integer. Comparisons are such that a NaN draws nothing.
        left, right = np.ceil(min(x0, x1, x2)), np.floor(max(x0, x1, x2))
        top, bottom = np.ceil(min(y0, y1, y2)), np.floor(max(y0, y1, y2))
        if not (right >= zero and left <= width - 1 and bottom >= zero and top <= height - 1):
            continue
        # w = 1 - u - v, v, u of the edges to the third and the second corner
        ex, ey, gx, gy = x2 - x0, y2 - y0, x1 - x0, y1 - y0
        ee, eg, gg = ex * ex + ey * ey, ex * gx + ey * gy, gx * gx + gy * gy
        area = ee * gg - eg * eg
        if not (area > zero and area < np.inf):
            continue
        inverse = one / area
        for row in range(int(max(top, zero)), int(min(bottom, np.float32(height - 1))) + 1):
            for column in range(int(max(left, zero)), int(min(right, np.float32(width - 1))) + 1):
                qx, qy = np.float32(column) - x0, np.float32(row) - y0
                eq, gq = ex * qx + ey * qy, gx * qx + gy * qy
                u = (gg * eq - eg * gq) * inverse
                v = (ee * gq - eg * eq) * inverse
                w = one - u - v
                if not (w > zero and v >= zero and u >= zero):
                    continue
                z = one / (w / z0 + v / z1 + u / z2)
                if z <= depth[row, column]:
                    depth[row, column] = z
                    face_index[row, column] = face
                    bary[row, column, 0], bary[row, column, 1], bary[row, column, 2] = w, v, u
