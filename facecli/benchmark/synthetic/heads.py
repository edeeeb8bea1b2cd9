"""What is known of the rendered heads of a run."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from facecli.data.head_model import HeadModel
from facecli.data.head_set import HeadSet, renderer
from facecli.data.scan_points import ScanPoints
from facecli.detect.landmarks import convert
from facecli.export.arkit import NAMES, eyes_of_weights, from_ict


@dataclass(frozen=True)
class Expression:
    """A face's expression.

    Args:
        weights: [52] ARKit's, 0..1.
        eyes: [2, 2] yaw and pitch of the left and the right eye in the head frame, radians; None: eyes don't turn.
    """

    weights: np.ndarray
    eyes: np.ndarray | None

    @classmethod
    def rest(cls) -> Expression:
        """None at all: what knowing nothing gives."""
        return cls(np.zeros(len(NAMES)), np.zeros((2, 2)))


@dataclass(frozen=True)
class Truth:
    """What is known of one head. Head frame, mm.

    Args:
        points: [S, 3] float64 of the neutral skin. points7: [7, 3] NoW's landmarks of the neutral head.
        landmarks: [68, 2] pixels of the picture. rotation: [3, 3] head -> camera.
        mean_landmarks: [68, 2] likewise of the average head at rest, held like this one.
        expression: what is known of it in ARKit's words; None where the face model doesn't have these.
        facts: yaw, pitch, roll (degrees) and distance (mm).
    """

    points: np.ndarray
    points7: np.ndarray
    landmarks: np.ndarray
    rotation: np.ndarray
    mean_landmarks: np.ndarray
    expression: Expression | None
    facts: dict[str, float] = field(default_factory=dict)


@functools.lru_cache(maxsize=2)
def scan_points(heads: HeadSet) -> ScanPoints:
    """Where a scanner would see the set's heads."""
    drawer = renderer(heads)
    return ScanPoints(drawer.model, drawer.openness)


def mean_head(heads: HeadSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [V, 3], triangles of its skin [F, 3] and NoW's landmarks [7, 3] of the model's average head."""
    model = renderer(heads).model
    vertices = model.vertices(np.zeros((1, model.n_identity)), np.zeros((1, model.n_expression)))
    return vertices[0], model.triangles[model.skin], now7(model.landmarks(vertices)[0])


def now7(points68: np.ndarray) -> np.ndarray:
    """[7, 3] float64 of iBUG's [68, 3]."""
    return convert(points68.astype(np.float64), "ibug68", "now7")


def truth(heads: HeadSet, index: int) -> Truth:
    """What is known of head `index`, without drawing it."""
    known = renderer(heads).pose(heads.seed, index)
    model = renderer(heads).model
    yaw, pitch, roll = known.view.angles
    return Truth(
        points=scan_points(heads).of(known.neutral),
        points7=now7(model.landmarks(known.neutral[None])[0]),
        landmarks=known.view.project(model.landmarks(known.vertices[None])[0])[:, :2],
        rotation=known.view.rotation,
        mean_landmarks=known.view.project(_mean_landmarks(heads))[:, :2],
        expression=_expression(model, known.expression),
        facts={"yaw": yaw, "pitch": pitch, "roll": roll, "distance": known.view.distance},
    )


@functools.lru_cache(maxsize=2)
def _mean_landmarks(heads: HeadSet) -> np.ndarray:
    """[68, 3] of the average head."""
    return renderer(heads).model.landmarks(mean_head(heads)[0][None])[0]


def _expression(model: HeadModel, codes: np.ndarray) -> Expression | None:
    """The expression `codes` [E] of a model whose names are ARKit's."""
    if "jawOpen" not in model.expression_names:
        return None
    weights = from_ict(codes[None], model.expression_names)
    turning = any(name.startswith("eyeLook") for name in model.expression_names)
    return Expression(weights[0], eyes_of_weights(weights)[0] if turning else None)
