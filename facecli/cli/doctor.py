"""`facecli doctor`: what works on this machine, and the one command that mends each thing that doesn't.

Every probe runs in a Python process of its own, so that a package which is absent, broken, or crashes the interpreter
is a line in the table and not the end of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console
from facecli.errors import EXIT_SOME_FAILED, FacecliError

if TYPE_CHECKING:
    import subprocess

    from facecli.plugin import Plugin

PROBE_SECONDS = 180  # the first start of numba and torch on a slow disk takes a minute
_MARK = "facecli-doctor:"  # before the answer on a probe's stdout, where packages may print, too
_PIP_NAMES = {"cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml", "skimage": "scikit-image"}
# Packages that all install the folder cv2: whichever came last wins, and removing one removes it for all.
_CV2_DISTRIBUTIONS = (
    "opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Args:
        name: what was looked at.
        status: ``"ok"``; ``"warning"``: something optional doesn't work; ``"problem"``: something necessary doesn't.
        found: what was found.
        mend: the command (or deed) that mends it.
    """

    name: str
    status: str
    found: str
    mend: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a check on stdout.")] = False,
) -> None:
    """Say what works on this machine and what to do about the rest. Exit code 0 when the default model works."""
    with _waiting():
        checks = examine()
    works = not any(check.status == "problem" for check in checks)
    if as_json:
        for check in checks:
            console.emit_json(asdict(check))
    else:
        from facecli.cli import table

        table.show(("check", "state", "found", "what to do"), [(c.name, c.status, c.found, c.mend) for c in checks])
    console.say(verdict(checks, works))
    if not works:
        raise typer.Exit(EXIT_SOME_FAILED)


def verdict(checks: Iterable[Check], works: bool) -> str:
    """The last line: whether a newcomer can start, and with what, or what to do first."""
    checks = list(checks)
    if works:
        warnings = sum(check.status != "ok" for check in checks)
        rest = f" Warnings above: {warnings}, none of which it needs." if warnings else ""
        return f"The default model works.{rest} Try: facecli reconstruct photo.jpg -o out"
    # The default model's own row comes last; what it stumbled over stands above it with a mend of its own.
    first = next((check for check in checks if check.status == "problem" and check.mend), None)
    return "The default model doesn't work yet." + (f" First: {first.mend}" if first else " See the problems above.")


@contextlib.contextmanager
def _waiting() -> Iterator[None]:
    out = console.stderr_console()
    with out.status("looking at this machine…") if out.is_terminal else contextlib.nullcontext():
        yield


# ---------------------------------------------------------------------------------------------------- probes


def examine(names: Iterable[str] | None = None) -> list[Check]:
    """The checks of the probes `names` (all), in order. Runs as many at once as there are cores."""
    from concurrent.futures import ThreadPoolExecutor

    names = list(names) if names is not None else [*PROBES, *(f"plugin:{name}" for name in _plugin_names())]
    if "default" in names:
        names = [name for name in names if name != "default"] + ["default"]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return [check for checks in pool.map(_in_own_process, names) for check in checks]


def _plugin_names() -> list[str]:
    from facecli import registry

    return list(registry.plugins())


def _in_own_process(name: str) -> list[Check]:
    """Run the probe `name` in a new interpreter; whatever happens to it is the answer."""
    import subprocess

    command = [sys.executable, "-c", "import sys; from facecli.cli import doctor; doctor.answer(sys.argv[1])", name]
    label = _label(name)
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return [Check(label, _severity(name), f"no answer within {PROBE_SECONDS} s", _reinstall(name))]
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(_MARK):
            return [Check(**row) for row in json.loads(line.removeprefix(_MARK))]
    return [Check(label, _severity(name), _how_it_died(done), _reinstall(name))]


def _how_it_died(done: subprocess.CompletedProcess[str]) -> str:
    import signal

    if done.returncode < 0:
        with contextlib.suppress(ValueError):
            return f"crashes Python ({signal.Signals(-done.returncode).name})"
    last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
    return f"ends Python (exit code {done.returncode}): {last}"


