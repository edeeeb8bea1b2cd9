"""NoW's error of one mesh: every golden case, and what may not change it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facecli.benchmark.closest_point import ClosestPoints
from facecli.benchmark.dogleg import minimize_dogleg
from facecli.benchmark.procrustes import align_landmarks
from facecli.benchmark.scan_to_mesh import crop, face_region, refine, scan_to_mesh_error
from facecli.benchmark.scores import SurfaceErrors
from standins.now import golden_case

GOLDEN = Path(__file__).parents[1] / "golden/benchmarks"
CASES = ("now_nonmetrical_a", "now_nonmetrical_b", "now_metrical_m")


@pytest.fixture(scope="module")
def summary() -> dict:
    return json.loads((GOLDEN / "now_summary.json").read_text())


@pytest.fixture(scope="module")
def cases() -> dict:
    return {name: golden_case(name) for name in CASES}


@pytest.fixture(params=["igl", "numba"])
def backend(request) -> str:
    if request.param == "igl":
        pytest.importorskip("igl", reason="libigl is not installed")
    return request.param


def evaluate(case, protocol="nonmetrical", unit="mm", times=1, **options):
    """The case's prediction, `times` as large."""
    return scan_to_mesh_error(
        case["scan_v"],
        case["gt_lmk"],
        case["pred_v"] * np.float32(times),
        case["pred_f"],
        case["pred_lmk"] * np.float32(times),
        protocol=protocol,
        unit=unit,
        **options,
    )


def statistics(distances) -> np.ndarray:
    return np.array([np.median(distances), np.mean(distances), np.std(distances)])


@pytest.mark.parametrize("name", CASES)
def test_golden(cases, name, backend):
    case = cases[name]
    protocol, unit = ("metrical", "m") if "metrical_m" in name else ("nonmetrical", "mm")
    found = evaluate(case, protocol, unit, backend=backend)
    centre, radius = face_region(case["gt_lmk"])
    assert np.array_equal(centre, case["mask_centre"])
    assert radius == case["mask_radius"]
    assert np.array_equal(found.crop_index, case["crop_index"])
    assert found.alignment.scale == pytest.approx(float(case["procrustes_scale"]), rel=1e-6)
    assert found.alignment.scale.dtype == np.float32
    assert np.abs(found.alignment.rotation.T - case["procrustes_rotation"]).max() < 1e-6
    assert np.allclose(found.alignment.translation, case["procrustes_translation"], rtol=1e-6, atol=1e-5)
    assert found.refinement.sse_trace.shape == case["sse_trace"].shape
    assert np.abs(found.refinement.sse_trace / case["sse_trace"] - 1).max() < 1e-5
    assert np.abs(found.refinement.x_trace - case["x_trace"]).max() < 1e-4  # millimetres, 1140 from the origin
    assert np.array_equal(found.refinement.x, found.refinement.x_trace[-1])
    assert np.abs(found.distances - case["distances"]).max() < 5e-6
    assert np.abs(statistics(found.distances) - case["stats"]).max() < 1e-6
    assert found.warnings == []
    # The mesh that is given back is the one that was measured.
    again = ClosestPoints(found.vertices, case["pred_f"], backend).query(case["scan_v"][found.crop_index])
    assert np.abs(again.distance - found.distances).max() < 1e-9
    assert found.rms == pytest.approx(np.sqrt(found.refinement.sse_trace[-1] / len(found.distances)))


@pytest.mark.parametrize(("name", "unit", "times"), [("now_metrical_cm", "cm", 100), ("now_metrical_mm", "mm", 1000)])
def test_golden_of_other_units(cases, summary, name, unit, times):
    expected = summary[name]
    found = evaluate(cases[expected["same_arrays_as"]], "metrical", unit, times)
    assert found.refinement.iterations == expected["iterations"]
    assert np.abs(found.refinement.x - expected["x_final"]).max() < 2e-5
    assert np.abs(statistics(found.distances) - [expected[key] for key in ("median", "mean", "std")]).max() < 1e-5


def test_golden_pooled(cases, summary):
    distances = {name: case["distances"].astype(float) for name, case in cases.items()}
    pooled, expected = SurfaceErrors("a", "nonmetrical", distances), summary["pooled_all"]
    for name in ("median", "mean", "std"):
        assert getattr(pooled, name) == pytest.approx(expected[name], abs=1e-6)


def test_golden_mirrored_landmarks_give_a_reflection_and_a_warning(cases, summary):
    golden = summary["procrustes_mirrored"]
    source, target = (np.array(golden[key], dtype=np.float32) for key in ("pred_lmk", "gt_lmk"))
    found = align_landmarks(target, source)
    assert found.mirrored
    assert found.scale == pytest.approx(golden["scale"], rel=1e-5)
    assert np.abs(found.rotation.T - golden["rotation"]).max() < 1e-5
    assert np.abs(found.translation - golden["translation"]).max() < 1e-4
    assert np.linalg.det(found.rotation) == pytest.approx(golden["det"], abs=1e-5)
    case = dict(cases["now_metrical_m"], pred_lmk=source)
    assert any("mirrored" in warning for warning in evaluate(case, "metrical", "m").warnings)


