"""The float32 arithmetic that all rasterizer backends share: pixel centres, and weights and depth at pixels.

The order of operations is part of the contract: it reproduces pytorch3d's CPU rasterizer bit for bit. Don't tidy it.
"""

from __future__ import annotations

import numpy as np
import torch

EPSILON = 1e-8
"""Depth below which a vertex counts as behind the camera, and (twice the) area below which a face is none."""


def pixel_centres(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image-NDC coordinates of the columns [W] and rows [H] of a picture of `size` (H, W), float32."""
    height, width = size
    return _centres(width, height), _centres(height, width)


def _centres(n: int, other: int) -> np.ndarray:
    span = np.float32(2) if n <= other else np.float32(2) * np.float32(n) / np.float32(other)
    half = span / np.float32(2)
    from_the_end = np.arange(n - 1, -1, -1, dtype=np.float32)
    return half - (span * from_the_end + half) / np.float32(n)


def edge(px, py, ax, ay, bx, by):
    """Twice the signed area of the triangle p, a, b; works on tensors and arrays alike."""
    return (px - ax) * (by - ay) - (py - ay) * (bx - ax)


def corner_weights(corners: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Numerators of the three weights at points `x`, `y` [N] of triangles `corners` [N, 3, 3], and their divisor."""
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = (corner.unbind(-1) for corner in corners.unbind(-2))
    numerators = edge(x, y, x1, y1, x2, y2), edge(x, y, x2, y2, x0, y0), edge(x, y, x0, y0, x1, y1)
    return *numerators, _add_epsilon(edge(x2, y2, x0, y0, x1, y1))


def _add_epsilon(area: torch.Tensor) -> torch.Tensor:
    """`area` + 1e-8, summed in double as pytorch3d does (Apple's GPUs have none; there the last bit may differ)."""
    return area + EPSILON if area.device.type == "mps" else (area.double() + EPSILON).to(area.dtype)


def weights_and_depth(
    corners: torch.Tensor, x: torch.Tensor, y: torch.Tensor, perspective: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Barycentric weights [N, 3] and depth [N] at points `x`, `y` [N] of triangles `corners` [N, 3, 3]."""
    n0, n1, n2, area = corner_weights(corners, x, y)
    w0, w1, w2 = n0 / area, n1 / area, n2 / area
    z0, z1, z2 = corners[:, :, 2].unbind(-1)
    if perspective:
        w0, w1, w2 = w0 * z1 * z2, w1 * z0 * z2, w2 * z0 * z1
        total = (w0 + w1 + w2).clamp(min=EPSILON)
        w0, w1, w2 = w0 / total, w1 / total, w2 / total
    return torch.stack([w0, w1, w2], -1), w0 * z0 + w1 * z1 + w2 * z2
