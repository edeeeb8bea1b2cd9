"""One model's error on one rendered head: NoW's, its landmarks' in the picture, its head's turn."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facecli.benchmark.scan_to_mesh import ScanToMesh, scan_to_mesh_error, unpack
from facecli.benchmark.synthetic.heads import Expression, mean_head, truth
from facecli.data.head_set import HeadSet
from facecli.export.arkit import NAMES
from facecli.io.arrays import write_npz

PROTOCOLS = ("nonmetrical", "metrical")
EVALUATION = 2
"""To be raised when the evaluation gives other numbers than before."""
EVALUATED, MISSING, FAILED = "evaluated", "missing", "failed"


@dataclass(frozen=True)
class Mesh:
    """What a model predicts of a person at rest, mm: vertices [V, 3], triangles [F, 3], NoW's points [7, 3]."""

    vertices: np.ndarray
    triangles: np.ndarray
    points7: np.ndarray


@dataclass(frozen=True)
class ScoreTask:
    """One model's prediction of one head.

    Args:
        mesh: None stands for the average head, which is held as the true one is, and has no expression.
        pixels: [68, 2] iBUG's points in the picture. rotation: [3, 3] head -> camera. None where the model has none.
        path, fingerprint: where the score is kept, and what it depends on.
    """

    heads: HeadSet
    index: int
    mesh: Mesh | None
    pixels: np.ndarray | None
    rotation: np.ndarray | None
    path: Path
    fingerprint: str
    expression: Expression | None = None

    @property
    def name(self) -> str:
        return self.heads.name(self.index)


@dataclass(frozen=True)
class HeadScore:
    """What is known of one model's prediction of one head.

    Args:
        status: evaluated, missing (no face was found), or failed.
        distances: protocol -> [k] float32 mm, one a point of the skin around NoW's landmarks.
        crop_index: [k] which of the scan's points these are.
        warnings: protocol -> what is odd.
        facts: numbers: the truth's yaw, pitch, roll, distance; pixels68, nme68, nme51 (percent of the face's box),
            turn (degrees between the head's true and predicted rotation), expression (mean absolute error of ARKit's
            weights but the looks'), gaze (degrees between the eyes' true and predicted directions in the head). What is
            not known is not there.
        reason: why it is missing or failed.
    """

    status: str
    distances: Mapping[str, np.ndarray] = field(default_factory=dict)
    crop_index: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    warnings: Mapping[str, list[str]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


def score(task: ScoreTask) -> HeadScore:
    """Evaluate one prediction and keep the result. Runs in worker processes."""
    known = truth(task.heads, task.index)
    mesh, pixels, expression = task.mesh, task.pixels, task.expression
    if mesh is None:
        mesh, pixels, expression = Mesh(*mean_head(task.heads)), known.mean_landmarks, Expression.rest()
    facts = dict(known.facts)
    distances, warnings, index = {}, {}, np.empty(0, np.int64)
    try:
        for protocol in PROTOCOLS:
            found = scan_to_mesh_error(
                known.points, known.points7, mesh.vertices, mesh.triangles, mesh.points7, protocol=protocol
            )
            distances[protocol] = found.distances.astype(np.float32)
            warnings[protocol], index = list(found.warnings), found.crop_index
            if protocol == "nonmetrical" and task.rotation is not None:
                facts["turn"] = turn_error(task.rotation, known.rotation, found)
    except ValueError as error:  # the prediction allows no evaluation
        result = HeadScore(FAILED, facts=facts, reason=f"its mesh can't be evaluated: {error}")
    else:
        if pixels is not None:
            facts |= landmark_errors(pixels, known.landmarks)
        if expression is not None and known.expression is not None:
            facts |= expression_errors(expression, known.expression)
        result = HeadScore(EVALUATED, distances, index, warnings, facts)
    save(task.path, task.fingerprint, result)
    return result


def landmark_errors(found: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Mean distances of iBUG's points [68, 2]: in pixels, and in percent of the known points' box (AFLW2000's NME).

    The 51 inner points are told apart: where the outline's 17 lie on a cheek is a matter of convention.
    """
    distance = np.linalg.norm(found - known, axis=1)
    side = math.sqrt(float(np.ptp(known, axis=0).prod()))
    return {
        "pixels68": float(distance.mean()),
        "nme68": float(100 * distance.mean() / side),
        "nme51": float(100 * distance[17:].mean() / side),
    }


def turn_error(found: np.ndarray, known: np.ndarray, aligned: ScanToMesh) -> float:
    """Degrees between a predicted rotation [3, 3] of the head and the known one.

    Models' head frames differ by some degrees; `aligned` says how the model's lies in the truth's, by the surfaces.
    """
    _, refined, _ = unpack(aligned.refinement.x)
    frame = refined @ aligned.alignment.rotation
    left = found.T @ known @ frame
    return math.degrees(math.acos(min(max((float(np.trace(left)) - 1) / 2, -1.0), 1.0)))


def expression_errors(found: Expression, known: Expression) -> dict[str, float]:
    """Of the 43 weights that ICT-FaceKit's shapes can show beside the looks, and of both eyes' directions."""
    errors = {"expression": float(np.abs(found.weights - known.weights)[_SHOWN].mean())}
    if found.eyes is not None and known.eyes is not None:
        cosine = (directions(found.eyes) * directions(known.eyes)).sum(1).clip(-1, 1)
        errors["gaze"] = float(np.degrees(np.arccos(cosine)).mean())
    return errors


def directions(eyes: np.ndarray) -> np.ndarray:
    """[2, 3] unit vectors of yaw and pitch [2, 2], radians: x to the subject's left, y up, z ahead."""
    yaw, pitch = eyes.T
    return np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], 1)


_SHOWN = np.array([not name.startswith(("eyeLook", "tongueOut")) for name in NAMES])


def save(path: Path, fingerprint: str, result: HeadScore) -> None:
    """Keep a result; raises OutputError."""
    note = {
        "fingerprint": fingerprint,
        "status": result.status,
        "reason": result.reason,
        "facts": dict(result.facts),
        "warnings": dict(result.warnings),
    }
    arrays = {f"distances_{protocol}": values for protocol, values in result.distances.items()}
    arrays["crop_index"] = result.crop_index.astype(np.int32)
    arrays["note"] = np.frombuffer(json.dumps(note).encode(), np.uint8)
    write_npz(path, arrays, compressed=False)


def load(path: Path, fingerprint: str) -> HeadScore | None:
    """What is kept if it has this fingerprint; None if not, or if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            note = json.loads(archive["note"].tobytes())
            if note["fingerprint"] != fingerprint:
                return None
            names = [f"distances_{protocol}" for protocol in PROTOCOLS]
            distances = {name.partition("_")[2]: archive[name] for name in names if name in archive.files}
            return HeadScore(
                note["status"],
                distances,
                archive["crop_index"].astype(np.int64),
                note["warnings"],
                note["facts"],
                note["reason"],
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
