"""The points of a triangle mesh that are closest to given points, exactly.

libigl's tree where it is installed, else our own (:mod:`facecli.benchmark.triangle_tree`). They agree to the last bits,
and both work in one thread: evaluations are parallel over images.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

import numpy as np

BACKENDS = ("auto", "igl", "numba")


@dataclass(frozen=True)
class Closest:
    """Answers to n points.

    Args:
        distance: [n] float64, in the unit of the mesh.
        point: [n, 3] float64, on the mesh.
        triangle: [n] int64, where `point` is; one of them if it is on an edge.
    """

    distance: np.ndarray
    point: np.ndarray
    triangle: np.ndarray


class ClosestPoints:
    """A mesh to be asked; its tree is built once.

    All of the surface counts, the boundary included, from both sides. A triangle without area counts as the segment or
    the point that it is; vertices of no triangle don't count.

    Args:
        vertices: [V, 3].
        triangles: [F, 3].
        backend: ``"igl"``, ``"numba"``, or ``"auto"``: libigl where it is installed.

    Raises:
        ValueError: there are no triangles, they name vertices that aren't there, or a vertex is not finite.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray, backend: str = "auto"):
        vertices, triangles = check_mesh(vertices, triangles)
        triangles = np.ascontiguousarray(_flat_as_segments(vertices, triangles))
        self.backend = choose_backend(backend)
        self._tree = (_IglTree if self.backend == "igl" else _NumbaTree)(np.ascontiguousarray(vertices), triangles)

    def query(self, points: np.ndarray) -> Closest:
        """The closest points of the mesh to `points` [n, 3].

        Raises:
            ValueError: a point is not finite.
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        if not np.isfinite(points).all():
            raise ValueError("there are points that are not finite numbers")
        closest, triangle = self._tree.query(points)
        difference = points - closest
        return Closest(np.sqrt(np.einsum("ij,ij->i", difference, difference)), closest, triangle)


def choose_backend(backend: str) -> str:
    """``"igl"`` or ``"numba"``.

    Raises:
        ValueError: there is no such backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"closest points are found by {', '.join(BACKENDS)}, not {backend}")
    if backend == "auto":
        return "igl" if importlib.util.find_spec("igl") else "numba"
    return backend


def check_mesh(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`vertices` [V, 3] as float64 and `triangles` [F, 3] as int64.

    Raises:
        ValueError: there are no triangles, they name vertices that aren't there, or a vertex is not finite.
    """
    vertices, triangles = np.asarray(vertices, dtype=np.float64), np.asarray(triangles).astype(np.int64)
    if not triangles.size:
        raise ValueError("the mesh has no triangles")
    if vertices.ndim != 2 or vertices.shape[1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"a mesh is [V, 3] and [F, 3], not {list(vertices.shape)} and {list(triangles.shape)}")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError(f"a triangle of the mesh names a vertex that isn't there ({len(vertices)} are)")
    broken = int(np.count_nonzero(~np.isfinite(vertices).all(axis=1)))
    if broken:
        raise ValueError(f"{broken} of the mesh's {len(vertices)} vertices are not finite numbers")
    return vertices, triangles


def drop_degenerate(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The `triangles` [F, 3] whose first two edges, as unit vectors from their first corner, have a cross product that
    is not zero: what the official evaluation's `clean` keeps."""
    corners = np.asarray(vertices, dtype=np.float64)[triangles]
    edges = corners[:, 1:] - corners[:, :1]
    length = np.linalg.norm(edges, axis=2, keepdims=True)
    unit = edges / np.where(length > 0, length, 1)
    return triangles[np.linalg.norm(np.cross(unit[:, 0], unit[:, 1]), axis=1) > 0]


def _flat_as_segments(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles [a, b, c] without area as [u, v, v], their longest edge, which is the same set of points.

    The closest point of such a triangle is then well defined: its barycentric coordinates wouldn't be.
    """
    corners = vertices[triangles]
    edges = np.roll(corners, -1, axis=1) - corners  # ab, bc, ca
    squared = np.einsum("fij,fij->fi", edges, edges)
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 2]), axis=1)
    flat = np.flatnonzero(area <= 1e-15 * squared.max(axis=1))
    if not len(flat):
        return triangles
    longest = squared[flat].argmax(axis=1)
    start, end = triangles[flat, longest], triangles[flat, (longest + 1) % 3]
    triangles = triangles.copy()
    triangles[flat] = np.stack([start, end, end], axis=1)
    return triangles


class _NumbaTree:
    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        from facecli.benchmark import triangle_tree

        self._query = triangle_tree.query
        corners = vertices[triangles]
        self._tree = (corners, *triangle_tree.build(corners))

    def query(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._query(points, *self._tree)


class _IglTree:
    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        os.environ.setdefault("IGL_NUM_THREADS", "1")  # read once, at libigl's first query
        import igl

        self._vertices, self._triangles = vertices, triangles
        self._tree = None
        if hasattr(igl, "AABB"):
            self._tree = igl.AABB()
            self._tree.init(vertices, triangles)
        else:  # bindings before 2.6 build the tree anew for each query
            self._squared_distance = igl.point_mesh_squared_distance

    def query(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._tree is not None:
            _, triangle, closest = self._tree.squared_distance(self._vertices, self._triangles, points)
        else:
            _, triangle, closest = self._squared_distance(points, self._vertices, self._triangles)
        return np.ascontiguousarray(closest).reshape(-1, 3), np.asarray(triangle, dtype=np.int64).reshape(-1)
