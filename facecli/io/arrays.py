"""Arrays in files, `.npy` and `.npz`: whole or not there, and a full disk is one clear line."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facecli.io.atomic import atomic_write


def write_npz(path: str | Path, arrays: Mapping[str, Any], *, compressed: bool = True) -> None:
    """Write `arrays` (name → array, of any shape and dtype but objects) as `path`, which `numpy.load` reads.

    Memory-mapped arrays go through in pieces of some MB. numpy's own `savez` would do, but on a full disk it leaves an
    archive behind that complains with a traceback when it is collected.

    Raises:
        OutputError: the place can't be written to, or the disk is full.
        ValueError: an array of objects.
    """
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        archive = zipfile.ZipFile(file, "w", method)
        try:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.close()
        except BaseException:
            with contextlib.suppress(OSError, ValueError):  # closed now, while its file is open, or else by __del__
                archive.close()
            raise


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write one array.

    Raises:
        OutputError, ValueError: as :func:`write_npz`.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array(_Bytes(file), np.asanyarray(array), allow_pickle=False)


class _Bytes:
    """A file that numpy doesn't take for one: its short cut for files (`tofile`) doesn't say why a disk is full."""

    def __init__(self, file: Any):
        self.write = file.write
