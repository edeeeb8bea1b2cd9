"""`TriangleMesh`: the numpy mesh that exporters, benchmarks and the Python API share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class TriangleMesh:
    """A triangle mesh with an optional UV layout and texture.

    Axes: x to the right, y up, z towards the viewer; triangles counter-clockwise seen from outside.

    Args:
        vertices: [V, 3] float.
        triangles: [F, 3] int, 0-based.
        uv: [T, 2] float, (0, 0) is the texture's bottom-left corner (as in OBJ files), or None.
        uv_triangles: [F, 3] int indices into `uv`; None means that `uv` is per vertex.
        texture: [H, W, 3] uint8 RGB, row 0 on top, or None.
        vertex_colors: [V, 3] uint8 RGB or None.
        metres_per_unit: length of one unit of `vertices`; 0.001 for millimetres.
        normal_map: [H, W, 3] uint8 or None: the surface's fine structure in tangent space, laid out as the texture is.
            Red points along u, green along v (upwards in the picture: glTF's and OpenGL's convention), blue outwards.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray | None = None
    uv_triangles: np.ndarray | None = None
    texture: np.ndarray | None = None
    vertex_colors: np.ndarray | None = None
    metres_per_unit: float = 0.001
    normal_map: np.ndarray | None = None

    def with_vertices(self, vertices: np.ndarray) -> TriangleMesh:
        """The same surface with other `vertices` [V, 3]."""
        return replace(self, vertices=vertices)

    def to_trimesh(self):
        """As a `trimesh.Trimesh` in the same units, vertex order kept (no texture where UV seams split vertices)."""
        import trimesh

        return trimesh.Trimesh(self.vertices, self.triangles, process=False, maintain_order=True)


def triangle_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[F] areas of `triangles` [F, 3] of `vertices` [V, 3], in their unit squared."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