def answer(name: str) -> None:
    """In the probe's process: run it and print its rows."""
    try:
        probe = _plugin_probe(name.partition(":")[2]) if name.startswith("plugin:") else PROBES[name]
        checks = probe()
    except Exception as error:  # a broken package can raise anything
        checks = [_failed(name, error)]
    print(_MARK + json.dumps([asdict(check) for check in checks]), flush=True)


def _failed(name: str, error: Exception) -> Check:
    """The row for a probe that raised `error`."""
    from facecli.cli.models import package_present

    package = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package and not package_present(package):
        found = f"the package {package} is not installed"
        return Check(_label(name), _severity(name), found, f"pip install {_pip(package)}")
    return Check(_label(name), _severity(name), _one_line(error), _reinstall(name, error))


def _severity(name: str) -> str:
    """What a failed probe means: the default model on photographs needs neither video nor the other models."""
    return "warning" if name in ("video", "folders", "broken plugins") or name.startswith("plugin:") else "problem"


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _pip(package: str) -> str:
    return _PIP_NAMES.get(package, package.replace("_", "-"))


def _reinstall(name: str, error: BaseException | None = None) -> str:
    """What mends a package that is there but doesn't import."""
    if isinstance(error, FacecliError):
        return ""  # its text says so itself
    if "libGL" in str(error) or "libgthread" in str(error):
        return "install the system's OpenGL library (Debian, Ubuntu: apt install libgl1 libglib2.0-0)"
    package = {"rasterizers": "torch numba", "video": "av imageio-ffmpeg", "opencv": "opencv-python"}.get(name, name)
    return "" if ":" in name or name == "default" else f"pip install --force-reinstall {package}"


def _label(name: str) -> str:
    if name == "default":
        return _default_row()
    return name.replace("plugin:", "plugin ")


def _default_row() -> str:
    from facecli.reconstruction.settings import default_model

    return f"default model ({default_model()})"


def _python() -> list[Check]:
    import platform

    version = sys.version_info
    status, mend = "ok", ""
    if version < (3, 11):
        status, mend = "problem", "install Python 3.11 or 3.12"
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return [Check("python", status, found, mend)]


def _numpy() -> list[Check]:
    import numpy
    import scipy

    return [Check("numpy", "ok", f"numpy {numpy.__version__}, scipy {scipy.__version__}")]


