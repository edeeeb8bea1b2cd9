"""pytorch3d's `rasterize_meshes` behind our contract, for those who have it installed."""

from __future__ import annotations

import torch
from pytorch3d.renderer.mesh import rasterize_meshes
from pytorch3d.structures import Meshes


def unavailable(device: torch.device) -> str:
    """Why this backend can't serve tensors on `device`."""
    return "" if device.type in ("cpu", "cuda") else f"pytorch3d doesn't run on {device.type}"


def cover(
    verts: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], perspective: bool, cull: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Face index [B, H, W], weights [B, H, W, 3] and depth [B, H, W], without gradients."""
    height, width = size
    images, count = len(verts), len(faces)
    if images == 0 or count == 0:
        empty = torch.full((images, height, width), -1.0, device=verts.device)
        return empty.long(), empty[..., None].repeat(1, 1, 1, 3), empty
    with torch.no_grad():
        meshes = Meshes(_to_pytorch3d(verts), faces[None].expand(images, -1, -1))
        packed, depth, bary, _ = rasterize_meshes(
            meshes,
            image_size=height if height == width else (height, width),
            blur_radius=0.0,
            faces_per_pixel=1,
            bin_size=None,
            max_faces_per_bin=None,
            perspective_correct=perspective,
            cull_backfaces=cull,
        )
    offset = torch.arange(images, device=packed.device)[:, None, None] * count
    packed = packed[..., 0].long()
    return torch.where(packed < 0, packed, packed - offset), bary[..., 0, :], depth[..., 0]


def _to_pytorch3d(verts: torch.Tensor) -> torch.Tensor:
    """x to the left and y up; a vertex that is not finite goes behind the camera, which drops its faces."""
    finite = verts.isfinite().all(-1, keepdim=True)
    mirrored = verts * verts.new_tensor([-1.0, -1.0, 1.0])
    return torch.where(finite, mirrored, verts.new_tensor([0.0, 0.0, -1.0]))
