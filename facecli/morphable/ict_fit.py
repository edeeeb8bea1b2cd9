"""Fits ICT-FaceKit's head to MediaPipe's 478 points: pose, camera, expression and a little of the shape.

Gauss–Newton on the points' distances in the picture, which are weighed against a guess of who it is and what face they
make (Gaussian priors). Weights of expressions stay within 0..1: at a bound that the step would cross they are held
(projected Newton, Bertsekas 1982). Points that lie far from where the surface can be count less (Geman and McClure's
weights), and so do points of the side of the head that is turned away, which MediaPipe guesses.

The camera is a pinhole, see :mod:`facecli.morphable.ict_head`. A single photograph hardly tells its distance, so that
has a prior, too, unless the field of view is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facecli.detect.landmarks import MEDIAPIPE105
from facecli.geometry.normals import vertex_normals
from facecli.morphable.ict import FACE_END, LOOK_DEGREES, IctModel
from facecli.morphable.ict_gaze import Eyes, gaze
from facecli.morphable.ict_points import mediapipe478

POINTS, SKIN_POINTS = 478, 468
"""MediaPipe's points, and those before the irises'."""
FEATURE_MM, POINT_MM = 3.0, 6.0
"""Standard deviations of the error of a point on brows, eyes, nose or lips, and of any other. Neighbours' errors are
alike, so a single point tells less than the 1.5 to 4 mm that it is off."""
POSE_STEPS, SHAPE_STEPS, FOLLOW_STEPS = 2, 3, 2

_FAR_MM = 12.0  # where a point's weight is down to a quarter
_HIDDEN = 0.03
_TURNED, _FRONTAL = -0.15, 0.35  # cosines to the viewer between which the weight of a point rises from _HIDDEN to 1
_CAMERA = 7  # unknowns: a turn [3], log scale, x, y, log distance
_FIXED_SHAPES = ("PupilDilate", "eyeLook")
"""What skin doesn't show: irises tell of looks."""


@dataclass(frozen=True)
class Guess:
    """What is believed of one face before its points are looked at.

    Args:
        identity: [100]. identity_spread: [100] or a number: standard deviations of its errors; 0 keeps them.
        expression: [57]. expression_spread: [57] or a number.
        distance: mm from the camera to the head. distance_spread: of its logarithm. Points tell next to nothing of it.
    """

    identity: np.ndarray
    expression: np.ndarray
    identity_spread: np.ndarray | float
    expression_spread: np.ndarray | float
    distance: float = 800.0
    distance_spread: float = 0.15


@dataclass(frozen=True)
class Fitted:
    """Codes of one face, float64: identity [100], expression [57], turn [3, 3] head frame -> camera frame, camera [4].

    `residual`: [478] pixels between the points and the surface.
    """

    identity: np.ndarray
    expression: np.ndarray
    turn: np.ndarray
    camera: np.ndarray
    residual: np.ndarray


