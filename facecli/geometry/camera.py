"""Cameras without perspective, as the FLAME family has them, and the way from a network's crop back to the photograph.

NDC here is that of a crop: x right, y *down*, -1..1 from edge to edge, z away from the camera in the same scale.
"""

from __future__ import annotations

import math

import torch

ASSUMED_VERTICAL_FOV = 63.0
"""Degrees. A single uncalibrated photograph doesn't tell its focal length; MediaPipe assumes this."""


def scaled_orthographic(points: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    """Points [B, N, 3] (metres, y up, z to the viewer) through `camera` [B, 3] = (s, tx, ty) to NDC [B, N, 3].

    (s (x + tx), -s (y + ty), -s z), the camera of DECA, EMOCA and SMIRK.
    """
    scale, shift = camera[:, None, :1], camera[:, None, 1:]
    xy = scale * (points[..., :2] + shift)
    return torch.cat([xy[..., :1], -xy[..., 1:], -scale * points[..., 2:]], -1)


def ndc_to_crop(ndc: torch.Tensor, size: int = 224) -> torch.Tensor:
    """NDC [..., 2 or 3] in pixels of the crop, as landmarks count them: (ndc + 1) size / 2, pixel centres at integers.

    The labels that the networks were trained with were made so. Rasterizers put the same point half a pixel up and
    left. A third column stays as it is.
    """
    return torch.cat([(ndc[..., :2] + 1) * (size / 2), ndc[..., 2:]], -1)


def crop_to_photo(points: torch.Tensor, warp: torch.Tensor) -> torch.Tensor:
    """Pixels of the crop [B, N, 2 or 3] in pixels of the photograph; a third column stays.

    Args:
        warp: [B, 3, 3], photograph -> crop.
    """
    back = torch.linalg.inv(warp.double()).to(points.dtype)
    xy = points[..., :2] @ back[:, :2, :2].transpose(1, 2) + back[:, None, :2, 2]
    return torch.cat([xy, points[..., 2:]], -1)


def photo_camera(camera: torch.Tensor, warp: torch.Tensor, size: int = 224) -> torch.Tensor:
    """A crop's camera [B, 3] = (s, tx, ty) in terms of the photograph: pixels a metre, and the pixel of the origin.

    Crops move from frame to frame, and cameras against them: only this can be smoothed.
    """
    scale = _scale(warp)
    origin = ndc_to_crop(scaled_orthographic(camera.new_zeros(len(camera), 1, 3), camera)[..., :2], size)
    return torch.cat([camera[:, :1] * (size / 2) / scale, crop_to_photo(origin, warp)[:, 0]], -1)


def crop_camera(camera: torch.Tensor, warp: torch.Tensor, size: int = 224) -> torch.Tensor:
    """The way back from :func:`photo_camera`."""
    scale = camera[:, :1] * _scale(warp) / (size / 2)
    pixel = (warp[:, :2, :2] @ camera[:, 1:, None])[..., 0] + warp[:, :2, 2]
    ndc = pixel / (size / 2) - 1
    shift = ndc / scale
    return torch.cat([scale, shift[:, :1], -shift[:, 1:]], -1)


def _scale(warp: torch.Tensor) -> torch.Tensor:
    """[B, 1]: crop pixels in a pixel of the photograph; of a warp that stretches, the mean of both axes."""
    return torch.linalg.det(warp[:, :2, :2].double()).abs().sqrt()[:, None].to(warp.dtype)


def place_in_front(
    rotation: torch.Tensor, pixels_per_unit: torch.Tensor, origin: torch.Tensor, photo_size: torch.Tensor
) -> torch.Tensor:
    """Rigid poses [B, 4, 4] head frame -> camera frame: at the distance where the assumed lens sees heads of this size.

    Args:
        rotation: [B, 3, 3].
        pixels_per_unit: [B] pixels of the photograph in a unit of the model.
        origin: [B, 2] the pixel where the head frame's origin lies.
        photo_size: [B, 2] (height, width).
    """
    height, width = photo_size.unbind(1)
    unit_per_pixel = 1 / pixels_per_unit
    focal = height / 2 / math.tan(math.radians(ASSUMED_VERTICAL_FOV) / 2)
    pose = torch.eye(4, dtype=rotation.dtype, device=rotation.device).repeat(len(rotation), 1, 1)
    pose[:, :3, :3] = rotation
    pose[:, 0, 3] = (origin[:, 0] - (width - 1) / 2) * unit_per_pixel
    pose[:, 1, 3] = ((height - 1) / 2 - origin[:, 1]) * unit_per_pixel
    pose[:, 2, 3] = -focal * unit_per_pixel
    return pose
