"""`facecli preprocess landmarks` as users call it: pictures, folders, videos, lists, and everything that is broken."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from facecli.assets import places
from facecli.detect import formats
from facecli.detect.landmarks import convert
from facecli.errors import UsageError
from facecli.preprocess import LandmarkerChoice

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "assets/astronaut.png"
GOLDEN = ROOT / "tests/golden/landmarks/mediapipe_astronaut.npz"
MEDIA = ROOT.parent / "shared/data/media"
needs_media = pytest.mark.skipif(not MEDIA.exists(), reason="needs ../shared/data/media")


@pytest.fixture
def facecli(cli, monkeypatch, tmp_path):
    """Runs the command line in `tmp_path`: arguments → exit code, stdout's JSON, stderr. No worker processes unless
    they are asked for: their start would take most of the tests' time."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, list[dict], str]:
        workers = () if "--workers" in arguments else ("--workers", "0")
        ran = cli(*arguments, *workers)
        return ran.code, [json.loads(line) for line in ran.out.splitlines()], ran.err

    return run


def picture(path: Path, pixels: np.ndarray | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(ASTRONAUT).convert("RGB") if pixels is None else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def video(path: Path, frames: list[np.ndarray], rate: int = 10) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"g": "4"}  # many whole pictures: a file that is cut still has most of them
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return np.asarray(Image.open(ASTRONAUT).convert("RGB"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory, face) -> Path:
    """Nine frames of a face that moves to the right; the fifth and the sixth have none."""
    frames = [np.ascontiguousarray(np.roll(face[:320, 40:360], 4 * index, axis=1)) for index in range(9)]
    frames[4] = frames[5] = np.zeros_like(frames[0])
    return video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames)


