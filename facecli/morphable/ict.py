"""ICT-FaceKit (Li and others, "Learning Formation of Physically-Based Face Attributes", CVPR 2020): a whole head with
100 identity and 57 ARKit-named expression directions, MIT licence.

The light model has no teeth, sockets or lashes; its eyeballs follow the identity but not the gaze, which
:class:`IctModel` adds: a look turns them about their centres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from facecli.errors import InputError
from facecli.morphable.ict_files import IctArrays

IBUG68_SOURCE = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509,
    978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841,
    5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)  # fmt: skip
"""iBUG's 68 points as vertices of ICT-FaceKit's full mesh; number 0 is at the subject's right ear (x < 0)."""

FACE_END, HEAD_END = 9_409, 11_248
"""Of the full mesh's vertices: the face lies below the one, head and neck from there to the other."""
EYE_PARTS = {"L": ((21_451, 22_221), (22_221, 23_021)), "R": ((23_021, 23_791), (23_791, 24_591))}
"""Full mesh, the subject's left and right: cornea (a clear shell around it all) and eyeball with iris, [from, to)."""
LOOK_DEGREES = {"In": 30.0, "Out": 30.0, "Up": 25.0, "Down": 30.0}
"""How far an eye turns at ``eyeLook…`` 1; the lids follow by the model's own shapes."""


class IctModel:
    """Vertices of many heads. Unit mm; see :class:`IctArrays` for the axes.

    Args:
        arrays: from :func:`facecli.morphable.ict_files.read_ict`.
        source: the file's name, for the error.

    Raises:
        InputError: vertices that landmarks or eyes need are not among the file's.
    """

    def __init__(self, arrays: IctArrays, source: str = "ict_facekit"):
        self.arrays = arrays
        self.expression_names = arrays.expression_names
        self.n_identity, self.n_expression = len(arrays.identity), len(arrays.expression)
        self.triangles = arrays.triangles
        self._source = source
        self._identity = np.ascontiguousarray(arrays.identity.reshape(self.n_identity, -1))
        self._expression = np.ascontiguousarray(arrays.expression.reshape(self.n_expression, -1))
        self.ibug68 = self.local(IBUG68_SOURCE)
        self.cornea = {side: self._range(*parts[0]) for side, parts in EYE_PARTS.items()}
        self.eyeball = {side: self._range(*parts[1]) for side, parts in EYE_PARTS.items()}
        self._centre_offset = {side: self._rest_centre(side) - self._ball_mean(arrays.mean, side) for side in EYE_PARTS}
        self._looks = {side: self._look_numbers(side) for side in EYE_PARTS}

    def local(self, source: Sequence[int]) -> np.ndarray:
        """Vertices of the full mesh as vertices of this one, int64.

        Raises:
            InputError: one of them isn't here.
        """
        wanted, have = np.asarray(source), self.arrays.source_vertex
        found = np.searchsorted(have, wanted).clip(max=len(have) - 1)
        if (have[found] != wanted).any():
            missing = int(wanted[have[found] != wanted][0])
            raise InputError(self._source, f"lacks vertex {missing} of ICT-FaceKit's mesh, which facecli needs")
        return found

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[B, V, 3] float32 from `identity` [B, <=I] and `expression` [B, <=E].

        Short vectors are padded with zeros; one of either goes with many of the other.
        """
        identity, expression = (np.atleast_2d(np.asarray(codes, np.float32)) for codes in (identity, expression))
        flat = identity @ self._identity[: identity.shape[1]] + expression @ self._expression[: expression.shape[1]]
        vertices = self.arrays.mean + flat.reshape(len(flat), -1, 3)
        weights = np.zeros((len(flat), self.n_expression), np.float32)
        weights[:, : expression.shape[1]] = expression
        for side in EYE_PARTS:
            self._turn_eye(vertices, weights, side)
        return vertices

    def landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[B, 68, 3] iBUG's points of `vertices` [B, V, 3], fixed on the surface."""
        return vertices[:, self.ibug68]

    def gaze(self, expression: np.ndarray) -> np.ndarray:
        """[B, 2, 3] unit directions in which the subject's left and right eye look, in the head frame."""
        expression = np.atleast_2d(np.asarray(expression, np.float32))
        forward = np.array([0, 0, 1.0])
        return np.stack([[_turn(*angles) @ forward for angles in self._angles(expression, s)] for s in "LR"], 1)

    def eye_centres(self, vertices: np.ndarray) -> np.ndarray:
        """[B, 2, 3] centres of the subject's left and right eyeball, of `vertices` [B, V, 3] at any gaze."""
        turned = {side: vertices[:, self.eyeball[side]] for side in "LR"}
        back = {side: self._fit_sphere_centre(turned[side]) for side in "LR"}
        return np.stack([back["L"], back["R"]], 1)

    def _fit_sphere_centre(self, points: np.ndarray) -> np.ndarray:
        system = np.concatenate([2 * points, np.ones((*points.shape[:2], 1))], 2).astype(np.float64)
        right = (points.astype(np.float64) ** 2).sum(2)
        return np.stack([np.linalg.lstsq(a, b, rcond=None)[0][:3] for a, b in zip(system, right, strict=True)])

    def _turn_eye(self, vertices: np.ndarray, weights: np.ndarray, side: str) -> None:
        """Turn one eye of all heads by its look, in place."""
        ball = np.concatenate([self.cornea[side], self.eyeball[side]])
        for head, (yaw, pitch) in zip(vertices, self._angles(weights, side), strict=True):
            if yaw or pitch:
                centre = head[self.eyeball[side]].mean(0) + self._centre_offset[side]
                head[ball] = (head[ball] - centre) @ _turn(yaw, pitch).T.astype(np.float32) + centre

    def _angles(self, expression: np.ndarray, side: str) -> np.ndarray:
        """[B, 2] yaw (to +x) and pitch (up) of one eye in radians."""
        weights = {way: expression[:, number] for way, number in self._looks[side].items() if number is not None}
        degrees = {way: LOOK_DEGREES[way] * weights.get(way, 0.0) for way in LOOK_DEGREES}
        outwards = degrees["Out"] - degrees["In"]
        yaw = outwards if side == "L" else -outwards  # the subject's left is at x > 0
        pitch = degrees["Up"] - degrees["Down"]
        return np.deg2rad(np.stack(np.broadcast_arrays(yaw, pitch, np.zeros(len(expression)))[:2], 1))

    def _look_numbers(self, side: str) -> dict[str, int | None]:
        names = {way: f"eyeLook{way}_{side}" for way in LOOK_DEGREES}
        return {way: self.expression_names.index(n) if n in self.expression_names else None for way, n in names.items()}

    def _range(self, first: int, end: int) -> np.ndarray:
        return self.local(range(first, end))

    def _ball_mean(self, vertices: np.ndarray, side: str) -> np.ndarray:
        return vertices[self.eyeball[side]].mean(0)

    def _rest_centre(self, side: str) -> np.ndarray:
        """[3] of the mean head: the best sphere's centre."""
        return self._fit_sphere_centre(self.arrays.mean[None, self.eyeball[side]])[0].astype(np.float32)


def _turn(yaw: float, pitch: float) -> np.ndarray:
    """[3, 3] that takes +z to the right by `yaw` and up by `pitch`, radians."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return about_y @ about_x
