"""ARKit weights from how points of a face moved, for models whose expressions are in other words (FLAME's, Basel's).

The points' way from rest to now, in the size of ICT-FaceKit's mean head, is explained by ICT-FaceKit's ARKit-named
directions at the same points: least squares with weights in 0..1, a ridge and a price on each weight, and a small rigid
motion solved along. What moves none of the points (tongue, pupils) stays 0; so do the eyes' looks, unless the caller
knows where the eyes look: then the lids' share of that is taken off first.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from facecli.detect.landmarks import MEDIAPIPE105
from facecli.export.arkit import NAMES, ict_parts

RIDGE, PRICE = 3.0, 2.0
"""mm² and mm² at weight 1: of 0.1 to 10, those with the least error on ICT-FaceKit's heads with 0.3 mm of noise."""
_RIGID_RIDGE = 1.0
_NEVER = ("tongueOut",)
_STILL_SHARE = 0.17
"""Of the points, those that move least: contour at the ears, forehead, the nose's bridge, the corners of the eyes."""
_EYE_MM = 17.0
"""Around the middle of an eye's lids, all points are the eye's."""
_LEAST_MOTION = 0.3
"""mm, added to each still point's own, so that none counts alone."""
_APERTURES = (0.5, 2.0)
"""An eye's opening against the mean head's; beyond these it isn't at rest, or no eye."""


POINT_SETS = {
    ("mediapipe468",): 68,
    ("ibug68", "mediapipe105"): 173,
    ("ibug68",): 68,
}
"""What weights can be solved from, the better first, with how many points they count as against ridge and price."""

_LIDS = {
    "ibug68": (((37, 41), (38, 40)), ((43, 47), (44, 46))),
    "mediapipe468": (((160, 144), (158, 153)), ((385, 380), (387, 373))),
}
"""Points of the upper and the lower lid above each other: the right eye's, the left eye's."""


@dataclass(frozen=True)
class _Basis:
    """`rest` [K, 3] of the mean head and `directions` [52, K, 3], mm; 0 where ICT-FaceKit has no such shape.

    `still` are the points that tell where the head is, with their `motion` all the same; `eyes` those around the right
    and the left eye; `count` how many points they all count as.
    """

    rest: np.ndarray
    directions: np.ndarray
    still: np.ndarray
    motion: np.ndarray
    eyes: tuple[np.ndarray, np.ndarray]
    lids: tuple
    count: int


@functools.cache
def _basis(points: tuple[str, ...]) -> _Basis:
    with files("facecli.morphable").joinpath("arkit_points.npz").open("rb") as file, np.load(file) as arrays:
        names = [str(name) for name in arrays["names"]]
        found = np.concatenate([_part(arrays, "directions", name) for name in points], 1)
        rest = np.concatenate([_part(arrays, "rest", name) for name in points])
    none = np.zeros_like(found[0])
    directions = [sum((found[names.index(part)] for part in ict_parts(name)), none) for name in NAMES]
    motion = np.sqrt((found**2).sum(2).mean(0))
    still = np.argsort(motion, kind="stable")[: round(_STILL_SHARE * len(rest))]
    lids = _LIDS[points[0]]
    eyes = tuple(_around(rest, np.unique(eye)) for eye in lids)
    return _Basis(rest, np.stack(directions), still, motion[still], eyes, lids, POINT_SETS[points])


def _part(arrays: Mapping[str, np.ndarray], what: str, name: str) -> np.ndarray:
    if name == "mediapipe105":
        return arrays[f"mediapipe468/{what}"].astype(np.float64)[..., list(MEDIAPIPE105), :]
    return arrays[f"{name}/{what}"].astype(np.float64)


def _around(rest: np.ndarray, lids: np.ndarray) -> np.ndarray:
    """Numbers of the points in and at an eye."""
    away = (rest[:, :2] - rest[lids, :2].mean(0)) / _EYE_MM
    return np.flatnonzero((away**2).sum(1) < 1)


