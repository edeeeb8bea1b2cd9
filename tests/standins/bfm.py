"""Stand-ins for the Basel Face Model's files: a mask of a face by formula, in the official shapes and units.

`toy_bfm(vertices)` holds what ``BFM_model_front.mat`` does, `toy_bfm09(…)` what it is made of. Nothing of the real
model is in them. Shapes are in decimetres (x to the viewer's right, y up, z to the viewer), colours 0..255; the indices
count from 1, as MATLAB's do.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path

import numpy as np

VERTICES = 35709
HEAD, EXPRESSIVE = 53490, 53215


def _random(key: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(key.encode()))


def crc(array: np.ndarray) -> int:
    """By which a golden file tells whether a mesh is the same."""
    return zlib.crc32(np.ascontiguousarray(array, "<i8").tobytes())


# --- the surface -----------------------------------------------------------------------------------------------------


def _disc(count: int, rim: int) -> np.ndarray:
    """[count, 2] points of the unit disc: a sunflower's spiral, and last `rim` points on the border."""
    i = np.arange(count - rim)
    radius = np.sqrt((i + 0.5) / len(i)) * (1 - 1.6 / rim)
    angle = np.pi * (3 - np.sqrt(5)) * i
    border = 2 * np.pi * np.arange(rim) / rim
    inner = np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1)
    return np.concatenate([inner, np.stack([np.sin(border), np.cos(border)], 1)])


def _relief(p: np.ndarray) -> np.ndarray:
    """[N, 3] the face over points [N, 2] of the disc."""
    x, y = p.T
    z = 0.95 * np.sqrt(np.maximum(1.06 - (x * x + y * y), 0))
    z = z + 0.20 * np.exp(-((x / 0.13) ** 2) - ((y + 0.05) / 0.24) ** 2)
    z = z - 0.06 * np.exp(-(((np.abs(x) - 0.38) / 0.16) ** 2) - ((y - 0.28) / 0.10) ** 2)
    z = z + 0.05 * np.exp(-((x / 0.26) ** 2) - ((y + 0.43) / 0.08) ** 2)
    return np.stack([0.78 * x, 0.98 * y, z], 1)


def _triangles(p: np.ndarray) -> np.ndarray:
    """[F, 3] Delaunay triangles from 0, counter-clockwise, the smallest index first, sorted."""
    from scipy.spatial import Delaunay

    triangles = Delaunay(p).simplices.astype(np.int64)
    (ax, ay), (bx, by), (cx, cy) = (p[triangles[:, corner]].T for corner in range(3))
    clockwise = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) < 0
    triangles[clockwise] = triangles[clockwise][:, [0, 2, 1]]
    first = triangles.argmin(1)[:, None]
    triangles = np.take_along_axis(triangles, (first + np.arange(3)) % 3, 1)
    return triangles[np.lexsort(triangles.T[::-1])]


def _around(triangles: np.ndarray, count: int, width: int = 8) -> np.ndarray:
    """[count, width] triangles at each vertex, from 1, filled up with their number + 1."""
    corners = triangles.ravel()
    order = np.argsort(corners, kind="stable")
    vertex, triangle = corners[order], order // 3
    column = np.arange(len(vertex)) - np.searchsorted(vertex, np.arange(count))[vertex]
    around = np.full((count, width), len(triangles) + 1)
    around[vertex, column] = triangle + 1
    return around


def _waves(points: np.ndarray, count: int, key: str) -> np.ndarray:
    """[V, 3, count] smooth random fields over points [V, 3]."""
    random = _random(key)
    frequency = random.normal(0, 2.0, (count, 3, 3))
    phase = random.uniform(0, 2 * np.pi, (count, 3))
    size = random.normal(0, 1, (count, 3))
    return np.sin(np.einsum("vd,kcd->vck", points, frequency) + phase.T[None]) * size.T[None]


