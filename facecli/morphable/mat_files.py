"""Arrays of numbers in MATLAB files from outside. What is wrong with a file is told in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.io.filetypes import check_file


def read_mat(path: str | Path, keys: Sequence[str], what: str, mend: str = "") -> dict[str, np.ndarray]:
    """The arrays `keys` of a MATLAB file (up to version 7), of any type of numbers.

    Args:
        what: the file should be, for messages: ``"the Basel Face Model's front"``.
        mend: what users can do if it isn't.

    Raises:
        InputError: missing, damaged, in another format, without one of the arrays, or with one that isn't numbers.
    """
    import scipy.io

    check_file(path)
    with Path(path).open("rb") as file:
        head = file.read(16)
    if head.startswith(b"\x89HDF") or head.startswith(b"MATLAB 7.3"):
        problem = "is an HDF5 file, as BFM 2017's and 2019's are" if head.startswith(b"\x89HDF") else "is MATLAB 7.3's"
        raise InputError(path, f"{problem}: not {what}", mend)
    try:
        content = scipy.io.loadmat(str(path), variable_names=list(keys))
    except Exception as error:  # scipy raises nearly anything on what is cut or something else
        raise InputError(path, f"is no MATLAB file, or a damaged one: not {what}", mend) from error
    lacking = [key for key in keys if key not in content]
    if lacking:
        raise InputError(path, f"is not {what}: it lacks {', '.join(lacking)}", mend)
    found = {key: content[key] for key in keys}
    for key, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise InputError(path, f"is not {what}: {key} holds no numbers", mend)
    return found


def zero_based(path: str | Path, key: str, array: np.ndarray, count: int, mend: str = "") -> np.ndarray:
    """Indices 1..`count`, of whatever type MATLAB kept them in, as int64 from 0.

    Raises:
        InputError: others are among them.
    """
    indices = np.asarray(array, np.float64)
    if indices.size and not (indices.min() >= 1 and indices.max() <= count and (indices == np.floor(indices)).all()):
        raise InputError(path, f"{key} names what isn't there: its numbers should be 1 to {count}", mend)
    return indices.astype(np.int64) - 1
