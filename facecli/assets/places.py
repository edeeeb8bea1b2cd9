"""The folders that files of models are looked for in, and what lies there."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
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


def candidates(names: tuple[str, ...], marker: str = "") -> list[list[Path]]:
    """For each place, in their order, what is called one of `names` there, in the order of the names.

    Args:
        marker: look for folders instead that have a file of this name in them.
    """
    places = []
    for folder in search_folders():
        found = _scan(folder)
        there = [path for name in names for path in (found.folders if marker else found.files).get(name, ())]
        places.append([path for path in there if not marker or (path / marker).is_file()])
    return places


def rescan() -> None:
    """Forget what lay where; the next look is a fresh one."""
    _scan.cache_clear()


@dataclass(frozen=True)
class _Found:
    """Files and folders below a place by name, the shallowest first."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    folders: dict[str, list[Path]] = field(default_factory=dict)


@functools.cache
def _scan(folder: Path) -> _Found:
    """What lies in `folder`, which may itself be looked for, and below. Hidden and half-fetched files don't count."""
    found = _Found(folders={folder.name: [folder]})
    level = [folder]
    for _ in range(DEPTH + 1):
        level = [inner for outer in level for inner in _scan_one(outer, found)]
    return found


def _scan_one(folder: Path, found: _Found) -> list[Path]:
    """Add what lies in `folder` to `found`; its folders."""
    folders = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                    found.folders.setdefault(entry.name, []).append(Path(entry.path))
                elif entry.is_file() and not entry.name.endswith(PARTIAL_SUFFIX):
                    found.files.setdefault(entry.name, []).append(Path(entry.path))
    except OSError:  # absent or unreadable: nothing to be found there; `facecli doctor` names such folders
        return []
    return folders
