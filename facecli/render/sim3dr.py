"""The overlay painter of 3DDFA_V2 and SynergyNet ("Sim3DR"), kept to the bit for pictures that look like theirs.

Here vertices are in pixels (x right, y down, integers at pixel centres) and *larger z is nearer*: the opposite of
:mod:`facecli.render.rasterize`, which new work should use. The two programs differ in what counts as inside, in the
pixels that they try, and in how they normalise a zero normal; `program` says which one to follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facecli.geometry.normals import face_normals
from facecli.render.jit import jit

PROGRAMS = ("3ddfa_v2", "synergynet")


@dataclass(frozen=True)
class Light:
    """White light by its parts; lamp and eye are at (0, 0, 5)."""

    ambient: float = 0.3
    directional: float = 0.6
    specular: float = 0.1


LIGHTS = {"3ddfa_v2": Light(), "synergynet": Light(0.75, 0.7, 0.2)}
"""Of the programs. SynergyNet's is almost white."""
_FARTHEST = np.float32(-1e8)
_ZERO, _ONE = np.float32(0), np.float32(1)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray, *, program: str = "3ddfa_v2") -> np.ndarray:
    """Unit normals [V, 3] float32, area-weighted; a zero length gives 0 in 3DDFA_V2 and NaN in SynergyNet."""
    _check(program)
    vertices = np.asarray(vertices, np.float32)
    total = np.zeros_like(vertices)
    np.add.at(total, triangles, face_normals(vertices, triangles)[:, None])  # float32, in the order of the triangles
    length = np.sqrt((total * total).sum(1, keepdims=True))
    if program == "3ddfa_v2":
        length[length <= 0] = 1e-6
    with np.errstate(invalid="ignore"):
        return total / length


