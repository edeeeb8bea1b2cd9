"""Deterministic stand-ins for the data files that DECA reads next to FLAME.

Same keys, shapes and dtypes as the official files, none of their content: every array is a pure
function built on `standins.flame.toy_flame()`.  Nothing is stored.

    toy_uv()                  vt (5118, 2) float32, ft (9976, 3) int64    (the `vt`/`f` data of head_template.obj)
    toy_landmark_embedding()  dict                                        (landmark_embedding.npy)
    toy_mask(size=256)        (size, size) uint8                          (red channel of uv_face_eye_mask.png)
    toy_fixed_displacement(size=256)  (size, size) float64, metres        (fixed_displacement_256.npy)
    toy_dense_template(size=256)      dict                                (texture_data_256.npy)
    toy_albedo(n)             MU (786432,), PC (786432, n) float32        (FLAME_albedo_from_BFM.npz, n = 199 there)
    toy_albedo_image(size)    (3, size, size) float32 in [0, 1]           an RGB albedo map for shading tests
"""

from __future__ import annotations

import numpy as np

from seeded import rng as _rng
from standins.flame import sphere_points as _sphere_points
from standins.flame import toy_flame


def _unit_points() -> np.ndarray:
    """The points on the unit sphere that toy_flame() is built on, (5023, 3)."""
    n, b = 5023, 68
    inner = _sphere_points(n - b, -0.85)
    t = 2 * np.pi * np.arange(b) / b
    r = np.sqrt(1 - 0.9**2)
    return np.concatenate([inner, np.stack([r * np.sin(t), np.full(b, -0.9), r * np.cos(t)], 1)])


def toy_uv() -> tuple[np.ndarray, np.ndarray]:
    """Azimuthal map around +y; 95 vertices have a second, equal uv entry, so that ft != f."""
    p = _unit_points()
    f = toy_flame()["f"].astype(np.int64)
    r = np.arccos(np.clip(p[:, 1], -1, 1)) / np.arccos(-0.9)
    a = np.arctan2(p[:, 0], p[:, 2])
    vt = np.stack([0.5 + 0.48 * r * np.sin(a), 0.5 - 0.48 * r * np.cos(a)], 1)
    twice = 50 * np.arange(95)
    ft = f.copy()
    odd = np.arange(len(f)) % 2 == 1
    for i, j in enumerate(twice):
        ft[(f == j) & odd[:, None]] = 5023 + i
    return np.concatenate([vt, vt[twice]]).astype(np.float32), ft


def _pick(xy: np.ndarray, centroids: np.ndarray, normals: np.ndarray) -> np.ndarray:
    ok = np.flatnonzero(normals[:, 2] > 0.2)
    return ok[((centroids[ok, None, :2] - xy[None]) ** 2).sum(2).argmin(0)]


def toy_landmark_embedding() -> dict:
    m = toy_flame()
    v, f = m["v_template"], m["f"].astype(np.int64)
    tri = v[f]
    cen = tri.mean(1)
    nrm = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    nrm /= np.linalg.norm(nrm, axis=1, keepdims=True)

    def bary(shape, key):
        w = _rng(key).uniform(0.05, 1.0, (*shape, 3))
        return w / w.sum(-1, keepdims=True)

    i = np.arange(51)
    r, a = 0.055 * np.sqrt((i + 0.5) / 51), 2.399963229728653 * i
    static_f = _pick(np.stack([r * np.cos(a), r * np.sin(a) - 0.01], 1), cen, nrm)
    static_b = bary((51,), "toy_deca.static")
    yaw = np.concatenate([np.arange(40), -np.arange(1, 40)])  # row -> degrees
    t = np.pi * (1 + (np.arange(17) + 0.5) / 17)
    arc = np.stack([0.06 * np.cos(t), 0.07 * np.sin(t)], 1)
    dyn_f = np.stack([_pick(arc + np.array([y * 0.0003, 0.0]), cen, nrm) for y in yaw])
    dyn_b = bary((79, 17), "toy_deca.dynamic").astype(np.float32)
    return {
        "static_lmk_faces_idx": static_f,
        "static_lmk_bary_coords": static_b,
        "dynamic_lmk_faces_idx": dyn_f,  # int64 (79, 17); a torch tensor in the official file
        "dynamic_lmk_bary_coords": dyn_b,  # float32 (79, 17, 3); a torch tensor in the official file
        "full_lmk_faces_idx": np.concatenate([dyn_f[0], static_f])[None],
        "full_lmk_bary_coords": np.concatenate([dyn_b[0], static_b])[None].astype(np.float32),
    }


