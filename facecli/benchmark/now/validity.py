"""The check before a run: can this prediction be scored against this scan? All that is wrong with it is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from facecli.benchmark.closest_point import ClosestPoints
from facecli.benchmark.landmark_files import read_landmarks
from facecli.benchmark.now.predictions import Prediction
from facecli.benchmark.procrustes import align_landmarks
from facecli.benchmark.scan_to_mesh import FEWEST_SAMPLES, crop, face_region
from facecli.errors import InputError
from facecli.geometry.mesh import triangle_areas
from facecli.io.meshes import read_mesh

MOST_MM_FROM_MESH = 5.0
"""Landmarks farther from their mesh than this, at the scan's scale, are not on it."""

TYPICAL_LANDMARKS = np.array(
    [
        [-44.5, 26.6, 31.7],
        [-18.6, 25.9, 37.6],
        [18.6, 25.9, 37.6],
        [44.5, 26.6, 31.7],
        [0.0, -20.9, 60.6],
        [-24.6, -43.4, 42.8],
        [24.6, -43.4, 42.8],
    ],
    np.float32,
)
"""[7, 3] mm, an adult's: the same vertices of MediaPipe's canonical face. For images whose scan nobody here has."""

Value = TypeVar("Value")


@dataclass
class Findings:
    """What is wrong (it can't be scored) and what is odd (it can)."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def tried(self, read: Callable[[Path], Value], path: Path) -> Value | None:
        """What `read` gives, or None and a problem more."""
        try:
            return read(path)
        except InputError as error:
            self.problems.append(str(error))
            return None


@dataclass
class Scan:
    """One subject's scan: `vertices` [n, 3] float64 mm, `landmarks` [7, 3] float32; None where they can't be read."""

    vertices: np.ndarray | None
    triangles: np.ndarray | None
    landmarks: np.ndarray | None
    findings: Findings


def read_scan(mesh: Path | None, landmarks: Path | None, where: tuple[Path, Path]) -> Scan:
    """Read and check a scan.

    Args:
        mesh, landmarks: its files, None where there is none.
        where: the folders in which they should be, for the message.
    """
    findings = Findings()
    surface = points = None
    if mesh is None:
        findings.problems.append(f"{where[0]}: no scan (*.obj) there")
    else:
        surface = findings.tried(read_mesh, mesh)
    if landmarks is None:
        findings.problems.append(f"{where[1]}: no landmarks of the scan (*.pp) there")
    else:
        points = findings.tried(read_landmarks, landmarks)
    if points is not None and _is_flat(points):
        findings.problems.append(f"{landmarks}: its landmarks lie on one line or point")
        points = None
    vertices, triangles = surface or (None, None)
    if vertices is not None:
        vertices, triangles = _only_finite(mesh, vertices, triangles, findings)
        _check_scan(mesh, vertices, triangles, points, findings)
    return Scan(vertices, triangles, points, findings)


def _only_finite(
    path: Path, vertices: np.ndarray, triangles: np.ndarray, findings: Findings
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices without a place are in no ball around the landmarks, so that the official evaluation leaves them out."""
    finite = np.isfinite(vertices).all(axis=1)
    if finite.all():
        return vertices, triangles
    findings.warnings.append(f"{path}: {(~finite).sum()} of {len(finite)} vertices are not finite numbers: left out")
    return submesh(vertices, triangles, np.flatnonzero(finite))


def _check_scan(
    path: Path, vertices: np.ndarray, triangles: np.ndarray, landmarks: np.ndarray | None, findings: Findings
) -> None:
    if not len(triangles):
        findings.warnings.append(f"{path}: has no triangles; its points are all that the error needs")
    if landmarks is None:
        return
    samples = len(crop(vertices, *face_region(landmarks)))
    if samples < FEWEST_SAMPLES:
        findings.problems.append(
            f"{path}: only {samples} of its {len(vertices)} vertices are around its landmarks: are they in another "
            f"unit, or of another scan?"
        )