def triangle_buffers(
    vertices: np.ndarray, triangles: np.ndarray, size: tuple[int, int], *, program: str = "3ddfa_v2"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangle index [H, W] (-1: none), depth [H, W] (-1e8: none) and weights [H, W, 3] (0: none) of `size` (H, W)."""
    _check(program)
    index = np.full(size, -1, np.int32)
    depth = np.full(size, _FARTHEST, np.float32)
    bary = np.zeros((*size, 3), np.float32)
    _index(*_arrays(vertices, triangles), index, depth, bary)
    return index, depth, bary


def paint(
    vertices: np.ndarray,
    triangles: np.ndarray,
    colors: np.ndarray,
    background: np.ndarray,
    *,
    program: str = "3ddfa_v2",
    alpha: float = 1.0,
    reverse: bool = False,
    farthest: float = _FARTHEST,
) -> tuple[np.ndarray, np.ndarray]:
    """Paint vertex `colors` [V, 3] (0..1) over a copy of `background` uint8 [H, W, 3].

    With `alpha` < 1 a nearer triangle blends over what was painted before it. `reverse` turns the picture upside down,
    but not its depth test: so do the originals. Only what is nearer than `farthest` is painted.

    Returns:
        the picture, and the depth [H, W] (`farthest` where nothing was painted).
    """
    _check(program)
    picture = np.ascontiguousarray(background).copy()
    depth = np.full(picture.shape[:2], farthest, np.float32)
    colors = np.ascontiguousarray(colors, np.float32)
    inclusive = program == "synergynet"
    _paint(*_arrays(vertices, triangles), colors, np.float32(alpha), reverse, inclusive, picture, depth)
    return picture, depth


def light(vertices: np.ndarray, normals: np.ndarray, parts: Light = LIGHTS["3ddfa_v2"]) -> np.ndarray:
    """Light [V, 3] 0..1 at `vertices`, which lie in about -1..1."""
    lamp = np.array([0, 0, 5], np.float32)
    to_lamp = _unit(lamp - vertices)
    lambert = (normals * to_lamp).sum(1)[:, None]
    reflected = 2 * lambert * normals - to_lamp
    shine = (to_lamp * reflected) ** 5  # the eye is where the lamp is
    shine = np.where(lambert != 0, np.clip(shine.sum(1)[:, None], 0, 1), 0)
    sum_of_parts = parts.ambient + parts.directional * np.clip(lambert, 0, 1) + parts.specular * shine
    return np.clip(sum_of_parts, 0, 1) * np.ones(3, np.float32)


def vertex_light(
    vertices: np.ndarray, triangles: np.ndarray, *, program: str = "3ddfa_v2", parts: Light = LIGHTS["3ddfa_v2"]
) -> np.ndarray:
    """Light [V, 3] 0..1 at the vertices of a mesh in pixels."""
    vertices = np.asarray(vertices, np.float32)
    return light(_centred(vertices), vertex_normals(vertices, triangles, program=program), parts)


def paint_lit(
    vertices: np.ndarray,
    triangles: np.ndarray,
    background: np.ndarray,
    *,
    program: str = "3ddfa_v2",
    parts: Light = LIGHTS["3ddfa_v2"],
    colors: np.ndarray | None = None,
) -> np.ndarray:
    """The lit mesh, white or in vertex `colors` [V, 3] (0..1), over a copy of `background` uint8 [H, W, 3], opaque."""
    lit = vertex_light(vertices, triangles, program=program, parts=parts)
    lit = lit if colors is None else lit * np.asarray(colors, np.float32)
    return paint(vertices, triangles, lit, background, program=program)[0]


def paint_quick(vertices: np.ndarray, triangles: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The lit mesh as 3DDFA_V2's second renderer has it, opaque: without shine, and what has no z > 0 isn't there.

    It means to centre the mesh before the lamp, and takes the mean and the extent of the triangles' summed normals
    for that, which are far larger: in effect the lamp stands straight in front of all vertices, far away.
    """
    vertices = np.asarray(vertices, np.float32)
    total = np.zeros_like(vertices)
    np.add.at(total, triangles, face_normals(vertices, triangles)[:, None])
    placed = (vertices - total.mean(0)) / np.maximum(np.ptp(total, axis=0), 1e-12)
    lambert = (vertex_normals(vertices, triangles) * _unit(np.array([0, 0, 5], np.float32) - placed)).sum(1)
    lit = np.clip(0.3 + 0.6 * lambert, 0, 1)
    return paint(vertices, triangles, np.repeat(lit[:, None], 3, 1), background, farthest=0.0)[0]


def draw_overlay(
    vertices: np.ndarray,
    triangles: np.ndarray,
    photo: np.ndarray,
    *,
    program: str = "3ddfa_v2",
    parts: Light = LIGHTS["3ddfa_v2"],
    opacity: float = 0.6,
) -> np.ndarray:
    """The programs' overlay: the lit mesh laid over the photograph with `opacity`."""
    painted = paint_lit(vertices, triangles, photo, program=program, parts=parts)
    return cv2.addWeighted(photo, 1 - opacity, painted, opacity, 0)


def _centred(vertices: np.ndarray) -> np.ndarray:
    """`vertices` shifted and scaled into about -1..1, as the lamp expects them."""
    scaled = vertices - vertices.min(0)
    scaled = scaled / scaled.max() * 2
    return scaled - scaled.max(0) / 2


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt((vectors**2).sum(1, keepdims=True))


def _check(program: str) -> None:
    if program not in PROGRAMS:
        raise ValueError(f"unknown program {program!r}: one of {', '.join(PROGRAMS)}")


def _arrays(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices, triangles = np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.int64)
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        raise ValueError(f"triangles name vertices up to {triangles.max()}, but there are {len(vertices)}")
    finite = np.isfinite(vertices).all(1)  # a NaN has no pixels
    return vertices, triangles if finite.all() else triangles[finite[triangles].all(1)]


@jit
def _weights(x, y, x0, y0, x1, y1, x2, y2):
    """Weights of the three vertices at (x, y) by dot products; (1, 0, 0) in a triangle without area."""
    ex, ey, gx, gy, qx, qy = x2 - x0, y2 - y0, x1 - x0, y1 - y0, x - x0, y - y0
    ee, eg, eq = ex * ex + ey * ey, ex * gx + ey * gy, ex * qx + ey * qy
    gg, gq = gx * gx + gy * gy, gx * qx + gy * qy
    determinant = ee * gg - eg * eg
    inverse = _ZERO if determinant == _ZERO else _ONE / determinant
    u = (gg * eq - eg * gq) * inverse
    v = (ee * gq - eg * eq) * inverse
    return _ONE - u - v, v, u


@jit
def _pixels(a, b, c, count, outward):
    """First and last pixel to try on one axis; `outward` rounds away from the triangle."""
    low, high = min(a, b, c), max(a, b, c)
    first, last = (np.floor(low), np.ceil(high)) if outward else (np.ceil(low), np.floor(high))
    return int(min(max(first, 0.0), count)), int(max(min(last, count - 1.0), -1.0))


@jit
def _index(vertices, triangles, index, depth, bary):
    height, width = index.shape
    for t in range(len(triangles)):
        x0, y0, z0 = vertices[triangles[t, 0]]
        x1, y1, z1 = vertices[triangles[t, 1]]
        x2, y2, z2 = vertices[triangles[t, 2]]
        left, right = _pixels(x0, x1, x2, width, False)
        top, bottom = _pixels(y0, y1, y2, height, False)
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                w0, w1, w2 = _weights(np.float32(column), np.float32(row), x0, y0, x1, y1, x2, y2)
                if not (w2 >= _ZERO and w1 >= _ZERO and w1 + w2 < _ONE):
                    continue
                z = w0 * z0 + w1 * z1 + w2 * z2
                if z > depth[row, column]:
                    depth[row, column] = z
                    index[row, column] = t
                    bary[row, column, 0], bary[row, column, 1], bary[row, column, 2] = w0, w1, w2


@jit
def _paint(vertices, triangles, colors, alpha, reverse, inclusive, picture, depth):
    height, width = depth.shape
    for t in range(len(triangles)):
        i0, i1, i2 = triangles[t]
        x0, y0, z0 = vertices[i0]
        x1, y1, z1 = vertices[i1]
        x2, y2, z2 = vertices[i2]
        left, right = _pixels(x0, x1, x2, width, inclusive)
        top, bottom = _pixels(y0, y1, y2, height, inclusive)
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                w0, w1, w2 = _weights(np.float32(column), np.float32(row), x0, y0, x1, y1, x2, y2)
                if inclusive:
                    if not (w2 >= _ZERO and w1 >= _ZERO and w1 + w2 < _ONE):
                        continue
                elif not (w0 > _ZERO and w1 > _ZERO and w2 > _ZERO):
                    continue
                z = w0 * z0 + w1 * z1 + w2 * z2
                if not z > depth[row, column]:
                    continue
                depth[row, column] = z
                target = height - 1 - row if reverse else row
                for channel in range(3):
                    color = w0 * colors[i0, channel] + w1 * colors[i1, channel] + w2 * colors[i2, channel]
                    below = np.float32(picture[target, column, channel])
                    # Through int32: a float beyond 0..255 has no uint8.
                    blend = (_ONE - alpha) * below + alpha * np.float32(255) * color
                    picture[target, column, channel] = np.uint8(np.int32(blend) & 255)
