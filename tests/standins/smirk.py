"""Deterministic stand-ins for the data files that SMIRK reads next to FLAME.

Same keys, shapes and dtypes as the upstream files, none of their content.  All arrays are
pure functions of `standins.flame.toy_flame()`; nothing is stored.

    toy_smirk_assets()  ->  dict with
        landmark_embedding   (stands in for landmark_embedding.npy, see spec `smirk.md`)
        mediapipe_embedding  (stands in for mediapipe_landmark_embedding.npz)
        l_eyelid, r_eyelid   (5023, 3) float64
        masks                region -> vertex ids      (stands in for FLAME_masks.pkl)
        triangle_masks       region -> triangle ids    (stands in for FLAME_masks_triangles.npy)
"""

from __future__ import annotations

import numpy as np

from standins.flame import toy_flame


def _pick(xy: np.ndarray, centroids: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Nearest front-facing triangle (normal z > 0.2) to each (x, y), by squared distance."""
    ok = np.flatnonzero(normals[:, 2] > 0.2)
    d = ((centroids[ok, None, :2] - xy[None]) ** 2).sum(2)
    return ok[d.argmin(0)]


def _bary(shape: tuple[int, ...], seed: int) -> np.ndarray:
    w = np.random.default_rng(seed).uniform(0.05, 1.0, (*shape, 3))
    return w / w.sum(-1, keepdims=True)


def toy_smirk_assets() -> dict:
    m = toy_flame()
    v, f = m["v_template"], m["f"].astype(np.int64)
    tri = v[f]
    cen = tri.mean(1)
    nrm = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    nrm /= np.linalg.norm(nrm, axis=1, keepdims=True)

    # 51 static points: a spiral over the middle of the face.
    i = np.arange(51)
    r, a = 0.05 * np.sqrt((i + 0.5) / 51), 2.399963229728653 * i
    static_f = _pick(np.stack([r * np.cos(a), r * np.sin(a) - 0.01], 1), cen, nrm)
    static_b = _bary((51,), 51)
    # 17 contour points per yaw bin: a chin arc that slides sideways with the bin.
    # rows 0..39 are yaw 0..+39 degrees, rows 40..78 are yaw -1..-39 degrees.
    yaw = np.concatenate([np.arange(40), -np.arange(1, 40)])
    t = np.pi * (1 + (np.arange(17) + 0.5) / 17)
    arc = np.stack([0.062 * np.cos(t), 0.075 * np.sin(t)], 1)
    dyn_f = np.stack([_pick(arc + np.array([y * 0.00025, 0.0]), cen, nrm) for y in yaw])
    dyn_b = _bary((79, 17), 79).astype(np.float32)
    full_f = np.concatenate([dyn_f[0], static_f])[None]
    full_b = np.concatenate([dyn_b[0], static_b])[None].astype(np.float32)
    # 105 MediaPipe points.
    i = np.arange(105)
    r, a = 0.06 * np.sqrt((i + 0.5) / 105), 2.399963229728653 * i + 1.0
    mp_f = _pick(np.stack([r * np.cos(a), r * np.sin(a)], 1), cen, nrm)

    def lid(cx: float) -> np.ndarray:
        w = np.exp(-(((v[:, 0] - cx) / 0.012) ** 2) - ((v[:, 1] - 0.03) / 0.01) ** 2) * (v[:, 2] > 0.03)
        return np.stack([0 * w, -0.009 * w, 0.002 * w], 1) * (w > 1e-3)[:, None]

    p = v / np.array([0.075, 0.115, 0.095])
    front = p[:, 2] > 0.0
    vm = {
        "face": front & (np.abs(p[:, 1]) < 0.85),
        "neck": p[:, 1] < -0.8,
        "scalp": (p[:, 2] < 0) & (p[:, 1] > 0),
        "forehead": front & (p[:, 1] > 0.45) & (p[:, 1] < 0.85),
        "nose": front & (np.abs(p[:, 0]) < 0.2) & (np.abs(p[:, 1] + 0.1) < 0.25),
        "lips": front & (np.abs(p[:, 0]) < 0.35) & (np.abs(p[:, 1] + 0.5) < 0.12),
        "left_eye_region": front & (np.hypot(p[:, 0] - 0.4, p[:, 1] - 0.26) < 0.22),
        "right_eye_region": front & (np.hypot(p[:, 0] + 0.4, p[:, 1] - 0.26) < 0.22),
        "left_eyeball": front & (np.hypot(p[:, 0] - 0.4, p[:, 1] - 0.26) < 0.08),
        "right_eyeball": front & (np.hypot(p[:, 0] + 0.4, p[:, 1] - 0.26) < 0.08),
        "left_ear": (p[:, 0] > 0.95) & (np.abs(p[:, 1]) < 0.3),
        "right_ear": (p[:, 0] < -0.95) & (np.abs(p[:, 1]) < 0.3),
        "boundary": np.arange(len(v)) >= len(v) - 68,
    }
    vm["eye_region"] = vm["left_eye_region"] | vm["right_eye_region"]
    tm = {k: np.flatnonzero(s[f].any(1)) for k, s in vm.items()}
    clean = vm["face"] & (np.abs(p[:, 0]) < 0.6) & (p[:, 1] < 0.2)
    tm["face_clean"] = np.flatnonzero(clean[f].all(1))
    tm["cleaner_lips"] = np.flatnonzero(vm["lips"][f].all(1))
    return {
        "landmark_embedding": {
            "static_lmk_faces_idx": static_f,
            "static_lmk_bary_coords": static_b,
            "dynamic_lmk_faces_idx": dyn_f,
            "dynamic_lmk_bary_coords": dyn_b,
            "full_lmk_faces_idx": full_f,
            "full_lmk_bary_coords": full_b,
        },
        "mediapipe_embedding": {
            "lmk_face_idx": mp_f.astype(np.uint32),
            "lmk_b_coords": _bary((105,), 105),
            "landmark_indices": (np.arange(105) * 4 + 3).astype(np.int64),
        },
        "l_eyelid": lid(0.03),
        "r_eyelid": lid(-0.03),
        "masks": {k: np.flatnonzero(s) for k, s in vm.items()},
        "triangle_masks": tm,
    }
