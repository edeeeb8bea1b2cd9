"""`facecli align` as users call it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "assets/astronaut.png"


@pytest.fixture
def facecli(cli, monkeypatch, tmp_path):
    """Runs the command line in `tmp_path`: arguments → exit code, stdout's JSON, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, list[dict], str]:
        workers = () if "--workers" in arguments else ("--workers", "0")
        ran = cli("align", *arguments, *workers)
        return ran.code, [json.loads(line) for line in ran.out.splitlines()], ran.err

    return run


def files_below(folder: Path) -> list[str]:
    """All but the journal of what is done."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".facecli-done.jsonl")
    return sorted(str(path.relative_to(folder)) for path in files)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def two() -> Image.Image:
    """The sample photograph twice, the second face smaller."""
    face = np.asarray(Image.open(ASTRONAUT).convert("RGB"))
    small = np.asarray(Image.fromarray(face).resize((340, 340)))
    return Image.fromarray(np.concatenate([face, np.pad(small, ((0, 172), (0, 0), (0, 0)))], axis=1))


def test_the_sample_photograph_is_aligned_like_the_official_one(facecli, tmp_path):
    """The golden landmarks are of another 68-point table, so the pictures are near and not equal."""
    code, rows, text = facecli(ASTRONAUT, "-o", "out", "--size", "128", "--json")
    assert code == 0, text
    aligned = pixels(tmp_path / "out/astronaut.png")
    assert aligned.shape == (128, 128, 3) and aligned.dtype == np.uint8
    with np.load(ROOT / "tests/golden/diffusionrig/align_astronaut.npz") as golden:
        expected = golden["plain128/aligned"]
    assert np.abs(aligned.astype(int) - expected).mean() < 4
    (row,) = rows
    assert row["image"] == "out/astronaut.png" and row["size"] == 128 and row["face"] == 0


def test_aligned_faces_stand_upright_in_the_middle(facecli, tmp_path):
    """A picture that lies on its side gives what the upright one gives."""
    Image.open(ASTRONAUT).convert("RGB").rotate(30, Image.Resampling.BICUBIC).save(tmp_path / "turned.png")
    assert facecli(ASTRONAUT, "turned.png", "-o", "out", "--size", "64")[0] == 0
    upright, turned = (
        pixels(tmp_path / f"out/{name}.png")[16:48, 16:48].astype(int) for name in ("astronaut", "turned")
    )
    assert np.abs(upright - turned).mean() < 8


def test_a_phone_s_rotation_is_honoured(facecli, tmp_path):
    """The same pixels, stored on their side with an EXIF orientation."""
    image = Image.open(ASTRONAUT).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to see it
    image.rotate(90, expand=True).save(tmp_path / "phone.png", exif=exif)
    assert facecli(ASTRONAUT, "phone.png", "-o", "out", "--size", "64")[0] == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out/phone.png"), pixels(tmp_path / "out/astronaut.png"))


def test_all_faces_have_numbered_files(facecli, tmp_path, two):
    two.save(tmp_path / "two.png")
    code, rows, text = facecli("two.png", "-o", "out", "--size", "64", "--faces", "all", "--json")
    assert code == 0, text
    assert files_below(tmp_path / "out") == ["two.png", "two_1.png"]
    assert [row["image"] for row in rows] == ["out/two.png", "out/two_1.png"]
    first, second = (pixels(tmp_path / f"out/{name}.png").astype(int) for name in ("two", "two_1"))
    assert np.abs(first - second).mean() < 12  # one woman in two sizes
    assert facecli("two.png", "-o", "one", "--size", "64")[0] == 0
    assert files_below(tmp_path / "one") == ["two.png"]


def test_a_face_that_is_too_small_is_named_and_not_written(facecli, tmp_path, two):
    code, rows, text = facecli(ASTRONAUT, "-o", "out", "--size", "512", "--json")
    assert code == 1 and "resolution too low" in text and text.count("error: ") == 1
    assert "astronaut.png: resolution too low" in rows[0]["error"] and not (tmp_path / "out").exists()
    two.save(tmp_path / "two.png")
    code, _, text = facecli("two.png", "-o", "out", "--size", "180", "--faces", "all")
    assert code == 1 and "two.png: face 1: resolution too low" in text
    assert files_below(tmp_path / "out") == ["two.png"]


def test_trees_resuming_and_bad_inputs(facecli, tmp_path):
    (tmp_path / "in/a").mkdir(parents=True)
    image = Image.open(ASTRONAUT).convert("RGB")
    image.save(tmp_path / "in/a/1.png")
    image.save(tmp_path / "in/1.png")
    image.save(tmp_path / "in/1.jpg", quality=95)
    (tmp_path / "in/empty.jpg").touch()
    Image.new("RGB", (64, 64)).save(tmp_path / "in/black.png")
    arguments = ("in", "--recursive", "-o", "out", "--size", "64")
    code, _, text = facecli(*arguments)
    assert code == 1 and text.count("error: ") == 2
    assert "empty.jpg" in text and "black.png: no face found" in text
    assert files_below(tmp_path / "out") == ["1.png", "1.png.png", "a/1.png"]
    (tmp_path / "out/1.png").write_bytes(b"kept")
    code, _, text = facecli(*arguments)
    assert code == 1 and "3 there already, 2 failed" in text
    assert (tmp_path / "out/1.png").read_bytes() == b"kept"
    assert facecli("in/1.png", "-o", "out", "--size", "64", "--overwrite")[0] == 0
    assert pixels(tmp_path / "out/1.png").shape == (64, 64, 3)


def test_worker_processes_give_the_same(facecli, tmp_path):
    for folder, workers in (("one", "0"), ("two", "2")):
        assert facecli(ASTRONAUT, "-o", folder, "--size", "64", "--workers", workers)[0] == 0
    assert (tmp_path / "one/astronaut.png").read_bytes() == (tmp_path / "two/astronaut.png").read_bytes()


def test_wrong_words(facecli, tmp_path):
    assert facecli(ASTRONAUT, "-o", "out", "--size", "5000")[0] == 2
    assert facecli(ASTRONAUT, "-o", "out", "--faces", "some")[0] == 2
    code, _, text = facecli(ASTRONAUT, "-o", "out", "--landmarker", "nobody")
    assert code == 2 and "unknown landmarker 'nobody'" in text
    assert not (tmp_path / "out").exists()


def test_videos_are_refused_with_the_way_out(facecli, media):
    code, _, text = facecli(media / "dafoe.mp4", "-o", "out")
    assert code == 1 and "is a video" in text and "ffmpeg" in text
