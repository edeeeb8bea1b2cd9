"""Binary PLY, through trimesh."""

from __future__ import annotations

from pathlib import Path

from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write


def write_ply(path: str | Path, mesh: TriangleMesh) -> None:
    """Write positions (float32, the mesh's unit and vertex order), triangles and vertex colours if there are any."""
    surface = mesh.to_trimesh()
    if mesh.vertex_colors is not None:
        surface.visual.vertex_colors = mesh.vertex_colors
    with atomic_write(path) as temporary:
        temporary.write_bytes(surface.export(file_type="ply", vertex_normal=False))
