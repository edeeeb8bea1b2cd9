"""Small surfaces that exporters are proven on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facecli.geometry.mesh import TriangleMesh


def dome(rows: int = 12, columns: int = 15, *, textured: bool = True) -> TriangleMesh:
    """A curved patch of about a face's size in millimetres, whose UV layout is cut down the middle.

    The last vertex belongs to no triangle, like MediaPipe's irises.
    """
    y, x = np.meshgrid(np.linspace(90, -90, rows), np.linspace(-70, 70, columns), indexing="ij")
    z = 60 - (x / 12) ** 2 - (y / 20) ** 2
    vertices = np.stack([x, y, z], -1).reshape(-1, 3)
    vertices = np.concatenate([vertices, [[0, 0, 80]]]).astype(np.float32)

    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)

    half = columns // 2
    right = np.concatenate([(np.arange(columns - 1) >= half)[None].repeat(rows - 1, 0).ravel()] * 2)
    grid = np.stack([(x + 70) / 140 * 0.9, (y + 90) / 180], -1).reshape(-1, 2)
    uv = np.concatenate([grid, grid + np.array([0.1, 0])]).astype(
        np.float32
    )  # the right half's island lies a little apart
    uv_triangles = triangles + right[:, None] * rows * columns
    return TriangleMesh(vertices, triangles, uv, uv_triangles, checks() if textured else None)


def bumpy_dome() -> TriangleMesh:
    """:func:`dome`, uneven in space and in its layout, whose right half's island is mirrored."""
    mesh = dome(textured=False)
    random = np.random.default_rng(5)
    vertices = mesh.vertices + random.normal(0, 2, mesh.vertices.shape).astype(np.float32)
    uv = mesh.uv + random.normal(0, 0.008, mesh.uv.shape).astype(np.float32)
    uv[len(uv) // 2 :, 0] = 1.5 - uv[len(uv) // 2 :, 0]
    return replace(mesh, vertices=vertices, uv=np.clip(uv, 0, 1))


def mirrored_dome() -> TriangleMesh:
    """:func:`bumpy_dome` whose halves lie on each other in the layout and share the UV along the middle."""
    mesh = bumpy_dome()
    x, y = mesh.vertices[:, 0], mesh.vertices[:, 1]
    uv = np.stack([np.abs(x) / 80, (y + 100) / 200], -1)
    return replace(mesh, uv=uv.astype(np.float32), uv_triangles=None)


def checks(size: int = 64) -> np.ndarray:
    """A texture [size, size, 3] whose corners differ, so that a flip shows."""
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    ramp = np.stack([x * 255 // size, y * 255 // size, ((x // 8 + y // 8) % 2) * 200], -1)
    return ramp.astype(np.uint8)
