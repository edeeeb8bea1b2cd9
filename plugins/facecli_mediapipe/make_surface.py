"""Makes ``surface.npz``: the triangles, mirror map, mean shape and UV layout of MediaPipe's face surface.

    python -m facecli_mediapipe.make_surface PHOTO… -o plugins/facecli_mediapipe/surface.npz

MediaPipe's wheel has the connectivity of its 468 points (as a set of edges) but neither triangles nor a rest shape.
Triangles are recovered from the edges, and the eyes and the mouth, open there, are closed. The mean shape is the
average of MediaPipe's own points on the photographs given (one person each), made symmetric; it is what head poses are
measured against. The UV layout is the least-squares conformal map of the mean shape (Lévy et al., 2002), so it depends
on no photograph that is reconstructed later. Only developers run this; needs legacy MediaPipe (0.10.21).
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from facecli_mediapipe.reconstructor import IRIS_DIAMETER_MM, iris_diameter
from facecli_mediapipe.surface import ALL_POINTS, FACE_POINTS, similarity_fit

FOREHEAD, CHIN = 10, 152
"""On the midline. The head frame is upright when the chin is straight below the forehead, which is within two
degrees of MediaPipe's own canonical face."""
EARS = (234, 454)
"""Foremost points of the ears; the head frame's origin lies between them."""
HOLES = ((33, 133), (362, 263), (78, 308))
"""Corner points of the right eye, the left eye and the inner lips."""
KNOWN_TWINS = ((33, 263), (133, 362), (61, 291), (234, 454), (58, 288), (70, 300), (10, 10), (152, 152), (4, 4))
"""Enough pairs to lay a face onto its mirror image for the first time."""

Triangle = tuple[int, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, help="one person each")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    triangles = surface_triangles()
    shapes = [points for photo in arguments.photos for points in points_of(photo)]
    mirror = mirror_map(shapes)
    mean = mean_shape(shapes, mirror)
    uv = conformal_uv(mean[:FACE_POINTS], triangles, mirror)
    np.savez_compressed(
        arguments.output,
        triangles=triangles.astype(np.int16),
        mirror=mirror.astype(np.int16),
        mean=mean.astype(np.float32),
        uv=uv.astype(np.float32),
    )


# --- triangles -------------------------------------------------------------------------------------------------------


def surface_triangles() -> np.ndarray:
    """[898, 3] triangles of the 468 points, counter-clockwise seen from the front."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    found = _oriented(_cycles(FACEMESH_TESSELATION), set(FACEMESH_TESSELATION))
    filled = found + [t for corners in HOLES for t in _fill(_hole(found, *corners), *corners)]
    return np.array(sorted(filled))


def _cycles(edges) -> list[Triangle]:
    """Triples of mutually connected points that are triangles of the surface."""
    neighbours = defaultdict(set)
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    cycles = {tuple(sorted((a, b, c))) for a, b in edges for c in neighbours[a] & neighbours[b]}
    uses = Counter(edge for cycle in cycles for edge in _sides(cycle))
    # A triple that is only a ring around other triangles shares all three sides with two triangles each.
    return [cycle for cycle in cycles if any(uses[edge] < 3 for edge in _sides(cycle))]


def _sides(cycle) -> list[tuple[int, int]]:
    a, b, c = sorted(cycle)
    return [(a, b), (a, c), (b, c)]


def _oriented(cycles: list[Triangle], directed: set[tuple[int, int]]) -> list[Triangle]:
    """The triangles with one orientation: sides at the border occur in one direction only, which starts it."""
    beside = defaultdict(list)
    for cycle in cycles:
        for side in _sides(cycle):
            beside[side].append(cycle)
    start = next(side for side, both in sorted(beside.items()) if len(both) == 1)
    edge = start if start in directed else start[::-1]
    done: dict[Triangle, Triangle] = {}
    waiting = [(beside[start][0], edge)]
    while waiting:
        cycle, (a, b) = waiting.pop()
        if cycle in done:
            continue
        (c,) = set(cycle) - {a, b}
        done[cycle] = (a, b, c)
        for p, q in ((a, b), (b, c), (c, a)):
            waiting += [(other, (q, p)) for other in beside[tuple(sorted((p, q)))] if other not in done]
    return list(done.values())


def _hole(triangles: list[Triangle], first: int, last: int) -> dict[int, int]:
    """The border that runs through `first` and `last`, as point -> next point, along the triangles' own direction."""
    directed = {(t[i], t[(i + 1) % 3]) for t in triangles for i in range(3)}
    onwards = {a: b for a, b in directed if (b, a) not in directed}
    border, point = {}, first
    while point not in border:
        border[point] = onwards[point]
        point = onwards[point]
    assert last in border, (first, last)
    return border


def _fill(border: dict[int, int], first: int, last: int) -> list[Triangle]:
    """Triangles between the upper and the lower rim of an eye or a mouth, zipped from corner to corner."""
    there = _walk(border, first, last)
    back = _walk(border, last, first)[::-1]
    triangles = []
    for i in range(1, len(there)):
        a, b, c, d = there[i - 1], there[i], back[i - 1], back[i]
        triangles += [t for t in ((a, c, b), (b, c, d)) if len(set(t)) == 3]
    return triangles


