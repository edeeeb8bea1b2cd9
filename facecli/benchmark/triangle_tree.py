"""Closest points of triangles by a tree of boxes: exact, compiled by numba, so there is nothing to install for it."""

from __future__ import annotations

import numpy as np

from facecli.render.jit import jit

_LEAF = 4  # triangles
_DEPTH = 128  # halving leaves no tree of more than 64 levels
_SLIVER = 1e-8  # (sine of a triangle's angle)², below which barycentric coordinates lose half their digits


@jit
def build(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tree of boxes around `corners` [F, 3, 3], split at the median of the centroids along their longest extent.

    Returns:
        `boxes` [N, 6], low and high corner of each node; `children` [N, 2], its two nodes, or, of a leaf,
        (-1 - first, count) in `order`; `order` [F], triangles as the leaves have them.
    """
    count = len(corners)
    centroids = (corners[:, 0] + corners[:, 1] + corners[:, 2]) / 3
    order = np.arange(count)
    boxes = np.empty((2 * count, 6))
    children = np.empty((2 * count, 2), np.int64)
    waiting = np.empty((_DEPTH, 3), np.int64)  # node, first and last + 1 in `order`
    waiting[0, 0], waiting[0, 1], waiting[0, 2] = 0, 0, count
    todo, nodes = 1, 1
    while todo:
        todo -= 1
        node, first, last = waiting[todo]
        longest, axis = -1.0, 0
        for k in range(3):
            low = high = corners[order[first], 0, k]
            near = far = centroids[order[first], k]
            for t in order[first:last]:
                low = min(low, corners[t, 0, k], corners[t, 1, k], corners[t, 2, k])
                high = max(high, corners[t, 0, k], corners[t, 1, k], corners[t, 2, k])
                near, far = min(near, centroids[t, k]), max(far, centroids[t, k])
            boxes[node, k], boxes[node, k + 3] = low, high
            if far - near > longest:
                longest, axis = far - near, k
        if last - first <= _LEAF:
            children[node, 0], children[node, 1] = -1 - first, last - first
            continue
        part = order[first:last].copy()
        order[first:last] = part[np.argsort(centroids[part, axis])]
        children[node, 0], children[node, 1] = nodes, nodes + 1
        middle = (first + last) // 2
        waiting[todo, 0], waiting[todo, 1], waiting[todo, 2] = nodes, first, middle
        waiting[todo + 1, 0], waiting[todo + 1, 1], waiting[todo + 1, 2] = nodes + 1, middle, last
        todo += 2
        nodes += 2
    return boxes[:nodes].copy(), children[:nodes].copy(), order


@jit
def query(
    points: np.ndarray, corners: np.ndarray, boxes: np.ndarray, children: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The points [n, 3] of the triangles that are closest to `points` [n, 3], and their triangles [n].

    Args:
        corners: [F, 3, 3], those that the tree was built of.
        boxes, children, order: what :func:`build` gave.
    """
    closest = np.empty((len(points), 3))
    triangle = np.empty(len(points), np.int64)
    waiting, distance = np.empty(_DEPTH, np.int64), np.empty(_DEPTH)
    found = np.empty(3)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        best = np.inf
        waiting[0], distance[0] = 0, 0.0
        todo = 1
        while todo:
            todo -= 1
            if distance[todo] >= best:
                continue
            left, right = children[waiting[todo], 0], children[waiting[todo], 1]
            if left < 0:
                for t in order[-1 - left : right - 1 - left]:
                    squared = _closest(corners, t, x, y, z, found)
                    if squared < best:
                        best = squared
                        triangle[i] = t
                        closest[i, 0], closest[i, 1], closest[i, 2] = found[0], found[1], found[2]
                continue
            to_left, to_right = _to_box(boxes, left, x, y, z), _to_box(boxes, right, x, y, z)
            if to_left < to_right:  # the nearer one comes last, that is, first from the stack
                left, right, to_left, to_right = right, left, to_right, to_left
            if to_left < best:
                waiting[todo], distance[todo] = left, to_left
                todo += 1
            if to_right < best:
                waiting[todo], distance[todo] = right, to_right
                todo += 1
    return closest, triangle


@jit
def _to_box(boxes, node, x, y, z):
    """Squared distance from a point to a box."""
    dx = max(boxes[node, 0] - x, 0.0, x - boxes[node, 3])
    dy = max(boxes[node, 1] - y, 0.0, y - boxes[node, 4])
    dz = max(boxes[node, 2] - z, 0.0, z - boxes[node, 5])
    return dx * dx + dy * dy + dz * dz


@jit
def _closest(corners, t, x, y, z, found):
    """Squared distance from a point to triangle `t`, whose closest point goes to `found`.

    By the Voronoi regions of corners, edges and face (C. Ericson, Real-Time Collision Detection, 5.1.5). A triangle
    without area must be given as a segment, its last two corners being the same (see `closest_point`).
    """
    ax, ay, az = corners[t, 0, 0], corners[t, 0, 1], corners[t, 0, 2]
    abx, aby, abz = corners[t, 1, 0] - ax, corners[t, 1, 1] - ay, corners[t, 1, 2] - az
    acx, acy, acz = corners[t, 2, 0] - ax, corners[t, 2, 1] - ay, corners[t, 2, 2] - az
    apx, apy, apz = x - ax, y - ay, z - az
    bb = abx * abx + aby * aby + abz * abz
    bc = abx * acx + aby * acy + abz * acz
    cc = acx * acx + acy * acy + acz * acz
    d1 = abx * apx + aby * apy + abz * apz
    d2 = acx * apx + acy * apy + acz * apz
    d3, d4, d5, d6 = d1 - bb, d2 - bc, d1 - bc, d2 - cc
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    v = w = 0.0
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        v = 1.0
    elif d6 >= 0 and d5 <= d6:
        w = 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v = d1 / bb
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        w = d2 / cc
    elif va <= 0 and d4 >= d3 and d5 >= d6:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1 - w
    else:
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    best = _away(apx, apy, apz, abx, aby, abz, acx, acy, acz, v, w)
    if bb * cc - bc * bc <= _SLIVER * bb * cc:
        # Rounding may have chosen the wrong region: any edge may be closer, or the face, whose coordinates are found
        # across `ab` here, without products of products.
        px, py, pz = acx - bc / bb * abx, acy - bc / bb * aby, acz - bc / bb * abz
        w_face = (apx * px + apy * py + apz * pz) / (px * px + py * py + pz * pz)
        v_face = d1 / bb - w_face * bc / bb
        for way in range(4):
            if way == 3:
                if not (v_face >= 0 and w_face >= 0 and v_face + w_face <= 1):
                    break
                other_v, other_w = v_face, w_face
            elif way == 0:
                other_v, other_w = min(max(d1 / bb, 0.0), 1.0), 0.0
            elif way == 1:
                other_v, other_w = 0.0, min(max(d2 / cc, 0.0), 1.0)
            else:
                along = (d4 - d3) + (d5 - d6)
                other_w = min(max((d4 - d3) / along, 0.0), 1.0) if along > 0 else 0.0
                other_v = 1 - other_w
            squared = _away(apx, apy, apz, abx, aby, abz, acx, acy, acz, other_v, other_w)
            if squared < best:
                best, v, w = squared, other_v, other_w
    found[0] = ax + v * abx + w * acx
    found[1] = ay + v * aby + w * acy
    found[2] = az + v * abz + w * acz
    return best


@jit
def _away(apx, apy, apz, abx, aby, abz, acx, acy, acz, v, w):
    """Squared distance from a point to a + v ab + w ac."""
    dx, dy, dz = apx - v * abx - w * acx, apy - v * aby - w * acy, apz - v * abz - w * acz
    return dx * dx + dy * dy + dz * dz
