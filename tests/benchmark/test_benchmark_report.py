"""What a benchmark leaves: numbers, tables, and the curve, with missing predictions beside every number."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli.benchmark import tables
from facecli.benchmark.curve_picture import draw_curves
from facecli.benchmark.curves import drawn, spread
from facecli.benchmark.published import published
from facecli.benchmark.report import cumulative, write_report
from facecli.benchmark.scores import SurfaceErrors

GOLDEN = Path(__file__).parents[1] / "golden/benchmarks"
TEST_SET = {"set": "test", "protocol": "nonmetrical"}


@pytest.fixture(scope="module")
def golden_distances() -> np.ndarray:
    names = json.loads((GOLDEN / "now_summary.json").read_text())["pooled_all"]["of"]
    return np.concatenate([np.load(GOLDEN / f"{name}.npz")["distances"] for name in names])


def errors(name: str = "deca", scale: float = 1.0, **further) -> SurfaceErrors:
    rng = np.random.default_rng(0)
    distances = {
        f"person_{i}/{challenge}/IMG_{i}.jpg": np.abs(rng.normal(0, scale, 300 + 50 * i))
        for i, challenge in enumerate(["multiview_neutral", "selfie", "selfie"])
    }
    return SurfaceErrors(name, "nonmetrical", distances, **further)


def broken() -> SurfaceErrors:
    case = "person_0/multiview_neutral/IMG_0.jpg"
    return errors(
        "mediapipe",
        2.0,
        missing=["person_7/selfie/a.jpg"],
        failed={"person_8/selfie/b.jpg": "a mesh of NaN"},
        warnings={case: ["left and right are swapped"]},
        notes=["keeps the expression"],
    )


def test_cumulative_is_the_official_curve(golden_distances):
    expected = json.loads((GOLDEN / "now_summary.json").read_text())["cumulative"]
    edges, percent = cumulative(golden_distances)
    assert len(edges) == len(percent) == 100_000
    np.testing.assert_allclose(edges[:3], expected["histogram_first_bins"][0], rtol=2e-6)  # distances are float32 here
    np.testing.assert_allclose(percent[:3], expected["histogram_first_bins"][1], rtol=1e-9)
    for distance, below in expected["histogram_at"]:
        one_point = 100 / len(golden_distances)
        assert abs(percent[np.searchsorted(edges, distance, side="right") - 1] - below) < 1.5 * one_point
    assert percent[-1] == 100


def test_pooled_statistics_are_the_goldens(golden_distances):
    expected = json.loads((GOLDEN / "now_summary.json").read_text())["pooled_all"]
    parts = np.array_split(golden_distances, 3)
    found = tables.summary(SurfaceErrors("a", "nonmetrical", dict(zip("xyz", parts, strict=True))))
    for name in ("median", "mean", "std"):
        assert abs(found[name] - expected[name]) < 1e-6


def test_the_drawn_curve_is_the_whole_one_in_few_points(golden_distances):
    edges, percent = cumulative(golden_distances)
    x, y = drawn(golden_distances, 8.0)
    assert len(x) < 1700 and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    assert (x[0], y[0], x[-1], y[-1]) == (edges[0], 0, 8.0, 100.0)
    assert np.abs(np.interp(edges, x, y) - percent)[5:].max() < 0.15  # percent: a sixth of a point at 5 inches


def test_curves_of_nothing_and_of_odd_numbers():
    assert [len(part) for part in drawn(np.empty(0), 8.0)] == [0, 0]
    x, y = drawn(np.array([0.5, np.nan, 0.5, np.inf]), 8.0)
    assert y[-1] == 100 and np.isfinite(x).all()


@given(st.lists(st.floats(0, 8), max_size=20), st.floats(0.01, 0.5))
def test_labels_keep_their_order_and_distance(wanted, gap):
    wanted = np.sort(np.array(wanted))
    places = spread(wanted, gap, low=0.0, high=8.0)
    assert len(places) == len(wanted) and (places >= -1e-9).all()
    assert (places <= max(8.0, gap * (len(wanted) - 1)) + 1e-9).all()
    assert (np.diff(places) >= gap - 1e-9).all()
    if len(wanted) > 1 and (np.diff(wanted) >= gap).all():
        np.testing.assert_allclose(places, wanted, atol=1e-9)  # nothing moves without need


def test_files_of_a_report(tmp_path):
    results = [errors(), broken()]
    paths = write_report(
        tmp_path / "new/folder",
        results,
        title="NoW, test set",
        settings={**TEST_SET, "folder": tmp_path, "scale": np.float32(np.nan), "lists": {"b", "a"}},
        published=published("deca,mica", "nonmetrical", "test"),
        curves={"official": results[0].pooled * 2},
    )
    names = ["results.json", "results.csv", "cases.csv", "table.txt", "curve.svg", "curve.png"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(names)  # nothing half-written beside

    whole = json.loads(paths[0].read_text(), parse_constant=pytest.fail)  # no NaN in it
    assert whole["settings"] == {**TEST_SET, "folder": str(tmp_path), "scale": None, "lists": ["a", "b"]}
    assert whole["versions"]["numpy"] == np.__version__ and "T" in whole["date"]
    first, second = whole["methods"]
    assert first["median"] == results[0].median and first["std"] == results[0].std and first["images"] == 3
    assert (second["missing"], second["failed"], second["listed"]) == (1, 1, 5)
    assert second["missing_cases"] == ["person_7/selfie/a.jpg"]
    assert second["failed_cases"] == {"person_8/selfie/b.jpg": "a mesh of NaN"}
    case = second["cases"]["person_0/multiview_neutral/IMG_0.jpg"]
    distances = results[1].distances["person_0/multiview_neutral/IMG_0.jpg"]
    assert (case["points"], case["median"], case["std"]) == (300, np.median(distances), np.std(distances))
    assert case["remarks"] == ["left and right are swapped"]
    selfies = [results[1].distances[f"person_{i}/selfie/IMG_{i}.jpg"] for i in (1, 2)]
    assert second["challenges"]["selfie"]["median"] == np.median(np.concatenate(selfies))
    assert second["challenges"]["selfie"]["missing"] == 1

    rows = list(csv.DictReader(paths[1].open()))
    assert [float(row["median"]) for row in rows] == [r.median for r in results]
    assert [row["missing"] for row in rows] == ["0", "1"]
    rows = list(csv.DictReader(paths[2].open()))
    assert [row["status"] for row in rows] == ["evaluated"] * 6 + ["missing", "failed"]
    assert rows[-1]["remarks"] == "a mesh of NaN" and rows[-1]["median"] == ""

    text = paths[3].read_text()
    assert "1 (!)" in text and "2 of 5 cases are not in its numbers" in text and "not comparable" in text
    assert text.count("selfie") == 2 and "published, unverified" in text
    assert paths[5].read_bytes().startswith(b"\x89PNG") and paths[5].stat().st_size < 250_000
    words = " ".join(ElementTree.parse(paths[4]).getroot().itertext())
    assert (
        f"mediapipe  {results[1].median:.2f} mm (1 missing!, 1 failed!)" in words and "MICA 0.90 (unverified)" in words
    )
    assert "DECA 1.09" in words and "DECA 1.09 (" not in words
    assert paths[4].stat().st_size < 100_000


def test_a_method_without_any_number(tmp_path):
    nothing = SurfaceErrors("deca", "metrical", {}, missing=["a", "b"])
    paths = write_report(tmp_path, [nothing], title="nothing", settings={}, limit_mm=2.5)
    method = json.loads(paths[0].read_text())["methods"][0]
    assert method["median"] is None and method["missing"] == 2 and method["challenges"] == {}
    assert "2 of 2 cases" in paths[3].read_text()
    assert "nothing evaluated (2 missing!)" in " ".join(ElementTree.parse(paths[4]).getroot().itertext())


def test_the_same_results_give_the_same_picture(tmp_path):
    first, second = (
        write_report(tmp_path / name, [errors()], title="x", settings=TEST_SET, published=()) for name in "ab"
    )
    for index in (4, 5):
        assert first[index].read_bytes() == second[index].read_bytes()


def test_published_numbers_of_another_set_are_drawn_but_stand_in_no_table():
    results, settings = [errors()], {"set": "val"}
    others = published("deca,mica", "nonmetrical", "val")
    rows = tables.table_rows(results, others, settings)
    assert [row[0] for row in rows] == ["deca", "DECA"]
    (note,) = tables.mixing(others, results, settings)
    assert "1 published result of another set" in note and "test set" in note
    assert note in tables.footnotes(results, others, settings)
    figure = draw_curves(results, title="x", published=others, set="val")
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["MICA 0.90 (test set, unverified)", "DECA 1.18 (unverified)"]
    assert tables.mixing(published("deca", "nonmetrical", "val"), results, settings) == []


def test_labels_of_all_published_results_do_not_overlap():
    figure = draw_curves([errors()], title="x", published=published("test", "nonmetrical", "val"), set="val")
    figure.canvas.draw()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 18
    frame = axes.get_window_extent()
    for i, box in enumerate(boxes):
        assert frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y0 + frame.height / 2
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    tops = [tuple(line.get_xydata()[-1]) for line in axes.lines[1:]]
    medians = [result.median for result in published("test", "nonmetrical", "val")]
    assert tops == [(median, 50.0) for median in medians]


def test_the_frame_is_the_official_one():
    axes = draw_curves([errors()], title="x").axes[0]
    assert axes.get_xlim() == (0, 8) and axes.get_ylim() == (0, 100)
    assert [x for x in axes.get_xticks() if 0 <= x <= 8] == list(range(9))
    assert [y for y in axes.get_yticks() if 0 <= y <= 100] == [0, 20, 40, 60, 80, 100]


def test_methods_differ_without_colour():
    results = [errors(f"method {i}", 1 + i / 10) for i in range(12)]
    lines = draw_curves(results, title="x").axes[0].lines
    assert len({(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}) == 12
    assert len({str(line._unscaled_dash_pattern) for line in lines[:6]}) == 6


def test_cases_without_challenges_give_no_second_table():
    plain = SurfaceErrors("a", "nonmetrical", {"head_1": np.ones(3), "x/y/z": np.ones(3)})
    assert tables.by_challenge(plain) == {} and tables.challenge_rows([plain]) == []


@pytest.mark.parametrize("limit", [0.8, 2.0, 8.0])
def test_labels_stay_inside_at_any_limit(limit):
    others = published("all", "nonmetrical", "test")
    axes = draw_curves([errors()], title="x", published=others, set="test", limit_mm=limit).axes[0]
    frame = axes.get_window_extent()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == sum(other.median <= limit for other in others)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_names_that_are_no_plain_words(tmp_path):
    names = ["_hidden", "a $b", "$x^", "\u7532", os.fsdecode(b"caf\xe9")]
    paths = write_report(tmp_path, [errors(name) for name in names], title="5 $ a_b", settings={"data": names[-1]})
    whole = json.loads(paths[0].read_text("utf-8"))
    assert [method["method"] for method in whole["methods"]] == names
    words = " ".join(ElementTree.parse(paths[4]).getroot().itertext())
    for shown in ("_hidden", "a $b", "$x^", "\u7532", "caf?", "5 $ a_b"):
        assert shown in words
