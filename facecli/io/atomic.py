"""Files and folders that are either whole or not there.

Results are written under a temporary name beside their place and renamed when done, so that a kill in the middle
leaves nothing half-written under a result's name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from facecli.errors import OutputError

TEMPORARY_PREFIX = ".facecli-"


def temporary_name(path: Path) -> Path:
    """A hidden sibling of `path` with the same suffix (writers look at it)."""
    return path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:8]}-{path.name}")


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
        os.replace(temporary, path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def output_error(path: str | Path, error: OSError) -> OutputError:
    """The one line for a failed write to `path`."""
    reason = error.strerror or str(error)
    return OutputError(f"{path}: can't be written: {reason} (choose another place with -o)")


def replace_folder(temporary: Path, final: Path) -> None:
    """Put the finished folder `temporary` in the place of `final`, which may exist."""
    old = None
    if final.exists():
        old = temporary_name(final)
        os.replace(final, old)
    os.replace(temporary, final)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
