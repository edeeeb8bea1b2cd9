"""Is this file what the catalogue says? By length, SHA-256, and for unknown hashes by what broken downloads look like.

Digests are remembered by (path, length, time of change), so that a file of a gigabyte is read once, not at each start.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import zipfile
from pathlib import Path

from facecli.assets.catalogue import Asset
from facecli.assets.places import cache_folder
from facecli.errors import FacecliError
from facecli.io.atomic import atomic_write

_ZIPPED = (".task", ".zip", ".npz")
_MEMORY = "verified.json"
_REMEMBERED = 500  # entries kept; the oldest go first


def problem(asset: Asset, path: Path, afresh: bool = False) -> str:
    """What is wrong with the file `path` as `asset`, in a few words with expected and found; "" when it is right.

    Args:
        afresh: read the file even if its digest is remembered.
    """
    found = quick_problem(asset, path)
    if found or not asset.sha256:
        return found
    return _wrong_digest(asset, digest(path, afresh))


def quick_problem(asset: Asset, path: Path) -> str:
    """Like :func:`problem`, from the length, the beginning and a remembered digest: reads a few bytes only."""
    try:
        status = path.stat()
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    if asset.size is not None and status.st_size != asset.size:
        return f"has {status.st_size:,} bytes, expected {asset.size:,}" + _looks_like(head)
    remembered = _recall(path) if asset.sha256 else None
    if remembered:
        return _wrong_digest(asset, remembered)
    if not status.st_size:
        return "is empty (0 bytes)"
    if looks := _looks_like(head):
        return f"isn't the file itself{looks}"
    if is_zip(asset) and not zipfile.is_zipfile(path):
        return "is no whole archive: cut off, or something else"
    return ""


def is_zip(asset: Asset) -> bool:
    """Whether the asset's format is a zip archive, whose end shows that it is whole."""
    return asset.filename.lower().endswith(_ZIPPED)


def _looks_like(head: bytes) -> str:
    """The usual impostors: an error or log-in page saved under the file's name, and git-LFS's placeholder."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return " but a web page (an error or log-in page saved under its name?)"
    if start.startswith(b"version https://git-lfs"):
        return " but git-LFS's placeholder for it (run `git lfs pull` where it comes from)"
    return ""


def _wrong_digest(asset: Asset, found: str) -> str:
    if found.startswith(asset.sha256):
        return ""
    expected = asset.sha256 + ("…" if len(asset.sha256) < len(found) else "")
    return f"has SHA-256 {found}, expected {expected}"


def digest(path: Path, afresh: bool = False) -> str:
    """SHA-256 of the file in hex, from memory if it hasn't changed since."""
    remembered = None if afresh else _recall(path)
    if remembered:
        return remembered
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    _remember(path, value)
    return value


def moved(old: Path, new: Path) -> None:
    """The checked file `old` was renamed to `new`: carry its digest over."""
    entry = _read_memory().get(str(old.absolute()))
    if entry and entry["file"] == _fingerprint(new):
        _remember(new, entry["sha256"], forget=old)


def _fingerprint(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _recall(path: Path) -> str | None:
    entry = _memory().get(str(path.absolute()))
    try:
        return entry["sha256"] if entry and entry["file"] == _fingerprint(path) else None
    except (TypeError, KeyError, OSError):  # the memory is only a convenience: what it garbles is computed again
        return None


def _remember(path: Path, value: str, forget: Path | None = None) -> None:
    """Best effort: other processes may write at the same time (the last one wins), the folder may be read-only."""
    memory = _read_memory()
    key = str(path.absolute())
    memory.pop(key, None)
    if forget:
        memory.pop(str(forget.absolute()), None)
    memory[key] = {"file": _fingerprint(path), "sha256": value}
    kept = dict(list(memory.items())[-_REMEMBERED:])
    with contextlib.suppress(FacecliError, OSError), atomic_write(_memory_path()) as temporary:
        temporary.write_text(json.dumps(kept))
    _memory.cache_clear()


def _memory_path() -> Path:
    return cache_folder() / _MEMORY


@functools.cache
def _memory() -> dict:
    return _read_memory()


def _read_memory() -> dict:
    try:
        memory = json.loads(_memory_path().read_text())
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}
