"""Iterative closest points: a mesh laid on a scan's samples, rigidly or with its scale, by closed-form steps.

For the recipes that were published with ICP; NoW's own refinement is :func:`facecli.benchmark.scan_to_mesh.refine`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facecli.benchmark.closest_point import ClosestPoints

METRICS = ("plane", "point")

_GAIN = 1e-6  # least relative change of the error that is worth another step
_NEGLIGIBLE = 1e-8  # of the samples' extent: a millionth of a millimetre on a face
_FEWEST = 10  # pairs of points


@dataclass(frozen=True)
class IcpResult:
    """``v -> scale * rotation @ v + translation`` lays the mesh on the samples.

    Args:
        rms: of the metric over the pairs that were kept, in the samples' unit.
        iterations: steps taken.
        converged: False if it was stopped by the limit.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    rms: float
    iterations: int
    converged: bool

    def apply(self, points: np.ndarray) -> np.ndarray:
        """`points` [N, 3] of the mesh, in the samples' frame."""
        return self.scale * (points @ self.rotation.T) + self.translation


def align_icp(
    samples: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    scaled: bool = True,
    metric: str = "plane",
    trim: float = 0.0,
    iterations: int = 100,
    backend: str = "auto",
) -> IcpResult:
    """Lay a mesh, which lies near already, on `samples` [n, 3].

    Each step pairs every sample with the closest point of the mesh as it lies, and moves the mesh to the least sum of
    squares: of the pairs' distances (``"point"``, S. Umeyama 1991), or of the distances to the planes of the closest
    triangles (``"plane"``, Y. Chen and G. Medioni 1991, linear in the turn), which slides along the surface and needs
    fewer steps. Errors are measured in the samples' frame: in the mesh's, the best scale would be none at all.

    Args:
        vertices, triangles: [V, 3], [F, 3] the mesh.
        scaled: fit its scale, too.
        trim: this part of the pairs, the farthest, is left out of each step (trimmed ICP, D. Chetverikov 2002).
        backend: see :class:`ClosestPoints`.

    Raises:
        ValueError: too few samples, no mesh, numbers that are not finite, or a step that can't be determined.
    """
    if metric not in METRICS:
        raise ValueError(f"ICP's metric is one of {', '.join(METRICS)}, not {metric}")
    if not 0 <= trim < 1:
        raise ValueError(f"the part of the pairs that is left out is from 0 to below 1, not {trim:g}")
    kept = round(len(samples) * (1 - trim))
    if kept < _FEWEST:
        raise ValueError(f"{kept} samples are too few")
    tree = ClosestPoints(vertices, triangles, backend)
    normals = triangle_normals(vertices, triangles)
    scale, rotation, translation = 1.0, np.eye(3), np.zeros(3)
    best: IcpResult | None = None
    negligible = _NEGLIGIBLE * float(np.ptp(samples, axis=0).max())
    for iteration in range(iterations + 1):
        closest = tree.query((samples - translation) @ rotation / scale)
        order = np.argpartition(closest.distance, kept - 1)[:kept] if kept < len(samples) else slice(None)
        target, source, normal = samples[order], closest.point[order], normals[closest.triangle[order]]
        moved = scale * (source @ rotation.T) + translation
        rms = _rms(target - moved, normal @ rotation.T if metric == "plane" else None)
        if best is not None and best.rms - rms <= _GAIN * best.rms + negligible:
            # Steps may end up higher, since pairs are chosen anew after each.
            return replace(best, iterations=iteration, converged=True)
        best = IcpResult(scale, rotation, translation, rms, iteration, False)
        if iteration == iterations:
            break
        if metric == "point":
            scale, rotation, translation = similarity(source, target, scaled=scaled)
        else:
            turn, shift, growth = _plane_step(moved, target, normal @ rotation.T, scaled)
            scale, rotation = scale * growth, turn @ rotation
            translation = growth * (turn @ translation) + shift
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError("ICP loses the mesh: its scale vanishes")
    return best


def similarity(source: np.ndarray, target: np.ndarray, *, scaled: bool = True) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (never a reflection) and translation that lay `source` [n, 3] on `target` [n, 3] in the least
    squares sense (S. Umeyama 1991)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source, target = source - source_mean, target - target_mean
    u, singular, w_t = np.linalg.svd(target.T @ source)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ w_t))])
    rotation = u * signs @ w_t
    scale = float((singular * signs).sum() / (source**2).sum()) if scaled else 1.0
    return scale, rotation, target_mean - scale * (rotation @ source_mean)


def triangle_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[F, 3] unit normals; zero for triangles without area."""
    a, b, c = (np.asarray(vertices, dtype=np.float64)[triangles[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return normal / np.where(length > 0, length, 1)


def _rms(difference: np.ndarray, normal: np.ndarray | None) -> float:
    if normal is not None:
        difference = np.einsum("ij,ij->i", difference, normal)[:, None]
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def _plane_step(
    moved: np.ndarray, target: np.ndarray, normal: np.ndarray, scaled: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Turn [3, 3], shift [3] and growth that bring the planes of `moved` to `target`, linear about the centroid."""
    from scipy.spatial.transform import Rotation

    centre = moved.mean(axis=0)
    local = moved - centre
    spread = np.sqrt((local**2).sum(axis=1).mean())  # unknowns of like sizes, whatever the unit
    columns = [np.cross(local, normal) / spread, normal]
    if scaled:
        columns.append(np.einsum("ij,ij->i", local, normal)[:, None] / spread)
    residuals = np.einsum("ij,ij->i", target - moved, normal)
    step = np.linalg.lstsq(np.concatenate(columns, axis=1), residuals, rcond=1e-10)[0]
    turn = Rotation.from_rotvec(step[:3] / spread).as_matrix()
    growth = 1 + step[6] / spread if scaled else 1.0
    # p -> growth turn (p - centre) + centre + step
    return turn, centre + step[3:6] - growth * (turn @ centre), float(growth)
