"""Tangents along a UV layout as MikkTSpace defines them, which renderers agree on for normal maps.

M. S. Mikkelsen, "Simulation of Wrinkled Surfaces Revisited" (2008). Each corner of a triangle gives the direction in
which u grows, laid into the plane of the vertex's normal; a vertex has their mean, weighted by the corners' angles.
"""

from __future__ import annotations

import numpy as np


def vertex_tangents(positions: np.ndarray, normals: np.ndarray, uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit tangents and handedness at the vertices of a surface that is doubled along its UV seams.

    The bitangent is ``w * cross(normal, tangent)`` and points to where v grows. Vertices that agree in position,
    normal, UV and handedness count as one. Triangles without area, in space or in the layout, say nothing.

    Args:
        positions: [N, 3]. normals: [N, 3] unit.
        uv: [N, 2], origin bottom-left.
        triangles: int [F, 3]. All triangles at a vertex should have the same :func:`uv_orientation`.

    Returns:
        [N, 4] float32: tangent, and w = 1, or -1 where the layout is mirrored.
    """
    positions, normals, uv = (np.asarray(values, np.float64) for values in (positions, normals, uv))
    triangles = np.asarray(triangles, np.int64)
    along_u, orientation = _directions(positions[triangles], uv[triangles])
    handedness = np.zeros(len(positions))
    np.add.at(handedness, triangles, orientation[:, None])
    handedness = np.where(handedness < 0, -1.0, 1.0)
    first, same = _welded(positions, normals, uv, handedness[:, None])
    corners = same[triangles]  # [F, 3], of the welded vertices
    positions, normals = positions[first], normals[first]

    at_corners = np.repeat(along_u[:, None], 3, axis=1) - _along(along_u[:, None], normals[corners])
    weighted = _unit(at_corners) * _angles(positions[corners], normals[corners])[..., None]
    total = np.zeros_like(normals)
    np.add.at(total, corners, weighted)
    tangents = _unit(total)
    missing = ~tangents.any(axis=1)
    tangents[missing] = _any_tangent(normals[missing])
    return np.concatenate([tangents[same], handedness[:, None]], axis=1).astype(np.float32)


def uv_orientation(uv: np.ndarray, uv_triangles: np.ndarray) -> np.ndarray:
    """1 [F] for triangles counter-clockwise in the layout, -1 for mirrored ones, 0 for those without area."""
    a, b, c = (np.asarray(uv, np.float64)[np.asarray(uv_triangles)[:, corner]] for corner in range(3))
    return np.sign(_cross2(b - a, c - a)).astype(np.int64)


def _welded(*values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first [M] of the vertices that agree in all `values` [N, C], [N] which of the M each vertex is)."""
    rows = np.ascontiguousarray(np.concatenate(values, axis=1, dtype=np.float32) + np.float32(0))  # -0 is 0
    _, first, same = np.unique(rows.view(f"V{rows.itemsize * rows.shape[1]}"), return_index=True, return_inverse=True)
    return first, same.ravel()


def _directions(positions: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where u grows [F, 3], unit or zero, and the orientation [F], of triangles [F, 3, 3] laid out at [F, 3, 2]."""
    side, other = positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0]
    uv_side, uv_other = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    orientation = np.sign(_cross2(uv_side, uv_other))
    along_u = uv_other[:, 1:] * side - uv_side[:, 1:] * other
    return _unit(along_u) * orientation[:, None], orientation


def _angles(positions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Angles [F, 3] at the corners of triangles [F, 3, 3], seen along the corners' normals."""
    angles = []
    for corner in range(3):
        normal = normals[:, corner]
        sides = [positions[:, (corner + step) % 3] - positions[:, corner] for step in (1, 2)]
        a, b = (_unit(side - _along(side, normal)) for side in sides)
        angles.append(np.arccos(np.clip((a * b).sum(-1), -1, 1)))
    return np.stack(angles, axis=1)


def _along(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The part of `vectors` [..., 3] along unit `normals` [..., 3]."""
    return (vectors * normals).sum(-1, keepdims=True) * normals


def _unit(vectors: np.ndarray) -> np.ndarray:
    """`vectors` [..., 3] at length 1; those without length stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-12)


def _any_tangent(normals: np.ndarray) -> np.ndarray:
    """Some unit vector [N, 3] at right angles to each of `normals` [N, 3]."""
    axis = np.eye(3)[np.abs(normals).argmin(axis=1)]
    return _unit(np.cross(normals, axis))


def _cross2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
