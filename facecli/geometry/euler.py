"""Yaw, pitch and roll of a head, as SynergyNet, 3DDFA_V2, 3DDFA and the labels of 300W-LP and AFLW2000-3D mean them.

All work on rotations from the head's frame to the camera's (x to the image's right, y up, z to the viewer) and give
degrees in the order yaw, pitch, roll. Yaw is positive where the face looks to the image's left. The labels' pitch is
positive where it looks up, their roll where the top of the head leans to the image's right; 3DDFA's have the opposite
signs.

The four agree on turns about one axis (but for those signs), and differ in turns about several: with
``R = Rx(pitch) Ry(yaw) Rz(roll)`` of the labels, yaw is the asin of −R02. SynergyNet takes that of R20 instead, and
pitch and roll as the labels do: published numbers of its authors are like that. 3DDFA's are a consistent decoder of
another order of the axes.
"""

from __future__ import annotations

import numpy as np

V2_POLE = 0.998
"""|R20| beyond which 3DDFA_V2 gives up roll: 86.4 degrees of yaw."""


def split_affine(camera: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """3DDFA's affine camera taken apart, as its programs do.

    The third row is the cross product of the other two, normalised; nothing is made orthogonal.

    Args:
        camera: [..., 3, 4].

    Returns:
        rotation [..., 3, 3], scale [...] (mean length of the two rows), translation [..., 3].
    """
    camera = np.asarray(camera)
    rows, lengths = camera[..., :2, :3], np.linalg.norm(camera[..., :2, :3], axis=-1, keepdims=True)
    first, second = np.moveaxis(rows / lengths, -2, 0)
    rotation = np.stack([first, second, np.cross(first, second)], -2)
    return rotation, lengths[..., 0].mean(-1), camera[..., 3]


def synergynet_angles(rotation: np.ndarray) -> np.ndarray:
    """[..., 3, 3] -> [..., 3] degrees (yaw, pitch, roll), as SynergyNet's `benchmark.py` and API decode them.

    The signs are those of the labels. At exactly ±90 degrees of yaw its sign turns over, as in the original.
    """
    r = _entries(rotation)
    sine = r[2][0]
    generic = np.stack([_asin(sine), np.arctan2(r[1][2], r[2][2]), np.arctan2(r[0][1], r[0][0])], -1)
    return np.degrees(_at_poles(generic, r, sine >= 1, sine <= -1, yaw=-1))


def tddfa_v2_angles(rotation: np.ndarray) -> np.ndarray:
    """[..., 3, 3] -> [..., 3] degrees (yaw, pitch, roll), as 3DDFA_V2 decodes them: pitch and roll of opposite sign.

    Beyond ±86.4 degrees of yaw it says ±90, and roll 0.
    """
    r = _entries(rotation)
    sine = r[2][0]
    return np.degrees(_at_poles(_tddfa_generic(r), r, sine > V2_POLE, sine < -V2_POLE, yaw=1))


def tddfa_angles(rotation: np.ndarray) -> np.ndarray:
    """[..., 3, 3] -> [..., 3] degrees (yaw, pitch, roll) as 3DDFA decodes them (its program says radians).

    As 3DDFA_V2's, but at exactly ±90 degrees of yaw SynergyNet's.
    """
    r = _entries(rotation)
    sine = r[2][0]
    return np.degrees(_at_poles(_tddfa_generic(r), r, sine >= 1, sine <= -1, yaw=-1))


def label_angles(rotation: np.ndarray) -> np.ndarray:
    """[..., 3, 3] -> [..., 3] degrees (yaw, pitch, roll) that the labels of 300W-LP would have for this rotation.

    The inverse of :func:`rotation_of_labels`; at ±90 degrees of yaw roll is 0.
    """
    r = _entries(rotation)
    sine = -r[0][2]
    generic = np.stack([_asin(sine), np.arctan2(r[1][2], r[2][2]), np.arctan2(r[0][1], r[0][0])], -1)
    pole = np.stack([_asin(sine), np.arctan2(-r[2][1], r[1][1]), np.zeros_like(sine)], -1)
    return np.degrees(np.where((np.hypot(r[0][0], r[0][1]) < 1e-7)[..., None], pole, generic))


def rotation_of_labels(angles: np.ndarray) -> np.ndarray:
    """[..., 3] degrees (yaw, pitch, roll) of 300W-LP's labels (`Pose_Para`) -> [..., 3, 3].

    It is Rx(pitch) Ry(yaw) Rz(roll), each the transposed of the usual one.
    """
    yaw, pitch, roll = np.moveaxis(np.radians(np.asarray(angles, np.float64)), -1, 0)
    return _turn(pitch, 1, 2) @ _turn(yaw, 2, 0) @ _turn(roll, 0, 1)


def _turn(angle: np.ndarray, a: int, b: int) -> np.ndarray:
    """[...] radians -> [..., 3, 3] with the sine at (a, b): the turn from axis b to axis a."""
    turn = np.zeros((*angle.shape, 3, 3))
    turn[..., range(3), range(3)] = 1
    turn[..., a, a] = turn[..., b, b] = np.cos(angle)
    turn[..., a, b], turn[..., b, a] = np.sin(angle), -np.sin(angle)
    return turn


def _entries(rotation: np.ndarray) -> np.ndarray:
    """[3, 3, ...] float64: entry by row and column."""
    return np.moveaxis(np.asarray(rotation, np.float64), (-2, -1), (0, 1))


def _asin(sine: np.ndarray) -> np.ndarray:
    return np.arcsin(np.clip(sine, -1, 1))  # rounding may bring it beyond 1


def _tddfa_generic(r: np.ndarray) -> np.ndarray:
    return np.stack([_asin(r[2][0]), np.arctan2(r[2][1], r[2][2]), np.arctan2(r[1][0], r[0][0])], -1)


def _at_poles(generic: np.ndarray, r: np.ndarray, up: np.ndarray, down: np.ndarray, yaw: int) -> np.ndarray:
    """`generic` [..., 3] radians, but where R20 is near 1 (`up`) or −1 (`down`): yaw ±90 degrees, roll 0.

    `yaw`: its sign at R20 = 1.
    """
    zero, quarter = np.zeros_like(r[0][0]), np.full_like(r[0][0], yaw * np.pi / 2)
    at_up = np.stack([quarter, np.arctan2(-r[0][1], -r[0][2]), zero], -1)
    at_down = np.stack([-quarter, np.arctan2(r[0][1], r[0][2]), zero], -1)
    return np.where(up[..., None], at_up, np.where(down[..., None], at_down, generic))
