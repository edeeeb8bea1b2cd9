"""Faces drawn in ARKit's words."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facecli.data.arkit import sample_expression

SIDES = ("eyeBlink", "eyeWide", "mouthSmile", "mouthFrown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown")
NAMES = (*(f"{name}_{side}" for name in SIDES for side in "LR"), "jawOpen", "mouthClose", "jawLeft", "jawRight",
         "mouthPucker", "browInnerUp_L")  # fmt: skip


def weights(seed: int, names=NAMES) -> dict[str, float]:
    drawn = sample_expression(names, np.random.default_rng(seed))
    assert drawn.shape == (len(names),) and drawn.dtype == np.float32
    return dict(zip(names, drawn.tolist(), strict=True))


@given(st.integers(0, 2**32))
def test_nothing_impossible(seed):
    face = weights(seed)
    assert all(0 <= weight <= 1 for weight in face.values())
    assert face["mouthClose"] <= face["jawOpen"]
    for one, other in (("jawLeft", "jawRight"), ("mouthSmile_L", "mouthFrown_L"), ("eyeBlink_R", "eyeWide_R")):
        assert min(face[one], face[other]) == 0
    for side in "LR":
        assert min(face[f"eyeLookIn_{side}"], face[f"eyeLookOut_{side}"]) == 0
        assert min(face[f"eyeLookUp_{side}"], face[f"eyeLookDown_{side}"]) == 0


@given(st.integers(0, 2**32))
def test_a_model_with_fewer_shapes_shows_the_same_face(seed):
    face, part = weights(seed), weights(seed, NAMES[3:9])
    assert part == {name: face[name] for name in NAMES[3:9]}


def test_faces_differ_and_move_every_shape():
    faces = np.array([list(weights(seed).values()) for seed in range(300)])
    assert (faces.max(0) > 0.3).all()
    assert len(np.unique(faces, axis=0)) == 300
