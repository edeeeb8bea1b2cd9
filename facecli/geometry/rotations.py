"""Rotations: axis-angle, matrices, quaternions. Batched torch functions, differentiable."""

from __future__ import annotations

import torch


def axis_angle_to_matrix(axis_angle: torch.Tensor) -> torch.Tensor:
    """[..., 3] axis times angle in radians -> [..., 3, 3] (Rodrigues; exact and differentiable at zero)."""
    angle = axis_angle.norm(dim=-1, keepdim=True)[..., None]
    k = skew(axis_angle)
    small = angle < 1e-4
    safe = torch.where(small, torch.ones_like(angle), angle)
    sin_term = torch.where(small, 1 - angle**2 / 6, torch.sin(safe) / safe)
    cos_term = torch.where(small, 0.5 - angle**2 / 24, (1 - torch.cos(safe)) / safe**2)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + sin_term * k + cos_term * (k @ k)


def skew(vector: torch.Tensor) -> torch.Tensor:
    """[..., 3] -> [..., 3, 3], the matrix of the cross product with `vector`."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)


def matrix_to_quaternion(matrix: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] -> [..., 4] unit quaternion (w, x, y, z) with w >= 0.

    Of the four equivalent formulas the one with the largest divisor is taken (Shepperd 1978).
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    squares = torch.stack([m00 + m11 + m22, m00 - m11 - m22, m11 - m00 - m22, m22 - m00 - m11], -1)
    double = torch.sqrt(torch.clamp(1 + squares, min=1e-12))  # 2|w|, 2|x|, 2|y|, 2|z|
    candidates = torch.stack(
        [
            torch.stack([double[..., 0] ** 2, m21 - m12, m02 - m20, m10 - m01], -1),
            torch.stack([m21 - m12, double[..., 1] ** 2, m10 + m01, m02 + m20], -1),
            torch.stack([m02 - m20, m10 + m01, double[..., 2] ** 2, m12 + m21], -1),
            torch.stack([m10 - m01, m20 + m02, m21 + m12, double[..., 3] ** 2], -1),
        ],
        -2,
    )
    best = squares.argmax(-1)[..., None, None]
    index = best.expand(*best.shape[:-1], 4)
    chosen = candidates.gather(-2, index).squeeze(-2) / (2 * double.gather(-1, best.squeeze(-1)))
    chosen = torch.nn.functional.normalize(chosen, dim=-1)
    return torch.where(chosen[..., :1] < 0, -chosen, chosen)


def quaternion_to_axis_angle(quaternion: torch.Tensor) -> torch.Tensor:
    """[..., 4] unit quaternion (w, x, y, z) -> [..., 3], angle in 0..pi."""
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    vector = quaternion[..., 1:]
    sine = vector.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    factor = torch.where(sine < 1e-7, torch.full_like(sine, 2.0), angle / torch.clamp(sine, min=1e-12))
    return vector * factor


def matrix_to_axis_angle(matrix: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] -> [..., 3] axis times angle in radians, angle in 0..pi."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def euler_to_quaternion(angles: torch.Tensor) -> torch.Tensor:
    """[..., 3] Euler angles about x, y, z in radians -> [..., 4] unit quaternion (w, x, y, z) of R = Rx Ry Rz."""
    (cx, cy, cz), (sx, sy, sz) = (part.unbind(-1) for part in (torch.cos(angles / 2), torch.sin(angles / 2)))
    return torch.stack(
        [
            cx * cy * cz - sx * sy * sz,
            cx * sy * sz + cy * cz * sx,
            cx * cz * sy - sx * cy * sz,
            cx * cy * sz + sx * cz * sy,
        ],
        -1,
    )


def euler_to_axis_angle(angles: torch.Tensor) -> torch.Tensor:
    """[..., 3] Euler angles about x, y, z in radians -> [..., 3] axis times angle of R = Rx Ry Rz, angle in 0..pi."""
    return quaternion_to_axis_angle(euler_to_quaternion(angles))


def euler_to_matrix(angles: torch.Tensor) -> torch.Tensor:
    """[..., 3] Euler angles about x, y, z in radians -> [..., 3, 3] = Rx Ry Rz."""
    return axis_angle_to_matrix(euler_to_axis_angle(angles))