def _torch() -> list[Check]:
    import torch

    # A kernel is launched: a card too new or too old for this build is "available" all the same.
    checks = [Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")]
    checks.append(_device("cuda", torch.cuda.is_available()))
    checks.append(_device("mps", torch.backends.mps.is_available()))
    return checks


def _device(kind: str, available: bool) -> Check:
    import torch

    if not available:
        return Check(kind, "ok", "not there; everything works on the CPU")
    try:
        torch.ones(8, 8, device=kind).matmul(torch.ones(8, 8, device=kind)).sum().item()
    except RuntimeError as error:
        mend = "install the torch that fits the device: https://pytorch.org/get-started/locally"
        return Check(kind, "warning", _one_line(error), mend)
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if kind == "cuda" else ["works"]
    return Check(kind, "ok", ", ".join(names))


def _opencv() -> list[Check]:
    from importlib.metadata import PackageNotFoundError, version

    import cv2
    import numpy

    cv2.resize(numpy.zeros((4, 4, 3), numpy.uint8), (2, 2))
    installed = {}
    for name in _CV2_DISTRIBUTIONS:
        with contextlib.suppress(PackageNotFoundError):
            installed[name] = version(name)
    found = f"{cv2.__version__} ({', '.join(installed) or 'not from pip'})"
    if len(set(installed.values())) > 1:
        versions = ", ".join(f"{name} {number}" for name, number in installed.items())
        found = f"one folder cv2, different versions in it: {versions}"
        same = " ".join(f"{name}=={cv2.__version__}.*" for name in installed)
        return [Check("opencv", "warning", found, f"pip install {same}")]
    return [Check("opencv", "ok", found)]


def _mediapipe() -> list[Check]:
    try:
        import mediapipe
    except ModuleNotFoundError:
        raise
    except Exception as error:
        return [Check("mediapipe", "problem", _one_line(error), _mend_mediapipe())]
    version = getattr(mediapipe, "__version__", "of unknown version")
    if hasattr(mediapipe, "solutions"):
        return [Check("mediapipe", "ok", f"{version}, legacy API: its models are inside")]
    from facecli.assets.catalogue import FACE_LANDMARKER_TASK
    from facecli.assets.store import state

    task = state(FACE_LANDMARKER_TASK)
    if task.status == "present":
        return [Check("mediapipe", "ok", f"{version}, Tasks API: {task.path}")]
    words = f"{task.path}: {task.problem}" if task.status == "bad" else f"{FACE_LANDMARKER_TASK.filename} is missing"
    mend = f"facecli assets get {FACE_LANDMARKER_TASK.name}"
    return [Check("mediapipe", "problem", f"{version}, Tasks API: {words}", mend)]


def _mend_mediapipe() -> str:
    """mediapipe with its models inside wants protobuf 4, and other packages like to bring a newer one."""
    from importlib.metadata import PackageNotFoundError, version

    with contextlib.suppress(PackageNotFoundError, ValueError):
        if int(version("protobuf").split(".")[0]) > 4 and version("mediapipe").startswith("0.10."):
            return 'pip install "protobuf>=4.25.3,<5"'
    return "pip install --force-reinstall mediapipe"


def _numba() -> list[Check]:
    import numba

    assert numba.njit(lambda x: x + 1)(1) == 2
    return [Check("numba", "ok", f"{numba.__version__}, compiles")]


def _rasterizers() -> list[Check]:
    import torch

    from facecli.render.rasterize import available_backends, self_check

    device = "cuda" if torch.cuda.is_available() else "cpu"
    working, broken = [], []
    for name, reason in available_backends(device).items():
        if not reason:
            wrong = self_check(name, device)
            (broken if wrong else working).append(f"{name}: {wrong}" if wrong else name)
    if not working:
        mend = "pip install --force-reinstall torch numba"
        return [Check("rasterizers", "problem", "; ".join(broken) or "none works", mend)]
    found = f"{', '.join(working)} agree with each other on {device}"
    if broken:
        return [Check("rasterizers", "warning", f"{found}; {'; '.join(broken)}", f"use --rasterizer {working[0]}")]
    return [Check("rasterizers", "ok", found)]


def _video() -> list[Check]:
    import subprocess

    import av
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    done = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=60)
    encoders = {words[1] for line in done.stdout.splitlines() if len(words := line.split()) > 1}
    mend = "pip install --force-reinstall imageio-ffmpeg (and unset IMAGEIO_FFMPEG_EXE)"
    if done.returncode:
        return [Check("video", "warning", f"{program} doesn't run (exit code {done.returncode})", mend)]
    if "libx264" not in encoders:
        return [Check("video", "warning", f"{program} has no libx264: videos can't be written", mend)]
    version = imageio_ffmpeg.get_ffmpeg_version()
    return [Check("video", "ok", f"reads with PyAV {av.__version__}, writes with ffmpeg {version}, libx264")]


def _folders() -> list[Check]:
    from facecli.assets import places

    numba_cache = os.environ.get("NUMBA_CACHE_DIR")
    wanted = {"data": places.data_folder(), "cache": places.cache_folder()}
    if numba_cache:
        wanted["NUMBA_CACHE_DIR"] = Path(numba_cache)
    checks = []
    for what, folder in wanted.items():
        found = f"{what} folder {folder}"
        if problem := _not_writable(folder):
            mend = f"make {folder} writable" + (", or set XDG_DATA_HOME" if what == "data" else "")
            checks.append(Check("folders", "warning", f"{found}: {problem}", mend))
        else:
            checks.append(Check("folders", "ok", found))
    for part in os.environ.get(places.FOLDERS_VARIABLE, "").split(os.pathsep):
        if part and not Path(part).expanduser().is_dir():
            mend = f"make it, or take it out of {places.FOLDERS_VARIABLE}"
            checks.append(Check("folders", "warning", f"{part}: no such folder", mend))
    return checks