def solve_arkit(
    now: np.ndarray, rest: np.ndarray, looks: np.ndarray | None = None, *, points: tuple[str, ...] = ("ibug68",)
) -> np.ndarray:
    """Weights [N, 52] in the order of :data:`facecli.export.arkit.NAMES`.

    Args:
        now: [N, K, 3] points of faces, in any unit; x to the subject's left, y up, z out of the face.
        rest: [N, K, 3] or [1, K, 3] the same faces at rest, not necessarily in the same place.
        looks: [N, 52] of which the eyes' looks (``eyeLook…``) are known and returned as they are; None: not known, 0.
        points: which they are, one set's behind another's, a key of :data:`POINT_SETS`.
    """
    basis = _basis(points)
    now, rest = np.asarray(now, np.float64), np.asarray(rest, np.float64)
    rest = np.broadcast_to(rest, now.shape)
    moved = _motion(now, rest, basis)
    weights = np.zeros((len(now), len(NAMES)))
    looking = [number for number, name in enumerate(NAMES) if name.startswith("eyeLook")]
    if looks is not None:
        weights[:, looking] = np.asarray(looks, np.float64)[:, looking]
        moved = moved - np.tensordot(weights[:, looking], basis.directions[looking], 1)
    solved = [n for n, name in enumerate(NAMES) if n not in looking and name not in _NEVER]
    shapes = np.concatenate([basis.directions[solved], _rigid(basis.rest)])
    free = len(shapes) - len(solved)
    count = np.sqrt(basis.count / len(basis.rest))
    found = bounded_least_squares(
        (shapes * count).reshape(len(shapes), -1).T,
        (moved * count).reshape(len(moved), -1),
        ridge=np.r_[np.full(len(solved), RIDGE), np.full(free, _RIGID_RIDGE)],
        price=np.r_[np.full(len(solved), PRICE), np.zeros(free)],
        lower=np.r_[np.zeros(len(solved)), np.full(free, -np.inf)],
        upper=np.r_[np.ones(len(solved)), np.full(free, np.inf)],
    )
    weights[:, solved] = found[:, : len(solved)]
    return weights.astype(np.float32)


def _motion(now: np.ndarray, rest: np.ndarray, basis: _Basis) -> np.ndarray:
    """[N, K, 3] mm: how the mean head's points would have moved."""
    still = basis.still
    _, turn, shift = _fit(now[:, still], rest[:, still], 1 / (basis.motion + _LEAST_MOTION) ** 2, scaled=False)
    moved = now @ turn + shift - rest
    scale, turn, _ = _fit(rest, np.broadcast_to(basis.rest, rest.shape), np.ones(rest.shape[1]), scaled=True)
    moved = scale[:, None, None] * (moved @ turn)
    # Lids that shut go as far as the eye is open, whatever the eye.
    for lids, part in zip(basis.lids, basis.eyes, strict=True):
        opening = scale * _opening(rest, lids)
        mean = _opening(basis.rest[None], lids)
        factor = (mean / np.maximum(opening, 1e-9)).clip(*_APERTURES)
        moved[:, part, 1] *= factor[:, None]
    return moved


def _opening(points: np.ndarray, lids: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.mean([np.linalg.norm(points[:, upper] - points[:, lower], axis=1) for upper, lower in lids], 0)


def _fit(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, *, scaled: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scale [N], turn [N, 3, 3], shift [N, 1, 3]) with ``scale * source @ turn + shift`` closest to `target`
    [N, K, 3] by `weights` [K] (Umeyama 1991); scale 1 unless `scaled`."""
    weights = weights[:, None] / weights.sum()
    source_mean = (weights * source).sum(1, keepdims=True)
    target_mean = (weights * target).sum(1, keepdims=True)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd((weights * a).transpose(0, 2, 1) @ b)
    signs = np.ones((len(source), 3))
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    turn = (u * signs[:, None]) @ vt
    scale = np.ones(len(source))
    if scaled:
        scale = (singular * signs).sum(1) / np.maximum((weights * a**2).sum((1, 2)), 1e-12)
    return scale, turn, target_mean - scale[:, None, None] * (source_mean @ turn)


def _rigid(points: np.ndarray) -> np.ndarray:
    """[6, K, 3] small motions of all `points` [K, 3] at once: 1 mm along each axis, and a turn about each."""
    away = points - points.mean(0)
    turns = np.cross(np.eye(3)[:, None], away)
    turns /= np.sqrt((away**2).sum(1).mean())
    return np.concatenate([np.broadcast_to(np.eye(3)[:, None], turns.shape), turns])


def bounded_least_squares(
    matrix: np.ndarray,
    right: np.ndarray,
    *,
    ridge: np.ndarray,
    price: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    iterations: int = 1000,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """[N, C]: for each row b of `right` [N, M] the w within `lower` and `upper` [C] that makes
    ``½|matrix w − b|² + ½ Σ ridge w² + Σ price w`` least.

    All rows at once by the alternating direction method of multipliers (Boyd and others, 2011): one small matrix
    product a step. `tolerance` is how much a weight may still change.
    """
    gram = matrix.T @ matrix + np.diag(ridge)
    size = np.sqrt(np.diag(gram))  # in units in which all shapes are of one size
    gram = gram / size / size[:, None]
    aim = (right @ matrix - price) / size
    lower, upper = lower * size, upper * size
    inverse = np.linalg.inv(gram + _STEP * np.eye(len(gram)))
    weights, dual = np.zeros_like(aim), np.zeros_like(aim)
    for step in range(iterations):
        free = (aim + _STEP * (weights - dual)) @ inverse
        relaxed = _RELAXED * free + (1 - _RELAXED) * weights
        before, weights = weights, np.clip(relaxed + dual, lower, upper)
        dual += relaxed - weights
        if step % 10 == 9:
            change = np.maximum(np.abs(free - weights), np.abs(weights - before)) / size
            if change.max(initial=0) < tolerance:
                break
    return weights / size


_STEP, _RELAXED = 0.1, 1.6