def submesh(vertices: np.ndarray, triangles: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices `kept` [k] in that order, and the triangles that have all corners among them."""
    number = np.full(len(vertices), -1, np.int64)
    number[kept] = np.arange(len(kept))
    renumbered = number[triangles.reshape(-1, 3)]
    return vertices[kept], renumbered[(renumbered >= 0).all(axis=1)]


@dataclass
class Mesh:
    """One prediction: `vertices` [V, 3] float64, `triangles` [F, 3], `landmarks` [7, 3] in the file's dtype."""

    vertices: np.ndarray | None
    triangles: np.ndarray | None
    landmarks: np.ndarray | None
    findings: Findings


def read_prediction(prediction: Prediction) -> Mesh:
    """Read a prediction that has a mesh; what can't be read is in its findings."""
    findings = Findings()
    vertices, triangles = findings.tried(read_mesh, prediction.mesh) or (None, None)
    landmarks = None
    if prediction.landmarks is None:
        stem = prediction.mesh.with_suffix("")
        findings.problems.append(f"{stem}.npy: no such file; the mesh's seven landmarks (.npy or .txt) must be there")
    else:
        landmarks = findings.tried(read_landmarks, prediction.landmarks)
    return Mesh(vertices, triangles, landmarks, findings)


def check_prediction(prediction: Prediction, scan_landmarks: np.ndarray | None) -> Mesh:
    """Read a prediction and look at it.

    Args:
        scan_landmarks: [7, 3]; None where nobody here has the scan: a typical face stands in for it.

    Returns:
        the mesh, all that is wrong with it in its findings.
    """
    mesh = read_prediction(prediction)
    findings = mesh.findings
    sound = mesh.vertices is not None and _check_surface(mesh, prediction.mesh)
    if mesh.landmarks is None:
        return mesh
    if _is_flat(mesh.landmarks):
        findings.problems.append(f"{prediction.landmarks}: its landmarks lie on one line or point")
        return mesh
    target = TYPICAL_LANDMARKS if scan_landmarks is None else scan_landmarks
    alignment = align_landmarks(target, mesh.landmarks)
    if alignment.mirrored:
        findings.problems.append(
            f"{prediction.landmarks}: its landmarks are mirrored: are left and right swapped, or an axis? "
            f"(the first is the outer corner of the subject's right eye)"
        )
    if sound:
        _check_distance(mesh, float(alignment.scale), prediction.landmarks)
    return mesh


def _check_surface(mesh: Mesh, path: Path) -> bool:
    """Whether distances to the surface can be computed."""
    problems = mesh.findings.problems
    broken = ~np.isfinite(mesh.vertices).all(axis=1)
    if broken.any():
        first = int(np.argmax(broken))
        problems.append(
            f"{path}: {broken.sum()} of {len(broken)} vertices are not finite numbers, the first is {first}"
        )
        return False
    if not len(mesh.triangles):
        problems.append(f"{path}: has no triangles: its surface is what the error is measured to")
        return False
    flat = triangle_areas(mesh.vertices, mesh.triangles) == 0
    if flat.all():
        problems.append(f"{path}: is degenerate: none of its {len(flat)} triangles has an area")
        return False
    if flat.any():
        mesh.findings.warnings.append(f"{flat.sum()} of {len(flat)} triangles of its mesh have no area")
    return True


def _check_distance(mesh: Mesh, scale: float, path: Path) -> None:
    far = ClosestPoints(mesh.vertices, mesh.triangles).query(mesh.landmarks.astype(np.float64)).distance * scale
    if far.max() > MOST_MM_FROM_MESH:
        mesh.findings.problems.append(
            f"{path}: its landmarks lie up to {far.max():.0f} mm from the mesh: are they of another mesh, or in "
            f"another unit?"
        )


def _is_flat(landmarks: np.ndarray) -> bool:
    """Whether the points lie on one line (or are one), so that no alignment could be told from them."""
    spread = np.linalg.svd(landmarks.astype(np.float64) - landmarks.mean(axis=0, dtype=np.float64), compute_uv=False)
    return bool(spread[1] <= 1e-6 * spread[0])