def files_below(folder: Path) -> list[str]:
    """All but the journal of what is done."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".facecli-done.jsonl")
    return sorted(str(path.relative_to(folder)) for path in files)


# --- pictures --------------------------------------------------------------------------------------------------------


def test_the_sample_photograph(facecli, tmp_path):
    code, rows, words = facecli("preprocess", "landmarks", ASTRONAUT, "-o", "out", "--json")
    assert code == 0, words
    landmarks = formats.read_npz(tmp_path / "out/astronaut.npz")
    with np.load(GOLDEN) as golden:
        expected = golden["mediapipe_refine1"] * 512
    assert np.abs(landmarks.points[0, 0] - expected).max() < 5e-3 * 512
    assert landmarks.size == (512, 512) and landmarks.fps is None
    (row,) = rows
    assert row["input"] == str(ASTRONAUT) and row["face"] == 0 and row["set"] == "mediapipe478"
    assert row["landmarks"] == ["out/astronaut.npz"] and 0.5 < row["score"] <= 1
    x0, y0, x1, y1 = row["box"]
    assert 150 < x0 < x1 < 300 and 50 < y0 < y1 < 200


@pytest.mark.parametrize(
    "words",
    [
        ["preprocess", "--mediapipe", "-i", "IN", "-o", "OUT"],
        ["preprocess", "--input-dir", "IN", "--output-dir", "OUT"],
        ["preprocess", "--input_dir", "IN", "--output_dir=OUT"],
        ["preprocess", "IN", "-o", "OUT", "--landmarker", "mediapipe"],
        ["preprocess", "landmarks", "IN", "-o", "OUT"],
    ],
)
def test_every_way_to_say_it(facecli, tmp_path, words):
    picture(tmp_path / "in/a.png")
    code, _, text = facecli(*[word.replace("IN", "in").replace("OUT", "out") for word in words])
    assert code == 0, text
    assert files_below(tmp_path / "out") == ["a.npz"]


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("npz", ["b/é 1.npz"]),
        ("smirk", ["mediapipe_landmarks/b/é 1.npy"]),
        ("deca", ["b/é 1.txt"]),
        ("emoca", ["landmarks/b/é 1.pkl"]),
        ("emoca-v2", ["landmarks/b/é 1.pkl"]),
        ("deep3d", ["b/detections/é 1.txt", "b/landmarks/é 1.txt"]),
    ],
)
def test_layouts_keep_the_tree(facecli, tmp_path, layout, expected):
    picture(tmp_path / "in/b/é 1.jpg", quality=95)
    code, _, text = facecli("preprocess", "in", "-o", "out", "--as", layout, "--recursive")
    assert code == 0, text
    assert files_below(tmp_path / "out") == expected


def test_layouts_hold_the_same_face(facecli, tmp_path):
    for layout in ("smirk", "deca", "emoca", "deep3d"):
        assert facecli("preprocess", ASTRONAUT, "-o", "out", "--as", layout)[0] == 0
    out = tmp_path / "out"
    smirk = formats.read_smirk_mediapipe(out / "mediapipe_landmarks/astronaut.npy")
    np.testing.assert_allclose(
        formats.read_deca(out / "astronaut.txt"), convert(smirk, "mediapipe478", "ibug68")[:, :2], atol=1e-9
    )
    np.testing.assert_allclose(
        formats.read_deep3d_detection(out / "detections/astronaut.txt"),
        convert(smirk, "mediapipe478", "five")[:, :2],
        atol=1e-9,
    )
    emoca = formats.read_emoca(out / "landmarks/astronaut.pkl")
    assert emoca.type_name == "mediapipe"
    np.testing.assert_allclose(emoca.points[:, :2], smirk[:, :2], atol=1e-9)
    assert abs(smirk[4, 2]) < 0.5 < abs(emoca.points[4, 2])  # SMIRK's depth is not in pixels


def test_without_irises(facecli, tmp_path):
    code, rows, text = facecli("preprocess", ASTRONAUT, "-o", "out", "--no-refine", "--json")
    assert code == 0, text
    assert rows[0]["set"] == "mediapipe468"
    assert formats.read_npz(tmp_path / "out/astronaut.npz").points.shape == (1, 1, 468, 3)
    code, _, text = facecli("preprocess", ASTRONAUT, "-o", "out", "--no-refine", "--as", "smirk")
    assert code == 2 and "irises" in text


def two_faces(face: np.ndarray) -> np.ndarray:
    """The astronaut, and herself at two thirds of the size beside her."""
    small = np.asarray(Image.fromarray(face).resize((340, 340)))
    return np.concatenate([face, np.pad(small, ((0, 172), (0, 0), (0, 0)))], axis=1)


def test_faces(facecli, tmp_path, face):
    picture(tmp_path / "two.png", two_faces(face))
    code, rows, text = facecli("preprocess", "two.png", "-o", "all", "--faces", "all", "--json")
    assert code == 0, text
    assert [row["face"] for row in rows] == [0, 1]
    assert rows[0]["box"][0] < 512 < rows[1]["box"][0]  # the larger first
    assert np.load(tmp_path / "all/two.npz")["points"].shape == (1, 2, 478, 3)
    code, rows, _ = facecli("preprocess", "two.png", "-o", "one", "--json")
    assert code == 0 and len(rows) == 1
    assert np.load(tmp_path / "one/two.npz")["points"].shape == (1, 478, 3)


@needs_media
def test_two_people(facecli, tmp_path):
    code, rows, text = facecli("preprocess", MEDIA / "two_people.jpg", "-o", "out", "--faces", "2", "--json")
    assert code == 0, text
    assert len(rows) == 2
    landmarks = formats.read_npz(tmp_path / "out/two_people.npz")
    assert landmarks.points.shape == (1, 2, 478, 3) and landmarks.size == (1536, 689)


# --- going on, lists -------------------------------------------------------------------------------------------------


def test_finished_outputs_are_kept_unless_told(facecli, tmp_path):
    picture(tmp_path / "a.png")
    code, first, _ = facecli("preprocess", "a.png", "-o", "out", "--json")
    assert code == 0
    (tmp_path / "out/a.npz").write_bytes(b"kept")
    code, rows, text = facecli("preprocess", "a.png", "-o", "out", "--json")
    assert code == 0 and "1 there already" in text
    assert rows == first  # the same is said again
    assert (tmp_path / "out/a.npz").read_bytes() == b"kept"
    assert facecli("preprocess", "a.png", "-o", "out", "--overwrite")[0] == 0
    assert formats.read_npz(tmp_path / "out/a.npz").points.shape == (1, 1, 478, 3)


def test_a_list_on_standard_input_and_what_workers_give(facecli, tmp_path, clip):
    """A process of its own, two worker processes: as in `find … | facecli preprocess - --json | jq`. They give what one
    process gives."""
    names = [picture(tmp_path / f"in/{index}.png").relative_to(tmp_path) for index in range(2)]
    listed = [*map(str, names), str(clip), "missing.png"]
    done = subprocess.run(
        [sys.executable, "-m", "facecli", "preprocess", "-", "-o", "two", "--workers", "2", "--json"],
        input="\n".join([*listed, ""]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["input"] for row in rows] == listed
    assert "error" in rows[-1] and "missing.png" in done.stderr
    assert facecli("preprocess", "in", clip, "-o", "one")[0] == 0
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two") == ["0.npz", "1.npz", "clip.npz"]
    for name in files_below(tmp_path / "one"):
        with np.load(tmp_path / "one" / name) as one, np.load(tmp_path / "two" / name) as two:
            for key in one.files:
                np.testing.assert_array_equal(one[key], two[key])


# --- videos ----------------------------------------------------------------------------------------------------------


def test_a_video_has_a_row_a_frame(facecli, tmp_path, clip):
    code, rows, text = facecli("preprocess", clip, "-o", "out", "--json")
    assert code == 0, text
    landmarks = formats.read_npz(tmp_path / "out/clip.npz")
    assert landmarks.points.shape == (9, 1, 478, 3) and landmarks.fps == pytest.approx(10)
    np.testing.assert_allclose(landmarks.times, np.arange(9) / 10, atol=1e-6)
    without = np.isnan(landmarks.points).all((1, 2, 3))
    np.testing.assert_array_equal(np.flatnonzero(without), [4, 5])
    np.testing.assert_array_equal(np.isnan(landmarks.scores[:, 0]), without)
    x = landmarks.points[~without, 0, 4, 0]
    np.testing.assert_allclose(x - x[0], 4 * np.array([0, 1, 2, 3, 6, 7, 8]), atol=3)
    (row,) = rows
    assert (row["frames"], row["frames_with_face"], row["face"]) == (9, 7, 0)


def test_smirk_gets_nan_rows_and_not_fewer(facecli, tmp_path, clip):
    assert facecli("preprocess", clip, "-o", "out", "--as", "smirk")[0] == 0
    points = formats.read_smirk_mediapipe(tmp_path / "out/mediapipe_landmarks/clip.npy")
    assert points.shape == (9, 478, 3)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(points).all((1, 2))), [4, 5])


def test_two_people_keep_their_places(facecli, tmp_path, face):
    frames = [two_faces(face) for _ in range(4)]
    frames[2] = frames[2].copy()
    frames[2][:, :500] = 0  # the larger face is away for a moment
    video(tmp_path / "pair.mp4", frames)
    code, rows, text = facecli("preprocess", "pair.mp4", "-o", "out", "--faces", "all", "--json")
    assert code == 0, text
    landmarks = formats.read_npz(tmp_path / "out/pair.npz")
    assert landmarks.points.shape == (4, 2, 478, 3)
    np.testing.assert_array_equal(np.isnan(landmarks.scores), [[0, 0], [0, 0], [1, 0], [0, 0]])
    assert [row["frames_with_face"] for row in rows] == [3, 4]
    # one face a frame: the person who is largest, and in his or her absence whoever is there
    assert facecli("preprocess", "pair.mp4", "-o", "one")[0] == 0
    one = formats.read_npz(tmp_path / "one/pair.npz").points[:, 0]
    np.testing.assert_array_equal(one[[0, 1, 3]], landmarks.points[[0, 1, 3], 0])
    np.testing.assert_array_equal(one[2], landmarks.points[2, 1])


def test_tracking_starts_afresh_with_each_video(facecli, tmp_path, clip):
    (tmp_path / "again.mp4").write_bytes(clip.read_bytes())
    assert facecli("preprocess", clip, "again.mp4", "-o", "out", "--track")[0] == 0
    first, second = (formats.read_npz(tmp_path / f"out/{name}.npz") for name in ("clip", "again"))
    np.testing.assert_array_equal(first.points, second.points)


def test_a_video_without_a_face(facecli, tmp_path):
    video(tmp_path / "dark.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    code, rows, text = facecli("preprocess", "dark.mp4", "-o", "out", "--json")
    assert code == 1 and "dark.mp4: no face found in any of its 3 frames" in text
    assert rows[0]["error"].startswith("dark.mp4: no face") and not (tmp_path / "out").exists()


def test_a_video_that_was_cut_gives_what_it_holds_and_says_so(facecli, tmp_path, face):
    frames = [np.ascontiguousarray(np.roll(face[:320, 40:360], index, axis=1)) for index in range(24)]
    content = video(tmp_path / "whole.mkv", frames).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) * 2 // 3])
    code, rows, text = facecli("preprocess", "cut.mkv", "-o", "out", "--json")
    assert code == 1 and text.count("error: cut.mkv: ") == 1 and "were written" in text
    count = len(formats.read_npz(tmp_path / "out/cut.npz").points)
    assert 1 <= count < 24 and rows[0]["frames"] == count and "error" in rows[1]


@needs_media
def test_the_sample_video(facecli, tmp_path):
    code, rows, text = facecli("preprocess", MEDIA / "dafoe.mp4", "-o", "out", "--workers", "0", "--json")
    assert code == 0, text
    assert rows[0]["frames"] == rows[0]["frames_with_face"] == 99
    landmarks = formats.read_npz(tmp_path / "out/dafoe.npz")
    assert landmarks.size == (1280, 720) and landmarks.fps == pytest.approx(29.97, abs=0.01)
    steps = np.linalg.norm(np.diff(landmarks.points[:, 0, 4, :2], axis=0), axis=1)
    assert np.median(steps) < 10  # one person, followed


# --- what is broken --------------------------------------------------------------------------------------------------


def test_bad_inputs_are_named_and_the_rest_is_done(facecli, tmp_path, clip):
    picture(tmp_path / "good.png")
    picture(tmp_path / "faceless.png", np.full((64, 64, 3), 127, np.uint8))
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    whole = io.BytesIO()
    Image.open(ASTRONAUT).convert("RGB").save(whole, "JPEG")
    (tmp_path / "half.jpg").write_bytes(whole.getvalue()[:20000])
    (tmp_path / "broken.mp4").write_bytes(clip.read_bytes()[:300])
    (tmp_path / "nothing").mkdir()
    bad = ["faceless.png", "empty.jpg", "text.jpg", "half.jpg", "broken.mp4", "nothing", "missing.png"]
    code, rows, text = facecli("preprocess", *bad, "good.png", "-o", "out", "--workers", "0", "--json")
    assert code == 1
    assert files_below(tmp_path / "out") == ["good.npz"]
    errors = {row["input"]: row["error"] for row in rows if "error" in row}
    assert set(errors) == set(bad)
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(bad)
    for name, line in zip(bad, lines, strict=True):
        assert line.startswith(f"error: {name}: ") and line == f"error: {errors[name]}"
    assert "no face found" in errors["faceless.png"]
    assert text.splitlines()[-1] == "1 done, 7 failed"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-o", "out"], "no input"),
        (["a.png", "-o", "out", "--faces", "0"], "--faces is largest, all or a number, not '0'"),
        (["a.png", "-o", "out", "--as", "mica"], "unknown layout 'mica'; known: npz, smirk"),
        (["a.png", "-o", "out", "--as", "deca", "--faces", "all"], "--as deca has room for one face"),
        (["a.png", "-o", "out", "--confidence", "2"], "--confidence lies between 0 and 1"),
        (["a.png", "-o", "out", "--fan", "--mediapipe"], "one landmarker at a time"),
        (["a.png", "-o", "out", "--landmarker", "mediapip"], "Did you mean mediapipe?"),
        (["a.png"], "-o"),
    ],
)
def test_wrong_words_end_with_2_and_one_line(facecli, tmp_path, words, complaint):
    picture(tmp_path / "a.png")
    code, rows, text = facecli("preprocess", "landmarks", *words)
    assert code == 2 and complaint in text and not rows
    assert not (tmp_path / "out").exists()


def test_missing_weights_end_with_3_and_the_way_to_get_them(facecli, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "data_folder", lambda: tmp_path / "data")
    monkeypatch.setenv(places.FOLDERS_VARIABLE, str(tmp_path))
    places.rescan()
    code, rows, text = facecli("preprocess", ASTRONAUT, "-o", "out", "--fan")
    assert code == 3 and not rows and "facecli assets get sfd fan_2d" in text
    assert "s3fd-619a316812.pth" in text and "2DFAN4-11f355bf06.pth.tar" in text and "missing" in text
    places.rescan()


def test_options_that_a_landmarker_does_not_take_are_wrong_usage():
    with pytest.raises(UsageError, match=r"mediapipe doesn't take this option: .*eyebrows"):
        LandmarkerChoice("mediapipe", options={"eyebrows": True}).make()


def test_videos_where_there_is_no_place_for_them(facecli, tmp_path, clip):
    code, _, text = facecli("preprocess", clip, ASTRONAUT, "-o", "out", "--as", "deca")
    assert code == 1 and "clip.mp4: is a video, and --as deca has no place for videos" in text
    assert files_below(tmp_path / "out") == ["astronaut.txt"]


def test_an_unwritable_output_stops_with_one_line(facecli, tmp_path):
    (tmp_path / "out").write_text("a file in the way")
    code, _, text = facecli("preprocess", ASTRONAUT, ASTRONAUT, "-o", "out")
    assert code == 1
    assert [line for line in text.splitlines() if line.startswith("error: ")] == [text.splitlines()[-1]]
    assert "can't be written" in text


# --- what is whose ---------------------------------------------------------------------------------------------------


def test_another_picture_of_the_same_name_is_not_taken_for_done(facecli, tmp_path):
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
    picture(tmp_path / "p1/x.png")
    Image.open(ASTRONAUT).convert("RGB").rotate(4).save(tmp_path / "p2/x.png")
    assert facecli("preprocess", "p1/x.png", "-o", "out")[0] == 0
    kept = (tmp_path / "out/x.npz").read_bytes()
    code, _, text = facecli("preprocess", "p2/x.png", "-o", "out")
    assert code == 1 and "was made of" in text
    assert (tmp_path / "out/x.npz").read_bytes() == kept
    assert facecli("preprocess", "p2/x.png", "-o", "out", "--overwrite")[0] == 0
    assert (tmp_path / "out/x.npz").read_bytes() != kept


def test_edited_pictures_and_other_settings_are_done_again(facecli, tmp_path):
    picture(tmp_path / "a.png")
    facecli("preprocess", "a.png", "-o", "out")
    first = (tmp_path / "out/a.npz").read_bytes()
    code, _, text = facecli("preprocess", "a.png", "-o", "out", "--no-refine")
    assert code == 0 and "already" not in text
    assert formats.read_npz(tmp_path / "out/a.npz").point_set == "mediapipe468"
    Image.open(ASTRONAUT).convert("RGB").rotate(4).save(tmp_path / "a.png")
    facecli("preprocess", "a.png", "-o", "out")
    assert (tmp_path / "out/a.npz").read_bytes() != first
    code, _, text = facecli("preprocess", "a.png", "-o", "out")
    assert code == 0 and "1 there already" in text


def test_files_of_others_are_not_replaced_unasked(facecli, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.npz").write_bytes(b"theirs")
    code, _, text = facecli("preprocess", "a.png", "-o", "out")
    assert code == 1 and "not of facecli's making" in text
    assert (tmp_path / "out/a.npz").read_bytes() == b"theirs"
    assert facecli("preprocess", "a.png", "-o", "out", "--overwrite")[0] == 0


def test_what_was_begun_and_not_finished_is_done_again(facecli, tmp_path):
    from facecli.io.journal import Journal

    picture(tmp_path / "a.png")
    Journal(tmp_path / "out").begin(["a.npz"])  # and then the power went
    (tmp_path / "out/a.npz").write_bytes(b"half")
    code, _, text = facecli("preprocess", "a.png", "-o", "out")
    assert code == 0 and "already" not in text
    assert formats.read_npz(tmp_path / "out/a.npz").points.shape == (1, 1, 478, 3)


def test_own_results_are_no_inputs(facecli, tmp_path):
    picture(tmp_path / "a.png")
    for _ in range(2):
        code, _, text = facecli("align", ".", "-r", "-o", "out", "--size", "64")
        assert code == 0 and ("1 done" in text or "1 there already" in text)
    assert files_below(tmp_path / "out") == ["a.png"]
