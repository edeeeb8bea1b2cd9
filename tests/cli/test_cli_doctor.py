"""`facecli doctor`: it survives every kind of broken package, names it, and says what mends it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facecli import registry
from facecli.cli import doctor
from facecli.cli.doctor import Check
from facecli.cli.main import app


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package into the way of the real one, in the probes' processes."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def put(name: str, source: str) -> None:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(source)

    return put


def examine(name: str) -> Check:
    (check,) = doctor.examine([name])
    return check


def test_this_machine_works():
    """The environment that the tests run in passes what it needs, without a word about mending."""
    checks = {check.name: check for check in doctor.examine(["python", "numba", "opencv", "default"])}
    assert all(check.status != "problem" for check in checks.values()), checks
    assert checks["default model (mediapipe)"].status == "ok"
    assert list(checks)[-1] == "default model (mediapipe)"


def test_video_probe_finds_x264():
    check = examine("video")
    assert check.status == "ok" and "libx264" in check.found and "PyAV" in check.found


def test_ffmpeg_that_does_not_run(monkeypatch, tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    check = examine("video")
    assert check.status == "warning" and "exit code 3" in check.found and "imageio-ffmpeg" in check.mend


def test_package_that_raises(package):
    package("cv2", "raise ImportError('libGL.so.1: cannot open shared object file')")
    check = examine("opencv")
    assert check.status == "problem" and "libGL.so.1" in check.found and "libgl1" in check.mend


def test_package_that_is_absent(package):
    package("numba", "raise ModuleNotFoundError(\"No module named 'llvmlight'\", name='llvmlight')")
    check = examine("numba")
    assert (check.status, check.mend) == ("problem", "pip install llvmlight") and "not installed" in check.found


def test_package_that_kills_python(package):
    package("numba", "import os; os.abort()")
    check = examine("numba")
    assert check.status == "problem" and "SIGABRT" in check.found
    assert check.mend == "pip install --force-reinstall numba"


def test_package_that_exits(package):
    package("numba", "import sys; print('chatter'); sys.exit('bad day')")
    check = examine("numba")
    assert check.status == "problem" and "bad day" in check.found


def test_package_that_hangs(package, monkeypatch):
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 1)
    package("numba", "import time; time.sleep(60)")
    assert "no answer within 1 s" in examine("numba").found


def test_mediapipe_with_tasks_only_wants_its_file(package, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    package("mediapipe", "__version__ = '1.2.2'")
    check = examine("mediapipe")
    assert check.status == "problem" and "1.2.2, Tasks API" in check.found
    assert check.mend == "facecli assets get face_landmarker"
    assert examine("default").status == "problem"


def test_mediapipe_with_the_wrong_protobuf(package, monkeypatch):
    package("mediapipe", "raise AttributeError(\"'MessageFactory' object has no attribute 'GetPrototype'\")")
    assert "mediapipe" in examine("mediapipe").mend
    monkeypatch.setattr("importlib.metadata.version", {"protobuf": "6.31.1", "mediapipe": "0.10.21"}.__getitem__)
    assert "protobuf>=4.25.3,<5" in doctor._mend_mediapipe()


def test_two_opencv_versions_in_one_folder(monkeypatch):
    versions = {"opencv-python": "4.12.0.88", "opencv-contrib-python": "4.11.0.86"}

    def version(name):
        from importlib.metadata import PackageNotFoundError

        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    (check,) = doctor._opencv()
    assert check.status == "warning" and "opencv-python 4.12.0.88, opencv-contrib-python 4.11.0.86" in check.found
    assert check.mend.startswith("pip install opencv-python==4.")


def test_folders(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FACECLI_ASSETS", os.pathsep.join([str(tmp_path), str(tmp_path / "absent")]))
    data, cache, absent = doctor.examine(["folders"])
    assert data.status == "warning" and "writable" in data.mend
    assert cache.status == "ok" and Path(cache.found.removeprefix("cache folder ")).is_dir()
    assert absent.found == f"{tmp_path / 'absent'}: no such folder"


def test_broken_plugin_is_a_warning(package):
    folder = Path(os.environ["PYTHONPATH"])
    info = folder / "broken_dist-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-dist\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[facecli.plugins]\nbroken = broken_module:plugin\n")
    package("broken_module", "raise RuntimeError('no good')")
    check = examine("broken plugins")
    assert check.status == "warning" and "RuntimeError: no good" in check.found and "broken-dist" in check.mend


def test_plugin_whose_model_cannot_be_imported(package):
    folder = Path(os.environ["PYTHONPATH"])
    info = folder / "lazy_dist-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lazy-dist\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[facecli.plugins]\nlazy = lazy_module:plugin\n")
    package(
        "lazy_module",
        "from facecli.plugin import Plugin\n"
        "plugin = Plugin('lazy', '', 'MIT', 'MIT', reconstructor='lazy_module.no:X')\n",
    )
    check = examine("plugin:lazy")
    assert check.status == "warning" and "lazy_module.no:X can't be imported" in check.found


@pytest.mark.parametrize(
    ("checks", "code", "words"),
    [
        ([Check("a", "ok", ""), Check("b", "warning", "", "do b")], 0, "The default model works."),
        ([Check("a", "problem", "", "do a"), Check("b", "problem", "")], 1, "doesn't work yet. First: do a"),
    ],
)
def test_exit_code_and_verdict(monkeypatch, checks, code, words):
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == code and words in result.stderr
    assert [json.loads(line)["name"] for line in result.stdout.splitlines()] == ["a", "b"]
    table = CliRunner().invoke(app, ["doctor"]).stdout
    assert all(check.mend in table for check in checks)


def test_every_plugin_is_examined(monkeypatch):
    seen = []
    monkeypatch.setattr(doctor, "_in_own_process", lambda name: seen.append(name) or [])
    doctor.examine()
    assert {f"plugin:{name}" for name in registry.plugins()} <= set(seen) and seen[-1] == "default"
