"""Landmark files as the NoW benchmark has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facecli.benchmark.landmark_files import read_landmarks, read_points
from facecli.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden/benchmarks"


@pytest.fixture(scope="module")
def texts() -> dict:
    return json.loads((GOLDEN / "now_summary.json").read_text())["landmark_files"]


@pytest.mark.parametrize(("suffix", "expected"), [("pp", "expect"), ("txt", "expect_txt")])
def test_texts_are_read_as_the_official_evaluation_reads_them(tmp_path, texts, suffix, expected):
    file = tmp_path / f"scan.{suffix}"
    file.write_text(texts[suffix])
    points = read_landmarks(file)
    assert points.dtype == np.float32
    assert np.array_equal(points, np.array(texts[expected], dtype=np.float32))


def test_points_of_pp_keep_the_order_of_the_file_whatever_their_names(tmp_path, texts):
    file = tmp_path / "scan.pp"
    file.write_text(texts["pp"].replace('name="0"', 'name="9"').replace(" <point", "\n\n   <point"))
    assert np.array_equal(read_landmarks(file), np.array(texts["expect"], dtype=np.float32))


def test_npy_keeps_its_dtype_and_loses_a_batch_of_one(tmp_path):
    points = np.arange(21.0).reshape(7, 3)
    for dtype, expected in ((np.float32, np.float32), (np.float64, np.float64), (np.int64, np.float64)):
        np.save(tmp_path / "a.npy", points.astype(dtype)[None])
        read = read_landmarks(tmp_path / "a.npy")
        assert read.dtype == expected
        assert np.array_equal(read, points)


def test_json(tmp_path):
    points = np.arange(21.0).reshape(7, 3)
    for content in (points.tolist(), {"landmarks": points.tolist()}):
        (tmp_path / "a.json").write_text(json.dumps(content))
        assert np.array_equal(read_landmarks(tmp_path / "a.json"), points)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "1 2 3\n" * 6, "holds 6 points, not 7"),
        ("a.txt", "1 2 3\n1 2\n", "line 2 has 2 numbers"),
        ("a.txt", "1 2 3\nx y z\n", "line 2 is no point"),
        ("a.txt", "1 2 3\n" * 6 + "nan 0 0\n", "not finite"),
        ("a.pp", "<PickedPoints><point x='1'", "no well-formed XML"),
        ("a.pp", "<PickedPoints><point x='1' y='2'/></PickedPoints>", "a point without z"),
        ("a.pp", "<PickedPoints></PickedPoints>", "not points in space"),
        ("a.pp", "<!DOCTYPE p [<!ENTITY a 'b'>]><p/>", "is refused"),
        ("a.json", "[[1, 2], [3]]", "no list of"),
        ("a.json", "{}", "not points in space"),
        ("a.json", "{", "no JSON document"),
        ("a.xyz", "1 2 3\n", "of no kind"),
        ("a.npy", "nothing", "is not a NumPy .npy file"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        read_landmarks(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_pickle_that_calls_something_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_landmarks(tmp_path / "none.npy")

    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="is refused"):
        read_landmarks(tmp_path / "evil.npy")
    with (tmp_path / "dict.npy").open("wb") as file:
        np.save(file, np.array({"left": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not points in space"):
        read_landmarks(tmp_path / "dict.npy")


def test_other_counts_are_for_read_points(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((68, 3)))
    assert read_points(tmp_path / "a.npy").shape == (68, 3)
