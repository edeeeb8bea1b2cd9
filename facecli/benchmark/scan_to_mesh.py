"""The error of one mesh against one scan, exactly as the NoW benchmark computes it.

The scan's vertices around the face are the samples; the mesh is laid on them by landmarks, refined by all samples, and
each sample's distance to the mesh's surface is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facecli.benchmark.closest_point import ClosestPoints, check_mesh
from facecli.benchmark.dogleg import Refinement, minimize_dogleg
from facecli.benchmark.procrustes import LandmarkAlignment, align_landmarks

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOLS = ("nonmetrical", "metrical")
UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
"""A prediction's unit -> millimetres."""

FEWEST_SAMPLES = 30
ODD_RMS = 5.0  # millimetres
ODD_SCALE = (0.8, 1.25)


@dataclass(frozen=True)
class ScanToMesh:
    """The error of one mesh.

    Args:
        distances: [k] float64 millimetres, one a sample.
        crop_index: [k] int64, the scan's vertices that are samples.
        alignment: the mesh's landmarks laid on the scan's.
        refinement: of the mesh so laid: x = (scale, rotation vector, translation), without scale if metrical.
        vertices: [V, 3] the mesh as laid on the scan at last.
        warnings: what is odd, a few words each.
    """

    distances: np.ndarray
    crop_index: np.ndarray
    alignment: LandmarkAlignment
    refinement: Refinement
    vertices: np.ndarray
    warnings: list[str] = field(default_factory=list)

    @property
    def rms(self) -> float:
        """Root of the mean squared distance, millimetres."""
        return float(np.sqrt(np.mean(self.distances**2)))


def scan_to_mesh_error(
    scan_vertices: np.ndarray,
    scan_landmarks: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    landmarks: np.ndarray,
    *,
    protocol: str = "nonmetrical",
    unit: str = "mm",
    backend: str = "auto",
) -> ScanToMesh:
    """NoW's error of the mesh `vertices` [V, 3], `triangles` [F, 3] with `landmarks` [7, 3].

    Args:
        scan_vertices: [n, 3] millimetres.
        scan_landmarks: [7, 3] millimetres; see :data:`facecli.benchmark.landmark_files.NOW_ORDER`.
        landmarks: on the mesh, in its coordinates. Landmarks' dtypes count: float32 ones are aligned in float32.
        protocol: ``"nonmetrical"``: the mesh's scale is fitted; ``"metrical"``: it counts.
        unit: of the mesh, for the metrical protocol.
        backend: see :class:`facecli.benchmark.closest_point.ClosestPoints`.

    Raises:
        ValueError: the numbers allow no evaluation; says why in a sentence that goes after a file's name.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"the protocol is one of {', '.join(PROTOCOLS)}, not {protocol}")
    if unit not in UNITS:
        raise ValueError(f"the unit is one of {', '.join(UNITS)}, not {unit}")
    vertices, triangles = check_mesh(vertices, triangles)
    samples, index = _samples(scan_vertices, scan_landmarks)
    alignment = align_landmarks(scan_landmarks, landmarks)
    metrical = protocol == "metrical"
    scale = UNITS[unit] if metrical else float(alignment.scale)
    # Metrically, the translation is still the one of the fitted scale: it costs the optimizer steps, but the official
    # evaluation starts there.
    start = scale * (vertices @ alignment.rotation.T.astype(np.float64)) + alignment.translation
    tree = ClosestPoints(start, triangles, backend)
    refinement = refine(samples, tree, scaled=not metrical)
    s, rotation, translation = unpack(refinement.x)
    distances = refinement.residuals[: len(samples)]
    return ScanToMesh(
        distances=distances,
        crop_index=index,
        alignment=alignment,
        refinement=refinement,
        vertices=s * (start @ rotation.T) + translation,
        warnings=oddities(distances, mirrored=alignment.mirrored, scale_ratio=float(alignment.scale) / scale),
    )


def face_region(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre [3] and radius of the ball around a scan's `landmarks` [7, 3] in which NoW's samples are."""
    bottom = landmarks[4]
    bridge = (landmarks[1] + landmarks[2]) / 2
    centre = bottom + 0.3 * (bridge - bottom)
    width, height = np.linalg.norm(landmarks[0] - landmarks[3]), np.linalg.norm(bridge - bottom)
    return centre, 1.4 * (width + height) / 2


