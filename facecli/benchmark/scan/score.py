"""One mesh against one scan, by any :class:`ScanSettings`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facecli.benchmark.closest_point import ClosestPoints, check_mesh
from facecli.benchmark.icp import align_icp, similarity, triangle_normals
from facecli.benchmark.procrustes import align_landmarks
from facecli.benchmark.scan.landmarks import as_set, in_common, nose_tip
from facecli.benchmark.scan.settings import ScanSettings
from facecli.benchmark.scan_to_mesh import (
    FEWEST_SAMPLES,
    UNITS,
    crop,
    face_region,
    oddities,
    refine,
    scan_to_mesh_error,
    unpack,
)


@dataclass(frozen=True)
class Surface:
    """A scan or a mesh, in its own unit.

    Args:
        vertices: [V, 3].
        triangles: [F, 3]; a scan that is only measured from needs none.
        landmarks: [K, 3] or None. float32 ones are aligned in float32.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray | None = None

    def scaled(self, factor: float) -> Surface:
        """The same in another unit; dtypes stay."""
        if factor == 1:
            return self
        landmarks = None if self.landmarks is None else self.landmarks * self.landmarks.dtype.type(factor)
        return Surface(self.vertices * factor, self.triangles, landmarks)


@dataclass(frozen=True)
class ScanScore:
    """What came out, in millimetres.

    Args:
        distances: [k] float64, one a point that was measured from.
        index: [k] these points, among the scan's vertices or, measured from the mesh, among the mesh's.
        vertices: [V, 3] the mesh as it was laid on the scan.
        scan_vertices: [n, 3].
        scale: millimetres of a unit of the mesh, as fitted or given.
        iterations: of the refinement.
        warnings: what is odd.
    """

    distances: np.ndarray
    index: np.ndarray
    vertices: np.ndarray
    scan_vertices: np.ndarray
    scale: float
    iterations: int
    warnings: list[str] = field(default_factory=list)

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.distances**2)))


@dataclass(frozen=True)
class _Aligned:
    vertices: np.ndarray
    scale: float
    iterations: int = 0
    warnings: list[str] = field(default_factory=list)
    distances: np.ndarray | None = None


@dataclass(frozen=True)
class _Region:
    """A ball, or everything."""

    centre: np.ndarray
    radius: float

    def index(self, vertices: np.ndarray) -> np.ndarray:
        if self.radius == np.inf:
            return np.arange(len(vertices))
        return crop(vertices, self.centre, self.radius)


def score(scan: Surface, mesh: Surface, settings: ScanSettings, *, backend: str = "auto") -> ScanScore:
    """Lay the mesh on the scan and measure.

    Raises:
        ValueError: the numbers, or missing landmarks, allow no evaluation; the sentence goes after the mesh's name.
    """
    scan = scan.scaled(UNITS[settings.scan_unit])
    vertices, triangles = check_mesh(mesh.vertices, mesh.triangles)
    mesh = Surface(vertices, triangles, mesh.landmarks)
    scan_vertices = _finite(scan.vertices)
    region = _region(scan, scan_vertices, settings)
    index = region.index(scan_vertices)
    if len(index) < FEWEST_SAMPLES:
        raise ValueError(f"only {len(index)} of the scan's {len(scan_vertices)} vertices are in the region")
    if settings.is_now:
        aligned = _as_now(scan, mesh, settings, backend)
    else:
        aligned = _align(scan_vertices[index], scan, mesh, settings, backend)
    distances = aligned.distances
    if settings.direction == "mesh-to-scan":
        index = region.index(aligned.vertices)
        if not len(index):
            raise ValueError("none of its vertices, as aligned, are in the region")
        distances = _measure(aligned.vertices[index], scan_vertices, scan.triangles, settings.error, backend, "scan")
    elif distances is None or settings.error == "plane":
        distances = _measure(scan_vertices[index], aligned.vertices, triangles, settings.error, backend, "mesh")
    warnings = list(aligned.warnings)
    if not settings.is_now:  # NoW's evaluator has looked at its own distances
        warnings += oddities(distances)
    return ScanScore(distances, index, aligned.vertices, scan_vertices, aligned.scale, aligned.iterations, warnings)


