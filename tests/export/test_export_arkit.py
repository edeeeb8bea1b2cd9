"""Weights in Live Link Face's layout and as JSON: names, timecodes, rows without a face, and back."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.errors import InputError
from facecli.export import arkit
from facecli.export.arkit import ANGLES, COLUMNS, NAMES, ArkitTrack

RATES = (23.976, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0, 120.0)


def track(frames=7, rate=25.0, gaps=(), seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.random((frames, 52)).astype(np.float32)
    weights[:, -1] = 0
    yaw = np.linspace(-0.4, 0.3, frames)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(yaw)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(yaw), -np.sin(yaw)
    poses[:, :3, 3] = rng.normal(0, 50, (frames, 3))
    eyes = rng.uniform(-0.4, 0.4, (frames, 2, 2))
    for gap in gaps:
        weights[gap], poses[gap], eyes[gap] = np.nan, np.nan, np.nan
    return ArkitTrack(np.arange(frames) / rate, weights, rate, poses, eyes), yaw


def test_names_and_columns():
    assert len(NAMES) == len(set(NAMES)) == 52
    assert COLUMNS[:4] == ("Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft")
    assert COLUMNS[-10:] == ("TongueOut", *ANGLES)
    assert len(COLUMNS) == 63 and arkit.COUNT == 61
    swapped = {name.replace("Left", "#").replace("Right", "Left").replace("#", "Right") for name in NAMES}
    assert swapped == set(NAMES)  # both sides of everything


# --- timecodes -------------------------------------------------------------------------------------------------------


@given(st.sampled_from(RATES), st.integers(0, 2_000_000))
def test_timecodes_keep_true_time(rate, number):
    first, second = (arkit.timecode(frame / rate, rate) for frame in (number, number + 1))
    assert math.isclose(arkit.seconds_of(first, rate), number / rate, abs_tol=0.7e-3)
    frame = float(first.rsplit(":", 1)[1])
    assert 0 <= frame < rate
    if rate < 100:
        assert first < second and len(first) == len("00:00:00:00.000")
    assert first.rsplit(".", 1)[0] != second.rsplit(".", 1)[0]  # programs that cut off .mmm still tell them apart


@given(st.sampled_from((24.0, 25.0, 30.0, 50.0, 60.0)), st.integers(0, 300_000))
def test_at_whole_rates_every_frame_is_whole(rate, number):
    code = arkit.timecode(number / rate, rate)
    assert code.endswith(f":{number % int(rate):02d}.000")
    assert arkit.timecode(round(number / rate, 3), rate) == code  # times in whole milliseconds mean the same frame
    assert arkit.timecode(math.nextafter(number / rate, 0), rate) == code


def test_timecodes_by_hand():
    assert arkit.timecode(3661.5, 30) == "01:01:01:15.000"
    assert arkit.timecode(0.25, 30) == "00:00:00:07.500"
    assert arkit.timecode(1.001, 30000 / 1001) == "00:00:01:00.030"
    assert arkit.timecode(-0.02, 30) == "00:00:00:00.000"
    assert arkit.timecode(100 * 3600, 30) == "100:00:00:00.000"


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_and_back(tmp_path):
    made, yaw = track(gaps=(0, 3, 4))
    arkit.write_csv(tmp_path / "take.csv", made)
    lines = (tmp_path / "take.csv").read_text("utf-8").split("\n")
    assert lines[0] == ",".join(COLUMNS) and lines[-1] == "" and len(lines) == 9
    rows = list(csv.DictReader(lines))
    assert [row["BlendShapeCount"] for row in rows] == ["0", "61", "61", "0", "0", "61", "61"]
    values = np.array([[float(row[name]) for name in COLUMNS[2:]] for row in rows])
    held = [1, 1, 2, 2, 2, 5, 6]  # where there is no face, it stands still
    np.testing.assert_allclose(values[:, :52], made.weights[held], atol=1e-6)
    np.testing.assert_allclose(values[:, 52], yaw[held], atol=1e-6)
    np.testing.assert_allclose(values[:, 53:55], 0, atol=1e-6)
    np.testing.assert_allclose(values[:, [55, 56, 58, 59]], made.eyes[held].reshape(7, 4), atol=1e-6)
    assert (values[:, [57, 60]] == 0).all()  # eyes don't roll
    back = arkit.read_csv(tmp_path / "take.csv", rate=25)
    np.testing.assert_allclose(back.weights, made.weights, atol=1e-6)
    np.testing.assert_allclose(back.eyes, made.eyes, atol=1e-6)
    np.testing.assert_allclose(back.times, made.times, atol=1e-4)
    np.testing.assert_array_equal(back.visible, made.visible)


@pytest.mark.parametrize("rate", [24.0, 25.0, 30.0, 60.0])
def test_a_table_whose_rate_is_not_said(tmp_path, rate):
    made, _ = track(frames=int(rate) + 3, rate=rate)
    arkit.write_csv(tmp_path / "take.csv", made)
    back = arkit.read_csv(tmp_path / "take.csv")
    assert back.rate == rate
    np.testing.assert_allclose(back.times, made.times, atol=1e-3)


def test_rows_of_the_app_without_numbers(tmp_path):
    """Where the app loses the face it may leave the rest of a row empty."""
    full = ["00:00:00:00.000", "61", *["0.5"] * 61]
    empty = ["00:00:00:01", "0", *[""] * 61]
    text = "\n".join(",".join(row) for row in (COLUMNS, full, empty))
    (tmp_path / "take.csv").write_text("\ufeff" + text, "utf-8")
    back = arkit.read_csv(tmp_path / "take.csv")
    assert (back.weights[0] == 0.5).all() and np.isnan(back.weights[1]).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks Timecode"),
        ("Timecode,BlendShapeCount,EyeBlinkLeft\n00:00:00:00.000,61,0\n", "lacks EyeLookDownLeft"),
        (",".join(COLUMNS) + "\n00:00:00:00.000,61" + ",much" * 61, "damaged"),
        (",".join(COLUMNS) + "\nnoon,61" + ",0" * 61, "damaged"),
        (",".join(COLUMNS) + "\n00:00:00:00.000,61,0.5", "damaged"),
    ],
)
def test_what_is_no_table(tmp_path, text, words):
    (tmp_path / "take.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        arkit.read_csv(tmp_path / "take.csv")
    with pytest.raises(InputError, match="can't be read"):
        arkit.read_csv(tmp_path / "nowhere.csv")


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_json_and_back(tmp_path):
    made, _ = track(rate=30000 / 1001, gaps=(2,))
    arkit.write_json(tmp_path / "arkit.json", made, input="clip.mp4", source="solved")
    text = (tmp_path / "arkit.json").read_text("utf-8")
    content = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert content["input"] == "clip.mp4" and content["names"] == list(NAMES)
    assert [frame["frame"] for frame in content["frames"]] == list(range(7))
    gap = content["frames"][2]
    assert gap["weights"] is gap["head_pose"] is gap["eyes"] is None and gap["time"] is not None
    np.testing.assert_allclose(content["frames"][1]["eyes"], np.degrees(made.eyes[1]), atol=1e-3)
    assert text.count("\n") < 16  # a frame a line
    back = arkit.read_json(tmp_path / "arkit.json")
    for name, error in (("times", 1e-6), ("weights", 1e-5), ("head_pose", 1e-4), ("eyes", 1e-4)):
        np.testing.assert_allclose(getattr(back, name), getattr(made, name), atol=error, err_msg=name)
    assert math.isclose(back.rate, made.rate, rel_tol=1e-6) and not back.still


def test_a_photograph_without_pose(tmp_path):
    made = ArkitTrack(np.zeros(1), np.full((1, 52), 0.25, np.float32), still=True)
    arkit.write_json(tmp_path / "arkit.json", made)
    arkit.write_csv(tmp_path / "arkit.csv", made)
    content = json.loads((tmp_path / "arkit.json").read_text())
    assert content["rate"] is content["frames"][0]["time"] is content["frames"][0]["head_pose"] is None
    back = arkit.read_json(tmp_path / "arkit.json")
    assert back.still and back.head_pose is None
    np.testing.assert_array_equal(back.weights, made.weights)
    row = (tmp_path / "arkit.csv").read_text().splitlines()[1].split(",")
    assert row[0] == "00:00:00:00.000" and [float(value) for value in row[-9:-6]] == [0, 0, 0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"names": [], "frames": [], "rate": 1}', "{"])
def test_what_is_no_json_of_ours(tmp_path, text):
    (tmp_path / "arkit.json").write_text(text)
    with pytest.raises(InputError, match=r"is no arkit\.json"):
        arkit.read_json(tmp_path / "arkit.json")


# --- names of others, eyes -------------------------------------------------------------------------------------------

ICT_NAMES = sorted({part for name in NAMES for part in arkit.ict_parts(name)} | {"cheekRaiser_L", "PupilDilate_R"})
amounts = st.lists(st.floats(0, 1, width=32), min_size=52, max_size=52)


@settings(max_examples=30)
@given(amounts)
def test_to_ict_and_back(values):
    weights = np.array([values], np.float32)
    there = arkit.to_ict(weights, ICT_NAMES)
    assert there.shape == (1, len(ICT_NAMES))
    expected = weights * [name != "tongueOut" for name in NAMES]
    np.testing.assert_allclose(arkit.from_ict(there, ICT_NAMES), expected, atol=1e-6)


def test_what_ict_has_more_of():
    def one(**weights):
        row = [weights.get(name, 0.0) for name in ICT_NAMES]
        return dict(zip(NAMES, arkit.from_ict([row], ICT_NAMES)[0].tolist(), strict=True))

    assert one(browInnerUp_L=1.0)["browInnerUp"] == 0.5
    assert one(cheekRaiser_L=0.5, cheekSquint_L=0.25)["cheekSquintLeft"] == 0.75
    assert one(cheekRaiser_L=0.75, cheekSquint_L=0.75)["cheekSquintLeft"] == 1
    assert not any(one(PupilDilate_R=1.0).values())
    assert one(jawLeft=1.0)["jawLeft"] == 1 and one(mouthSmile_L=1.0)["mouthSmileLeft"] == 1


@given(st.lists(st.floats(-0.4, 0.4), min_size=4, max_size=4))
def test_looks_and_angles(values):
    eyes, weights = np.array(values).reshape(1, 2, 2), np.zeros((1, 52))
    arkit.set_looks(weights, eyes)
    assert ((weights >= 0) & (weights <= 1)).all()
    np.testing.assert_allclose(arkit.eyes_of_weights(weights), eyes, atol=1e-9)


def test_both_eyes_to_the_subjects_left():
    weights = np.zeros((1, 52))
    arkit.set_looks(weights, np.array([[[0.3, 0.0], [0.3, 0.0]]]))
    assert {NAMES[number] for number in np.flatnonzero(weights)} == {"eyeLookOutLeft", "eyeLookInRight"}


def test_mediapipes_names():
    found = arkit.weights_of({"_neutral": 0.9, "jawOpen": 0.5, "mouthPucker": 1.5})
    assert found[NAMES.index("jawOpen")] == 0.5 and found.sum() == 1.5
