"""A model's blend shapes for exports: the face at rest, and the weights of the shapes that make its expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facecli.codes import Codes
from facecli.export.arkit import NAMES, from_ict, ict_parts
from facecli.geometry.mesh import TriangleMesh
from facecli.plugin import Rig

MINUS = "_minus"
"""Ends the name of a target that moves a shape backwards."""

PUPILS = ("PupilDilate_L", "PupilDilate_R")
"""ICT-FaceKit's shapes that ARKit has nothing like: no expressions."""

TOLERANCE_MM = 0.1
"""What blend shapes miss of an expression (a jaw turns, shapes are straight) becomes a shape of its own above this."""


@dataclass(frozen=True)
class Blend:
    """A face as ``neutral + weights @ targets``, in the unit of its mesh.

    Args:
        neutral: [V, 3]. names: of the K targets. targets: [K, V, 3] offsets. weights: [K].
    """

    neutral: np.ndarray
    names: tuple[str, ...]
    targets: np.ndarray
    weights: np.ndarray


def blend(
    mesh: TriangleMesh,
    rig: Rig,
    weights: np.ndarray,
    neutral: np.ndarray | None = None,
    *,
    tolerance_mm: float = TOLERANCE_MM,
) -> Blend:
    """`mesh` by the shapes of `rig`.

    Args:
        mesh: the face with its expression.
        weights: [K] the face's own, see :func:`code_weights`.
        neutral: [V, 3] the same face decoded with the rig's codes at zero (see :func:`at_rest`). What the shapes miss
            between the two becomes the target ``residual_00``, at weight 1. Without it, the neutral is what the shapes
            leave of `mesh`.
    """
    shapes = np.asarray(rig.shapes, np.float32)
    weights = np.asarray(weights, np.float32)
    moved = np.tensordot(weights, shapes, 1)
    if neutral is None:
        return Blend(np.asarray(mesh.vertices) - moved, rig.names, shapes, weights)
    missed = np.asarray(mesh.vertices, np.float32) - neutral - moved
    if np.linalg.norm(missed, axis=1).max(initial=0) * 1000 * mesh.metres_per_unit > tolerance_mm:
        shapes, weights = np.concatenate([shapes, missed[None]]), np.append(weights, np.float32(1))
        return Blend(np.asarray(neutral), (*rig.names, "residual_00"), shapes, weights)
    return Blend(np.asarray(neutral), rig.names, shapes, weights)


def code_weights(rig: Rig, codes: Codes) -> np.ndarray:
    """Weights float32 [B, K] of the shapes, which are numbers of the codes; 0 for codes that aren't there."""
    weights = np.zeros((len(codes), len(rig.names)), np.float32)
    for k, (name, index) in enumerate(rig.codes):
        if name in codes:
            weights[:, k] = codes[name].reshape(len(codes), -1)[:, index].numpy(force=True)
    return weights


def driven_by(rig: Rig, names: Sequence[str], factors: Sequence[float]) -> list[list[str | int | float] | None]:
    """For each morph target its code, the number in it, and what that number is at weight 1; None for residuals.

    Empty where the shapes are ARKit's, whose names say it all.
    """
    if not rig.codes:
        return []
    codes = dict(zip(rig.names, rig.codes, strict=True))
    found = [codes.get(name.removesuffix(MINUS)) for name in names]
    return [code and [*code, float(factor)] for code, factor in zip(found, factors, strict=True)]


def at_rest(rig: Rig, codes: Codes) -> Codes:
    """`codes` with the numbers that drive the shapes at zero; pupils stay as wide as they are."""
    values = {name: codes[name].clone() for name, _ in rig.codes if name in codes}
    for shape, (name, index) in zip(rig.names, rig.codes, strict=True):
        if name in values and shape not in PUPILS:
            values[name].view(len(codes), -1)[:, index] = 0
    return codes.replace(**values)


# --- ARKit's shapes --------------------------------------------------------------------------------------------------


def is_arkit(rig: Rig) -> bool:
    """Whether its shapes are ARKit's 52."""
    return rig.names == NAMES


def in_arkit(rig: Rig, weights: np.ndarray) -> tuple[Rig, np.ndarray]:
    """A rig of ICT-FaceKit's shapes, and weights [..., K] of them, in ARKit's 52; other rigs as they are.

    Halves become one shape at their mean weight, and what ARKit hasn't (``PupilDilate``) is left out, see
    :func:`facecli.export.arkit.from_ict`: exports say what is missed as a residual.
    """
    place = {name: number for number, name in enumerate(rig.names)}
    wanted = [ict_parts(name) for name in NAMES]
    if not all(part in place for parts in wanted for part in parts):
        return rig, weights
    source = np.asarray(rig.shapes, np.float32)
    shapes = np.zeros((len(NAMES), *source.shape[1:]), np.float32)
    for shape, parts in zip(shapes, wanted, strict=True):
        for part in parts:
            shape += source[place[part]]
    return Rig(NAMES, (), shapes), from_ict(weights, rig.names)
