"""What all tests share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import workers
from hypothesis import settings
from typer.main import get_command

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker a core: more threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines that run tests are busy: no clock decides. The same examples each time: a red run can be run again.
settings.register_profile("facecli", deadline=None, derandomize=True)
settings.load_profile("facecli")

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        workers.slow_first(items)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist need not be here
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    if config.getoption("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False  # it would be by how many tests there are, not how slow
    return workers.scheduler()(config, log)


@dataclass
class Ran:
    """A command's exit code and words."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


_command = functools.cache(get_command)  # Typer makes all of an app's commands anew at each call: a sixth of a second


@pytest.fixture
def cli(capsys, monkeypatch):
    """Runs `facecli ARGUMENTS…` in this process, as `main` does."""
    from facecli.cli.main import run

    monkeypatch.setattr("typer.main.get_command", _command)

    def call(*arguments: object, stdin: str | bytes | None = None) -> Ran:
        if stdin is not None:
            import io

            data = stdin.encode() if isinstance(stdin, str) else stdin
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """The sample photograph."""
    return ROOT / "assets/astronaut.png"


@pytest.fixture(scope="session")
def media() -> Path:
    """../shared/data/media, or a skip that says why."""
    folder = Path(os.environ.get("FACECLI_SHARED", ROOT.parent / "shared")) / "data/media"
    if not folder.exists():
        pytest.skip("../shared/data/media is not here")
    return folder


@pytest.fixture(scope="session")
def standins(tmp_path_factory) -> Path:
    """A folder with stand-ins of all official files of FLAME, SMIRK, DECA and EMOCA; made once for all workers."""
    import filelock

    from standins.write import write

    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    with filelock.FileLock(shared / "standins.lock"):
        folder, done = shared / "standins", shared / "standins.done"
        if not done.exists():
            write(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def finding_standins(standins, tmp_path_factory) -> Callable[[], AbstractContextManager[Path]]:
    """`official` for fixtures that live longer than a test: within the context that this makes."""

    @contextmanager
    def find() -> Iterator[Path]:
        with pytest.MonkeyPatch.context() as patch:
            yield from _only_assets(standins, tmp_path_factory.mktemp("found"), patch)

    return find


@pytest.fixture
def tiny(monkeypatch):
    """facecli has `tiny`, `blobs`, `boxed` and `reds`, for drawn faces; the module :mod:`standins.tiny`."""
    from facecli import registry
    from standins import tiny as drawn

    known = registry.plugins() | drawn.plugins()
    monkeypatch.setattr(registry, "plugins", lambda: known)
    monkeypatch.setattr(drawn.BlobLandmarker, "calls", 0)
    return drawn


@pytest.fixture
def own_assets(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty folder: the only one that facecli looks for assets in."""
    folder = tmp_path / "weights"
    folder.mkdir()
    yield from _only_assets(folder, tmp_path, monkeypatch)


@pytest.fixture
def official(standins, monkeypatch, tmp_path) -> Iterator[Path]:
    """facecli finds the stand-ins as a user's official files, and nothing else."""
    yield from _only_assets(standins, tmp_path, monkeypatch)


def _only_assets(folder: Path, tmp_path: Path, monkeypatch) -> Iterator[Path]:
    from facecli.assets import places

    monkeypatch.setenv("FACECLI_ASSETS", str(folder))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("FACECLI_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    places.rescan()
    yield folder
    places.rescan()