def _not_writable(folder: Path) -> str:
    """Why no file can be made in `folder` (which is made for that, as a run would), or ""."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _broken_plugins() -> list[Check]:
    from facecli import registry

    return [
        Check(
            f"plugin {broken.name}", "warning", str(broken), f"pip uninstall {broken.distribution}, or a mended version"
        )
        for broken in registry.broken_plugins().values()
    ]


def _plugin_probe(name: str) -> Callable[[], list[Check]]:
    """A probe that imports what the plugin `name` offers, and looks for its packages and files."""

    def probe() -> list[Check]:
        from facecli import registry
        from facecli.cli.models import describe

        plugin = registry.plugin(name)
        facts = describe(plugin)
        row = f"plugin {name}"
        if facts["packages_missing"]:
            packages = facts["packages_missing"]
            mend = "pip install " + " ".join(map(_pip, packages))
            return [Check(row, "warning", f"Python packages missing: {', '.join(packages)}", mend)]
        for target in filter(None, (plugin.reconstructor, *plugin.landmarkers.values(), *plugin.detectors.values())):
            try:
                _import_target(target)
            except Exception as error:  # a stranger's code
                return [Check(row, "warning", f"{target} can't be imported: {_one_line(error)}", "ask its maintainer")]
        if facts["files_missing"]:
            mend = _mend_files(plugin, facts["files_missing"])
            return [Check(row, "warning", f"files missing: {', '.join(facts['files_missing'])}", mend)]
        return [Check(row, "ok", "; ".join(plugin.offers) + _optional(facts["optional_files_missing"]))]

    return probe


def _import_target(target: str) -> None:
    import importlib

    module, _, attribute = target.partition(":")
    getattr(importlib.import_module(module), attribute)


def _optional(missing: list[str]) -> str:
    return f" (without optional files: {', '.join(missing)})" if missing else ""


def _mend_files(plugin: Plugin, missing: list[str]) -> str:
    """One command for all missing files where they can be fetched, else the page."""
    from facecli.assets.store import sources

    wanted = [asset for asset in plugin.assets if asset.name in missing]
    elsewhere = [asset for asset in wanted if not sources(asset)]
    if len(elsewhere) < len(wanted):
        fetched = " ".join(asset.name for asset in wanted if asset not in elsewhere)
        several = len(wanted) > 1 and not elsewhere
        return f"facecli assets get {f'--model {plugin.name}' if several else fetched}"
    return f"{elsewhere[0].register}, then facecli assets import FILE"


def _default_model() -> list[Check]:
    """Build the default model and its landmarker and let it look at a grey picture: libraries load, models too."""
    import numpy

    from facecli import registry
    from facecli.reconstruction.settings import default_model

    if any(check.status == "problem" for check in _mediapipe()):  # and don't let it fetch anything now
        return [Check(_default_row(), "problem", "mediapipe can't be used: see there")]
    model = registry.reconstructor(default_model())
    finder = registry.landmarker(model.landmarker, **model.landmarker_options)
    try:
        faces = finder.detect([numpy.full((128, 128, 3), 128, numpy.uint8)])
    finally:
        finder.close()
    if faces != [[]]:
        return [Check(_default_row(), "problem", f"finds {len(faces[0])} faces in a grey picture", "")]
    return [Check(_default_row(), "ok", "starts, and finds no face in a grey picture")]


PROBES: dict[str, Callable[[], list[Check]]] = {
    "python": _python,
    "numpy": _numpy,
    "torch": _torch,
    "opencv": _opencv,
    "mediapipe": _mediapipe,
    "numba": _numba,
    "rasterizers": _rasterizers,
    "video": _video,
    "folders": _folders,
    "broken plugins": _broken_plugins,
    "default": _default_model,
}
