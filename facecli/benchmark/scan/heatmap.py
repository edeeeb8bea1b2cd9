"""Errors as colours on the surface that was measured from, to be looked at in any mesh viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecli.benchmark.scan.score import ScanScore
from facecli.geometry.mesh import TriangleMesh

YELLOW_AT_MM = 5.0
"""The end of the scale; 0 is violet."""

_NOT_MEASURED = (150, 150, 150)


def colours(distances: np.ndarray) -> np.ndarray:
    """[k, 3] uint8 of millimetres [k]: matplotlib's viridis from 0 to :data:`YELLOW_AT_MM`."""
    import matplotlib

    return matplotlib.colormaps["viridis"](np.clip(distances / YELLOW_AT_MM, 0, 1), bytes=True)[:, :3]


def paths(folder: Path, case: str) -> tuple[Path, Path]:
    """Where the scan and the mesh of a case go."""
    return folder / f"{case}_scan.ply", folder / f"{case}_mesh.ply"


def write_heatmap(
    folder: Path, case: str, result: ScanScore, scan_triangles: np.ndarray, triangles: np.ndarray, direction: str
) -> None:
    """Write scan and aligned mesh, millimetres in the scan's frame; what was measured from is coloured.

    Raises:
        OutputError: they can't be written.
    """
    from facecli.export.ply import write_ply

    of_mesh = direction == "mesh-to-scan"
    painted = np.full((len(result.vertices if of_mesh else result.scan_vertices), 3), _NOT_MEASURED, np.uint8)
    painted[result.index] = colours(result.distances)
    scan_path, mesh_path = paths(folder, case)
    write_ply(scan_path, TriangleMesh(result.scan_vertices, scan_triangles, vertex_colors=None if of_mesh else painted))
    write_ply(mesh_path, TriangleMesh(result.vertices, triangles, vertex_colors=painted if of_mesh else None))