def _walk(border: dict[int, int], start: int, end: int) -> list[int]:
    path = [start]
    while path[-1] != end:
        path.append(border[path[-1]])
    return path


# --- symmetry --------------------------------------------------------------------------------------------------------


def mirror_map(shapes: list[np.ndarray]) -> np.ndarray:
    """[478] each point's mirror twin, from a few known pairs and then all points, averaged over the `shapes`.

    The connectivity alone doesn't give it: some of its diagonals aren't symmetric.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    known = np.array([*KNOWN_TWINS, *(pair[::-1] for pair in KNOWN_TWINS)])
    source, twin = known[:, 0], known[:, 1]
    while True:
        cost = np.zeros((ALL_POINTS, ALL_POINTS))
        for shape in shapes:
            face = shape / _size(shape)
            flipped = face * (-1, 1, 1)
            scale, rotation, shift = similarity_fit(flipped[source], face[twin])
            cost += cdist(scale * flipped @ rotation.T + shift, face) ** 2
        mirror = linear_sum_assignment(cost)[1]
        if len(twin) == ALL_POINTS and (mirror == twin).all():
            break
        source, twin = np.arange(ALL_POINTS), mirror
    assert (mirror[mirror] == np.arange(ALL_POINTS)).all()
    return mirror


# --- mean shape ------------------------------------------------------------------------------------------------------


def points_of(photo: Path) -> list[np.ndarray]:
    """[478, 3] points of each face in a photograph, x right, y up, z to the viewer, in pixels."""
    from facecli.io.images import read_image
    from facecli_mediapipe.landmarker import MediaPipeLandmarker

    return [face.points * (1, -1, -1) for face in MediaPipeLandmarker().detect([read_image(photo)])[0]]


def mean_shape(shapes: list[np.ndarray], mirror: np.ndarray) -> np.ndarray:
    """[478, 3] millimetres: generalised Procrustes mean of the shapes and their mirror images, upright, centred."""
    shapes = [shape * (IRIS_DIAMETER_MM / iris_diameter(shape)) for shape in shapes]
    shapes += [shape[mirror] * (-1, 1, 1) for shape in shapes]
    mean = shapes[0]
    for _ in range(20):
        mean = np.mean([_onto(shape, mean) for shape in shapes], 0)
        mean = (mean + mean[mirror] * (-1, 1, 1)) / 2
        mean *= np.mean([_size(shape) for shape in shapes]) / _size(mean)
    tilt = np.arctan2(mean[FOREHEAD, 2] - mean[CHIN, 2], mean[FOREHEAD, 1] - mean[CHIN, 1])
    cos, sin = np.cos(tilt), np.sin(tilt)
    mean = mean @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]).T
    return mean - mean[list(EARS)].mean(0)


def _onto(shape: np.ndarray, target: np.ndarray) -> np.ndarray:
    scale, rotation, shift = similarity_fit(shape[:FACE_POINTS], target[:FACE_POINTS])
    return scale * shape @ rotation.T + shift


def _size(shape: np.ndarray) -> float:
    face = shape[:FACE_POINTS]
    return float(np.sqrt(((face - face.mean(0)) ** 2).sum()))


# --- UV layout -------------------------------------------------------------------------------------------------------


def conformal_uv(vertices: np.ndarray, triangles: np.ndarray, mirror: np.ndarray, margin: float = 0.03) -> np.ndarray:
    """[468, 2] least-squares conformal map, mirror symmetric about u = 0.5, filling the unit square but a margin."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import lsqr

    rows, columns, values = [], [], []
    count = len(vertices)
    for i, triangle in enumerate(triangles):
        a, b, c = vertices[triangle]
        x = (b - a) / np.linalg.norm(b - a)
        height = (c - a) - x * ((c - a) @ x)
        flat = np.array([0, np.linalg.norm(b - a), (c - a) @ x + 1j * np.linalg.norm(height)])
        weights = np.array([flat[2] - flat[1], flat[0] - flat[2], flat[1] - flat[0]])
        weights = weights / np.sqrt(np.linalg.norm(b - a) * np.linalg.norm(height))
        for vertex, w in zip(triangle, weights, strict=True):
            rows += [2 * i, 2 * i, 2 * i + 1, 2 * i + 1]
            columns += [vertex, vertex + count, vertex, vertex + count]
            values += [w.real, -w.imag, w.imag, w.real]
    matrix = csr_matrix((values, (rows, columns)), shape=(2 * len(triangles), 2 * count))
    fixed = {FOREHEAD: 0.5, FOREHEAD + count: 1.0, CHIN: 0.5, CHIN + count: 0.0}
    free = np.array([i for i in range(2 * count) if i not in fixed])
    known = np.array(list(fixed))
    right = -matrix[:, known] @ np.array(list(fixed.values()))
    solution = np.zeros(2 * count)
    solution[known] = list(fixed.values())
    solution[free] = lsqr(matrix[:, free], right, atol=1e-12, btol=1e-12, iter_lim=20000)[0]
    uv = solution.reshape(2, count).T
    uv = (uv + (uv[mirror[:FACE_POINTS]] * (-1, 1) + (1, 0))) / 2
    low, high = uv.min(0), uv.max(0)
    return (uv - (low + high) / 2) * (1 - 2 * margin) / (high - low).max() + 0.5


if __name__ == "__main__":
    main()
