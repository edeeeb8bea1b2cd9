"""Where ICT-FaceKit's eyes look: its eyeballs turned until their pupils lie on MediaPipe's irises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facecli.morphable.ict import LOOK_DEGREES, IctModel
from facecli.morphable.ict_points import mediapipe478

IRIS = {"R": 468, "L": 473}
"""MediaPipe's iris centres; R and L are the subject's."""
CORNERS = {"R": (33, 133), "L": (263, 362)}
LIDS = {"R": ((159, 145), (158, 153), (160, 144)), "L": ((386, 374), (385, 380), (387, 373))}
"""Points of the upper lid and below them of the lower."""

CLOSED, OPEN = 0.08, 0.16
"""Gaps between the lids over the eye's width: below the one the gaze is at rest, above the other the iris counts."""
VERGENCE = (-4.0, 24.0)
"""Degrees that eyes look inwards against each other; 24 is something 15 cm away."""
IRIS_MM, IRIS_PIXELS = 0.6, (1.3, 2.0)
"""Standard deviations of an iris's place, of which it has both: on the eye, and in the photograph, across and up. On
small faces irises tell little: of 320 pixels with a face of 100 they were 4 to 7 degrees off."""
_LEAST_COSINE = 0.3
_VERGENCE_SPREAD = 4.0


@dataclass(frozen=True)
class Eyes:
    """Where the eyeballs of many heads are.

    Args:
        mean: [2, 3] centres of the left and right eyeball of the mean head, mm; identity: [I, 2, 3], expression:
            [E, 2, 3] how they move.
        radius: [2] mm from a centre to where MediaPipe's iris lies on the ball. ahead: [2, 2] yaw and pitch of that
            place, degrees, while the eye looks straight ahead.
        names: of the expressions.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    radius: np.ndarray
    ahead: np.ndarray
    names: tuple[str, ...]

    @staticmethod
    def of(model: IctModel) -> Eyes:
        arrays, balls = model.arrays, [model.eyeball[side] for side in "LR"]
        mean = model.eye_centres(arrays.mean[None])[0].astype(np.float64)
        corners, weights = mediapipe478(model)
        irises = [IRIS[side] for side in "LR"]
        away = (arrays.mean[corners[irises]] * weights[irises][..., None]).sum(1) - mean
        radius = np.linalg.norm(away, axis=1)
        return Eyes(
            mean,
            np.stack([arrays.identity[:, ball].mean(1, dtype=np.float64) for ball in balls], 1),
            np.stack([arrays.expression[:, ball].mean(1, dtype=np.float64) for ball in balls], 1),
            radius,
            np.stack([_degrees(direction) for direction in away / radius[:, None]]),
            model.expression_names,
        )

    def centres(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[2, 3] of one head, `identity` [100] and `expression` [57]."""
        return self.mean + np.tensordot(identity, self.identity, 1) + np.tensordot(expression, self.expression, 1)

    def angles(self, expression: np.ndarray) -> np.ndarray:
        """[2, 2] degrees of :meth:`looks` for `expression` [57]."""
        weights = dict(zip(self.names, expression, strict=True))
        found = []
        for side in "LR":
            degrees = {way: LOOK_DEGREES[way] * weights.get(f"eyeLook{way}_{side}", 0.0) for way in LOOK_DEGREES}
            outwards = degrees["Out"] - degrees["In"]
            found.append((outwards if side == "L" else -outwards, degrees["Up"] - degrees["Down"]))
        return np.array(found)

    def looks(self, angles: np.ndarray) -> dict[int, float]:
        """Number of an expression -> weight 0..1, of `angles` [2, 2]: yaw (to +x) and pitch (up) of the left and the
        right eye, degrees."""
        weights = {}
        for (yaw, pitch), side in zip(angles, "LR", strict=True):
            outwards = yaw if side == "L" else -yaw  # the subject's left is at x > 0
            ways = {"Out": outwards, "In": -outwards, "Up": pitch, "Down": -pitch}
            for way, degrees in ways.items():
                name = f"eyeLook{way}_{side}"
                if name in self.names:
                    weights[self.names.index(name)] = float(np.clip(degrees / LOOK_DEGREES[way], 0, 1))
        return weights