def _finite(vertices: np.ndarray) -> np.ndarray:
    vertices = np.asarray(vertices, dtype=np.float64)
    broken = int(np.count_nonzero(~np.isfinite(vertices).all(axis=1)))
    if broken:
        raise ValueError(f"{broken} of the scan's {len(vertices)} vertices are not finite numbers")
    return vertices


def _region(scan: Surface, vertices: np.ndarray, settings: ScanSettings) -> _Region:
    if settings.crop == "none":
        return _Region(np.zeros(3), np.inf)
    if scan.landmarks is None:
        raise ValueError("the scan has no landmarks, which --crop needs")
    if settings.crop == "now":
        seven = as_set(scan.landmarks, "now7")
        if seven is None:
            raise ValueError(f"NoW's crop needs 7, 51 or 68 landmarks of the scan, not {len(scan.landmarks)}")
        return _Region(*face_region(seven))
    return _Region(nose_tip(scan.landmarks, vertices), float(settings.crop))


def _landmarks(scan: Surface, mesh: Surface) -> tuple[np.ndarray, np.ndarray]:
    for surface, name in ((mesh, "it has"), (scan, "the scan has")):
        if surface.landmarks is None:
            raise ValueError(f"{name} no landmarks, which the alignment starts from")
    return in_common(scan.landmarks, mesh.landmarks)


def _as_now(scan: Surface, mesh: Surface, settings: ScanSettings, backend: str) -> _Aligned:
    scan_landmarks, landmarks = _landmarks(scan, mesh)
    metrical = settings.align == "rigid"
    found = scan_to_mesh_error(
        scan.vertices,
        scan_landmarks,
        mesh.vertices,
        mesh.triangles,
        landmarks,
        protocol="metrical" if metrical else "nonmetrical",
        unit=settings.unit,
        backend=backend,
    )
    scale = UNITS[settings.unit] if metrical else float(found.alignment.scale * found.refinement.x[0])
    return _Aligned(found.vertices, scale, found.refinement.iterations, found.warnings, found.distances)


def _align(samples: np.ndarray, scan: Surface, mesh: Surface, settings: ScanSettings, backend: str) -> _Aligned:
    scaled = settings.align == "similarity"
    scale, warnings = UNITS[settings.unit], []
    vertices = mesh.vertices * scale
    if settings.start == "landmarks":
        target, source = (points.astype(np.float64) for points in _landmarks(scan, mesh))
        found = align_landmarks(target, source * scale)
        warnings = oddities(mirrored=found.mirrored, scale_ratio=1.0 if scaled else float(found.scale))
        growth, rotation, translation = similarity(source * scale, target, scaled=scaled)
        vertices, scale = growth * (vertices @ rotation.T) + translation, scale * growth
    if settings.refine == "none":
        return _Aligned(vertices, scale, 0, warnings)
    if settings.refine == "now":
        refinement = refine(samples, ClosestPoints(vertices, mesh.triangles, backend), scaled=scaled)
        growth, rotation, translation = unpack(refinement.x)
        vertices = growth * (vertices @ rotation.T) + translation
        return _Aligned(vertices, scale * growth, refinement.iterations, warnings)
    metric = settings.refine.removeprefix("icp-")
    found = align_icp(
        samples, vertices, mesh.triangles, scaled=scaled, metric=metric, trim=settings.trim, backend=backend
    )
    if not found.converged:
        warnings.append(f"ICP was stopped after {found.iterations} steps")
    return _Aligned(found.apply(vertices), scale * found.scale, found.iterations, warnings)


def _measure(
    points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, error: str, backend: str, name: str
) -> np.ndarray:
    """Distances [k] from `points` to a mesh, or to the planes of its closest triangles."""
    if not len(triangles):
        raise ValueError(f"the {name} has no triangles to measure to")
    closest = ClosestPoints(vertices, triangles, backend).query(points)
    if error == "surface":
        return closest.distance
    normal = triangle_normals(vertices, triangles)[closest.triangle]
    along = np.abs(np.einsum("ij,ij->i", points - closest.point, normal))
    return np.where((normal != 0).any(axis=1), along, closest.distance)  # a triangle without area has no plane
