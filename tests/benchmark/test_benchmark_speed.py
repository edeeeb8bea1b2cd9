"""`facecli benchmark speed`: real processes, real results; no clock is asserted."""

from __future__ import annotations

import csv
import itertools
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from facecli.benchmark.speed import inputs, tables
from facecli.benchmark.speed.machine import in_words, machine_facts
from facecli.benchmark.speed.memory import peak_memory
from facecli.benchmark.speed.request import Measured, NotMeasured, Request
from facecli.benchmark.speed.run import Choice
from facecli.errors import InputError, UsageError
from facecli.io.images import write_image
from facecli.io.video import VideoReader
from standins import tiny as drawn

TESTS = Path(__file__).parents[1]


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Processes and this one have the plugins `tiny`, `blobs` and `crash`, whose model ends the process."""
    from facecli import registry

    site = tmp_path / "site"
    info = site / "drawn-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drawn\nVersion: 1.0\n")
    names = ("tiny", "blobs", "crash")
    (info / "entry_points.txt").write_text("[facecli.plugins]\n" + "".join(f"{n} = drawn_plugins:{n}\n" for n in names))
    (site / "drawn_plugins.py").write_text(
        "from facecli.plugin import Plugin\n"
        "from standins.tiny import plugins\n"
        "tiny, blobs = plugins()['tiny'], plugins()['blobs']\n"
        "crash = Plugin('crash', '', 'none', 'none', reconstructor='crashing_model:Model')\n"
    )
    (site / "crashing_model.py").write_text(
        "import os, sys\nprint('no such instruction', file=sys.stderr, flush=True)\nos._exit(7)\n"
    )
    paths = [str(site), str(TESTS), str(drawn.TINY)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "path", [*paths, *sys.path])
    registry.reload()
    yield
    registry.reload()


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "two.png"
    write_image(path, drawn.picture([(50, 60, 20, 26), (110, 60, 16, 20)]))
    return path


def test_models_are_measured_and_a_crash_is_named(third_party, cli, photo, tmp_path):
    words = ["--pictures", photo, "--count", 3, "--frames", 4, "--repeat", 2, "--landmarker", "blobs", "--stages"]
    ran = cli("benchmark", "speed", "-m", "tiny,crash", *words, "--save", "codes,ply", "--json", "-o", tmp_path / "out")
    assert ran.code == 1
    (row,) = map(json.loads, ran.out.splitlines())
    assert (row["model"], row["landmarker"], row["batch_size"], row["device"]) == ("tiny", "blobs", 8, "cpu")
    assert (row["pictures"], row["faces"], row["without_result"], row["frames"]) == (3, 6, 0, 4)
    assert 0 < row["first"] < row["start"] and row["start"] == pytest.approx(row["load"] + row["first"])
    assert {name: len(values) for name, values in row["seconds"].items()} == {"one": 2, "pictures": 2, "video": 2}
    assert row["pictures_per_second"] == pytest.approx(3 / np.median(row["seconds"]["pictures"]))
    assert row["frames_per_second"] == pytest.approx(4 / np.median(row["seconds"]["video"]))
    assert row["peak_memory"] > 50e6 and row["gpu_memory"] is None and row["save"] == ["codes", "ply"]
    assert list(row["stages"]) == ["read", "detect", "crop", "encode", "decode", "write"]
    assert all(row["stages"][name] > 0 for name in ("detect", "encode", "decode", "write"))
    (error,) = ran.errors
    assert "crash" in error and "code 7" in error and "no such instruction" in error

    whole = json.loads((tmp_path / "out/speed.json").read_text())
    assert [model["model"] for model in whole["models"]] == ["tiny"]
    assert [other["model"] for other in whole["not_measured"]] == ["crash"]
    (line,) = csv.DictReader((tmp_path / "out/speed.csv").open())
    assert float(line["start"]) == row["start"] and float(line["decode_ms"]) == row["stages"]["decode"]
    text = (tmp_path / "out/speed.txt").read_text()
    assert "codes, ply" in text and "crash: not measured" in text and "ms a picture" in text


def test_the_default_is_every_model_whose_files_are_here(cli, own_assets):
    ran = cli("benchmark", "speed", "--count", 1, "--frames", 0, "--repeat", 1)
    assert ran.code == 0, ran.err
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("mediapipe")]
    assert len(rows) == 1 and "MiB" in rows[0]
    for model in ("deca", "emoca", "smirk"):
        assert f"{model}: not measured: files missing: facecli assets get --model {model}" in ran.err
    assert "the sample photograph (512 x 512 pixels)" in ran.err and "torch" in ran.err
    node = platform.node()
    assert len(node) < 5 or node not in ran.err


def test_wrong_words(cli, own_assets, tmp_path):
    for words, said in (
        (["-m", "mediapip"], "mediapipe"),
        (["-m", "fan"], "doesn't reconstruct"),
        (["-m", "mediapipe", "--save", "obbj"], "obbj"),
        (["-m", "mediapipe", "-O", "nothing=1"], "nothing"),
        (["--device", "cuda:77"], "cuda:77"),
        (["--landmarker", "mediapip"], "Did you mean mediapipe"),
    ):
        ran = cli("benchmark", "speed", *words)
        assert ran.code == 2 and said in ran.err and len(ran.errors) == 1, ran.err
    ran = cli("benchmark", "speed", "--pictures", tmp_path / "nowhere")
    assert ran.code == 1 and "nowhere" in ran.errors[0]


def test_a_worker_ends_with_whoever_asked(tmp_path):
    request = Request("mediapipe", 0.0, str(tmp_path), [], None, "", ["codes"])
    command = [sys.executable, "-m", "facecli.benchmark.speed.worker"]
    done = subprocess.run(command, input=json.dumps(asdict(request)) + "\n", capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""


def test_few_pictures_are_taken_again_as_files_of_their_own(tmp_path, photo):
    other = tmp_path / "other.jpg"
    write_image(other, drawn.picture([(80, 60, 20, 26)]))
    made = inputs.prepare(tmp_path / "work", [str(photo), str(other)], None, count=5, frames=0)
    names = [name for _, name in made.pictures]
    assert names == [str(photo), str(other)] * 2 + [str(photo)]
    assert len({path for path, _ in made.pictures}) == 5
    for path, name in made.pictures:
        assert Path(path).read_bytes() == Path(name).read_bytes()
    assert made.video is None and "2 pictures" in made.about_pictures and "5 in a pass" in made.about_pictures
    assert len(inputs.prepare(tmp_path / "all", [str(photo), str(other)], None, count=1, frames=0).pictures) == 2


def test_the_made_video_moves(tmp_path, astronaut):
    path = inputs.write_panning(tmp_path / "video.mp4", astronaut, 10)
    with VideoReader(path) as reader:
        images = [frame.image.astype(float) for frame in reader.frames()]
    assert len(images) == 10 and images[0].shape == (470, 470, 3)
    assert all(np.abs(a - b).mean() > 1 for a, b in itertools.pairwise(images))


def test_pictures_that_are_none(tmp_path, photo):
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    empty = tmp_path / "empty"
    empty.mkdir()
    for given in (text, empty, tmp_path / "nowhere.png"):
        with pytest.raises(InputError, match=given.name):
            inputs.prepare(tmp_path / "work", [str(given)], None, count=1, frames=0)
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        inputs.prepare(tmp_path / "video", [str(photo)], str(tmp_path / "nowhere.mp4"), count=1, frames=0)


def test_without_a_sample_photograph_one_is_asked_for(monkeypatch):
    monkeypatch.setattr(inputs, "SAMPLE", "not_here.png")
    with pytest.raises(UsageError, match="--pictures"):
        inputs.sample()


def test_peak_memory_grows_with_what_is_taken():
    """In a process that has taken little, for a block has to be more than was ever taken."""
    code = "from facecli.benchmark.speed.memory import peak_memory as peak; a = peak(); b = b'1' * (a + 2**26)"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}; print(a, peak())"], capture_output=True, text=True, check=True
    )
    before, after = map(int, ran.stdout.split())
    assert after > before + 60 * 2**20
    assert peak_memory() > 2**20


def measured(model: str, **further) -> Measured:
    known = {
        **{"model": model, "device": "cpu", "device_name": "cpu", "landmarker": "mediapipe", "batch_size": 4},
        **{"threads": 2, "start": 5.25, "load": 5.0, "first": 0.25, "one": 0.375, "pictures_per_second": 2.125},
        **{"pictures": 24, "faces": 23, "without_result": 1, "frames_per_second": None, "frames": 0},
        **{"peak_memory": 1156 * 2**20, "gpu_memory": None, "stages": {}, "seconds": {}},
    }
    return Measured(**{**known, **further})


def test_rows_for_people():
    rows = [measured("deca"), measured("smirk", gpu_memory=600 * 2**20, frames_per_second=212.4, peak_memory=None)]
    heads = tables.columns(rows)
    first, second = (dict(zip(heads, tables.row(row, rows, Choice()), strict=True)) for row in rows)
    assert (first["first picture"], first["one more"], first["pictures/s"]) == ("5.2 s", "375 ms", "2.1")
    assert (first["frames/s"], first["memory"], first["GPU memory"]) == ("–", "1156 MiB", "unknown")
    assert (second["frames/s"], second["memory"], second["GPU memory"]) == ("212", "unknown", "600 MiB")
    assert first["written"] == "codes, json"
    assert "GPU memory" not in tables.columns(rows[:1])


def test_notes_tell_of_pictures_without_a_face_and_of_models_not_measured():
    facts = machine_facts()
    about = inputs.Inputs([], None, "3 pictures", "")
    notes = tables.notes([measured("deca")], [NotMeasured("emoca", "files missing")], facts, about, Choice())
    assert notes[:2] == in_words(facts).splitlines()
    assert "deca: 1 of 24 pictures gave nothing" in notes and notes[-1] == "emoca: not measured: files missing"


def test_missing_files_have_the_exit_code_of_their_own():
    from facecli.cli.benchmark.speed import _exit_code

    missing, broken = NotMeasured("deca", "", missing=True), NotMeasured("smirk", "")
    assert _exit_code([], [missing]) == 3
    assert _exit_code([measured("mediapipe")], [missing]) == 1
    assert _exit_code([], [missing, broken]) == 1
