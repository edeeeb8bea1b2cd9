"""SMIRK's picture of the mesh: the face (or the whole head) in grey under five lamps, as its generator wants it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from facecli.geometry.camera import scaled_orthographic
from facecli.geometry.normals import vertex_normals
from facecli.render.ndc import GREY, five_lights, raster_ndc
from facecli.render.rasterize import interpolate

SIZE = 224


class SmirkRenderer(nn.Module):
    """Draws FLAME's face: no eyeballs, ears, neck or scalp, so that the generator takes those from the photograph.

    Normals are those of the part that is drawn: at its rim they differ from the whole head's.

    Args:
        triangles: int [F, 3] of the whole head.
        face: vertices of the face [N], FLAME_masks.pkl's ``face``; None draws the whole head.
        backend: rasterizer, see :mod:`facecli.render.rasterize`.

    Attributes:
        vertex_ids: int64 [N] buffer: vertices of the head that the drawn mesh has.
        triangles: int64 [G, 3] buffer: the drawn mesh, in terms of those.
    """

    def __init__(self, triangles: torch.Tensor, face: Sequence[int] | np.ndarray | None = None, backend: str = "auto"):
        super().__init__()
        count = int(triangles.max()) + 1
        ids, part = _part(triangles.cpu(), torch.arange(count) if face is None else torch.as_tensor(np.asarray(face)))
        self.register_buffer("vertex_ids", ids, persistent=False)
        self.register_buffer("triangles", part, persistent=False)
        self.backend = backend

    def forward(self, vertices: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """Pictures [B, 3, 224, 224] in 0..1, three equal channels, 0 where nothing is drawn. Differentiable.

        Args:
            vertices: [B, V, 3] posed, metres.
            camera: [B, 3] = (s, tx, ty), see :func:`facecli.geometry.camera.scaled_orthographic`.
        """
        return self.draw(vertices, scaled_orthographic(vertices, camera))

    def draw(self, vertices: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """As `forward`, of `vertices` and their projection to NDC of the crop [B, V, 3]."""
        vertices, projected = vertices[:, self.vertex_ids], projected[:, self.vertex_ids]
        fragments = raster_ndc(projected, self.triangles, (SIZE, SIZE), self.backend)
        normals = interpolate(fragments, self.triangles, vertex_normals(vertices, self.triangles))
        return (GREY * five_lights(normals)).expand(-1, 3, -1, -1)


def drawn(picture: torch.Tensor) -> torch.Tensor:
    """Where a picture [B, 3, H, W] shows the mesh: bool [B, 1, H, W]. What no lamp reaches counts as background."""
    return (picture != 0).any(1, keepdim=True)


def _part(triangles: torch.Tensor, vertices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sorted `vertices` [N], and the triangles [G, 3] that have all corners among them, in terms of them."""
    ids = vertices.long().unique()
    place = torch.full((int(triangles.max()) + 1,), -1).index_put((ids,), torch.arange(len(ids)))
    corners = place[triangles]
    return ids, corners[(corners >= 0).all(1)]
