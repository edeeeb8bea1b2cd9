"""Where the parts of the NoW data set are found, and what single files of it may hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli.benchmark.now.dataset import NowFolder, parse_case
from facecli.benchmark.now.official import object_npy, read_distances
from facecli.errors import FacecliError, InputError
from standins.now import DEEP, Subject, write_box, write_now

TRIANGLE = np.eye(3), np.array([[0, 1, 2]]), np.arange(21, dtype=np.float32).reshape(7, 3)
LINES = {"selfie/b.2.jpg": np.zeros((8, 8, 3), np.uint8), "multiview_neutral/a.jpg": None}


@pytest.mark.parametrize(("deep", "place"), [(True, ""), (True, "NoW_Dataset"), (True, DEEP), (False, "")])
def test_parts_are_found_from_every_level(tmp_path, deep, place):
    """The list's order is kept; a stem may have dots."""
    write_now(tmp_path, {"P2": Subject(*TRIANGLE, LINES), "P1": Subject(*TRIANGLE, LINES)}, deep=deep)
    data = NowFolder(tmp_path / place)
    cases = data.cases()
    assert [case.name for case in cases] == [f"P{n}/{line[:-4]}" for n in (2, 1) for line in LINES]
    assert [case.line for case in data.cases("selfie")] == ["P2/selfie/b.2.jpg", "P1/selfie/b.2.jpg"]
    np.testing.assert_array_equal(data.box(cases[0]), (100, 80, 300, 320))
    assert data.image(cases[0]).is_file()
    assert data.image(cases[0]) == data.box_path(cases[0]).parents[3] / "iphone_pictures/P2/selfie/b.2.jpg"
    assert data.scan("P1").name == "P1.000001.obj" and data.scan_landmarks("P1").suffix == ".pp"
    assert data.scan("P3") is None and data.has_scans(cases)
    (tmp_path / "scans/P1/P1.000000.obj").write_text("v 0 0 0\n")
    assert data.scan("P1").name == "P1.000000.obj"  # the first by name, on every machine


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"left": 1.0, "top": 2.0, "right": 3.0}, "holds no box"),
        ({"left": 1.0, "top": 2.0, "right": 1.0, "bottom": 5.0}, "without an area"),
        ({"left": 1.0, "top": np.nan, "right": 3.0, "bottom": 5.0}, "without an area"),
        ([1, 2, 3, 4], "holds no box"),
    ],
)
def test_boxes_that_are_none(tmp_path, content, words):
    write_now(tmp_path, {"P1": Subject(*TRIANGLE, LINES)}, deep=False)
    data = NowFolder(tmp_path)
    case = data.cases()[0]
    data.box_path(case).write_bytes(object_npy(content))
    with pytest.raises(InputError, match=words):
        data.box(case)
    write_box(data.box_path(case), (1.5, 2.0, 30.0, 40.0))
    np.testing.assert_array_equal(data.box(case), (1.5, 2, 30, 40))


def test_two_images_of_one_name(tmp_path):
    (tmp_path / "imagepathsvalidation.txt").write_text("A/selfie/x.jpg\nA/selfie/x.jpg\nA/selfie/x.png\n")
    with pytest.raises(InputError, match="would have the same prediction"):
        NowFolder(tmp_path).cases()


@given(st.text(max_size=40))
def test_no_line_leads_out_of_the_folder(line):
    try:
        case = parse_case(line, "list")
    except FacecliError:
        return
    parts = (case.subject, case.challenge, case.file)
    assert not {"", ".", ".."} & set(parts) and not any("/" in part or "\\" in part for part in parts)


@given(st.lists(st.lists(st.floats(0, 100), min_size=1, max_size=5), min_size=1, max_size=4))
def test_official_distances_read_back(lists):
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        file.write(object_npy({"computed_distances": [np.array(one) for one in lists]}))
        file.flush()
        np.testing.assert_array_equal(read_distances(file.name), np.concatenate(lists))
