"""The second look: how the picture differs from the head that was guessed at first.

That head is brought onto MediaPipe's points by pose and camera alone, and the picture is looked at where its surface
is: forehead, ears and neck, too, which the points leave out. So the network learns what to change, as cascaded
regression does (Dollár, Welinder and Perona 2010).
"""

from __future__ import annotations

import math

import numpy as np

from facecli.morphable.ict import FACE_END, HEAD_END, IctModel
from facecli.morphable.ict_fit import POINTS, Guess, LandmarkFit, project
from facecli_open.inputs import Look
from facecli_open.network import EXPRESSION, IDENTITY, OUTPUTS
from facecli_open.seen import Seen

USUAL_DISTANCE = 800.0
"""mm, of which the network tells the logarithm of a multiple."""
LOOKED = 260
"""Places on the head."""
LOWEST = -95.0
"""mm: of the head and neck, what is above is looked at."""
SECOND_GEOMETRY = 2 * POINTS + 9 + 1 + OUTPUTS
_HEAD_SHARE = 0.45
"""Places outside the face are this much denser apart."""
_DISTANCE_SPREAD = 0.05
"""Of the distance's logarithm, what the points may change of it here."""


class SecondLook:
    """
    Args:
        model: ICT-FaceKit. fitting: to MediaPipe's points.
    """

    def __init__(self, model: IctModel, fitting: LandmarkFit):
        self._fitting = fitting
        places = looked_at(model)
        arrays = model.arrays
        self._mean = arrays.mean[places].astype(np.float64)
        shapes = [arrays.identity[:, places], arrays.expression[:, places]]
        self._shapes = np.concatenate(shapes).reshape(IDENTITY + EXPRESSION, -1).astype(np.float64)

    def of(self, seen: Seen, told: np.ndarray, fov: float = 0.0) -> Look:
        """[SECOND_GEOMETRY] and the picture at [LOOKED] places of one face.

        Args:
            told: [OUTPUTS] what the first look made the network say.
            fov: as of :meth:`LandmarkFit.fit`.
        """
        identity, expression, distance = np.split(told.astype(np.float64), [IDENTITY, IDENTITY + EXPRESSION])
        distance = USUAL_DISTANCE * math.exp(distance.item())
        guess = Guess(identity, expression.clip(0, 1), 1.0, 1.0, distance, _DISTANCE_SPREAD)
        placed = self._fitting.place(seen.points, seen.photo_size, guess, fov)
        head = self._mean + (np.concatenate([placed.identity, placed.expression]) @ self._shapes).reshape(-1, 3)
        middle = (np.array(seen.photo_size[::-1]) - 1) / 2
        picture = seen.gradients.at(seen.in_crop(project(head, placed.turn, placed.camera, middle)))
        surface = self._fitting.surface(placed.identity, placed.expression)
        missing = seen.points[:, :2] - project(surface, placed.turn, placed.camera, middle)
        missing = (missing * (1, -1) / placed.camera[1]) @ seen.upright[:2, :2].T  # mm
        away = math.log(placed.camera[0] / placed.camera[1] / USUAL_DISTANCE)
        parts = [missing.ravel(), (seen.upright @ placed.turn).ravel(), [away], told]
        return Look(np.concatenate(parts).astype(np.float32), picture)


def looked_at(model: IctModel) -> np.ndarray:
    """[LOOKED] vertices of face, head and upper neck, each as far from those before it as can be; first the nose."""
    arrays = model.arrays
    skin = np.flatnonzero((arrays.source_vertex < HEAD_END) & (arrays.mean[:, 1] > LOWEST))
    points = arrays.mean[skin].astype(np.float64)
    density = np.where(arrays.source_vertex[skin] < FACE_END, 1.0, _HEAD_SHARE)
    chosen = [int(points[:, 2].argmax())]
    distance = np.full(len(points), np.inf)
    while len(chosen) < LOOKED:
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int((distance * density).argmax()))
    return skin[chosen]
