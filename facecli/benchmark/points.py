"""What benchmarks read off a reconstruction of one face: points of the mesh and the photograph, the head's turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from facecli.detect.landmarks import POINT_SETS, convert, convertible_to
from facecli.errors import UsageError
from facecli.plugin import Reconstruction

MM_PER_METRE = 1000.0


def in_millimetres(found: Reconstruction) -> Reconstruction:
    """`found` with vertices, points and poses in millimetres, whatever the model's unit. Wrinkles are left out then."""
    factor = found.metres_per_unit * MM_PER_METRE
    if np.isclose(factor, 1.0, rtol=1e-6):
        return found
    pose = found.head_pose
    if pose is not None:
        pose = torch.cat([torch.cat([pose[:, :3, :3], pose[:, :3, 3:] * factor], 2), pose[:, 3:]], 1)
    return replace(
        found,
        vertices=found.vertices * factor,
        projected=torch.cat([found.projected[..., :2], found.projected[..., 2:] * factor], -1),
        head_pose=pose,
        landmarks_3d={name: points * factor for name, points in found.landmarks_3d.items()},
        metres_per_unit=1 / MM_PER_METRE,
        detail=None,
    )


def now_landmarks(found: Reconstruction) -> np.ndarray:
    """NoW's seven points [7, 3] float64 on the mesh of a face, in millimetres and the frame of its vertices.

    Raises:
        UsageError: the model gives no points on its mesh that these can be taken from.
    """
    points = _converted(found.landmarks_3d, "now7")
    if points is None:
        raise UsageError(_without("points on its mesh (landmarks_3d)", found.landmarks_3d, "now7"))
    return points[:, :3] * (found.metres_per_unit * MM_PER_METRE)


def ibug68_pixels(found: Reconstruction) -> np.ndarray:
    """iBUG's 68 points [68, 2] float64 of a face in pixels of the photograph; the contour's are those that are fixed on
    the mesh, where the model has them, else those on the outline as seen.

    Raises:
        UsageError: the model gives no points that these can be taken from.
    """
    fixed = found.extras.get("ibug68_fixed")
    points = _converted(found.landmarks if fixed is None else {"ibug68": fixed}, "ibug68")
    if points is None:
        raise UsageError(_without("landmarks", found.landmarks, "ibug68"))
    return points[:, :2]


def head_rotation(found: Reconstruction) -> np.ndarray | None:
    """[3, 3] float64 head -> camera (x right, y up, z to the viewer), or None where vertices carry the pose."""
    return None if found.head_pose is None else _numpy(found.head_pose[0, :3, :3])


def _converted(sets: Mapping[str, torch.Tensor], to_set: str) -> np.ndarray | None:
    """Points of the first set, by fewest steps, that can be turned into `to_set`; of one face."""
    usable = [name for name in sets if name in POINT_SETS and to_set in convertible_to(name)]
    if not usable:
        return None
    # The model's own 68 before MediaPipe's vertices that lie nearest to them.
    name = next((name for name in (to_set, "ibug68") if name in usable), usable[0])
    return convert(_numpy(sets[name][0]), name, to_set)


def _without(what: str, sets: Mapping[str, torch.Tensor], wanted: str) -> str:
    has = f"it has {', '.join(sets)}" if sets else "it has none"
    return f"the model gives no {what} that {wanted} can be made from: {has}"


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().numpy(force=True)
