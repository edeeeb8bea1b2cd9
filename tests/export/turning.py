"""A small head whose eyes are balls that turn, with shapes by ICT-FaceKit's names."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation
from surfaces import dome

from facecli.export.arkit import NAMES, ict_parts
from facecli.export.parts import Part
from facecli.geometry.mesh import TriangleMesh
from facecli.plugin import Rig

EYES = {"eye_left": np.array([32.0, 30.0, 55.0]), "eye_right": np.array([-32.0, 30.0, 55.0])}
JAW = np.array([0.0, 20.0, -10.0])
ICT_NAMES = (
    *dict.fromkeys(part for name in NAMES for part in ict_parts(name)), "PupilDilate_L", "PupilDilate_R",
)  # fmt: skip


@cache
def head() -> TriangleMesh:
    """At rest: a dome (its vertices last), and the balls."""
    parts = [eyeball() + centre for centre in EYES.values()]
    face, balls = dome(), trimesh.creation.icosphere(1)
    starts = np.cumsum([0, *map(len, parts)])
    triangles = [balls.faces + start for start in starts[:2]] + [face.triangles + starts[2]]
    uv = np.concatenate([face.uv, np.tile([[0.95, 0.97]], (starts[2], 1))]).astype(np.float32)
    uv_triangles = np.concatenate([np.concatenate(triangles[:2]) + len(face.uv), face.uv_triangles])
    vertices = np.concatenate([*parts, face.vertices]).astype(np.float32)
    return dataclasses.replace(
        face, vertices=vertices, triangles=np.concatenate(triangles), uv=uv, uv_triangles=uv_triangles
    )


def eyeball() -> np.ndarray:
    """[N, 3] 24 mm wide, and longer to the front."""
    return trimesh.creation.icosphere(1).vertices * [12, 12, 14]


def balls() -> dict[str, np.ndarray]:
    """The vertices of each eye."""
    count = len(eyeball())
    return {"eye_left": np.arange(count), "eye_right": np.arange(count, 2 * count)}


@cache
def rig() -> Rig:
    """A bump for each shape; the looks' shapes move the eyes' vertices, too."""
    vertices, random = head().vertices, np.random.default_rng(7)
    shapes = np.zeros((len(ICT_NAMES), *vertices.shape), np.float32)
    for number, shape in enumerate(shapes):
        if not ICT_NAMES[number].startswith("Pupil"):
            centre = random.uniform((-60, -80), (60, 80))
            far = np.square(vertices[:, :2] - centre).sum(1)
            shape[:] = np.where(far < 1500, np.exp(-far / 300), 0)[:, None] * random.normal(0, 6, 3)
    for name, ball in balls().items():
        for number, shape in enumerate(ICT_NAMES):
            inside = shape.startswith("eyeLook") and shape.endswith("L" if name == "eye_left" else "R")
            shapes[number, ball] = random.normal(0, 3, 3) if inside else 0
    return Rig(ICT_NAMES, tuple(("expression", number) for number in range(len(ICT_NAMES))), shapes)


def turn(yaw: float, pitch: float) -> np.ndarray:
    """[3, 3] that takes +z to +x by `yaw` and up by `pitch`, degrees."""
    return Rotation.from_euler("YX", [yaw, -pitch], degrees=True).as_matrix()


def parts_at(left: np.ndarray, right: np.ndarray, jaw: np.ndarray) -> tuple[Part, ...]:
    """The parts as these rotations have them."""
    eyes = zip(EYES.items(), (left, right), strict=True)
    return (
        *(Part(name, balls()[name], centre, turned) for (name, centre), turned in eyes),
        Part("jaw", np.zeros(0, np.int64), JAW, jaw),
    )


def posed(weights: np.ndarray, parts: tuple[Part, ...]) -> np.ndarray:
    """[V, 3] of the head with `weights` [K] of :func:`rig`, its eyes turned by `parts`."""
    vertices = head().vertices + np.tensordot(weights, rig().shapes, 1)
    for part in parts:
        at_rest = head().vertices[part.vertices] - part.pivot
        vertices[part.vertices] = at_rest @ part.rotation.T + part.pivot
    return vertices
