"""Help answers at once, because nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from facecli.cli.main import app

HEAVY = ("torch", "cv2", "numba", "mediapipe", "numpy", "scipy", "av", "PIL", "trimesh", "requests", "matplotlib")


def imported_by(*arguments: str) -> set[str]:
    """Heavy packages in `sys.modules` when ``facecli ARGUMENTS`` has answered."""
    code = (
        "import sys\n"
        "from facecli.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print('IMPORTED', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("IMPORTED")]
    return set(line.split()) & set(HEAVY)


def commands() -> list[list[str]]:
    """Every command and sub-command of the application."""

    def walk(typer_app, prefix):
        yield prefix
        for info in typer_app.registered_commands:
            yield [*prefix, info.name]
        for info in typer_app.registered_groups:
            yield from walk(info.typer_instance, [*prefix, info.name])

    return list(walk(app, []))


@pytest.mark.parametrize("line", ["--help", "--version", "reconstruct --help", "assets get --help"])
def test_help_imports_nothing_heavy(line):
    assert imported_by(*line.split()) == set()


def test_lists_import_no_framework():
    """A plugin's description and the catalogue are torch-free."""
    assert not imported_by("models", "--json") & {"torch", "cv2", "numba", "mediapipe"}
    assert not imported_by("assets", "list", "--json") & {"torch", "cv2", "numba", "mediapipe", "requests"}


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output