def gaze(
    eyes: Eyes,
    points: np.ndarray,
    projected: np.ndarray,
    centres: np.ndarray,
    turn: np.ndarray,
    camera: np.ndarray,
    middle: np.ndarray,
    believed: np.ndarray,
    spread: float,
) -> np.ndarray:
    """[2, 2] yaw and pitch of the left and right eye, degrees in the head frame.

    Args:
        points: [478, 2] MediaPipe's. projected: [478, 2] where the same points of the head land. centres: [2, 3] of
            the eyeballs. turn, camera, middle: see :mod:`facecli.morphable.ict_fit`.
        believed: [2, 2] the angles before the irises are looked at; `spread` degrees of standard deviation.
    """
    focal, scale, *origin = camera
    place = np.array([*(np.array(origin) - middle) * (1, -1) / scale, -focal / scale])
    angles, trust = np.zeros((2, 2)), np.zeros((2, 2))
    for number, side in enumerate("LR"):
        corners = list(CORNERS[side])
        # Where the lids' corners are off, the iris is as well: it is seen in the eye.
        iris = points[IRIS[side]] - (points[corners] - projected[corners]).mean(0)
        ray = np.array([*(iris - middle) * (1, -1), -focal])
        ray /= np.linalg.norm(ray)
        seen = _pupil_direction(ray, turn @ centres[number] + place, eyes.radius[number])
        angles[number] = _degrees(turn.T @ seen) - eyes.ahead[number]
        error = np.hypot(IRIS_MM, np.array(IRIS_PIXELS) / scale) / eyes.radius[number]
        error = np.rad2deg(error / max(-float(ray @ seen), _LEAST_COSINE))
        trust[number] = _openness(points, side) / error**2
    return _together(angles, trust, believed, spread)


def _pupil_direction(ray: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """[3] from an eyeball's centre to where `ray` (unit, from the camera) meets the ball; beside it to its edge."""
    along = float(ray @ centre)
    aside = ray * along - centre  # from the centre to the ray's nearest point
    inside = radius**2 - float(aside @ aside)
    hit = aside - ray * math.sqrt(max(inside, 0.0))
    return hit / np.linalg.norm(hit)


def _degrees(direction: np.ndarray) -> np.ndarray:
    """[2] yaw (to +x) and pitch (up) of a unit vector [3]."""
    x, y, z = direction
    return np.rad2deg([math.atan2(x, z), math.asin(np.clip(y, -1, 1))])


def _openness(points: np.ndarray, side: str) -> float:
    """0 for a closed eye to 1 for one whose iris can be seen."""
    upper, lower = np.array(LIDS[side]).T
    gap = np.linalg.norm(points[upper] - points[lower], axis=1).mean()
    width = np.linalg.norm(points[CORNERS[side][0]] - points[CORNERS[side][1]])
    return float(np.clip((gap / max(width, 1e-9) - CLOSED) / (OPEN - CLOSED), 0, 1))


def _together(angles: np.ndarray, trust: np.ndarray, believed: np.ndarray, spread: float) -> np.ndarray:
    """`angles` [2, 2] of two eyes that look at one thing: up or down alike, never apart.

    Args:
        trust: [2, 2] how certain they are, 1 / degrees²; 0 of closed eyes.
    """
    before = spread**-2
    middle = believed.mean(0)
    yaw, pitch = (middle * before + (trust * angles).sum(0)) / (before + trust.sum(0))
    # Against each other eyes turn little: unless both are seen well, they look far away.
    certain = _VERGENCE_SPREAD**2 / (_VERGENCE_SPREAD**2 + (1 / np.maximum(trust[:, 0], 1e-9)).sum())
    inwards = np.clip(certain * (angles[1, 0] - angles[0, 0]), *VERGENCE)  # the left eye's inwards is to -x
    return np.array([[yaw - inwards / 2, pitch], [yaw + inwards / 2, pitch]])
