"""ICT-FaceKit: its file, and the model where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from facecli.errors import InputError
from facecli.morphable.ict import EYE_PARTS, IctModel
from facecli.morphable.ict_files import read_ict


def small(**changes) -> dict[str, np.ndarray]:
    """A file's content with four vertices."""
    rng = np.random.default_rng(0)
    content = {
        "mean": rng.normal(size=(4, 3)).astype(np.float32),
        "identity": rng.normal(size=(2, 4, 3)).astype(np.float16),
        "expression": rng.normal(size=(3, 4, 3)).astype(np.float16),
        "expression_names": np.array(["jawOpen", "eyeBlink_L", "eyeBlink_R"]),
        "faces": np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        "uv": rng.random((5, 2)).astype(np.float32),
        "uv_faces": np.array([[0, 1, 2], [0, 2, 4]], np.int32),
        "source_vertex": np.array([0, 1, 7, 9]),
    }
    return {name: value for name, value in (content | changes).items() if value is not None}


def write(path: Path, **changes) -> Path:
    np.savez(path, **small(**changes))
    return path


def test_centimetres_become_millimetres(tmp_path):
    arrays = read_ict(write(tmp_path / "ict.npz"))
    assert arrays.mean == pytest.approx(10 * small()["mean"])
    assert arrays.identity == pytest.approx(10 * small()["identity"].astype(np.float32))
    assert arrays.expression_names == ("jawOpen", "eyeBlink_L", "eyeBlink_R")
    assert arrays.triangles.dtype == arrays.source_vertex.dtype == np.int64


def test_the_fingerprint_is_of_the_numbers(tmp_path):
    one, same = read_ict(write(tmp_path / "a.npz")), read_ict(write(tmp_path / "b.npz"))
    assert one.fingerprint == same.fingerprint
    other = small()["mean"]
    other[2, 1] += 1e-5
    assert read_ict(write(tmp_path / "c.npz", mean=other)).fingerprint != one.fingerprint


