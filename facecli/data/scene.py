"""Where a head is and how a camera sees it, drawn by chance within a named range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FACE_HEIGHT_MM = 125.0
"""Brows to chin, about: what `share` is a share of the picture of."""


@dataclass(frozen=True)
class SceneRange:
    """What a set of heads is drawn from. Angles in degrees, distances in millimetres.

    Args:
        name: the word of ``--set``.
        yaw, pitch, roll: farthest turn to either side.
        spread: half of all heads have turns of this standard deviation (of yaw; pitch and roll have half), the others
            are anywhere in the range.
        distance: from the camera to the middle of the face, nearest and farthest; even in its logarithm.
        share: brows to chin as a fraction of the picture's shorter side.
        rest: share of faces without any expression.
        occluded: share of pictures with something in front of the face.
        wear: 0..1, how strong blur, noise and compression may get.
        dressed: 0..1, how many people have glasses, long hair, a hand at the face; 0: nobody, 1: as many as usual.
    """

    name: str
    yaw: float
    pitch: float
    roll: float
    spread: float
    distance: tuple[float, float]
    share: tuple[float, float]
    rest: float
    occluded: float
    wear: float
    dressed: float = 0.0


SETS = {
    "easy": SceneRange("easy", 30, 15, 10, 12, (500, 1500), (0.34, 0.46), 0.3, 0.0, 0.3),
    "full": SceneRange("full", 70, 30, 30, 20, (350, 2000), (0.24, 0.44), 0.1, 0.12, 1.0),
    "wild": SceneRange("wild", 70, 30, 30, 20, (350, 2000), (0.24, 0.44), 0.1, 0.12, 1.0, dressed=1.0),
}


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks along -z: x right, y up, z to the viewer. Pixels have integer coordinates at their centres.

    Args:
        focal: pixels. principal: (x, y) pixels. size: (H, W).
    """

    focal: float
    principal: tuple[float, float]
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] pixels x, y and the depth (mm along the camera's axis) of `points` [..., 3] in the camera frame."""
        depth = -points[..., 2]
        x = self.principal[0] + self.focal * points[..., 0] / depth
        y = self.principal[1] - self.focal * points[..., 1] / depth
        return np.stack([x, y, depth], -1)


@dataclass(frozen=True)
class View:
    """One head before one camera.

    Args:
        rotation: [3, 3] float64, head frame -> camera frame.
        translation: [3] mm.
        camera: of the picture.
        distance: mm from the camera to the middle of the mean face.
    """

    rotation: np.ndarray
    translation: np.ndarray
    camera: Camera
    distance: float

    @property
    def head_pose(self) -> np.ndarray:
        """[4, 4] float64."""
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.rotation, self.translation
        return pose

    @property
    def angles(self) -> tuple[float, float, float]:
        """Yaw (the face looks to the picture's right), pitch (up), roll (its top leans to the right), degrees."""
        return rotation_angles(self.rotation)

    def into_camera(self, points: np.ndarray) -> np.ndarray:
        """`points` [..., 3] of the head frame in the camera frame, float64."""
        return points @ self.rotation.T + self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] pixels and depth of `points` [..., 3] in the head frame."""
        return self.camera.project(self.into_camera(points))


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """[3, 3] from degrees, see :attr:`View.angles`: yaw first, then pitch, then roll."""
    y, p, r = np.deg2rad([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def rotation_angles(turn: np.ndarray) -> tuple[float, float, float]:
    """Degrees of :func:`rotation` for `turn` [3, 3]."""
    # With Z X Y order: the second row before roll is (sin p · …): R = Rz Rx Ry, and Rx Ry has (0, cos p) in column y.
    roll = math.atan2(turn[0, 1], turn[1, 1])
    unrolled = rotation(0, 0, -math.degrees(roll)) @ turn
    pitch = math.atan2(-unrolled[2, 1], unrolled[1, 1])
    yaw = math.atan2(unrolled[0, 2], unrolled[0, 0])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def sample_view(scene: SceneRange, size: int, anchor: np.ndarray, rng: np.random.Generator) -> View:
    """A head's place before a camera with a square picture.

    Args:
        size: side of the picture in pixels.
        anchor: [3] middle of the mean face in the head frame; it lies near the picture's middle.
    """
    anywhere = rng.random() < 0.5
    turns = []
    for limit, spread in ((scene.yaw, 1.0), (scene.pitch, 0.5), (scene.roll, 0.5)):
        wide, narrow = rng.uniform(-limit, limit), rng.normal(0, scene.spread * spread)
        turns.append(float(np.clip(wide if anywhere else narrow, -limit, limit)))
    nearest, farthest = scene.distance
    distance = nearest * (farthest / nearest) ** rng.random()
    share = rng.uniform(*scene.share)
    focal = share * size * distance / FACE_HEIGHT_MM
    middle = (size - 1) / 2
    camera = Camera(focal, (middle, middle), (size, size))
    turn = rotation(*turns)
    room = max(0.5 - 0.75 * share - 0.08, 0)  # of the picture, beside the face
    shift = rng.uniform(-1, 1, 2) * room * 0.6 * size * distance / focal
    # The whole head is taller than the face: a bit of room above.
    place = np.array([shift[0], shift[1] - 0.02 * size * distance / focal, -distance])
    return View(turn, place - turn @ anchor, camera, float(distance))
