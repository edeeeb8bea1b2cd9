"""ARKit weights from moved points: the solver, and ICT-FaceKit's heads whose weights are known."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from facecli.data.arkit import sample_expression
from facecli.detect.landmarks import convert
from facecli.export.arkit import NAMES, from_ict
from facecli.morphable import arkit_solve
from facecli.morphable.arkit_solve import bounded_least_squares, solve_arkit
from facecli.morphable.ict_points import points478

BASIS = arkit_solve._basis(("ibug68",))
SEEN = [n for n, name in enumerate(NAMES) if name != "tongueOut" and not name.startswith("eyeLook")]
LOOKS = [n for n, name in enumerate(NAMES) if name.startswith("eyeLook")]


def moved(**weights):
    row = np.array([weights.get(name, 0.0) for name in NAMES])
    return (BASIS.rest + np.tensordot(row, BASIS.directions, 1))[None]


def solved(now, rest=None, looks=None):
    found = solve_arkit(now, BASIS.rest[None] if rest is None else rest, looks)[0]
    return dict(zip(NAMES, found.tolist(), strict=True))


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_the_solver_finds_scipys_minimum(seed):
    rng = np.random.default_rng(seed)
    columns, rows = int(rng.integers(2, 12)), 30
    matrix, right = rng.normal(size=(rows, columns)), rng.normal(0, 3, (2, rows))
    ridge, price = rng.uniform(0.1, 2, columns), rng.uniform(0, 3, columns)
    lower, upper = rng.uniform(-1, 0, columns), rng.uniform(0.1, 1, columns)
    lower[0], upper[0] = -np.inf, np.inf
    found = bounded_least_squares(matrix, right, ridge=ridge, price=price, lower=lower, upper=upper, tolerance=1e-8)
    stacked = np.concatenate([matrix, np.diag(np.sqrt(ridge))])
    for row, wanted in zip(found, right, strict=True):
        aims = np.concatenate([wanted, -price / np.sqrt(ridge)])
        exact = lsq_linear(stacked, aims, (lower, upper), method="bvls", tol=1e-14).x
        np.testing.assert_allclose(row, exact, atol=1e-5)


def test_nothing_moved_is_nothing():
    assert max(solved(BASIS.rest[None]).values()) < 1e-6


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "browOuterUpRight", "mouthPucker", "eyeBlinkLeft"])
def test_one_shape_alone(name):
    found = solved(moved(**{name: 0.6}))
    assert abs(found.pop(name) - 0.6) < 0.07
    assert max(found.values()) < 0.15


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_place_turn_and_size_do_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    weights = {NAMES[n]: rng.random() for n in rng.choice(SEEN, 4, replace=False)}
    turn = Rotation.from_rotvec(rng.normal(0, 0.5, 3)).as_matrix()
    now, rest = (scale * (points @ turn.T + rng.normal(0, 100, 3)) for points in (moved(**weights), BASIS.rest[None]))
    shift = Rotation.from_rotvec(rng.normal(0, 0.05, 3)).as_matrix()  # and a head that moved between the two
    now = now @ shift.T + scale * rng.normal(0, 5, 3)
    straight, found = solved(moved(**weights)), solved(now, rest)
    assert max(abs(found[name] - straight[name]) for name in NAMES) < 2e-3


def test_an_eye_is_shut_whatever_its_opening():
    for opening in (0.6, 1.0, 1.5):
        rest, now = BASIS.rest[None].copy(), moved(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
        middle = rest[:, 36:48, 1].mean()
        for points in (rest, now):
            points[:, 36:48, 1] = middle + opening * (points[:, 36:48, 1] - middle)
        found = solved(now, rest)
        assert min(found["eyeBlinkLeft"], found["eyeBlinkRight"]) > 0.85, opening


def test_lids_that_follow_the_eyes_are_no_blink():
    down = moved(eyeLookDownLeft=0.8, eyeLookDownRight=0.8)
    assert solved(down)["eyeBlinkLeft"] > 0.4  # nobody told where the eyes look
    looks = np.zeros((1, 52))
    looks[0, [NAMES.index("eyeLookDownLeft"), NAMES.index("eyeLookDownRight")]] = 0.8
    found = solved(down, looks=looks)
    assert found["eyeBlinkLeft"] < 0.02 and found["eyeLookDownLeft"] == pytest.approx(0.8)


@pytest.fixture(scope="module")
def ict():
    """ICT-FaceKit, or a skip that says why."""
    from facecli.morphable.ict import IctModel
    from facecli.morphable.ict_files import read_ict

    shared = Path(os.environ.get("FACECLI_SHARED", Path(__file__).parents[3] / "shared"))
    if not (shared / "data/ict_facekit.npz").exists():
        pytest.skip("../shared/data/ict_facekit.npz is not here")
    return IctModel(read_ict(shared / "data/ict_facekit.npz"))


def test_the_shipped_points_are_icts(ict):
    from facecli.morphable.make_arkit_points import arrays_of

    for name, array in arrays_of(ict).items():
        with np.load(Path(arkit_solve.__file__).with_name("arkit_points.npz")) as shipped:
            np.testing.assert_array_equal(shipped[name], array)


def test_heads_whose_weights_are_known(ict):
    """Random people, lively faces: docs/arkit.md's numbers, with a little room."""
    rng = np.random.default_rng(5)
    codes = np.stack([sample_expression(ict.expression_names, rng) for _ in range(300)])
    people = rng.standard_normal((len(codes), 100)).clip(-3, 3)
    now, rest = (ict.landmarks(ict.vertices(people, weights)) for weights in (codes, 0 * codes))
    truth = from_ict(codes, ict.expression_names)
    nothing = truth[:, SEEN].mean()

    def error(found):
        return np.abs(found - truth)[:, SEEN].mean()

    clean = error(solve_arkit(now, rest))
    noisy = error(solve_arkit(now + rng.normal(0, 0.3, now.shape), rest))
    gaze = error(solve_arkit(now, rest, truth))
    assert nothing > 0.07 and clean < 0.033 and noisy < 0.036 and gaze < 0.028, (nothing, clean, noisy, gaze)
    heads = ict.vertices(people, codes), ict.vertices(people, 0 * codes)
    dense = [points478(ict, vertices)[:, :468] for vertices in heads]
    assert error(solve_arkit(*dense, points=("mediapipe468",))) < 0.9 * clean
    both = [
        np.concatenate([points, convert(more, "mediapipe468", "mediapipe105")], 1)
        for points, more in zip((now, rest), dense, strict=True)
    ]
    assert error(solve_arkit(*both, points=("ibug68", "mediapipe105"))) < clean
    found = solve_arkit(now, rest)
    assert ((found >= 0) & (found <= 1)).all() and (found[:, [NAMES.index("tongueOut"), *LOOKS]] == 0).all()
    for name in ("jawOpen", "mouthSmileLeft", "browDownRight", "mouthClose", "mouthLeft"):
        column = NAMES.index(name)
        assert np.abs(found - truth)[:, column].mean() < 0.025, name
