"""What SMIRK's generator sees of the photograph: all around the face, and a few pixels on it.

The pixels are drawn at random from the visible mesh, so that the generator gets colours but must take the shape from
the rendering. All that is random is drawn on the CPU in the official order: a seed gives the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from facecli.geometry.normals import vertex_normals

SIZE = 224
# Weights of FLAME's triangles by the regions of FLAME_masks_triangles.npy; later ones overwrite earlier ones.
REGION_WEIGHTS = {
    "neck": 0.0,
    "right_eyeball": 0.0,
    "right_ear": 0.0,
    "lips": 0.5,
    "nose": 0.5,
    "left_ear": 0.0,
    "eye_region": 1.0,
    "forehead": 1.0,
    "left_eye_region": 1.0,
    "right_eye_region": 1.0,
    "face_clean": 1.0,
    "cleaner_lips": 1.0,
}
_VISIBLE = 0.05  # largest z of the normal of a triangle that is drawn from; z points away from the viewer
_NOISE = 0.05  # standard deviation of the factor that pixels are multiplied with
_PATCH = 11  # side of the squares without pixels
_DEMO_SHARE, _DEMO_SPREAD = 5, 4.0


def triangle_weights(regions: Mapping[str, np.ndarray], count: int) -> torch.Tensor:
    """How likely each of `count` triangles [F] is drawn, before its size and visibility count.

    Args:
        regions: name -> ids of triangles, all those of :data:`REGION_WEIGHTS`.
    """
    weights = torch.zeros(count)
    for name, weight in REGION_WEIGHTS.items():
        weights[torch.as_tensor(np.asarray(regions[name]), dtype=torch.long)] = weight
    return weights


@dataclass(frozen=True)
class MeshPoints:
    """Points on a mesh: `triangles` [B, N] int64 and where in them, `weights` [B, N, 3] of the corners."""

    triangles: torch.Tensor
    weights: torch.Tensor


def visible_weights(projected: torch.Tensor, triangles: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weights [B, F] by visibility and by area in the picture. Only triangles that look away count as hidden.

    Args:
        projected: [B, V, 3] the whole mesh in NDC of the crop, z away from the viewer.
        triangles: int64 [F, 3].
        weights: [F], see :func:`triangle_weights`.
    """
    facing = vertex_normals(projected, triangles)[:, triangles, 2].mean(-1) < _VISIBLE
    a, b, c = projected[:, triangles, :2].unbind(2)
    doubled = (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]
    return weights.to(projected.device) * facing * doubled.abs() / 2


def sample_points(weights: torch.Tensor, count: int, generator: torch.Generator | None = None) -> MeshPoints:
    """`count` points of each mesh, spread evenly within the triangles that `weights` [B, F] draw (again and again)."""
    drawn = torch.multinomial(weights.cpu(), count, replacement=True, generator=generator)
    u = torch.rand(drawn.numel(), generator=generator).view_as(drawn)
    v = torch.rand(drawn.numel(), generator=generator).view_as(drawn)
    beyond = u + v > 1
    u, v = torch.where(beyond, 1 - u, u), torch.where(beyond, 1 - v, v)
    return MeshPoints(drawn.to(weights.device), torch.stack([1 - u - v, u, v], -1).to(weights.device))


def pixels_of(points: MeshPoints, projected: torch.Tensor, triangles: torch.Tensor, size: int = SIZE) -> torch.Tensor:
    """The pixels [B, N, 2] (x, y), int64, of points on a mesh in NDC `projected` [B, V, 3]; what leaves the picture is
    at its border."""
    corners = triangles[points.triangles]  # [B, N, 3]
    batch = torch.arange(len(corners), device=corners.device)[:, None, None]
    xy = (projected[batch, corners, :2] * points.weights[..., None]).sum(2)
    return ndc_to_pixels(xy, size)


def ndc_to_pixels(xy: torch.Tensor, size: int = SIZE) -> torch.Tensor:
    """Whole pixels [..., 2] of NDC [..., 2]."""
    return (0.5 * (1 + xy) * size).long().clamp(0, size - 1)


def transfer_pixels(
    images: torch.Tensor, source: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None = None
) -> torch.Tensor:
    """Pictures [B, C, H, W] that are 0 but at the pixels `target` [B, N, 2], where they have what `images` have at
    `source` [B, N, 2]. Of several values for one pixel the last counts.

    Args:
        counts: [B] how many of the points are used, the first ones; None: all.
    """
    batch, _, height, width = images.shape
    number = torch.arange(source.shape[1], device=images.device).expand(batch, -1)
    if counts is not None:
        number = torch.where(number < counts.to(images.device)[:, None], number, -1)
    there = target[..., 1] * width + target[..., 0]
    last = torch.full((batch, height * width), -1, device=images.device).scatter_reduce(1, there, number, "amax")
    here = (source[..., 1] * width + source[..., 0]).gather(1, last.clamp(min=0))
    taken = images.flatten(2).gather(2, here[:, None].expand(-1, images.shape[1], -1))
    return (taken * (last >= 0)[:, None]).view_as(images)


def demo_counts(count: int, batch: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """How many of `count` points the official demo uses, drawn at random: [B]."""
    sign = torch.randint(0, 2, (batch,), generator=generator) * 2 - 1
    return used_points(count, sign, 1 + _DEMO_SPREAD * torch.rand(batch, generator=generator))


def used_points(count: int, sign: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """A fifth of `count`, `scale` [B] times more (`sign` [B] 1) or fewer (-1): int64 [B]."""
    return (count / _DEMO_SHARE * scale**sign).long()


def point_count(ratio: float, size: int = SIZE) -> int:
    """Points for a share `ratio` of the crop's pixels."""
    return math.floor(ratio * size * size)


def mask_photos(
    images: torch.Tensor,
    mask: torch.Tensor,
    extra: torch.Tensor,
    rendered: torch.Tensor | None = None,
    *,
    radius: int = 10,
    noise: bool = True,
    patches: float = 0.01,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """What the generator sees of the crops [B, 3, H, W], without gradient.

    Args:
        images: crops, 0..1.
        mask: [B, 1, H, W], 1 outside the face, 0 in the hull of its landmarks.
        extra: pixels on the face [B, 3, H, W], 0 where there are none, see :func:`transfer_pixels`.
        rendered: [B, 1, H, W], 1 where the mesh is drawn.
        radius: the face is taken this many pixels larger.
        noise: make `extra` brighter and darker at random (beyond 1, too).
        patches: share of the pixels around which 11 × 11 of `extra` are left out; 0 leaves all.
    """
    images, mask, extra = images.detach(), mask.to(images), extra.detach()
    mask = 1 - F.max_pool2d(1 - mask, 2 * radius + 1, stride=1, padding=radius)
    if rendered is not None:
        mask = mask * (1 - rendered.to(mask))
    if noise:
        extra = extra * (1 + _NOISE * torch.randn(extra.shape, generator=generator).to(extra))
    if patches > 0:
        centres = torch.bernoulli(torch.full_like(mask, patches, device="cpu"), generator=generator).to(extra)
        extra = extra * (1 - F.max_pool2d(centres, _PATCH, stride=1, padding=_PATCH // 2))
    return torch.where(extra > 0, extra, images * mask)
