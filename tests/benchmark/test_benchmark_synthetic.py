"""`facecli benchmark synthetic`: what is known is scored as it should be, and the command end to end."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from facecli.benchmark.synthetic import run as running
from facecli.benchmark.synthetic import summary
from facecli.benchmark.synthetic.heads import Expression, mean_head, now7, truth
from facecli.benchmark.synthetic.score import (
    EVALUATED,
    FAILED,
    MISSING,
    HeadScore,
    Mesh,
    ScoreTask,
    expression_errors,
    landmark_errors,
    load,
    save,
    score,
)
from facecli.data.head_set import HeadSet, renderer
from facecli.data.heads import HeadChoice
from facecli.data.scene import rotation
from facecli.export.arkit import NAMES

HEADS = HeadSet(HeadChoice("formula"), "easy", seed=5, size=256)
"""The same as `ARGUMENTS` make, so that the renderer is made once."""
ARGUMENTS = ("benchmark", "synthetic", "--faces", "formula", "--set", "easy", "--seed", 5, "--size", 256, "--heads", 2,
             "--workers", 0, "--sheet", 1)  # fmt: skip


def neutral(index: int) -> Mesh:
    """The true head at rest, as a perfect model would predict it."""
    drawer = renderer(HEADS)
    vertices = drawer.pose(HEADS.seed, index).neutral.astype(np.float64)
    return Mesh(vertices, drawer.model.triangles, now7(drawer.model.landmarks(vertices[None])[0]))


def task(tmp_path, mesh: Mesh | None, turn=None, pixels=None, index: int = 1) -> ScoreTask:
    return ScoreTask(HEADS, index, mesh, pixels, turn, tmp_path / "kept.npz", "print")


def test_the_truth_itself_has_no_error(tmp_path):
    known = truth(HEADS, 1)
    result = score(task(tmp_path, neutral(1), known.rotation, known.landmarks))
    assert result.status == EVALUATED
    for protocol in ("nonmetrical", "metrical"):
        assert result.distances[protocol].max() < 0.01 and not result.warnings[protocol]
    assert len(result.distances["nonmetrical"]) == len(result.crop_index) > 2000
    assert result.facts["turn"] < 0.05 and result.facts["nme68"] == 0
    assert "expression" not in result.facts  # it wasn't told
    assert result.facts["yaw"] == pytest.approx(renderer(HEADS).render(5, 1).view.angles[0])


def test_another_frame_and_size_of_the_model_only_count_where_they_should(tmp_path):
    """A model whose heads lie elsewhere, turned and smaller: the scale counts in the metrical protocol alone."""
    mesh, known = neutral(1), truth(HEADS, 1)
    frame, off = rotation(20, -35, 50), rotation(0, 4, 3)

    def moved(points):
        return 0.9 * points @ frame.T + [30, -200, 15]

    mesh = Mesh(moved(mesh.vertices), mesh.triangles, moved(mesh.points7))
    # model -> camera, when the model's head is turned by `off` too much
    result = score(task(tmp_path, mesh, off @ known.rotation @ frame.T))
    assert np.median(result.distances["nonmetrical"]) < 0.01
    assert np.median(result.distances["metrical"]) > 1
    assert result.facts["turn"] == pytest.approx(5.0, abs=0.1)


def test_a_bump_on_the_nose_is_seen_in_its_size(tmp_path):
    mesh = neutral(1)
    tip = renderer(HEADS).model.landmarks(mesh.vertices[None])[0, 30]
    share = np.exp(-((mesh.vertices - tip) ** 2).sum(1) / (2 * 8**2))[:, None]
    result = score(task(tmp_path, replace(mesh, vertices=mesh.vertices + 6 * share * [0, 0, 1])))
    distances = result.distances["nonmetrical"]
    assert 3 < distances.max() < 7 and np.median(distances) < 0.2


def test_the_average_head_is_scored_with_its_own_points(tmp_path):
    vertices, triangles, points7 = mean_head(HEADS)
    by_none, by_hand = score(task(tmp_path, None)), score(task(tmp_path, Mesh(vertices, triangles, points7)))
    assert (by_none.distances["nonmetrical"] == by_hand.distances["nonmetrical"]).all()
    assert 0.2 < np.median(by_none.distances["nonmetrical"]) < 5


def test_a_broken_mesh_fails_alone_and_is_kept(tmp_path):
    mesh = neutral(1)
    mesh.vertices[7] = np.nan
    result = score(task(tmp_path, mesh))
    assert result.status == FAILED and "can't be evaluated" in result.reason
    assert load(tmp_path / "kept.npz", "print").reason == result.reason


def test_landmark_errors_are_of_the_known_box():
    known = np.random.default_rng(0).uniform(0, 100, (68, 2))
    known[:2] = [[0, 0], [100, 25]]
    known[:, 1] = known[:, 1] % 25
    known[1] = 100, 25
    found = known.copy()
    found[:17] += [3, 4]
    errors = landmark_errors(found, known)
    assert errors["pixels68"] == pytest.approx(5 * 17 / 68)
    side = np.sqrt(np.ptp(known[:, 0]) * np.ptp(known[:, 1]))
    assert errors["nme68"] == pytest.approx(100 * 5 * 17 / 68 / side) and errors["nme51"] == 0


def test_what_is_kept_counts_only_with_its_fingerprint_and_whole(tmp_path):
    path, distances = tmp_path / "one.npz", {"nonmetrical": np.arange(3, dtype=np.float32)}
    kept = HeadScore(EVALUATED, distances, np.arange(3), {"nonmetrical": ["odd"]}, {"yaw": 3.5})
    save(path, "a", kept)
    found = load(path, "a")
    assert (found.distances["nonmetrical"] == distances["nonmetrical"]).all() and found.facts == {"yaw": 3.5}
    assert load(path, "b") is None and load(tmp_path / "nowhere.npz", "a") is None
    path.write_bytes(path.read_bytes()[:-40])
    assert load(path, "a") is None


def test_expressions_are_scored_by_weights_and_gaze(tmp_path):
    known = truth(HEADS, 1)
    assert known.expression.weights.shape == (52,) and known.expression.weights.any()
    assert score(replace(task(tmp_path, neutral(1)), expression=known.expression)).facts["expression"] == 0
    eyes = np.array([[0.2, 0.3], [0.1, -0.2]])
    wrong = known.expression.weights.copy()
    wrong[NAMES.index("jawOpen")] += 0.43
    wrong[NAMES.index("eyeLookUpLeft")] += 1  # a look is the gaze's business
    aside = np.array([[0.2 + np.radians(10), 0.3], [0.1, -0.2]])
    facts = expression_errors(Expression(wrong, aside), replace(known.expression, eyes=eyes))
    assert facts["expression"] == pytest.approx(0.01)
    assert facts["gaze"] == pytest.approx(5 * np.cos(0.3), rel=0.01)  # one eye of two


def made(status: str, yaw: float, distances=(), **facts) -> HeadScore:
    values = {protocol: np.array(distances, np.float32) for protocol in ("nonmetrical", "metrical")}
    return HeadScore(status, values if distances else {}, facts={"yaw": yaw, "distance": 700.0, **facts})


def test_distances_are_pooled_and_missing_heads_counted_in_their_bins():
    scores = [made(EVALUATED, 5, (1, 2, 3), turn=2.0), made(EVALUATED, -29, (9,), turn=6.0), made(MISSING, -40),
              made(FAILED, 65)]  # fmt: skip
    result = summary.surface_errors("m", "nonmetrical", HEADS, scores, ["a note"])
    assert (result.median, result.images, len(result.missing), len(result.failed)) == (2.5, 2, 1, 1)
    found = summary.bins(scores)
    assert found["yaw 0-30°"]["median"] == 2.5 and found["yaw 0-30°"]["turn"] == 4.0
    assert (found["yaw 30-60°"]["images"], found["yaw 30-60°"]["missing"]) == (0, 1)
    assert found["yaw from 60°"]["failed"] == 1 and found["distance 600-1200 mm"]["images"] == 2


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture
def scored(cli, folder):
    """`folder`, where the command has run, whichever test comes first."""
    if not (folder / "summary.txt").exists():
        assert cli(*ARGUMENTS, "-o", folder, "--quiet").code == 0
    return folder


def test_the_command_scores_mediapipe_beside_the_average_head(cli, folder):
    ran = cli(*ARGUMENTS, "-o", folder, "--json", "--save-pictures")
    assert ran.code == 0, ran.err
    mediapipe, mean = (json.loads(line) for line in ran.out.splitlines())
    assert "not photographs" in ran.err and "not photographs" in mean["caution"]
    assert (mediapipe["method"], mean["method"]) == ("mediapipe", "mean head")
    assert mediapipe["images"] == mean["images"] == 2 and mediapipe["missing"] == 0
    assert 0.5 < mediapipe["median"] < 6 and mediapipe["nme51"] < 8 and mediapipe["turn_median"] < 20
    assert mean["turn"] is None and mean["set"]["seed"] == 5
    # The average head is held as the true ones are; it has no expression and looks straight ahead.
    assert 1 < mean["nme68"] < 15 and 0 < mean["expression"] < 0.3
    assert mean["gaze"] is None  # the formula's eyes don't turn
    assert mediapipe["expression"] is None  # its surface doesn't tell a face from its expression
    # The row's number is the pooled median of the kept heads' distances.
    report = json.loads((folder / "nonmetrical/results.json").read_text())
    assert report["methods"][0]["median"] == pytest.approx(mediapipe["median"])
    rows = list(csv.DictReader((folder / "heads.csv").open()))
    assert len(rows) == 4 and {row["status"] for row in rows} == {"evaluated"}
    assert float(rows[0]["yaw"]) == pytest.approx(truth(HEADS, 0).facts["yaw"], rel=1e-4)
    assert "not photographs" in (folder / "summary.txt").read_text()
    for name in ("bins.csv", "sheet_mediapipe.png", "sheet_mean_head.png", "metrical/curve.svg"):
        assert (folder / name).stat().st_size > 100
    labels = np.load(folder / "pictures/head_5_00001.npz")
    drawn = renderer(HEADS).render(5, 1)
    assert (labels["vertices"] == drawn.vertices).all() and labels["visible"].any()


def test_a_second_run_scores_nothing_again_and_says_the_same(cli, scored, monkeypatch):
    first = (scored / "summary.txt").read_text()

    def never(*_):
        raise AssertionError("it was scored already")

    monkeypatch.setattr(running, "score", never)
    monkeypatch.setattr(running, "Predictor", never)
    ran = cli(*ARGUMENTS, "-o", scored)
    assert ran.code == 0 and (scored / "summary.txt").read_text() == first
    assert "all 2 heads are scored already" in ran.err
    assert "mean head" in ran.out and "yaw 0-30°" in ran.out


def test_more_heads_of_the_same_seed_only_add_theirs_and_damage_is_mended(cli, scored, monkeypatch):
    seen, draw = [], running.draw
    monkeypatch.setattr(running, "draw", lambda heads, index: seen.append(index) or draw(heads, index))
    broken = next(scored.glob(".heads/mediapipe/*/head_5_00001.npz"))
    broken.write_bytes(b"half")
    wanted = [word if word != 2 else 3 for word in ARGUMENTS]
    ran = cli(*wanted, "-o", scored, "--quiet", "--json")
    assert ran.code == 0 and sorted(seen) == [1, 2]
    assert json.loads(ran.out.splitlines()[0])["images"] == 3


def test_wrong_words(cli, tmp_path):
    for words, told in (
        (("--set", "hard"), "--set is one of easy, full"),
        (("--faces", "clay"), "--faces is one of ict, flame, formula"),
        (("--face-model", tmp_path / "no.npz"), "no such file"),
    ):
        ran = cli("benchmark", "synthetic", "-o", tmp_path / "out", *words)
        assert ran.code in (1, 2) and told in ran.err and "Traceback" not in ran.err
    assert not (tmp_path / "out").exists()
