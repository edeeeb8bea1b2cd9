"""Pictures through a perspective camera, as Deep3D's program has them made by nvdiffrast, without antialiasing.

A pixel shows the nearest triangle that its centre lies in, whichever way it faces; weights are perspective-correct. At
centres on an edge the rasterizers differ, and so may single pixels.
"""

from __future__ import annotations

import dataclasses

import torch

from facecli.geometry.perspective import PerspectiveCamera
from facecli.render.rasterize import Fragments, interpolate, rasterize


def raster_perspective(
    points: torch.Tensor, triangles: torch.Tensor, camera: PerspectiveCamera, backend: str = "auto"
) -> Fragments:
    """Rasterize meshes into the camera's square picture.

    What is nearer than `camera.near` or farther than `camera.far` isn't drawn; where it hides something, nothing is.

    Args:
        points: [B, V, 3] in camera space. Gradients flow to them through weights and depth.
        triangles: int [F, 3].

    Returns:
        Fragments; `depth` is the distance along the camera's axis.
    """
    return raster_clip(camera.clip(points), triangles, (camera.size, camera.size), camera, backend)


def raster_clip(
    clip: torch.Tensor, triangles: torch.Tensor, size: tuple[int, int], camera: PerspectiveCamera, backend: str = "auto"
) -> Fragments:
    """The same of positions [B, V, 4] in clip space (y down), into a square picture of `size` (H, W)."""
    z = clip[..., 3:]
    fragments = rasterize(torch.cat([clip[..., :2] / z, z], -1), triangles, size, perspective=True, backend=backend)
    shown = fragments.mask & (fragments.depth >= camera.near) & (fragments.depth <= camera.far)
    if bool((shown == fragments.mask).all()):
        return fragments
    return dataclasses.replace(
        fragments,
        mask=shown,
        face_index=fragments.face_index.where(shown, fragments.face_index.new_tensor(-1)),
        bary=fragments.bary.where(shown[..., None], fragments.bary.new_tensor(-1.0)),
        depth=fragments.depth.where(shown, fragments.depth.new_tensor(-1.0)),
    )


def paint(fragments: Fragments, triangles: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
    """[B, 3, H, W] of colours [B, V, 3] at the vertices; 0 where nothing is drawn."""
    return interpolate(fragments, triangles, colors)