class LandmarkFit:
    """
    Args:
        model: ICT-FaceKit.
        n_identity: how many numbers of the shape may change.
    """

    def __init__(self, model: IctModel, n_identity: int = 30):
        self.names = model.expression_names
        self.eyes = Eyes.of(model)
        self.n_identity = n_identity
        corners, weights = mediapipe478(model)
        arrays = model.arrays

        def at_points(values: np.ndarray) -> np.ndarray:
            """[..., 478, C] of per-vertex values [..., V, C]."""
            return (values[..., corners, :].astype(np.float64) * weights[:, :, None]).sum(-2)

        self.mean = at_points(arrays.mean)
        self._shapes = np.concatenate([at_points(arrays.identity), at_points(arrays.expression)]).reshape(
            -1, 3 * POINTS
        )
        skin = arrays.triangles[(arrays.source_vertex[arrays.triangles] < FACE_END).all(1)]
        normals = at_points(vertex_normals(arrays.mean.astype(np.float64), skin))
        self.normals = normals[:SKIN_POINTS] / np.linalg.norm(normals[:SKIN_POINTS], axis=1, keepdims=True)
        features = np.isin(np.arange(SKIN_POINTS), MEDIAPIPE105)
        self.certainty = np.where(features, FEATURE_MM, POINT_MM) ** -2
        self._looks = np.array([name.startswith("eyeLook") for name in self.names])
        self._free = np.array([not name.startswith(_FIXED_SHAPES) for name in self.names])
        changing = np.concatenate([model.n_identity + np.flatnonzero(self._free), np.arange(n_identity)])
        shown = self._shapes[changing].reshape(-1, POINTS, 3)[:, :SKIN_POINTS]
        self._basis = np.ascontiguousarray(shown.transpose(1, 2, 0))  # [468, 3, N]

    def surface(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[478, 3] the points on one head, mm; the irises' look straight ahead."""
        return self.mean + (np.concatenate([identity, expression]) @ self._shapes).reshape(POINTS, 3)

    def fit(
        self, points: np.ndarray, photo_size: tuple[int, int], guess: Guess, fov: float = 0.0, refine: bool = True
    ) -> Fitted:
        """One face.

        Args:
            points: [478, 3] MediaPipe's, in pixels of the photograph; their depth is only begun with.
            photo_size: (height, width).
            fov: the photograph's vertical field of view in degrees; 0: not known.
            refine: let shape and expression change, too; else pose and camera alone.
        """
        problem = _Problem(self, points, photo_size, guess, fov)
        for _ in range(POSE_STEPS):
            problem.step(shape=False)
        problem.look()  # moves the lids, too
        for _ in range(SHAPE_STEPS if refine else 0):
            problem.step(shape=True)
        problem.look()
        return problem.result()

    def place(self, points: np.ndarray, photo_size: tuple[int, int], guess: Guess, fov: float = 0.0) -> Fitted:
        """One face by pose and camera alone; the eyes stay as they are guessed. Arguments as of :meth:`fit`."""
        problem = _Problem(self, points, photo_size, guess, fov)
        for _ in range(POSE_STEPS):
            problem.step(shape=False)
        return problem.result()

    def follow(self, points: np.ndarray, photo_size: tuple[int, int], guess: Guess, fov: float = 0.0) -> Fitted:
        """One face whose shape is known, by pose, camera and expression: the guess's identity is kept to the bit, and
        the eyes stay as they are guessed. Arguments as of :meth:`fit`."""
        problem = _Problem(self, points, photo_size, guess, fov, n_identity=0)
        for _ in range(POSE_STEPS):
            problem.step(shape=False)
        for _ in range(FOLLOW_STEPS):
            problem.step(shape=True)
        return problem.result()

    def landed(
        self,
        identity: np.ndarray,
        expression: np.ndarray,
        turn: np.ndarray,
        camera: np.ndarray,
        photo_size: tuple[int, int],
    ) -> np.ndarray:
        """[478, 3] where the points of one head are in the photograph, pixels, as MediaPipe would tell them (irises of
        eyes that look straight ahead). Arguments as in :class:`Fitted`."""
        surface = self.surface(identity, expression)
        depth = -(surface @ turn.T)[:, 2:] * camera[1]
        return np.concatenate([project(surface, turn, camera, _middle(photo_size)), depth], 1)


class _Problem:
    """One face's unknowns on their way."""

    def __init__(
        self,
        fit: LandmarkFit,
        points: np.ndarray,
        photo_size: tuple[int, int],
        guess: Guess,
        fov: float,
        n_identity: int | None = None,
    ):
        self.fit, self.guess = fit, guess
        self.n_identity = fit.n_identity if n_identity is None else n_identity
        self.points = points[:, :2]
        self.middle = _middle(photo_size)
        self.focal = photo_size[0] / 2 / math.tan(math.radians(fov) / 2) if fov else None
        self.identity, self.expression = guess.identity.astype(np.float64), guess.expression.astype(np.float64)
        looks = np.broadcast_to(guess.expression_spread, self.expression.shape)[fit._looks].mean()
        self.believed_gaze = fit.eyes.angles(self.expression), float(looks) * LOOK_DEGREES["Out"]
        self._begin(points * (1, -1, -1))
        free = fit._free
        start = np.concatenate([self.expression[free], self.identity[: self.n_identity]])
        spread = np.concatenate(
            [
                np.broadcast_to(guess.expression_spread, self.expression.shape)[free],
                np.broadcast_to(guess.identity_spread, self.identity.shape)[: self.n_identity],
            ]
        )
        self.shape, self.guessed = start.clip(*self._bounds(start)), start
        self.stiffness = 1 / np.maximum(spread, 1e-4) ** 2

    def _begin(self, points: np.ndarray) -> None:
        """Pose and camera without perspective."""
        self.surface = self.fit.surface(self.identity, self.expression)
        scale, turn, shift = similarity(self.surface[:SKIN_POINTS], points[:SKIN_POINTS])
        self.scale, self.origin = scale, shift[:2] * (1, -1)
        self.distance = self.guess.distance if self.focal is None else self.focal / scale
        # What looks at the camera from the picture's edge is turned towards it, against what looks along the axis.
        away = (self.origin - self.middle) * (1, -1) / (scale * self.distance)
        self.turn = _between(np.array([0, 0, 1.0]), np.array([-away[0], -away[1], 1.0])) @ turn

    def _bounds(self, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of expressions 0 and 1, of identity none."""
        low, high = np.full(len(shape), -np.inf), np.full(len(shape), np.inf)
        count = int(self.fit._free.sum())
        low[:count], high[:count] = 0, 1
        return low, high

    def step(self, shape: bool) -> None:
        """One Gauss–Newton step of pose and camera, and of the shape."""
        columns, residual = self._linear(shape)
        weights = self._weights(residual)
        root = np.sqrt(weights).repeat(2)
        columns *= root[:, None]
        matrix, right = columns.T @ columns, columns.T @ (residual.ravel() * root)
        if self.focal is None:
            certainty = self.guess.distance_spread**-2
            matrix[6, 6] += certainty
            right[6] -= math.log(self.distance / self.guess.distance) * certainty
        else:
            matrix[6, 6] += 1  # the column is zero
        if not shape:
            self._move(np.linalg.solve(matrix, right))
            return
        own = np.arange(_CAMERA, len(right))
        matrix[own, own] += self.stiffness
        right[own] -= self.stiffness * (self.shape - self.guessed)
        low, high = self._bounds(self.shape)
        held = np.zeros(len(right), bool)
        for _ in range(3):  # which are held shows as others are
            step = np.zeros(len(right))
            free = ~held
            step[free] = np.linalg.solve(matrix[np.ix_(free, free)], right[free])
            crossing = ((self.shape <= low) & (step[own] < 0)) | ((self.shape >= high) & (step[own] > 0))
            if not (crossing & ~held[own]).any():
                break
            held[own] |= crossing
        self._move(step)
        self.shape = (self.shape + step[own]).clip(low, high)
        count = int(self.fit._free.sum())
        self.expression[self.fit._free], self.identity[: self.n_identity] = self.shape[:count], self.shape[count:]
        self.surface = self.fit.surface(self.identity, self.expression)

    def _linear(self, shape: bool) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives [936, U] of the surface's pixels, and what is missing to the points [468, 2]; in millimetres at
        the head."""
        surface = self.surface[:SKIN_POINTS] @ self.turn.T
        z = surface[:, 2]
        nearness = self.distance / (self.distance - z)
        from_middle = (self.origin - self.middle) / self.scale + surface[:, :2] * (1, -1)  # mm at the head's distance
        residual = (self.points[:SKIN_POINTS] - self.middle) / self.scale - from_middle * nearness[:, None]
        to_camera = np.zeros((len(z), 2, 3))  # pixels by points of the camera frame
        to_camera[:, 0, 0], to_camera[:, 1, 1] = nearness, -nearness
        to_camera[:, :, 2] = from_middle * (nearness**2 / self.distance)[:, None]
        basis = self.fit._basis[:, :, : len(self.shape) if shape else 0]
        columns = np.zeros((len(z), 2, _CAMERA + basis.shape[2]))
        columns[:, :, :3] = np.cross(surface[:, None], to_camera)
        columns[:, :, 3] = surface[:, :2] * (1, -1) * nearness[:, None]
        columns[:, 0, 4] = columns[:, 1, 5] = nearness
        farther = -from_middle * (z * nearness**2 / self.distance)[:, None]
        if self.focal is None:
            columns[:, :, 6] = farther
        else:
            columns[:, :, 3] -= farther
        if shape:
            columns[:, :, _CAMERA:] = (to_camera @ self.turn) @ basis
        return columns.reshape(2 * len(z), -1), residual

    def _weights(self, residual: np.ndarray) -> np.ndarray:
        """[468] of the points."""
        way = self._to_camera()
        facing = (self.fit.normals @ self.turn.T * way).sum(1)
        seen = ((facing - _TURNED) / (_FRONTAL - _TURNED)).clip(_HIDDEN, 1)
        near = 1 / (1 + (residual**2).sum(1) / _FAR_MM**2) ** 2
        return seen * near * self.fit.certainty

    def _to_camera(self) -> np.ndarray:
        """[3] unit direction from the head to the camera, in the camera frame."""
        place = np.array([*(self.origin - self.middle) * (1, -1) / self.scale, -self.distance])
        return -place / np.linalg.norm(place)

    def _move(self, step: np.ndarray) -> None:
        """Pose and camera by one step."""
        self.turn = rotation(step[:3]) @ self.turn
        self.origin = self.origin + step[4:6] * self.scale
        self.scale = self.scale * math.exp(float(np.clip(step[3], -0.5, 0.5)))
        if self.focal is None:
            self.distance = self.distance * math.exp(float(np.clip(step[6], -0.5, 0.5)))
        else:
            self.distance = self.focal / self.scale

    def look(self) -> None:
        """Turn the eyes by the irises."""
        camera = self._camera()
        projected = project(self.surface, self.turn, camera, self.middle)
        centres = self.fit.eyes.centres(self.identity, self.expression)
        angles = gaze(
            self.fit.eyes, self.points, projected, centres, self.turn, camera, self.middle, *self.believed_gaze
        )
        for number, weight in self.fit.eyes.looks(angles).items():
            self.expression[number] = weight
        self.surface = self.fit.surface(self.identity, self.expression)

    def _camera(self) -> np.ndarray:
        return np.array([self.distance * self.scale, self.scale, *self.origin])

    def result(self) -> Fitted:
        camera = self._camera()
        places = project(self.surface, self.turn, camera, self.middle)
        residual = np.linalg.norm(places - self.points, axis=1)
        return Fitted(self.identity, self.expression, self.turn, camera, residual)


def _middle(photo_size: tuple[int, int]) -> np.ndarray:
    """[2] x and y of a photograph's (height, width)."""
    return (np.array(photo_size[::-1], np.float64) - 1) / 2


def project(points: np.ndarray, turn: np.ndarray, camera: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Points [N, 3] of the head frame in pixels [N, 2]; `middle` [2] is the photograph's."""
    focal, scale, *origin = camera
    seen = points @ turn.T
    nearness = 1 / (1 - seen[:, 2:] * scale / focal)
    return middle + (origin - middle + scale * seen[:, :2] * (1, -1)) * nearness


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation [3, 3] and shift [3] that take `source` [N, 3] closest to `target` [N, 3] (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ (sign[:, None] * vt)
    scale = float((singular * sign).sum() / (a**2).sum())
    return scale, turn, target.mean(0) - scale * turn @ source.mean(0)


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    """[3, 3] of an axis times its angle in radians [3] (Rodrigues)."""
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = axis_angle / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[3, 3] the shortest turn that takes one direction to another."""
    axis = np.cross(first, second)
    sine = float(np.linalg.norm(axis))
    return rotation(axis / max(sine, 1e-12) * math.atan2(sine, float(first @ second)))
