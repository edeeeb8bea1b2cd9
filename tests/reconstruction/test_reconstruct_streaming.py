"""The command as a part of a pipeline: it streams, stays small, survives being stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from facecli.io.images import write_image

FACECLI = [sys.executable, "-m", "facecli"]


TINY = ("--model", "tiny", "--landmarker", "blobs")


def test_results_come_while_the_list_is_still_open(tiny, tmp_path):
    """Neither readers nor batches wait for a list that pauses."""
    write_image(tmp_path / "a.png", tiny.picture([(60, 50, 20, 26)]))
    words = ["reconstruct", "-", "-o", tmp_path, "--save", "codes", "--json", "-q", *TINY, "--batch-size", "8"]
    run = tiny.start(*words, stdin=subprocess.PIPE)
    try:
        run.stdin.write(f"{tmp_path / 'a.png'}\n")
        run.stdin.flush()
        first = json.loads(run.stdout.readline())  # hangs, and the test with it, if it waited for more
        assert first["face"] == 0
        run.stdin.write("/no/such/file.jpg\n")
        run.stdin.flush()
        assert "no such file" in json.loads(run.stdout.readline())["error"]
        run.stdin.close()
        assert run.wait(30) == 1
    finally:
        run.kill()


def test_a_reader_that_leaves_ends_the_run_quietly(tiny, tmp_path):
    for number in range(120):
        write_image(tmp_path / f"in/{number}.png", tiny.picture([(60, 50, 20, 26)]))
    run = tiny.start("reconstruct", tmp_path / "in", "-o", tmp_path / "out", "--save", "codes", "--json", "-q", *TINY)
    run.stdout.readline()
    run.stdout.close()
    assert run.stderr.read() == ""
    assert run.wait(30) == 141
    assert not list((tmp_path / "out").glob(".facecli*"))


def test_only_our_words_come_to_stderr(astronaut, tmp_path):
    ran = subprocess.run(
        [*FACECLI, "reconstruct", str(astronaut), "-o", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    assert ran.stdout == ""
    assert ran.stderr.splitlines() == [f"1 input, 1 face in {tmp_path}"]


@pytest.fixture(scope="module")
def many(tmp_path_factory, astronaut):
    """120 pictures."""
    folder = tmp_path_factory.mktemp("many")
    Image.open(astronaut).convert("RGB").save(folder / "0000.jpg", quality=90)
    for number in range(1, 120):
        shutil.copy(folder / "0000.jpg", folder / f"{number:04d}.jpg")
    return folder


PEAK = """
import json, sys
from facecli.benchmark.speed.memory import peak_memory
from facecli.cli.main import run
for words in json.loads(sys.argv[1]):
    print(run(words), peak_memory())
"""


def test_memory_does_not_grow_with_the_list(many, tmp_path):
    """120 pictures after 20, in one process: 80 MB more if they were kept."""
    lists = {"few": [str(path) for path in sorted(many.iterdir())[:20]], "all": [str(many)]}
    runs = [["reconstruct", *paths, "-o", str(tmp_path / out), "--save", "codes"] for out, paths in lists.items()]
    command = [sys.executable, "-c", PEAK, json.dumps(runs)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    codes, taken = zip(*(map(int, line.split()) for line in ran.stdout.splitlines()), strict=True)
    assert codes == (0, 0), ran.stderr
    assert len(list((tmp_path / "all").glob("[0-9]*"))) == 120
    assert taken[1] < taken[0] + 60 * 2**20


LISTED = 60
"""Enough to be stopped in the middle."""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_list_goes_on(many, tmp_path, how, cli):
    pictures = [str(path) for path in sorted(many.iterdir())[:LISTED]]
    words = ["reconstruct", *pictures, "-o", str(tmp_path / "out"), "--save", "codes,overlay", "-q"]
    run = subprocess.Popen([*FACECLI, *words], stderr=subprocess.PIPE)
    while len(list((tmp_path / "out").glob("[0-9]*"))) < 5 and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(how)
    _, words_said = run.communicate(timeout=60)
    assert (b"run the same command to go on" in words_said) == (how == signal.SIGINT)
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[0-9]*")}
    assert 5 <= len(done) < LISTED, "it was done before it could be stopped"
    for name in done:  # whole, each of them
        files = {path.name for path in (tmp_path / "out" / name / "face0").iterdir()}
        assert files == {"codes.npz", "overlay.png"}
        assert (tmp_path / "out" / name / "faces.jsonl").exists()
    ran = cli(*words, "--json")
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == LISTED
    for name, when in done.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == when
    assert not list((tmp_path / "out").glob(".facecli*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_ends_the_run_with_one_line(tiny, tmp_path):
    write_image(tmp_path / "a.png", tiny.picture([(60, 50, 20, 26)]))
    script = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from facecli.cli.main import run
from standins import tiny
tiny.install()
words = ["--save", "codes,glb", "-q", *{TINY!r}]
sys.exit(run(["reconstruct", {str(tmp_path / "a.png")!r}, "-o", {str(tmp_path / "out")!r}, *words]))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert ran.returncode == 1
    assert len(errors) == 1
    assert "can't be written" in errors[0]
    assert not (tmp_path / "out/a").exists()


def test_landmarkers_are_not_closed_at_work(tiny, tmp_path, monkeypatch):
    """Somebody leaves while detecting is slow: MediaPipe breaks when it is closed in the middle of a picture."""
    from facecli.io.sources import expand_sources
    from facecli.reconstruction.run import reconstruct_files
    from facecli.reconstruction.settings import Settings

    at_work, was_at_work, calls = set(), [], []

    def slow(self, images, honest=tiny.BlobLandmarker.detect):
        calls.append(self)
        at_work.add(id(self))
        time.sleep(0.01 if len(calls) < 3 else 2.5)
        found = honest(self, images)
        at_work.discard(id(self))
        return found

    monkeypatch.setattr(tiny.BlobLandmarker, "detect", slow)
    monkeypatch.setattr(tiny.BlobLandmarker, "close", lambda self: was_at_work.append(id(self) in at_work))
    for number in range(6):
        write_image(tmp_path / f"{number}.png", tiny.picture([(60, 50, 20, 26)]))
    settings = Settings(model="tiny", landmarker="blobs", save=("codes",), batch_size=1, workers=2)
    events = reconstruct_files(expand_sources([tmp_path]), tmp_path / "out", settings)
    next(events)
    time.sleep(0.5)  # now the model waits for the next face
    events.close()
    assert was_at_work and not any(was_at_work)
