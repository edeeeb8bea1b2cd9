"""What file formats and viewers need of a surface beyond `TriangleMesh`: normals, tangents, one UV for each vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecli.geometry.mesh import TriangleMesh
from facecli.geometry.normals import vertex_normals
from facecli.geometry.tangents import uv_orientation, vertex_tangents


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


def split_seams(mesh: TriangleMesh, *, for_tangents: bool = False) -> SplitSurface:
    """Double the vertices of `mesh` where its UV layout is cut; `for_tangents` also where a mirrored part begins."""
    count = len(mesh.vertices)
    triangles = np.asarray(mesh.triangles, np.int64)
    uv_triangles = triangles if mesh.uv_triangles is None else np.asarray(mesh.uv_triangles, np.int64)
    mirrored = np.zeros(len(triangles), bool)
    if mesh.uv is not None and for_tangents:
        mirrored = _mirrored(mesh.uv, uv_triangles)
    if mesh.uv is None or (mesh.uv_triangles is None and not mirrored.any()):
        uv = None if mesh.uv is None else np.asarray(mesh.uv, np.float32)
        return SplitSurface(np.arange(count), triangles, uv)

    uv_count = len(mesh.uv)
    corners = (triangles * uv_count + uv_triangles) * 2 + mirrored[:, None]
    pairs, corner_pair = np.unique(corners.ravel(), return_inverse=True)  # sorted by vertex, then by UV
    vertex_of, uv_of = np.divmod(pairs // 2, uv_count)
    is_first = np.r_[True, vertex_of[1:] != vertex_of[:-1]] if len(pairs) else np.zeros(0, bool)

    index_of_pair = np.empty(len(pairs), np.int64)
    index_of_pair[is_first] = vertex_of[is_first]
    index_of_pair[~is_first] = count + np.arange((~is_first).sum())
    source = np.r_[np.arange(count), vertex_of[~is_first]]
    uv = np.zeros((len(source), 2), np.float32)  # vertices in no triangle keep (0, 0)
    uv[index_of_pair] = np.asarray(mesh.uv, np.float32)[uv_of]
    return SplitSurface(source, index_of_pair[corner_pair.ravel()].reshape(-1, 3), uv)


def _mirrored(uv: np.ndarray, uv_triangles: np.ndarray) -> np.ndarray:
    """bool [F]: is the triangle mirrored in the layout? One without area there is what its neighbours are."""
    orientation = uv_orientation(uv, uv_triangles)
    of_uv = np.zeros(len(uv), np.int64)
    of_uv[uv_triangles[orientation != 0]] = orientation[orientation != 0, None]
    flat = orientation == 0
    orientation[flat] = of_uv[uv_triangles[flat]].sum(axis=1)
    return orientation < 0


def split_tangents(mesh: TriangleMesh, surface: SplitSurface) -> tuple[np.ndarray, np.ndarray]:
    """Normals [N, 3] and tangents with handedness [N, 4], float32, of the vertices of `surface`, split from `mesh`."""
    normals = outward_normals(mesh)[surface.source]
    millimetres = np.asarray(mesh.vertices, np.float64)[surface.source] * (1000 * mesh.metres_per_unit)
    return normals, vertex_tangents(millimetres, normals, surface.uv, surface.triangles)


def outward_normals(mesh: TriangleMesh) -> np.ndarray:
    """Unit normals [V, 3] float32; (0, 0, 1) for vertices in no triangle, since glTF allows no zero ones."""
    millimetres = np.asarray(mesh.vertices, np.float64) * (1000 * mesh.metres_per_unit)  # far from any epsilon
    normals = vertex_normals(millimetres, np.asarray(mesh.triangles), eps=1e-12).astype(np.float32)
    normals[np.linalg.norm(normals, axis=1) < 0.5] = 0, 0, 1
    return normals
