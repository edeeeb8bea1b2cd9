"""The folders that files of models are looked for in, and what lies there."""

from __future__ import annotations

import functools
import os
from pathlib import Path

FOLDERS_VARIABLE = "FACECLI_ASSETS"
MIRROR_VARIABLE = "FACECLI_MIRROR"
DEPTH = 5  # levels of folders below each place: deep enough for unpacked archives, shallow enough for a home folder
PARTIAL_SUFFIX = ".part"


def data_folder() -> Path:
    """The user's own folder: where `assets get` and `assets import` put files."""
    import platformdirs

    return platformdirs.user_data_path("facecli", appauthor=False) / "assets"


def cache_folder() -> Path:
    """The user's folder for what can be made again."""
    import platformdirs

    return platformdirs.user_cache_path("facecli", appauthor=False)


def search_folders() -> list[Path]:
    """Where files are looked for, in this order: ``$FACECLI_ASSETS``, ``./assets``, the user's data folder."""
    named = [Path(part).expanduser() for part in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if part]
    return list(dict.fromkeys(folder.absolute() for folder in [*named, Path("assets"), data_folder()]))


def mirror() -> str:
    """Base address of an institute's mirror (``$FACECLI_MIRROR``) without the last slash, or ""."""
    return os.environ.get(MIRROR_VARIABLE, "").rstrip("/")


def candidates(filenames: tuple[str, ...]) -> list[Path]:
    """All files with one of these names below the search folders: places first, then names, both in their order."""
    found: list[Path] = []
    for folder in search_folders():
        files = _scan(folder)
        for filename in filenames:
            found += files.get(filename, ())
    return list(dict.fromkeys(found))


def rescan() -> None:
    """Forget what lay where; the next look is a fresh one."""
    _scan.cache_clear()


@functools.cache
def _scan(folder: Path) -> dict[str, list[Path]]:
    """Files below `folder` by name, the shallowest first. Hidden and half-fetched ones don't count."""
    files: dict[str, list[Path]] = {}
    level = [folder]
    for _ in range(DEPTH + 1):
        level = [inner for outer in level for inner in _scan_one(outer, files)]
    return files


def _scan_one(folder: Path, files: dict[str, list[Path]]) -> list[Path]:
    """Add the files of `folder` to `files`; its folders."""
    folders = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.is_file() and not entry.name.endswith(PARTIAL_SUFFIX):
                    files.setdefault(entry.name, []).append(Path(entry.path))
    except OSError:  # absent or unreadable: nothing to be found there; `facecli doctor` names such folders
        return []
    return folders