def crop(vertices: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Indices [k] of the `vertices` [n, 3] in a ball, used by a triangle or not."""
    return np.flatnonzero(np.linalg.norm(vertices - centre, axis=1) <= radius)


def _samples(vertices: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices = np.asarray(vertices, dtype=np.float64)
    if landmarks.shape != (7, 3):
        raise ValueError(f"the scan's landmarks are {list(landmarks.shape)} numbers, not [7, 3]")
    if not np.isfinite(landmarks).all():
        raise ValueError("the scan has landmarks that are not finite numbers")
    broken = int(np.count_nonzero(~np.isfinite(vertices).all(axis=1)))
    if broken:
        raise ValueError(f"{broken} of the scan's {len(vertices)} vertices are not finite numbers")
    index = crop(vertices, *face_region(landmarks))
    if len(index) < FEWEST_SAMPLES:
        raise ValueError(f"only {len(index)} of the scan's {len(vertices)} vertices are around its landmarks")
    return vertices[index], index


def oddities(distances: np.ndarray | None = None, *, mirrored: bool = False, scale_ratio: float = 1.0) -> list[str]:
    """What is odd about an alignment, a few words each.

    Args:
        distances: [k] millimetres after it.
        scale_ratio: the scan's size over the mesh's, as its unit says.
    """
    found = []
    if mirrored:
        found.append("mirrored: left and right of its landmarks are swapped")
    rms = 0.0 if distances is None else float(np.sqrt(np.mean(distances**2)))
    if not rms <= ODD_RMS:
        found.append(f"lies {rms:.1f} mm (RMS) off the scan")
    if not ODD_SCALE[0] <= scale_ratio <= ODD_SCALE[1]:
        found.append(f"is {1 / scale_ratio:.3g} times the scan's size: is its unit right?")
    return found


def refine(samples: np.ndarray, tree: ClosestPoints, *, scaled: bool) -> Refinement:
    """Move a mesh so that the sum of squared distances from `samples` [k, 3] to it gets least.

    Args:
        scaled: fit the scale, too. Then x is (s, r [3], t [3]), else (r, t), of v -> s R(r) v + t. One more residual
            keeps s from going below zero.

    The samples are moved into the mesh's frame instead, so that its tree is built once: distances there, times s, are
    the same.
    """

    def linearize(x: np.ndarray) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        s, rotation, translation = unpack(x)
        closest = tree.query((samples - translation) @ rotation / s)
        distances = abs(s) * closest.distance
        residuals = np.append(distances, 100 * (abs(s) - s)) if scaled else distances

        def jacobian() -> np.ndarray:
            turned = closest.point @ rotation.T
            away = samples - (s * turned + translation)
            normal = away / np.where(distances > 0, distances, np.inf)[:, None]
            columns = np.empty((len(residuals), len(x)))
            rows = columns[: len(samples)]
            rows[:, -3:] = -normal
            rows[:, -6:-3] = -s * np.cross(turned, normal) @ _left_jacobian(x[-6:-3])
            if scaled:
                rows[:, 0] = -np.einsum("ij,ij->i", normal, turned)
                columns[-1] = 0
                columns[-1, 0] = 100 * (np.sign(s) - 1)
            return columns

        return residuals, jacobian

    return minimize_dogleg(linearize, np.array([1.0] + [0.0] * 6 if scaled else [0.0] * 6))


def unpack(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation matrix [3, 3] and translation [3] of the unknowns (s, r, t) or (r, t)."""
    from scipy.spatial.transform import Rotation

    scale = float(x[0]) if len(x) == 7 else 1.0
    return scale, Rotation.from_rotvec(x[-6:-3]).as_matrix(), x[-3:]


def _left_jacobian(r: np.ndarray) -> np.ndarray:
    """[3, 3], how a rotation vector's changes turn what it has rotated: exp(r + d) is about exp(J d) exp(r)."""
    angle = float(np.linalg.norm(r))
    skew = np.array([[0, -r[2], r[1]], [r[2], 0, -r[0]], [-r[1], r[0], 0]])
    if angle < 1e-5:
        return np.eye(3) + skew / 2 + skew @ skew / 6
    first, second = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.eye(3) + first * skew + second * skew @ skew
