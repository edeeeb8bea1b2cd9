"""One case to look at: the mesh as it was aligned, the part of the scan that counts, and the errors as colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.benchmark.now.evaluate import CaseTask, scan_of, score
from facecli.benchmark.now.validity import read_prediction, submesh
from facecli.geometry.mesh import TriangleMesh

MESH, SCAN, ERROR = "predicted_mesh_aligned.obj", "cropped_scan.obj", "scan_error.ply"
"""The first two as the official `check_predictions.py` calls them."""

RED_AT_MM = 4.0
"""The end of the scale of colours."""


@dataclass(frozen=True)
class Aligned:
    """What was written, and the case's numbers in mm."""

    paths: list[Path]
    median: float
    mean: float
    rms: float
    warnings: list[str]


def export_alignment(task: CaseTask, folder: Path) -> Aligned:
    """Evaluate one case and write the three meshes, in the scan's coordinates, to `folder`.

    Raises:
        InputError: a file of the case can't be used.
        OutputError: the folder can't be written to.
    """
    from facecli.export.obj import write_obj
    from facecli.export.ply import write_ply

    result = score(task)
    scan = scan_of(task)
    cropped = TriangleMesh(*submesh(scan.vertices, scan.triangles, result.crop_index))
    predicted = TriangleMesh(result.vertices, read_prediction(task.prediction).triangles)
    write_obj(folder / MESH, predicted)
    write_obj(folder / SCAN, cropped)
    colours = error_colours(result.distances)
    write_ply(folder / ERROR, TriangleMesh(cropped.vertices, cropped.triangles, vertex_colors=colours))
    return Aligned(
        [folder / name for name in (MESH, SCAN, ERROR)],
        float(np.median(result.distances)),
        float(np.mean(result.distances)),
        float(result.rms),
        list(result.warnings),
    )


def error_colours(distances: np.ndarray) -> np.ndarray:
    """[n, 3] uint8 of millimetres [n]: from blue at 0 by green to red at :data:`RED_AT_MM` and beyond."""
    from matplotlib import colormaps

    return (colormaps["turbo"](np.clip(distances / RED_AT_MM, 0, 1))[:, :3] * 255).round().astype(np.uint8)
