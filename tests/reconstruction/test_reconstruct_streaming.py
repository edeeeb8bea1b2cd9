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

FACECLI = [sys.executable, "-m", "facecli"]


def test_results_come_while_the_list_is_still_open(astronaut, tmp_path):
    words = ["reconstruct", "-", "-o", str(tmp_path), "--save", "codes", "--json", "-q"]
    run = subprocess.Popen([*FACECLI, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        run.stdin.write(f"{astronaut}\n")
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


def test_a_reader_that_leaves_ends_the_run_quietly(many, tmp_path):
    words = ["reconstruct", str(many), "-o", str(tmp_path), "--save", "codes", "--json", "-q"]
    run = subprocess.Popen([*FACECLI, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.readline()
    run.stdout.close()
    assert run.stderr.read() == b""
    assert run.wait(30) == 141
    assert not list(tmp_path.glob(".facecli*"))


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
import resource, sys
from facecli.cli.main import run
code = run(sys.argv[1:])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_megabytes(*words) -> float:
    ran = subprocess.run([sys.executable, "-c", PEAK, *map(str, words)], capture_output=True, text=True, check=True)
    code, kilobytes = ran.stdout.split()
    assert code == "0", ran.stderr
    return int(kilobytes) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_memory_does_not_grow_with_the_list(many, tmp_path):
    few = peak_megabytes("reconstruct", *sorted(many.iterdir())[:20], "-o", tmp_path / "few", "--save", "codes")
    all_of_them = peak_megabytes("reconstruct", many, "-o", tmp_path / "all", "--save", "codes")
    assert all_of_them < few + 60


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_list_goes_on(many, tmp_path, how, cli):
    words = ["reconstruct", str(many), "-o", str(tmp_path / "out"), "--save", "codes,overlay", "-q"]
    run = subprocess.Popen([*FACECLI, *words], stderr=subprocess.PIPE)
    for _ in range(600):
        if len(list((tmp_path / "out").glob("[0-9]*"))) >= 5 or run.poll() is not None:
            break
        time.sleep(0.02)
    run.send_signal(how)
    _, words_said = run.communicate(timeout=20)
    assert (b"run the same command to go on" in words_said) == (how == signal.SIGINT)
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[0-9]*")}
    assert 5 <= len(done) < 120, "it was done before it could be stopped"
    for name in done:  # whole, each of them
        files = {path.name for path in (tmp_path / "out" / name / "face0").iterdir()}
        assert files == {"codes.npz", "overlay.png"}
        assert (tmp_path / "out" / name / "faces.jsonl").exists()
    ran = cli(*words, "--json")
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == 120
    for name, when in done.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == when
    assert not list((tmp_path / "out").glob(".facecli*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_ends_the_run_with_one_line(astronaut, tmp_path):
    script = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from facecli.cli.main import run
sys.exit(run(["reconstruct", {str(astronaut)!r}, "-o", {str(tmp_path / "out")!r}, "--save", "codes,glb", "-q"]))
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT_CACHE": "1"}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert ran.returncode == 1
    assert len(errors) == 1
    assert "can't be written" in errors[0]
    assert not (tmp_path / "out/astronaut").exists()


def test_landmarkers_are_not_closed_at_work(tiny, tmp_path, monkeypatch):
    """Somebody leaves while detecting is slow: MediaPipe breaks when it is closed in the middle of a picture."""
    from facecli.io.images import write_image
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


def test_a_batch_does_not_wait_for_a_list_that_pauses(tiny, tmp_path):
    from facecli.io.images import write_image

    write_image(tmp_path / "a.png", tiny.picture([(60, 50, 20, 26)]))
    words = [
        "reconstruct",
        "-",
        "-o",
        tmp_path,
        "--save",
        "codes",
        "--json",
        "--model",
        "tiny",
        "--landmarker",
        "blobs",
    ]
    run = tiny.start(*words, "--batch-size", "8", stdin=subprocess.PIPE)
    try:
        run.stdin.write(f"{tmp_path / 'a.png'}\n")
        run.stdin.flush()
        assert json.loads(run.stdout.readline())["face"] == 0  # hangs, and the test with it, if it waited for more
        run.stdin.close()
        assert run.wait(30) == 0
    finally:
        run.kill()
