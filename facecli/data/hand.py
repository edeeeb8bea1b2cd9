"""A hand at the face by chance: palm, five jointed fingers, and the arm with its sleeve.

The hand's own frame: x to the thumb, y from the wrist to the fingers, z out of the back of the hand, mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from facecli.data.head_model import FIELD_MM
from facecli.data.sweep import Piece, join, tube, unit

_FINGERS = (  # where it begins, its bones, its first radius
    ((31, -6, 1), (41, 25, 20), 9.0),
    ((11, 0, 2), (45, 28, 21), 9.2),
    ((-9, -3, 1), (41, 26, 21), 8.8),
    ((-27, -13, -1), (32, 20, 18), 7.9),
)
_THUMB = ((27, -66, -6), (42, 31, 25), 11.5)
_PALM = ((-300, 44, 38), (-200, 38, 32), (-130, 29, 22), (-95, 27, 18), (-78, 31, 17), (-55, 38, 17), (-25, 41, 15),
         (-8, 40, 12.5), (0, 36, 10), (5, 27, 6), (7, 10, 2))  # fmt: skip
"""y, half width, half thickness."""
_PLACES = ("chin", "cheek", "mouth", "forehead", "temple")


@dataclass(frozen=True)
class Hand:
    """A hand at a face.

    Args:
        place: of the face. side: -1 the person's right hand, 1 the left.
        curl: [3] degrees that the joints bend, from the knuckles on. spread: 0..1, the fingers. thumb: 0..1, how far it
            stands off. turn: degrees that the fingers point from upwards to the face's middle.
        size: 1 is a hand of 19 cm. sleeve: mm behind the wrist.
        shift: [2] mm of the place.
    """

    place: str
    side: int
    curl: tuple[float, float, float]
    spread: float
    thumb: float
    turn: float
    size: float
    sleeve: float
    shift: np.ndarray


def sample_hand(rng: np.random.Generator) -> Hand:
    """A hand of one picture."""
    place = str(rng.choice(_PLACES, p=[0.3, 0.3, 0.15, 0.1, 0.15]))
    fist = place in ("chin", "cheek") and rng.random() < 0.35
    curl = (
        (rng.uniform(55, 75), rng.uniform(70, 95), rng.uniform(30, 55))
        if fist
        else rng.uniform((8, 8, 4), (35, 40, 25))
    )
    return Hand(
        place=place,
        side=int(rng.choice([-1, 1])),
        curl=tuple(float(angle) for angle in curl),
        spread=float(rng.random() * (0.2 if fist else 1)),
        thumb=float(rng.uniform(0.2, 1)),
        turn=float(rng.uniform(-10, 35) if place in ("cheek", "temple") else rng.uniform(5, 60)),
        size=float(rng.uniform(0.86, 1.04)),
        sleeve=float(rng.uniform(5, 120)),
        shift=rng.normal(0, 6, 2),
    )


def put_hand(hand: Hand, head: np.ndarray, normals: np.ndarray, points: np.ndarray) -> Piece:
    """The hand on a head, outside it.

    Args:
        head, normals: [V, 3] with its expression. points: [68, 3] iBUG's points of it.
    """
    vertices, triangles, pads, flush = _mesh(hand)
    target, outward = _target(hand, points)
    turn = np.deg2rad(hand.turn)
    fingers = np.array([-hand.side * np.sin(turn), np.cos(turn), 0.0])
    fingers = unit(fingers - (fingers @ outward) * outward)
    # The thumb of the left hand is at y × z, the right one's on the other side.
    axes = np.stack([hand.side * np.cross(fingers, outward), fingers, outward])
    cloth = 0.5 + (-95 - hand.sleeve - vertices[:, 1]) / FIELD_MM
    placed = hand.size * (vertices - pads) @ axes + target
    placed = placed + _out_of(head, normals, placed[vertices[:, 1] > -110], outward) * outward
    if hand.side < 0:
        triangles = triangles[:, ::-1]
    openness = np.clip(0.75 + vertices[:, 2] / 60, 0.4, 1)
    return Piece(placed, triangles, vertices, openness, {"cloth": cloth, "flush": flush})


def _target(hand: Hand, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[3] the place that is touched and [3] the way out of the face there."""
    left = hand.side > 0
    up = unit(points[27] - points[8])
    if hand.place == "chin":
        place = points[8] + 0.25 * (points[5 if not left else 11] - points[8]) + 4 * up
    elif hand.place == "cheek":
        place = points[[13, 54, 14] if left else [3, 48, 2]].mean(0)
    elif hand.place == "mouth":
        place = points[[54, 57] if left else [48, 57]].mean(0)
    elif hand.place == "forehead":
        place = points[24 if left else 19] + 0.35 * (points[27] - points[33]) - np.array([0, 0, 6])
    else:
        place = points[[16, 26, 26, 45] if left else [0, 17, 17, 36]].mean(0)
    # A bit upwards: the wrist is off the body.
    outward = unit(np.array([place[0], 0.0, place[2] - 10]))
    outward += np.array([0.3 * hand.side * (hand.place == "chin"), 0.22, 0])
    return place + np.append(hand.shift, 0), unit(outward)


