"""Is this file what the catalogue says? By length, SHA-256, and for unknown hashes by what broken downloads look like.

Digests are remembered by (path, length, time of change), so that a file of a gigabyte is read once, not at each start.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import zipfile
import zlib
from pathlib import Path

from facecli.assets.catalogue import Asset
from facecli.assets.places import cache_folder
from facecli.errors import FacecliError
from facecli.io.atomic import atomic_write

_ZIPPED = (".task", ".zip", ".npz")
_ZIP_HEAD = b"PK\x03\x04"  # PyTorch's checkpoints are zip archives, too, whatever their suffix
_MEMORY = "verified.json"
_REMEMBERED = 500  # entries kept; the oldest go first


def problem(asset: Asset, path: Path, afresh: bool = False) -> str:
    """What is wrong with the file (or folder) `path` as `asset`, in a few words with expected and found; "" when it is
    right.

    Args:
        afresh: read it to its end even if its digest is remembered, or none is known.
    """
    found = quick_problem(asset, path)
    if found:
        return found
    if path.is_dir() or is_converted(asset, path) or not asset.sha256:
        return _unreadable_part(path) if afresh else ""
    return _wrong_digest(asset, digest(path, afresh))


def quick_problem(asset: Asset, path: Path) -> str:
    """Like :func:`problem`, from lengths, beginnings and a remembered digest: reads a few bytes only."""
    if asset.is_folder:
        return _folder_problem(asset, path)
    if asset.extract and path.is_dir():
        return _file_problem(path / asset.raw[1], zipped=False)
    if is_converted(asset, path):
        return _file_problem(path, zipped=is_zip(path.name))
    if other := asset.other_edition(path.parent.name):
        return f"is {other}'s, going by its folder; {asset.edition[:-4]} {asset.edition[-4:]}'s is wanted"
    try:
        size, head = path.stat().st_size, _head(path)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    if asset.size is not None and size != asset.size:
        return f"has {size:,} bytes, expected {asset.size:,}" + _looks_like(head)
    remembered = _recall(path) if asset.sha256 else None
    if remembered:
        return _wrong_digest(asset, remembered)
    return _file_problem(path, zipped=is_zip(asset.filename), hashed=bool(asset.sha256))


def is_converted(asset: Asset, path: Path) -> bool:
    """Whether `path` (or a temporary name of it) is what the asset was converted to."""
    return bool(asset.converted) and path.name.endswith(asset.converted)


def is_zip(filename: str) -> bool:
    """Whether the format is a zip archive, whose end shows that it is whole, by the file's name."""
    return filename.lower().endswith(_ZIPPED)


def assurance(asset: Asset, path: Path) -> str:
    """What can be said for the right file or folder `path` after it was read to its end."""
    if asset.sha256 and not is_converted(asset, path):
        return "SHA-256 right" if len(asset.sha256) == hashlib.sha256().digest_size * 2 else "SHA-256 begins right"
    if _zips(path):
        return "no known hash; right by the checksums in it"
    return "no known hash"


def _folder_problem(asset: Asset, path: Path) -> str:
    """For each kind of file in it: is there one, and do they look right?"""
    if not path.is_dir():
        return "is no folder"
    for pattern in asset.contains:
        files = sorted(file for file in path.glob(pattern) if file.is_file())
        if not files:
            return f"holds no {pattern.rpartition('/')[2]}"
        for file in files:
            if found := _file_problem(file, zipped=is_zip(file.name)):
                return f"is not whole: {file.relative_to(path)} {found}"
    return ""


def _file_problem(path: Path, zipped: bool, hashed: bool = False) -> str:
    """What anybody can see: unreadable, empty, something else, cut off (where no hash will tell)."""
    try:
        head = _head(path)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    if not head:
        return "is empty (0 bytes)"
    if looks := _looks_like(head):
        return f"isn't the file itself{looks}"
    if (zipped or (head.startswith(_ZIP_HEAD) and not hashed)) and not zipfile.is_zipfile(path):
        return "is no whole archive: cut off, or something else"
    return ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(256)


def _zips(path: Path) -> list[Path]:
    """The zip archives (checkpoints and ``.npz`` are) in a folder, or the file itself if it is one."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
    return [file for file in files if zipfile.is_zipfile(file)]


def _unreadable_part(path: Path) -> str:
    """Read what carries checksums of its own to the end, and compare."""
    for file in _zips(path):
        where = f"{file.relative_to(path)} " if path.is_dir() else ""
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            return f"{where}can't be read to its end: {' '.join(str(error).split())}"
        if damaged:
            return f"{where}is damaged: the checksum of {damaged} in it is wrong"
    return ""


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
