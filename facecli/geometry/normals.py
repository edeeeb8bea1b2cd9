"""Normals of triangle meshes, for torch tensors (differentiable) and numpy arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def face_normals(vertices: Array, triangles: Array) -> Array:
    """Cross products (v1 - v0) × (v2 - v0) [..., F, 3]: outward for counter-clockwise triangles, length twice the area.

    Args:
        vertices: [..., V, 3].
        triangles: int [F, 3].
    """
    v0, v1, v2 = (vertices[..., triangles[:, corner], :] for corner in range(3))
    if isinstance(vertices, torch.Tensor):
        return torch.linalg.cross(v1 - v0, v2 - v0)
    return np.cross(v1 - v0, v2 - v0)


def vertex_normals(vertices: Array, triangles: Array, eps: float = 1e-6) -> Array:
    """Unit normals at the vertices [..., V, 3]: the area-weighted mean of the triangles around each.

    Args:
        vertices: [..., V, 3], torch or numpy.
        triangles: int [F, 3].
        eps: lengths below it are divided by it instead, so that a vertex without area gets (nearly) zero, not NaN.
    """
    faces = face_normals(vertices, triangles)
    if isinstance(vertices, torch.Tensor):
        total = torch.zeros_like(vertices)
        for corner in range(3):
            total = total.index_add(-2, triangles[:, corner].to(vertices.device), faces)
        return torch.nn.functional.normalize(total, dim=-1, eps=eps)
    total = _sum_at_vertices(faces, triangles, vertices.shape[-2]).astype(vertices.dtype)
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), eps)


def _sum_at_vertices(values: np.ndarray, triangles: np.ndarray, count: int) -> np.ndarray:
    """[..., F, 3] of the triangles, summed at their vertices: [..., count, 3]."""
    flat = values.reshape(-1, *values.shape[-2:])
    index = triangles.T.reshape(-1)
    sums = [[np.bincount(index, np.tile(one[:, axis], 3), count) for axis in range(3)] for one in flat]
    return np.moveaxis(np.array(sums).reshape(*values.shape[:-2], 3, count), -1, -2)
