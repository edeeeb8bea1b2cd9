"""What file formats and viewers need of a surface beyond `TriangleMesh`: normals, and one UV for each vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecli.geometry.mesh import TriangleMesh
from facecli.geometry.normals import vertex_normals


@dataclass(frozen=True)
class SplitSurface:
    """A mesh whose vertices are doubled along UV seams, so that each has one UV, as glTF and GPUs want it.

    The first V vertices are the mesh's own, in its order; the copies along the seams follow.

    Args:
        source: [N] int64, the mesh's vertex behind each vertex.
        triangles: [F, 3] int64 indices into the N vertices.
        uv: [N, 2] float32, origin bottom-left, or None.
    """

    source: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray | None


def split_seams(mesh: TriangleMesh) -> SplitSurface:
    """Double the vertices of `mesh` where its UV layout is cut."""
    count = len(mesh.vertices)
    triangles = np.asarray(mesh.triangles, np.int64)
    if mesh.uv is None or mesh.uv_triangles is None:
        uv = None if mesh.uv is None else np.asarray(mesh.uv, np.float32)
        return SplitSurface(np.arange(count), triangles, uv)

    uv_count = len(mesh.uv)
    corners = triangles.ravel() * uv_count + np.asarray(mesh.uv_triangles, np.int64).ravel()
    pairs, corner_pair = np.unique(corners, return_inverse=True)  # sorted by vertex, then by UV
    vertex_of, uv_of = np.divmod(pairs, uv_count)
    is_first = np.r_[True, vertex_of[1:] != vertex_of[:-1]] if len(pairs) else np.zeros(0, bool)

    index_of_pair = np.empty(len(pairs), np.int64)
    index_of_pair[is_first] = vertex_of[is_first]
    index_of_pair[~is_first] = count + np.arange((~is_first).sum())
    source = np.r_[np.arange(count), vertex_of[~is_first]]
    uv = np.zeros((len(source), 2), np.float32)  # vertices in no triangle keep (0, 0)
    uv[index_of_pair] = np.asarray(mesh.uv, np.float32)[uv_of]
    return SplitSurface(source, index_of_pair[corner_pair.ravel()].reshape(-1, 3), uv)


def outward_normals(mesh: TriangleMesh) -> np.ndarray:
    """Unit normals [V, 3] float32; (0, 0, 1) for vertices in no triangle, since glTF allows no zero ones."""
    millimetres = np.asarray(mesh.vertices, np.float64) * (1000 * mesh.metres_per_unit)  # far from any epsilon
    normals = vertex_normals(millimetres, np.asarray(mesh.triangles), eps=1e-12).astype(np.float32)
    normals[np.linalg.norm(normals, axis=1) < 0.5] = 0, 0, 1
    return normals
