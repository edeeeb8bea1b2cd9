"""A stand-in for FLAME's ``generic_model.pkl``: a head by formula, with the official keys, shapes, types and units."""

from __future__ import annotations

import functools

import numpy as np

from seeded import rng as _rng


def sphere_points(n: int, y_min: float) -> np.ndarray:
    """n points spread evenly (golden angle) on the part of the unit sphere with y >= y_min."""
    i = np.arange(n)
    y = 1 - (1 - y_min) * (i + 0.5) / n
    r = np.sqrt(1 - y * y)
    a = np.pi * (3 - np.sqrt(5)) * i
    return np.stack([r * np.sin(a), y, r * np.cos(a)], 1)


def _smooth_basis(points: np.ndarray, count: int, key: str) -> np.ndarray:
    """`count` smooth random displacement fields over `points`, shape [V, 3, count]."""
    rng = _rng(key)
    freq = rng.normal(0, 2.0, (count, 3, 3))
    phase = rng.uniform(0, 2 * np.pi, (count, 3))
    amp = rng.normal(0, 1, (count, 3))
    wave = np.sin(np.einsum("vd,kcd->vck", points, freq) + phase.T[None])
    return wave * amp.T[None]


@functools.cache
def toy_flame(n_shape: int = 300, n_exp: int = 100) -> dict:
    """A head-like stand-in with FLAME 2020's keys, shapes, dtypes and units (metres).

    5023 vertices, 9976 triangles (one open surface with 68 boundary vertices),
    300 + 100 linear directions, 36 pose directions, 5 joints
    (global, neck, jaw, left eye, right eye).
    """
    from scipy.sparse import csc_matrix
    from scipy.spatial import Delaunay

    V, B = 5023, 68
    inner = sphere_points(V - B, -0.85)
    t = 2 * np.pi * np.arange(B) / B
    rim_r = np.sqrt(1 - 0.9**2)
    rim = np.stack([rim_r * np.sin(t), np.full(B, -0.9), rim_r * np.cos(t)], 1)
    p = np.concatenate([inner, rim])
    # Stereographic projection from the south pole makes the cap a disc whose hull is the rim.
    flat = p[:, [0, 2]] / (p[:, 1:2] + 1.02)
    r_rim = np.linalg.norm(flat[-B:], axis=1).min()
    r = np.linalg.norm(flat[:-B], axis=1)
    flat[:-B] *= (np.minimum(r, 0.985 * r_rim) / np.maximum(r, 1e-9))[:, None]
    faces = Delaunay(flat).simplices.astype(np.int64)
    assert faces.shape == (9976, 3), faces.shape
    n = np.cross(p[faces[:, 1]] - p[faces[:, 0]], p[faces[:, 2]] - p[faces[:, 0]])
    flip = (n * p[faces].mean(1)).sum(1) < 0
    faces[flip] = faces[flip][:, [0, 2, 1]]

    radii = np.array([0.075, 0.115, 0.095])
    v = p * radii
    front = np.exp(-((p[:, 0] / 0.16) ** 2) - ((p[:, 1] + 0.12) / 0.22) ** 2) * (p[:, 2] > 0)
    v[:, 2] += 0.022 * front  # a nose
    scale_s = 0.004 / np.sqrt(1 + np.arange(n_shape))
    scale_e = 0.002 / np.sqrt(1 + np.arange(n_exp))
    face_only = (p[:, 2] > -0.2).astype(float)[:, None, None]
    shapedirs = np.concatenate(
        [
            _smooth_basis(p, n_shape, "toy_flame.shape") * scale_s,
            _smooth_basis(p, n_exp, "toy_flame.expression") * scale_e * face_only,
        ],
        2,
    )
    joints = np.array([[0, -0.11, -0.02], [0, -0.08, -0.01], [0, -0.03, 0.01], [0.03, 0.03, 0.07], [-0.03, 0.03, 0.07]])
    d = np.linalg.norm(v[None] - joints[:, None], axis=2)
    reg = np.exp(-((d / 0.04) ** 2))
    reg /= reg.sum(1, keepdims=True)
    w = np.exp(-((d.T / np.array([0.2, 0.12, 0.07, 0.02, 0.02])) ** 2)) + 1e-6
    w /= w.sum(1, keepdims=True)
    return {
        "v_template": v,
        "shapedirs": shapedirs,
        "posedirs": _smooth_basis(p, 36, "toy_flame.pose") * 0.0015,
        "J_regressor": csc_matrix(reg),
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "weights": w,
        "f": faces.astype(np.uint32),
        "J": reg @ v,
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