def _out_of(head: np.ndarray, normals: np.ndarray, points: np.ndarray, outward: np.ndarray) -> float:
    """mm that `points` must be moved along `outward` to lie no more than 2 mm inside the head."""
    tree, moved = cKDTree(head), 0.0
    for _ in range(4):
        here = points[::3] + moved * outward
        apart, nearest = tree.query(here, distance_upper_bound=60)
        found = np.isfinite(apart)
        inside = -((here[found] - head[nearest[found]]) * normals[nearest[found]]).sum(1)
        deepest = float(inside.max(initial=0)) - 2
        if deepest <= 0:
            break
        moved += min(deepest, 25)
    return min(moved, 45)


def _mesh(hand: Hand) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [N, 3], triangles, [3] the middle of the fingers' pads, [N] how red a vertex is."""
    profile = np.array(_PALM, float)
    along = np.stack([np.zeros(len(profile)), profile[:, 0], np.zeros(len(profile))], 1)
    parts = [tube(along, profile[:, [2, 1]], np.array([0.0, 0, 1]), 14, power=2.6)]
    flush, pads = [np.zeros(len(parts[0][0]))], []
    for number, (start, bones, radius) in enumerate(_FINGERS):
        aside = np.deg2rad((7, 1, -5, -12)[number] * (0.3 + hand.spread))
        flat = np.array([np.sin(aside), np.cos(aside), 0])
        mesh, red, path = _finger(start, bones, radius, flat, np.array([0, 0, -1.0]), np.deg2rad(hand.curl))
        parts.append(mesh)
        flush.append(red)
        if number < 3:
            pads.append(path[-1] * 0.6 + path[2] * 0.4 - [0, 0, radius])
    off = 0.35 + 0.45 * hand.thumb
    ahead = unit(np.array([np.sin(off), np.cos(off), -0.35]))
    mesh, red, _ = _finger(*_THUMB, ahead, unit(np.array([-0.6, 0.2, -0.6])), np.deg2rad([5.0, 18, 22]))
    parts.append(mesh)
    flush.append(red)
    vertices, triangles = join(parts)
    return vertices, triangles, np.mean(pads, 0), np.concatenate(flush)


def _finger(start, bones, radius, ahead, inward, curl):
    """A tube through the joints, thicker at these; its redness, and its joints [4, 3]."""
    joints, bent = [np.array(start, float)], 0.0
    inward = unit(inward - (inward @ ahead) * ahead)
    for bone, angle in zip(bones, curl, strict=True):
        bent += angle
        joints.append(joints[-1] + bone * (np.cos(bent) * ahead + np.sin(bent) * inward))
    joints = np.array(joints)
    steps = np.array([-0.3, 0, 0.15, 0.5, 0.85, 1, 1.15, 1.5, 1.85, 2, 2.15, 2.5, 2.75, 2.88, 2.96, 3.0])
    path = np.stack([np.interp(steps, np.arange(4), joints[:, axis]) for axis in range(3)], 1)
    path[0] = joints[0] - 0.3 * bones[0] * ahead
    path[1:-3] = (path[:-4] + 2 * path[1:-3] + path[2:-2]) / 4
    scale = np.array([0.9, 1.05, 1.03, 0.95, 0.93, 0.98, 0.93, 0.85, 0.83, 0.86, 0.82, 0.78, 0.72, 0.6, 0.4, 0.12])
    radii = radius * np.stack([0.92 * scale, scale], 1)
    side = np.cross(ahead, inward)
    tangent = unit(np.gradient(path, axis=0))
    vertices, triangles = tube(path, radii, np.cross(tangent, side), 9)
    red = np.interp(steps, [0, 0.6, 1, 1.4, 2, 2.3, 2.8], [0.5, 0.1, 0.6, 0.15, 0.5, 0.3, 0.9])
    return (vertices, triangles), np.repeat(red, 9), joints
