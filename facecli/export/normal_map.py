"""Wrinkles as a tangent-space normal map, which viewers put on the coarse mesh.

Texels hold the detailed surface's normal in the frame (tangent, bitangent, normal) of the coarse mesh at that place:
red along u, green along v upwards (glTF's and OpenGL's way), blue outwards; 8 bits, 128 is zero. The frame is
MikkTSpace's, between vertices interpolated and made unit length as viewers' shaders do.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecli.export.surface import split_seams, split_tangents
from facecli.geometry.mesh import TriangleMesh
from facecli.render.texture import UvLayout, uv_layout

LEAST_SIZE = 512
"""The coarse frame bends at every edge: a map whose triangles have few texels would blur that into the shading."""

_LEAST_BLUE = np.float32(0.02)
"""Normals that turn away from the coarse surface are laid flat: glTF has none with negative blue."""


def normal_map(mesh: TriangleMesh, normals: np.ndarray, *, size: int | None = None) -> np.ndarray:
    """The normal map uint8 [T, T, 3] that gives `mesh` the look of a surface with `normals`.

    Args:
        mesh: the coarse mesh, with a UV layout.
        normals: [S, S, 3] of the detailed surface, in the frame of the mesh's vertices, in its UV layout (row 0 is
            v = 1); zero where they aren't known: there the map is flat.
        size: T; None: :data:`LEAST_SIZE`, or S where that is larger, or 2 S where that is smaller.

    The map goes on beyond the borders of the layout, so that smaller versions of it show no seams.
    """
    size = size or max(len(normals), min(2 * len(normals), LEAST_SIZE))
    frame, layout = _frame(mesh, size)
    wanted = np.ascontiguousarray(normals, np.float32)
    if len(wanted) != size:
        wanted = cv2.resize(wanted, (size, size), interpolation=cv2.INTER_LINEAR)
    wanted = _unit(np.ascontiguousarray(wanted[layout.mask].T))
    local = _in_frame(wanted, *frame)
    np.maximum(local[2], _LEAST_BLUE, out=local[2])
    local[:, ~wanted.any(axis=0)] = [[0], [0], [1]]
    colors = np.full((size, size, 3), (128, 128, 255), np.uint8)
    colors[layout.mask] = encoded(_unit(local).T)
    if layout.mask.any():
        colors = cv2.remap(colors, layout.nearest, None, cv2.INTER_NEAREST)
    return colors


def encoded(local: np.ndarray) -> np.ndarray:
    """Unit vectors [..., 3] as colours uint8."""
    return np.rint(local * 127.5 + 127.5).astype(np.uint8)


def mapped_normals(mesh: TriangleMesh, size: int) -> tuple[np.ndarray, UvLayout]:
    """What a viewer makes of the mesh's normal map: unit normals [N, 3] at the texels of the layout, `size` wide."""
    frame, layout = _frame(mesh, size)
    colors = cv2.resize(mesh.normal_map, (size, size), interpolation=cv2.INTER_LINEAR)[layout.mask]
    local = colors.T.astype(np.float32) / np.float32(127.5) - 1
    return _unit(sum(part * axis for part, axis in zip(local, frame, strict=True))).T, layout


def _frame(mesh: TriangleMesh, size: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], UvLayout]:
    """Unit tangents, bitangents and normals [3, N] of the coarse surface at the texels of its layout."""
    surface = split_seams(mesh, for_tangents=True)
    layout = uv_layout(surface.uv, surface.triangles, size)
    normals, tangents = split_tangents(mesh, surface)
    bitangents = np.cross(normals, tangents[:, :3]) * tangents[:, 3:]
    at_vertices = np.concatenate([tangents[:, :3], bitangents, normals], axis=1)
    at_texels = np.ascontiguousarray(layout.interpolate(surface.triangles, at_vertices).T)
    return (_unit(at_texels[:3]), _unit(at_texels[3:6]), _unit(at_texels[6:])), layout


def _in_frame(vectors: np.ndarray, tangent: np.ndarray, bitangent: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Unit vectors (a, b, c) [3, N] with a t + b b + c n along `vectors`: the axes need not be at right angles."""
    across = (
        np.cross(bitangent, normal, axis=0),
        np.cross(normal, tangent, axis=0),
        np.cross(tangent, bitangent, axis=0),
    )
    local = np.stack([(vectors * axis).sum(0) for axis in across])
    return _unit(local * np.sign((normal * across[2]).sum(0)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """`vectors` [3, N] at length 1."""
    x, y, z = vectors
    return vectors / np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-9))
