"""Deep3D's Euler angles: radians about x, y, z of R = Rz Ry Rx, for column vectors."""

from __future__ import annotations

import torch

from facecli.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle


def angles_to_matrix(angles: torch.Tensor) -> torch.Tensor:
    """[..., 3] -> [..., 3, 3]. Deep3D multiplies rows, ``p @ R``, and so its own function gives the transposed."""
    x, y, z = (axis_angle_to_matrix(angles[..., i : i + 1] * axis) for i, axis in enumerate(torch.eye(3).to(angles)))
    return z @ y @ x


def angles_to_pose(angles: torch.Tensor) -> torch.Tensor:
    """[..., 3] -> axis-angle [..., 3]."""
    return matrix_to_axis_angle(angles_to_matrix(angles))


def pose_to_angles(pose: torch.Tensor) -> torch.Tensor:
    """Axis-angle [..., 3] -> angles [..., 3], the second within ±90 degrees: of a head that turns further, the other
    triple of the same rotation."""
    matrix = axis_angle_to_matrix(pose)
    y = torch.asin((-matrix[..., 2, 0]).clamp(-1, 1))
    x = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    z = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack([x, y, z], -1)
