"""Deterministic stand-in for the one data file that EMOCA reads and DECA does not.

    toy_mediapipe_embedding()   dict with the keys, shapes and dtypes of mediapipe_landmark_embedding.npz

Everything else EMOCA needs beside FLAME (`standins.flame.toy_flame`) has the format of DECA's files: see `deca.py`.
"""

from __future__ import annotations

import numpy as np

from seeded import rng as _rng
from standins.flame import toy_flame


def toy_mediapipe_embedding() -> dict:
    """105 points on front-facing triangles: row i is the i-th of EMOCA's selected MediaPipe points."""
    m = toy_flame()
    v, f = m["v_template"], m["f"].astype(np.int64)
    tri = v[f]
    centre = tri.mean(1)
    normal = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    front = np.flatnonzero(normal[:, 2] > 0.3 * np.linalg.norm(normal, axis=1))
    i = np.arange(105)
    r, a = 0.055 * np.sqrt((i + 0.5) / 105), 2.399963229728653 * i + 0.5
    xy = np.stack([r * np.cos(a), r * np.sin(a)], 1)
    face = front[((centre[front, None, :2] - xy[None]) ** 2).sum(2).argmin(0)]
    w = _rng("toy_emoca.mediapipe").uniform(0.05, 1.0, (105, 3))
    return {
        "lmk_face_idx": face.astype(np.uint32),
        "lmk_b_coords": w / w.sum(1, keepdims=True),
        "landmark_indices": i.astype(np.int64),
    }
