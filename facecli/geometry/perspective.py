"""The perspective camera of Deep3D: looks at a crop of 224 pixels along -z, from ten decimetres away.

World: x right, y up, z towards the camera, decimetres. Camera space: the same x and y, and the distance along the axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class PerspectiveCamera:
    """
    Args:
        focal: focal length in pixels.
        centre: half the side of the picture, where the optical axis meets it.
        distance: of the camera from the world's origin.
        near, far: distances between which things are drawn.
    """

    focal: float = 1015.0
    centre: float = 112.0
    distance: float = 10.0
    near: float = 5.0
    far: float = 15.0

    @property
    def size(self) -> int:
        """Side of the picture in pixels."""
        return int(2 * self.centre)

    def to_camera(self, world: torch.Tensor) -> torch.Tensor:
        """Points [..., 3] of the world in camera space, and back."""
        return torch.cat([world[..., :2], self.distance - world[..., 2:]], -1)

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Points [..., 3] in camera space as landmarks count pixels, y *up*: [..., 2]."""
        return points[..., :2] * (self.focal / points[..., 2:]) + self.centre

    def landmarks(self, points: torch.Tensor) -> torch.Tensor:
        """The same with y down: [..., 2]. That is half a pixel right of and above where the picture shows them."""
        x, y_up = self.project(points).unbind(-1)
        return torch.stack([x, self.size - 1 - y_up], -1)

    def pixels(self, points: torch.Tensor) -> torch.Tensor:
        """Where the picture shows points [..., 3] of camera space: [..., 2], y down, pixel centres at integers."""
        x, y_up = self.project(points).unbind(-1)
        return torch.stack([x - 0.5, self.size - 0.5 - y_up], -1)

    def clip(self, points: torch.Tensor) -> torch.Tensor:
        """Points [..., 3] of camera space in the clip space of OpenGL: [..., 4], y down."""
        scale = self.focal / self.centre
        x, y, z = points.unbind(-1)
        depth = z * ((self.far + self.near) / self._range) - 2 * self.far * self.near / self._range
        return torch.stack([scale * x, -scale * y, depth, z], -1)

    def depth_ratio(self, z: torch.Tensor) -> torch.Tensor:
        """z/w of the clip space, -1 at `near` to 1 at `far`, of distances `z`."""
        return (self.far + self.near) / self._range - 2 * self.far * self.near / (self._range * z)

    @property
    def _range(self) -> float:
        return self.far - self.near
