"""Wrinkles on FLAME: a displacement map in the UV layout becomes a map of normals and a dense mesh.

DECA's and EMOCA's; where they differ, an argument says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from facecli.errors import InputError
from facecli.geometry.normals import vertex_normals
from facecli.io.safe_pickle import load_object_npy
from facecli.morphable.dense_template import DenseTemplate
from facecli.plugin import Detail
from facecli.render.uv_space import UvSpace, blend, displaced, surface_normals, unit

DECA_MARGIN = (2, 5)
_MM = 1000.0
_MEND = "get it again, see `facecli assets list`"


class FlameDetail(nn.Module):
    """From displacements to surfaces. Lengths are metres: normals of tiny triangles depend on the unit.

    Args:
        space: FLAME's UV layout.
        triangles: int64 [F, 3], FLAME's.
        template: [V, 3], its mean head, metres.
        mask: [S, S] 0..1, where the face is in the layout.
        fixed: [S, S] displacement that all faces share, metres.
        dense: the dense mesh.
        margin, blended: of the normal map: DECA leaves out :data:`DECA_MARGIN` and blends it into the coarse normals
            where `mask` ends; EMOCA does neither.
    """

    def __init__(
        self,
        space: UvSpace,
        triangles: torch.Tensor,
        template: torch.Tensor,
        mask: torch.Tensor,
        fixed: torch.Tensor,
        dense: DenseTemplate,
        *,
        margin: tuple[int, int] = (0, 0),
        blended: bool = False,
    ):
        super().__init__()
        self.space, self.dense = space, dense
        self.margin, self.blended = margin, blended
        self.register_buffer("triangles", triangles)
        self.register_buffer("dense_triangles", dense.outward_triangles(template, triangles))
        self.register_buffer("mask", mask.view(1, 1, *mask.shape))
        self.register_buffer("fixed", fixed.view(1, 1, *fixed.shape))
        # Texels whose neighbours all belong to the layout: of others the grid's normals mean nothing.
        around = nn.functional.max_pool2d(1 - space.mask[None, None].float(), 3, stride=1, padding=1)
        self.register_buffer("inside", around == 0)

    def displacement_map(self, offsets: torch.Tensor) -> torch.Tensor:
        """What the programs save and move the dense mesh by: the network's `offsets` [B, 1, S, S] and the fixed part.

        It isn't masked: off the face it is whatever the network says.
        """
        return offsets + self.fixed

    def normals(self, offsets: torch.Tensor, vertices: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        """Normals [B, 3, S, S] of the displaced surface, in the frame of `vertices`, as the programs have them.

        Args:
            offsets: [B, 1, S, S] the network's.
            vertices, normals: [B, V, 3] FLAME's, metres, and its vertex normals.
        """
        maps = self.space(torch.cat([vertices, normals], -1))
        positions, coarse = maps[:, :3], maps[:, 3:]
        fine = surface_normals(displaced(positions, coarse, self.masked(offsets)), self.margin)
        return blend(fine, coarse, self.mask) if self.blended else fine

    def masked(self, offsets: torch.Tensor) -> torch.Tensor:
        """Displacement [B, 1, S, S] with the network's part on the face alone."""
        return offsets * self.mask + self.fixed

    def tidy_normals(self, offsets: torch.Tensor, vertices: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        """:meth:`normals` for other programs: of unit length, coarse along the layout's edges, 0 where it is empty."""
        found = self.normals(offsets, vertices, normals)
        found = torch.where(self.inside, found, self.space(normals))
        return unit(found)


class LazyDetail(Detail):
    """A :class:`Detail` whose parts are made when they are looked at, face by face, and kept: few results need all of
    them, and they cost more than the rest of a face's decoding.

    Args:
        surface: of the model.
        vertices: [B, V, 3] in the head frame, millimetres.
        decoder: `latent` [1, N] -> offsets [1, 1, S, S], metres.
    """

    def __init__(
        self,
        surface: FlameDetail,
        vertices: torch.Tensor,
        decoder: Callable[[torch.Tensor], torch.Tensor],
        latent: torch.Tensor,
    ):
        self._surface = surface
        pairs = zip(vertices.split(1), latent.split(1), strict=True)
        self._faces = [_Wrinkles(surface, head, decoder, numbers) for head, numbers in pairs]

    def select(self, index: slice) -> LazyDetail:
        """The faces `index`; what was made of them already is made for both."""
        part = object.__new__(LazyDetail)
        part._surface, part._faces = self._surface, self._faces[index]
        return part

    @property
    def offsets(self) -> torch.Tensor:
        """[B, 1, S, S] the network's displacement, metres."""
        return self._all("offsets")

    @property
    def displacement(self) -> torch.Tensor:
        return self._all("displacement")

    @property
    def normals(self) -> torch.Tensor:
        return self._all("normals")

    @property
    def vertices(self) -> torch.Tensor:
        return self._all("vertices")

    @property
    def triangles(self) -> torch.Tensor:
        return self._surface.dense_triangles

    @property
    def uv(self) -> torch.Tensor:
        return self._surface.dense.uv

    def _all(self, name: str) -> torch.Tensor:
        with torch.inference_mode():
            parts = [getattr(face, name) for face in self._faces]
            return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Wrinkles:
    """One face's parts of a :class:`LazyDetail`, [1, ...] each."""

    def __init__(self, surface: FlameDetail, head: torch.Tensor, decoder: Callable, latent: torch.Tensor):
        self._surface, self._decoder, self._latent = surface, decoder, latent
        self._head = head

    @functools.cached_property
    def _metres(self) -> tuple[torch.Tensor, torch.Tensor]:
        metres = self._head / _MM
        return metres, vertex_normals(metres, self._surface.triangles)

    @functools.cached_property
    def offsets(self) -> torch.Tensor:
        return self._decoder(self._latent)

    @functools.cached_property
    def displacement(self) -> torch.Tensor:
        return self._surface.masked(self.offsets) * _MM

    @functools.cached_property
    def normals(self) -> torch.Tensor:
        return self._surface.tidy_normals(self.offsets, *self._metres)

    @functools.cached_property
    def vertices(self) -> torch.Tensor:
        return self._surface.dense(*self._metres, self._surface.displacement_map(self.offsets)) * _MM


def read_uv_mask(path: str | Path, size: int = 256) -> torch.Tensor:
    """``uv_face_eye_mask.png``: its first channel as [S, S], 0..1.

    Raises:
        InputError: damaged, or no picture.
    """
    try:
        picture = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except OSError as error:
        raise InputError(path, error.strerror or str(error), _MEND) from error
    if picture is None or picture.dtype != np.uint8:
        raise InputError(path, "is no picture of 8 bits", _MEND)
    red = picture if picture.ndim == 2 else picture[..., 0 if picture.shape[2] < 3 else 2]
    if red.shape != (size, size):
        red = cv2.resize(red, (size, size), interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(red.astype(np.float32) / 255)


def read_fixed_displacement(path: str | Path, size: int = 256) -> torch.Tensor:
    """``fixed_displacement_256.npy`` as [S, S] float32, metres.

    Raises:
        InputError: damaged, or something else.
    """
    array = load_object_npy(path)
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != (size, size):
        raise InputError(path, f"is no displacement map of [{size}, {size}]", _MEND)
    if not np.isfinite(array).all() or np.abs(array).max() > 0.1:
        raise InputError(path, "holds no displacements of a face in metres", _MEND)
    return torch.from_numpy(array.astype(np.float32))
