"""Landmarks on FLAME: points in triangles, and a contour that slides over the mesh as the head turns."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from facecli.geometry.rotations import axis_angle_to_matrix

LARGEST_YAW = 39


def contour_row(pose: torch.Tensor, neck: torch.Tensor | None = None) -> torch.Tensor:
    """Row [B] int64 of the contour table for a head turned by `pose` and `neck` [B, 3], axis-angle.

    Rows 0..39 are degrees of yaw, 40..78 those to the other side, -1..-39. The sign is that of DECA, EMOCA and SMIRK;
    the first FLAME code in PyTorch had the opposite one.
    """
    turn = axis_angle_to_matrix(pose)
    if neck is not None:
        turn = turn @ axis_angle_to_matrix(neck)
    yaw = torch.atan2(-turn[:, 2, 0], torch.sqrt(turn[:, 0, 0] ** 2 + turn[:, 1, 0] ** 2))
    yaw = yaw * 180 / math.pi  # not rad2deg: it rounds half degrees to the other row
    degrees = torch.round(yaw.clamp(max=LARGEST_YAW)).long()
    return torch.where(degrees < 0, LARGEST_YAW - degrees.clamp(min=-LARGEST_YAW), degrees)


class FlameLandmarks(nn.Module):
    """iBUG's 68 points, with the contour as seen from the front or fixed on the mesh, and 105 of MediaPipe's.

    Args:
        triangles: int [F, 3] of the mesh.
        embedding: from :func:`facecli.morphable.flame_files.read_landmark_embedding`.
        mediapipe: from :func:`facecli.morphable.flame_files.read_mediapipe_embedding`, or None.
    """

    def __init__(
        self,
        triangles: np.ndarray,
        embedding: Mapping[str, np.ndarray],
        mediapipe: Mapping[str, np.ndarray] | None = None,
    ):
        super().__init__()
        sets = {name: (embedding[f"{name}_triangles"], embedding[f"{name}_weights"]) for name in _SETS}
        if mediapipe is not None:
            sets["mediapipe"] = mediapipe["triangles"], mediapipe["weights"]
        self.has_mediapipe = mediapipe is not None
        for name, (points, weights) in sets.items():
            self.register_buffer(f"{name}_vertices", torch.from_numpy(triangles[points]))
            self.register_buffer(f"{name}_weights", torch.from_numpy(weights))

    def contour68(self, vertices: torch.Tensor, pose: torch.Tensor, neck: torch.Tensor | None = None) -> torch.Tensor:
        """68 points [B, 68, 3] on posed `vertices` [B, V, 3]: 17 on the contour for this pose, then 51 fixed ones."""
        row = contour_row(pose, neck)
        contour = _mix(vertices, self.contour_vertices[row], self.contour_weights[row])
        return torch.cat([contour, self._fixed(vertices, "static")], 1)

    def full68(self, vertices: torch.Tensor) -> torch.Tensor:
        """68 points [B, 68, 3] that are fixed on the mesh, the contour too."""
        return self._fixed(vertices, "full")

    def mediapipe105(self, vertices: torch.Tensor) -> torch.Tensor:
        """105 points [B, 105, 3] of MediaPipe's, in the order of :data:`facecli.detect.landmarks.MEDIAPIPE105`."""
        return self._fixed(vertices, "mediapipe")

    def on_mesh(self, vertices: torch.Tensor) -> dict[str, torch.Tensor]:
        """All sets that are fixed on the mesh, by their names: ``ibug68`` and, where loaded, ``mediapipe105``."""
        found = {"ibug68": self.full68(vertices)}
        return found | ({"mediapipe105": self.mediapipe105(vertices)} if self.has_mediapipe else {})

    def _fixed(self, vertices: torch.Tensor, name: str) -> torch.Tensor:
        corners, weights = getattr(self, f"{name}_vertices"), getattr(self, f"{name}_weights")
        return _mix(vertices, corners[None].expand(len(vertices), -1, -1), weights[None])


_SETS = ("static", "contour", "full")


def _mix(vertices: torch.Tensor, corners: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Points [B, N, 3] of `corners` [B, N, 3] with `weights` [B or 1, N, 3]."""
    batch = torch.arange(len(vertices), device=vertices.device)[:, None, None]
    return (vertices[batch, corners] * weights[..., None]).sum(2)
