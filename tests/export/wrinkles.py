"""A FLAME-sized head with wrinkles, as a model with detail decodes it: toy head, DECA's formulas, made-up relief."""

from __future__ import annotations

import functools

import numpy as np
import torch

from facecli.geometry.normals import vertex_normals
from facecli.plugin import Detail, Reconstruction, Rig
from facecli.render.texture import uv_layout
from standins.deca import toy_uv
from standins.flame import toy_flame


def relief(size: int = 256) -> np.ndarray:
    """Displacement [S, S] in millimetres: furrows on the forehead, a slanted fold on a cheek, and larger waves."""
    v, u = np.meshgrid(1 - (np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size, indexing="ij")
    forehead = np.exp(-(((u - 0.5) / 0.13) ** 2) - ((v - 0.3) / 0.06) ** 2)
    furrows = 0.6 * np.sin(2 * np.pi * 28 * (v + 0.02 * np.cos(9 * u))) * forehead
    cheek = -1.5 * np.exp(-(((u - 0.62 + 0.5 * (v - 0.2)) / 0.015) ** 2) - ((v - 0.2) / 0.07) ** 2)
    return furrows + cheek + 0.5 * np.sin(17 * u) * np.cos(13 * v)


@functools.cache
def wrinkled_head(size: int = 256) -> Reconstruction:
    """One face: 5023 coarse and 47 thousand dense vertices in millimetres, with a layout as large as DECA's."""
    flame, (uv, uv_triangles) = toy_flame(), toy_uv()
    vertices = (flame["v_template"] * 1000).astype(np.float32)
    triangles = flame["f"].astype(np.int64)
    normals = vertex_normals(vertices, triangles)
    displacement = relief(size).astype(np.float32)
    layout = uv_layout(uv, uv_triangles, size)
    laid = layout.interpolate(triangles, np.concatenate([vertices, normals], axis=1))
    place = laid[:, :3] + displacement[layout.mask][:, None] * laid[:, 3:]
    detail_normals = grid_normals(layout.picture(place), layout.mask)
    thin = ~detail_normals.any(axis=-1) & layout.mask  # no whole square around it
    detail_normals[thin] = laid[thin[layout.mask], 3:]

    # A dense vertex at each texel of the layout, as DECA's dense template has them.
    along = laid[:, 3:] / np.linalg.norm(laid[:, 3:], axis=1, keepdims=True)
    dense = laid[:, :3] + displacement[layout.mask][:, None] * along
    number = np.zeros(size * size, np.int64)
    number[layout.texels] = np.arange(len(dense))
    row, column = np.divmod(layout.texels, size)
    detail = Detail(
        displacement=torch.from_numpy(displacement)[None, None],
        normals=torch.from_numpy(detail_normals.transpose(2, 0, 1))[None].contiguous(),
        vertices=torch.from_numpy(dense.astype(np.float32))[None],
        triangles=torch.from_numpy(number[grid_triangles(layout.mask)]),
        uv=torch.from_numpy(np.stack([(column + 0.5) / size, 1 - (row + 0.5) / size], 1).astype(np.float32)),
    )
    projected = vertices * np.array([2, -2, -1], np.float32) + np.array([256, 256, 0], np.float32)
    return Reconstruction(
        vertices=torch.from_numpy(vertices)[None],
        triangles=torch.from_numpy(triangles),
        projected=torch.from_numpy(projected)[None],
        head_pose=torch.eye(4)[None],
        uv=torch.from_numpy(uv),
        uv_triangles=torch.from_numpy(uv_triangles),
        detail=detail,
    )


def toy_rig(count: int = 20) -> Rig:
    """The first `count` of the toy head's expressions, in millimetres."""
    shapes = np.moveaxis(toy_flame()["shapedirs"][:, :, 300 : 300 + count], 2, 0) * 1000
    names = tuple(f"expression_{k:02d}" for k in range(count))
    return Rig(names, tuple(("expression", k) for k in range(count)), shapes.astype(np.float32))


def grid_triangles(mask: np.ndarray) -> np.ndarray:
    """[F, 3] indices into the texels of `mask` [S, S]: two triangles in each square whose corners are all in it."""
    index = np.arange(mask.size).reshape(mask.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    whole = mask[:-1, :-1] & mask[1:, :-1] & mask[:-1, 1:] & mask[1:, 1:]
    return np.concatenate([np.stack([corner[whole] for corner in three], 1) for three in ((a, b, c), (c, b, d))])


def grid_normals(places: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Normals [S, S, 3] of the surface through `places` [S, S, 3] where `mask`; zero without a whole square around."""
    return vertex_normals(places.reshape(-1, 3), grid_triangles(mask), eps=1e-12).reshape(places.shape)


def skin(size: int = 512) -> np.ndarray:
    """A texture [S, S, 3] uint8 of soft colours."""
    v, u = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    tones = np.stack([190 + 25 * np.sin(9 * u), 140 + 20 * np.cos(8 * v), 120 + 15 * np.sin(6 * (u + v))], -1)
    return tones.astype(np.uint8)