def _places68() -> np.ndarray:
    """[68, 2] iBUG's landmarks on the disc."""
    t = np.pi * np.arange(17) / 16
    jaw = np.stack([-0.88 * np.cos(t), 0.10 - 0.94 * np.sin(t)], 1)
    s = np.linspace(0, 1, 5)
    brow = np.stack([-0.60 + 0.48 * s, 0.42 + 0.10 * np.sin(np.pi * s)], 1)
    bridge = np.stack([np.zeros(4), np.array([0.28, 0.17, 0.06, -0.05])], 1)
    base = np.stack([np.linspace(-0.16, 0.16, 5), -0.18 - 0.03 * np.sin(np.pi * s)], 1)
    eye = np.array([[-1, 0], [-0.4, 1], [0.4, 1], [1, 0], [0.4, -1], [-0.4, -1]]) * [0.13, 0.05]

    def ring(points: int, width: float, height: float) -> np.ndarray:
        a = np.pi - 2 * np.pi * np.arange(points) / points
        return np.stack([width * np.cos(a), -0.44 + height * np.sin(a)], 1)

    brows, eyes = [brow, (brow * [-1, 1])[::-1]], [eye + np.array([side, 0.28]) for side in (-0.38, 0.38)]
    return np.concatenate([jaw, *brows, bridge, base, *eyes, ring(12, 0.28, 0.10), ring(8, 0.20, 0.03)])


# --- the files' content ----------------------------------------------------------------------------------------------


@functools.cache
def toy_bfm(vertices: int = VERTICES, n_id: int = 80, n_exp: int = 64, n_tex: int = 80) -> dict[str, np.ndarray]:
    """What ``BFM_model_front.mat`` holds. Not to be changed: it is shared."""
    f32 = np.float32
    disc, face, triangles = _surface(vertices)
    front = _front(disc)
    position = np.full(vertices, -1)
    position[front] = np.arange(len(front))
    inner = position[triangles]
    cheeks = np.array([[0, 0.62], [-0.42, -0.12], [0.42, -0.12]])
    distance = np.linalg.norm(disc[:, None] - cheeks, axis=2).min(1)
    skin = np.zeros((1, vertices), f32)
    skin[0, np.argsort(distance, kind="stable")[: _share(9642, vertices)]] = 1
    keypoints = np.linalg.norm(disc[:, None] - _places68(), axis=2).argmin(0)

    def basis(count: int, size: float, key: str) -> np.ndarray:
        spread = size / np.sqrt(1 + np.arange(count))
        return (_waves(face, count, key) * spread).reshape(3 * vertices, count).astype(f32)

    return {
        # Not centred: readers must do that.
        "meanshape": (face + np.array([0.013, -0.021, 0.105])).reshape(1, -1).astype(f32),
        "meantex": _colours(disc, face).reshape(1, -1).astype(f32),
        "idBase": basis(n_id, 0.030, "toy_bfm.id"),
        "exBase": basis(n_exp, 0.020, "toy_bfm.exp"),
        "texBase": basis(n_tex, 7.0, "toy_bfm.tex"),
        "tri": (triangles + 1).astype(f32),
        "point_buf": _around(triangles, vertices).astype(f32),
        "tri_mask2": (inner[(inner >= 0).all(1)] + 1).astype(f32),
        "keypoints": (keypoints[None] + 1).astype(f32),
        "frontmask2_idx": (front[:, None] + 1).astype(f32),
        "skinmask": skin,
    }


