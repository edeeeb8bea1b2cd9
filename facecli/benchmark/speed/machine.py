"""What machine it is: facts that speed depends on, and none that tell whose it is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from facecli.pipeline import cpu_count

_PACKAGES = ("facecli", "numpy", "torch", "mediapipe", "numba", "av")
_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")


def machine_facts() -> dict[str, Any]:
    """Processor, cores that may be used and all, memory in bytes, system, Python, versions of packages."""
    return {
        "cpu": _processor(),
        "cores": cpu_count(),
        "cores_of_machine": os.cpu_count(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": _versions(),
    }


def in_words(facts: dict[str, Any]) -> str:
    """The facts as two lines."""
    memory = f", {facts['memory'] / 2**30:.0f} GiB" if facts["memory"] else ""
    cores = f"{facts['cores']} of {facts['cores_of_machine']} cores"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"{facts['cpu']}, {cores}{memory}, {facts['system']}\npython {facts['python']}, {versions}"


def _processor() -> str:
    name = ""
    if sys.platform == "linux":
        name = _named_in(Path("/proc/cpuinfo"))
    elif sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        name = done.stdout.strip()
    elif sys.platform == "win32":
        import winreg

        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            name = str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    return " ".join(name.split()) or platform.machine() or "unknown processor"


def _named_in(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware"):
            return value
    return ""


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _versions() -> dict[str, str]:
    found = {name: _version(name) for name in _PACKAGES}
    opencv = next(filter(None, map(_version, _OPENCV)), None)
    return {name: version for name, version in {**found, "opencv": opencv}.items() if version}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