BROKEN = {
    "it lacks uv": {"uv": None},
    "mean holds int64": {"mean": np.zeros((4, 3), np.int64)},
    "identity has the shape": {"identity": np.zeros((2, 5, 3), np.float16)},
    "expression_names has the shape": {"expression_names": np.array(["jawOpen"])},
    "faces holds numbers outside 0..3": {"faces": np.array([[0, 1, 4], [0, 2, 3]])},
    "uv_faces has the shape": {"uv_faces": np.array([[0, 1, 2]])},
    "source_vertex is not ascending": {"source_vertex": np.array([0, 7, 1, 9])},
    "source_vertex holds numbers outside": {"source_vertex": np.array([0, 1, 2, 99_999])},
    "not finite": {"mean": np.full((4, 3), np.nan, np.float32)},
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_is_wrong_is_named(tmp_path, words):
    with pytest.raises(InputError, match=words) as raised:
        read_ict(write(tmp_path / "ict.npz", **BROKEN[words]))
    assert str(tmp_path / "ict.npz") in str(raised.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_ict(tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(InputError, match="can't be read"):
        read_ict(tmp_path / "text.npz")
    np.savez(tmp_path / "objects.npz", mean=np.array([{}], object))
    with pytest.raises(InputError, match="can't be read"):
        read_ict(tmp_path / "objects.npz")
    whole = write(tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="can't be read"):
        read_ict(tmp_path / "cut.npz")


def test_another_mesh_lacks_the_landmarks_vertices(tmp_path):
    with pytest.raises(InputError, match="lacks vertex"):
        IctModel(read_ict(write(tmp_path / "ict.npz")), "ict.npz")


@pytest.fixture(scope="module")
def ict_file() -> Path:
    """../shared/data/ict_facekit.npz, or a skip that says why."""
    shared = Path(os.environ.get("FACECLI_SHARED", Path(__file__).parents[3] / "shared"))
    path = shared / "data/ict_facekit.npz"
    if not path.exists():
        pytest.skip("../shared/data/ict_facekit.npz is not here")
    return path


@pytest.fixture(scope="module")
def model(ict_file) -> IctModel:
    return IctModel(read_ict(ict_file))


def codes(model: IctModel, **weights: float) -> np.ndarray:
    expression = np.zeros((1, model.n_expression), np.float32)
    for name, weight in weights.items():
        expression[0, model.expression_names.index(name)] = weight
    return expression


def test_the_68_points_are_where_ibug_has_them(model):
    points = model.landmarks(model.arrays.mean[None])[0]
    mirror = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39,
              38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]  # fmt: skip
    assert points[mirror] * [-1, 1, 1] == pytest.approx(points, abs=0.05)
    assert points[0, 0] < 0 < points[16, 0]  # the subject's right is on the picture's left
    assert points[8, 1] == points[:, 1].min() and points[30, 2] == points[:, 2].max()  # chin, tip of the nose
    assert points[[37, 38], 1].min() > points[[40, 41], 1].max()  # upper lid over lower lid
    assert 80 < points[45, 0] - points[36, 0] < 100  # millimetres between the eyes' outer corners
    gap = points[[61, 62, 63], 1] - points[[67, 66, 65], 1]
    assert (gap > 0).all() and (gap < 2).all()  # at rest the lips meet


def test_codes_add_up_and_short_ones_are_padded(model):
    rng = np.random.default_rng(1)
    identity = rng.normal(size=(2, 100)).astype(np.float32)
    expression = codes(model, jawOpen=0.5, mouthSmile_L=0.3)
    found = model.vertices(identity, np.repeat(expression, 2, 0))
    arrays = model.arrays
    expected = arrays.mean + np.tensordot(identity.astype(np.float64), arrays.identity, 1)
    for name, weight in (("jawOpen", 0.5), ("mouthSmile_L", 0.3)):
        expected = expected + weight * arrays.expression[arrays.expression_names.index(name)]
    assert found == pytest.approx(expected, abs=2e-3)
    assert model.vertices(identity[:, :7], expression[:, :0]) == pytest.approx(
        model.vertices(np.pad(identity[:, :7], ((0, 0), (0, 93))), np.zeros((2, 57))), abs=1e-4
    )


def test_eyes_turn_with_their_look_and_nothing_else_is_turned(model):
    person = np.random.default_rng(2).normal(size=(1, 100)).astype(np.float32)
    rest = model.vertices(person, codes(model))
    look = codes(model, eyeLookOut_L=1.0, eyeLookUp_R=0.8)
    moved = model.vertices(person, look)
    left, right = model.gaze(look)[0]
    assert np.rad2deg(np.arctan2(left[0], left[2])) == pytest.approx(30) and abs(left[1]) < 1e-9
    assert np.rad2deg(np.arcsin(right[1])) == pytest.approx(20) and abs(right[0]) < 1e-9
    centres = model.eye_centres(rest)
    assert model.eye_centres(moved) == pytest.approx(centres, abs=0.15)  # they turn about their middles
    for side, centre, direction in zip("LR", centres[0], (left, right), strict=True):
        ball = model.eyeball[side]
        front = ball[rest[0, ball, 2].argmax()]
        before, after = rest[0, front] - centre, moved[0, front] - centre
        assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), abs=0.2)
        turned = np.rad2deg(np.arccos(before @ after / np.linalg.norm(before) / np.linalg.norm(after)))
        assert turned == pytest.approx(np.rad2deg(np.arccos(direction[2])), abs=1.5)
    skin = np.setdiff1d(np.arange(len(rest[0])), np.concatenate([model.eyeball[s] for s in EYE_PARTS] +
                                                               [model.cornea[s] for s in EYE_PARTS]))  # fmt: skip
    linear = rest[0] + np.tensordot(look[0], model.arrays.expression, 1)
    assert moved[0, skin] == pytest.approx(linear[skin], abs=2e-3)


def test_it_is_a_head_model_whose_teeth_stay_behind_its_lips(ict_file):
    from facecli.data.head_model import FIELDS, HeadModel
    from facecli.data.ict_head import IctHead

    head = IctHead(ict_file)
    assert isinstance(head, HeadModel) and set(head.fields()) <= set(FIELDS)
    rng = np.random.default_rng(3)
    people = np.stack([head.sample_identity(rng) for _ in range(20)])
    assert np.abs(people).max() <= 3
    shut = head.vertices(people, np.zeros((20, head.n_expression)))
    teeth = head.fields()["teeth"] > 0.5
    lips = head.landmarks(shut)[:, 60:68]
    front = shut[:, teeth][..., 2].max(1)
    assert (front < lips[..., 2].max(1) - 2).all()
    opened = np.zeros((20, head.n_expression), np.float32)
    opened[:, head.expression_names.index("jawOpen")] = 1
    moved = head.vertices(people, opened) - shut
    lower = np.flatnonzero(teeth)[teeth.sum() // 2 :]
    upper = np.flatnonzero(teeth)[: teeth.sum() // 2]
    assert (moved[:, lower, 1].mean(1) < -12).all() and np.abs(moved[:, upper]).max() < 1e-3
    # The same person has the same teeth with any expression of the upper face.
    assert head.vertices(people[:1], np.zeros((1, head.n_expression))) == pytest.approx(shut[:1], abs=1e-3)
