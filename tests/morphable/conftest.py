"""FLAME by formula, made once."""

from __future__ import annotations

import numpy as np
import pytest

from facecli.morphable.flame import Flame
from facecli.morphable.flame_files import FlameArrays
from facecli.morphable.flame_landmarks import FlameLandmarks
from standins.flame import toy_flame
from standins.smirk import toy_smirk_assets


@pytest.fixture(scope="session")
def arrays() -> FlameArrays:
    model, extra = toy_flame(), toy_smirk_assets()
    shapes = model["shapedirs"].astype(np.float32)
    return FlameArrays(
        template=model["v_template"].astype(np.float32),
        identity=shapes[..., :300],
        expression=shapes[..., 300:],
        pose=model["posedirs"].astype(np.float32),
        joint_regressor=model["J_regressor"].toarray().astype(np.float32),
        weights=model["weights"].astype(np.float32),
        parents=(-1, 0, 1, 1, 1),
        triangles=model["f"].astype(np.int64),
        eyelids=np.stack([extra["l_eyelid"], extra["r_eyelid"]]).astype(np.float32),
    )


@pytest.fixture(scope="session")
def flame(arrays) -> Flame:
    return Flame(arrays, n_exp=50)


@pytest.fixture(scope="session")
def landmarks(arrays) -> FlameLandmarks:
    """With SMIRK's stand-in embeddings."""
    extra = toy_smirk_assets()
    embedding, mediapipe = extra["landmark_embedding"], extra["mediapipe_embedding"]
    names = {"static": "static", "dynamic": "contour", "full": "full"}
    sets = {}
    for old, new in names.items():
        triangles = np.asarray(embedding[f"{old}_lmk_faces_idx"], np.int64)
        weights = np.asarray(embedding[f"{old}_lmk_bary_coords"], np.float32)
        sets[f"{new}_triangles"] = triangles[0] if old == "full" else triangles
        sets[f"{new}_weights"] = weights[0] if old == "full" else weights
    points = {
        "triangles": mediapipe["lmk_face_idx"].astype(np.int64),
        "weights": mediapipe["lmk_b_coords"].astype(np.float32),
    }
    return FlameLandmarks(arrays.triangles, sets, points)