def toy_mask(size: int = 256) -> np.ndarray:
    c = (np.arange(size) + 0.5) / size
    d = np.hypot((c[None] - 0.5) / 0.3, (c[:, None] - 0.72) / 0.24)
    return np.round(255 * np.clip((1.1 - d) / 0.2, 0, 1)).astype(np.uint8)


def toy_fixed_displacement(size: int = 256) -> np.ndarray:
    c = 2 * np.pi * (np.arange(size) + 0.5) / size
    return 1e-3 * np.sin(3 * c)[None] * np.cos(2 * c)[:, None] + 1e-4


def toy_dense_template(size: int = 256) -> dict:
    """Pixels of the UV map that lie in a triangle, with that triangle's vertices and weights.

    Pixel number p is column p // size, row p % size; its centre is (column + 0.5, row + 0.5) and
    row 0 is v = 1.  `f` joins neighbouring valid pixels and indexes `valid_pixel_ids`.
    """
    vt, ft = toy_uv()
    f = toy_flame()["f"].astype(np.int64)
    xy = np.stack([vt[:, 0] * size, size - vt[:, 1] * size], 1).astype(np.float64)
    owner = np.full((size, size), -1)
    bary = np.zeros((size, size, 3))
    for t in range(len(ft)):
        a, b, c = xy[ft[t]]
        lo = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c) - 0.5).astype(int), 0)
        hi = np.minimum(np.floor(np.maximum(np.maximum(a, b), c) - 0.5).astype(int), size - 1)
        if (hi < lo).any():
            continue
        gx, gy = np.meshgrid(np.arange(lo[0], hi[0] + 1), np.arange(lo[1], hi[1] + 1))
        px, py = gx + 0.5, gy + 0.5
        det = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        w1 = ((px - a[0]) * (c[1] - a[1]) - (py - a[1]) * (c[0] - a[0])) / det
        w2 = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) / det
        w = np.stack([1 - w1 - w2, w1, w2], -1)
        ok = (w >= 0).all(-1) & (owner[gy, gx] < 0)
        owner[gy[ok], gx[ok]] = t
        bary[gy[ok], gx[ok]] = w[ok]
    x = np.repeat(np.arange(size), size)
    y = np.tile(np.arange(size), size)
    ids = np.flatnonzero(owner[y, x] >= 0)
    number = np.full(size * size, -1)
    number[ids] = np.arange(len(ids))
    grid = number.reshape(size, size)  # [column, row]
    quad = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]], -1).reshape(-1, 4)
    quad = quad[(quad >= 0).all(1)]
    return {
        "img_size": size,
        "f": np.concatenate([quad[:, [0, 2, 1]], quad[:, [1, 2, 3]]]),
        "x_coords": x + 0.5,
        "y_coords": y + 0.5,
        "valid_pixel_ids": ids,
        "valid_pixel_3d_faces": f[owner[y, x][ids]],
        "valid_pixel_b_coords": bary[y, x][ids],
    }


def toy_albedo(n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """MU and the first n columns of PC; flattened [512 rows, 512 columns, (b, g, r)]."""
    c = 2 * np.pi * (np.arange(512) + 0.5) / 512
    mu = np.stack([0.5 + 0.2 * np.sin((k + 1) * c)[None] * np.cos((3 - k) * c)[:, None] for k in range(3)], -1)
    rng = _rng("toy_deca.albedo")
    fx, fy = rng.integers(1, 9, (n, 3)), rng.integers(1, 9, (n, 3))
    amp = 0.05 * rng.standard_normal((n, 3)) / np.sqrt(1 + np.arange(n))[:, None]
    pc = np.empty((512, 512, 3, n), np.float32)
    for k in range(n):
        for ch in range(3):
            pc[:, :, ch, k] = amp[k, ch] * np.sin(fx[k, ch] * c)[None] * np.cos(fy[k, ch] * c)[:, None]
    return mu.reshape(-1).astype(np.float32), pc.reshape(-1, n)


def toy_albedo_image(size: int = 256) -> np.ndarray:
    c = 2 * np.pi * (np.arange(size) + 0.5) / size
    return np.stack([0.5 + 0.3 * np.sin((k + 2) * c)[None] * np.cos((4 - k) * c)[:, None] for k in range(3)]).astype(
        np.float32
    )