def test_wrong_unit_is_a_warning(cases):
    case = dict(cases["now_metrical_m"], scan_v=cases["now_metrical_m"]["scan_v"][::40])
    found = evaluate(case, "metrical", "cm")
    assert any("times the scan's size" in warning for warning in found.warnings)
    assert any("off the scan" in warning for warning in found.warnings)


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1000))
def test_moving_turning_and_scaling_the_prediction_changes_nothing(seed, scale):
    case = golden_case("now_nonmetrical_a")
    case = {key: value[::3] if key == "scan_v" else value.astype(np.float64) for key, value in case.items()}
    random = np.random.default_rng(seed)
    rotation, shift = Rotation.random(random_state=random).as_matrix(), random.normal(size=3) * 0.3
    moved = dict(case)
    for key in ("pred_v", "pred_lmk"):
        moved[key] = scale * (case[key].astype(np.float64) @ rotation.T + shift)
    here, there = (
        scan_to_mesh_error(c["scan_v"], c["gt_lmk"], c["pred_v"], case["pred_f"].astype(int), c["pred_lmk"])
        for c in (case, moved)
    )
    assert here.refinement.iterations == there.refinement.iterations
    assert np.abs(here.distances - there.distances).max() < 1e-4


def test_the_jacobian_is_that_of_the_distances(cases):
    """Against central differences: the closest feature being held fixed is right to first order."""
    case = cases["now_nonmetrical_a"]
    samples = case["scan_v"][case["crop_index"][::50]].astype(float)
    alignment = align_landmarks(case["gt_lmk"], case["pred_lmk"])
    tree = ClosestPoints(alignment.apply(case["pred_v"].astype(float)), case["pred_f"])
    linearize = {}

    def catch(function, x):
        linearize[len(x)] = function

    import facecli.benchmark.scan_to_mesh as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "minimize_dogleg", catch)
        refine(samples, tree, scaled=True)
        refine(samples, tree, scaled=False)
    x = np.array([1.02, 0.05, -0.1, 0.2, 1.0, -2.0, 3.0])
    for unknowns, at in ((7, x), (6, x[1:])):
        function = linearize[unknowns]
        found = function(at)[1]()
        for k in range(unknowns):
            step = np.zeros(unknowns)
            step[k] = 1e-6
            numeric = (function(at + step)[0] - function(at - step)[0]) / 2e-6
            assert np.median(np.abs(numeric - found[:, k])) < 1e-5
            assert np.quantile(np.abs(numeric - found[:, k]), 0.98) < 1e-3 * max(1, np.abs(found[:, k]).max())


def test_dog_leg_finds_the_minimum_of_rosenbrock():
    def linearize(x):
        residuals = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        return residuals, lambda: np.array([[-20 * x[0], 10], [-1, 0]])

    found = minimize_dogleg(linearize, np.array([-1.2, 1.0]))
    assert np.abs(found.x - 1).max() < 1e-3
    assert (np.diff(found.sse_trace) < 0).all()


def test_a_perfect_start_stops_at_once():
    found = minimize_dogleg(lambda x: (x * 0, lambda: np.eye(len(x))), np.ones(6))
    assert found.iterations == 0
    assert np.array_equal(found.x, np.ones(6))


def test_a_scan_against_itself_has_no_error(cases):
    case = cases["now_nonmetrical_a"]
    found = scan_to_mesh_error(
        case["scan_v"], case["gt_lmk"], case["scan_v"] / 1000.0, case["scan_f"], case["gt_lmk"] / 1000.0
    )
    assert found.distances.max() < 1e-3


def test_what_allows_no_evaluation_is_said_in_a_sentence(cases):
    case = dict(cases["now_metrical_m"])

    def refused(words, **changes):
        with pytest.raises(ValueError, match=words):
            evaluate({**case, **changes}, "metrical", "m")

    hole = case["pred_v"].copy()
    hole[3] = np.nan
    refused("1 of the mesh's 5023 vertices", pred_v=hole)
    refused("no triangles", pred_f=np.zeros((0, 3), int))
    hole = case["scan_v"].copy()
    hole[:2] = np.inf
    refused("2 of the scan's 20021 vertices", scan_v=hole)
    refused("only 0 of the scan's 20021 vertices", scan_v=case["scan_v"] + 1000)
    refused("7 landmarks on one side and 6 on the other", pred_lmk=case["pred_lmk"][:6])
    refused("not \\[7, 3\\]", gt_lmk=case["gt_lmk"][:6])
    refused("the same point", pred_lmk=case["pred_lmk"] * 0)
    refused("landmarks that are not finite", pred_lmk=case["pred_lmk"] * np.float32(np.nan))
    with pytest.raises(ValueError, match="not inch"):
        evaluate(case, "metrical", "inch")
    with pytest.raises(ValueError, match="not both"):
        evaluate(case, "both")


def test_the_crop_takes_vertices_of_no_triangle_too_and_its_rim(cases):
    centre = np.array([1.0, 0, 0])
    vertices = np.array([[1.0, 0, 2], [1, 0, 2.001], [3, 0, 0], [1, 0, 0]])
    assert crop(vertices, centre, 2.0).tolist() == [0, 2, 3]
