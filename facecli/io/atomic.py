"""Files and folders that are either whole or not there.

Results are written under a temporary name beside their place and renamed when done, so that a kill in the middle
leaves nothing half-written under a result's name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

from facecli.errors import OutputError

TEMPORARY_PREFIX = ".facecli-"

_MENDS = {
    errno.ENOSPC: "make room on the disk or choose another place with -o",
    errno.EDQUOT: "your quota is used up: make room or choose another place with -o",
    errno.EFBIG: "files there may not grow so large: choose another place with -o",
    errno.ENAMETOOLONG: "shorten the name",
}


def temporary_name(path: Path) -> Path:
    """A hidden sibling of `path` with the same suffix (writers look at it), and no longer than names may be.

    It says which process writes it, so that :func:`remove_leftovers` knows what a killed run left.
    """
    return path.with_name(f"{TEMPORARY_PREFIX}{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name[-40:]}")


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path to write to; renames it to `path` on success, removes it on failure.

    Raises:
        OutputError: the folder can't be written to, or the disk is full.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def output_error(path: str | Path, error: OSError) -> OutputError:
    """The one line for a failed write to `path`."""
    reason = error.strerror or " ".join(str(error).split())
    mend = _MENDS.get(error.errno, "choose another place with -o")
    return OutputError(f"{path}: can't be written: {reason} ({mend})")


def replace_folder(temporary: Path, final: Path) -> None:
    """Put the finished folder `temporary` in the place of `final`, which may exist.

    Raises:
        OutputError: that is not possible; then `final` is as it was.
    """
    replaced = []
    try:
        while True:
            old = temporary_name(final)
            with contextlib.suppress(FileNotFoundError):  # nothing is there, or another run has just moved it
                final.replace(old)
                replaced.append(old)
            try:
                temporary.replace(final)
                break
            except OSError as error:  # in between, another run may have put its own there
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    except OSError as error:
        if replaced and not final.exists():
            replaced[-1].replace(final)
        raise output_error(final, error) from error
    for old in replaced:
        shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folder: str | Path) -> int:
    """Remove what killed runs on this machine left half-written in `folder` (not below it); how many there were.

    Files of processes that still live, and of other machines, stay.
    """
    removed = 0
    with contextlib.suppress(OSError):
        for entry in list(Path(folder).glob(f"{TEMPORARY_PREFIX}{_host()}-*")):
            process = entry.name.split("-")[2]
            if process.isdigit() and not _alive(int(process)):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
                removed += 1
    return removed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