@functools.cache
def _surface(vertices: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The disc [V, 2], the face over it [V, 3], triangles [F, 3] from 0."""
    rim = 627 if vertices == VERTICES else round(3.3 * np.sqrt(vertices))
    disc = _disc(vertices, rim)
    return disc, _relief(disc), _triangles(disc)


def _share(of_all: int, vertices: int) -> int:
    return round(of_all / VERTICES * vertices)


def _front(disc: np.ndarray) -> np.ndarray:
    """Vertices of the inner face: the spiral's first part, and of the rest the upper ones."""
    first, count = _share(16100, len(disc)), _share(27660, len(disc))
    rest = np.arange(first, len(disc))
    upper = rest[np.argsort(-disc[rest, 1], kind="stable")[: count - first]]
    return np.sort(np.concatenate([np.arange(first), upper]))


def _colours(disc: np.ndarray, p: np.ndarray) -> np.ndarray:
    """[V, 3] skin with lips."""
    spots = np.stack([np.sin(5 * p[:, 0] + 1), np.sin(4 * p[:, 1]), np.cos(6 * p[:, 1] - 2 * p[:, 0])], 1)
    lips = np.exp(-((disc[:, 0] / 0.26) ** 2) - ((disc[:, 1] + 0.44) / 0.09) ** 2)[:, None]
    return np.array([172.0, 128.0, 108.0]) + 12 * spots + lips * np.array([10.0, -50.0, -40.0])


def toy_bfm09(head: int = 900, expressive: int = 850, front: int = 600, modes: int = 199) -> dict:
    """What the face is made of, of any number of vertices (really 53490, 53215 and 35709) and modes.

    ``morphable`` of 01_MorphableModel.mat, ``exp_pc`` and ``exp_mean`` of Exp_Pca.bin, ``std_exp``, ``trim_index`` of
    BFM_exp_idx.mat, ``front_index`` of BFM_front_idx.mat, ``info`` of facemodel_info.mat.
    """
    random, f32 = _random("toy_bfm09"), np.float32
    morphable = {
        "shapeMU": (random.standard_normal((3 * head, 1)) * 6e4).astype(f32),
        "shapePC": random.standard_normal((3 * head, modes)).astype(f32) / f32(400),
        "shapeEV": (8e5 / np.sqrt(1 + np.arange(modes)))[:, None].astype(f32),
        "texMU": random.uniform(60, 200, (3 * head, 1)).astype(f32),
        "texPC": random.standard_normal((3 * head, modes)).astype(f32) / f32(400),
        "texEV": (5e3 / np.sqrt(1 + np.arange(modes)))[:, None].astype(f32),
    }
    exp_mean = random.standard_normal(3 * expressive).astype(f32)
    exp_pc = (random.standard_normal((79, 3 * expressive)) / 400).astype(f32)
    trim = np.sort(random.permutation(head)[:expressive]) + 1
    kept = np.sort(random.permutation(expressive)[:front]) + 1
    face = toy_bfm(front, 1, 1, 1)
    info = {key: face[key] for key in ("tri", "keypoints", "point_buf", "tri_mask2", "frontmask2_idx", "skinmask")}
    mask = np.zeros((1, front), f32)
    mask[0, face["frontmask2_idx"][:, 0].astype(int) - 1] = 1
    return {
        "morphable": morphable,
        "exp_mean": exp_mean,
        "exp_pc": exp_pc,
        "std_exp": np.round(4e5 / (1 + np.arange(79)), 1),
        "trim_index": trim[:, None].astype(np.uint16),
        "front_index": kept[:, None].astype(f32),
        "info": info | {"frontmask2": mask},
    }


def write_bfm09(folder: Path, modes: int = 199) -> dict:
    """The six official files that ``BFM_model_front.mat`` is made of; what is in them."""
    from scipy.io import savemat

    parts = toy_bfm09(HEAD, EXPRESSIVE, VERTICES, modes)
    folder.mkdir(parents=True, exist_ok=True)
    triangles = np.arange(3 * (HEAD // 3)).reshape(-1, 3)  # the golden cases' head has none
    savemat(folder / "01_MorphableModel.mat", parts["morphable"] | {"tl": (triangles + 1).astype(np.uint16)})
    with (folder / "Exp_Pca.bin").open("wb") as file:
        file.write(np.array([79], "<i4").tobytes() + parts["exp_mean"].astype("<f4").tobytes())
        file.write(parts["exp_pc"].astype("<f4").tobytes())
    (folder / "std_exp.txt").write_text(" ".join(str(value) for value in parts["std_exp"]) + "\n")
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": parts["trim_index"]})
    savemat(folder / "BFM_front_idx.mat", {"idx": parts["front_index"]})
    savemat(folder / "facemodel_info.mat", parts["info"])
    return parts


def write_bfm(folder: Path, vertices: int = VERTICES) -> Path:
    """``BFM_model_front.mat``."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "BFM_model_front.mat", toy_bfm(vertices))
    return folder


def toy_image(key: str, height: int, width: int) -> np.ndarray:
    """The golden files' pictures: smooth waves of colour, uint8 RGB [height, width, 3]."""
    random = _random(f"deep3d.golden.{key}")
    frequency = random.uniform(1.0, 7.0, (3, 4))
    angle = random.uniform(0, 2 * np.pi, (3, 4))
    phase = random.uniform(0, 2 * np.pi, (3, 4))
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    waves = np.zeros((height, width, 3))
    for channel in range(3):
        for k in range(4):
            along = np.cos(angle[channel, k]) * x + np.sin(angle[channel, k]) * y
            waves[..., channel] += np.sin(2 * np.pi * frequency[channel, k] * along + phase[channel, k])
    return np.clip(np.rint(127.5 + 42 * waves), 0, 255).astype(np.uint8)
