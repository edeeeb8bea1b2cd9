"""Makes small files of the two albedo spaces: of their components, as many as are used, in single precision.

The official files hold 199 and 200 components, of which the DECA family uses 50; that is the difference between 1.2 GB
and 160 MB to read at each start. Names and layout of the arrays stay, so that both kinds are read by the same code.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from facecli.errors import InputError
from facecli.io.arrays import write_npz
from facecli.io.filetypes import check_file

COMPONENTS = 50
_BLOCK = 1 << 24  # bytes read at once
_MEND = "get it again, see `facecli assets list`"


def convert_bfm_albedo(source: str | Path, target: str | Path) -> None:
    """Of ``FLAME_albedo_from_BFM.npz``: ``MU`` [..., 3], and ``PC`` [..., 3, K] cut to K = 50.

    Raises:
        InputError: it is damaged or something else.
        OutputError: `target` can't be written.
    """
    _convert(source, target, "MU", "PC")


def convert_flame_texture(source: str | Path, target: str | Path) -> None:
    """Of ``FLAME_texture.npz``: ``mean`` and ``tex_dir``, likewise."""
    _convert(source, target, "mean", "tex_dir")


def _convert(source: str | Path, target: str | Path, mean: str, components: str) -> None:
    check_file(source)
    with _reading(source), zipfile.ZipFile(source) as archive:
        missing = {f"{mean}.npy", f"{components}.npy"} - set(archive.namelist())
        if missing:
            raise InputError(source, f"is no albedo space of FLAME: it lacks {', '.join(sorted(missing))}", _MEND)
        with archive.open(f"{mean}.npy") as file:
            average = np.lib.format.read_array(file, allow_pickle=False).astype(np.float32)
        with archive.open(f"{components}.npy") as file:
            first = _first_columns(file, COMPONENTS)
    if first.size != average.size * first.shape[-1]:
        raise InputError(source, f"{components} {list(first.shape)} doesn't fit {mean} {list(average.shape)}", _MEND)
    write_npz(target, {mean: average, components: first}, compressed=False)


@contextlib.contextmanager
def _reading(source: str | Path) -> Iterator[None]:
    """What the readers of zip and numpy raise becomes one line."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError) as error:
        raise InputError(source, f"can't be read: {' '.join(str(error).split())}", _MEND) from error


def _first_columns(file: IO[bytes], count: int) -> np.ndarray:
    """The first `count` entries along the last axis of the ``.npy`` stream, float32, block by block: the whole would
    take 1.2 GB."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, column_major, dtype = read_header(file)
    if dtype.kind != "f" or not shape or not shape[-1]:
        raise ValueError(f"an array of {dtype} {list(shape)} where numbers should be")
    rows, width = int(np.prod(shape[:-1])), shape[-1]
    count = min(count, width)
    if column_major:  # one component after the other
        values = _numbers(file, rows * count, dtype).astype(np.float32)
        return np.ascontiguousarray(values.reshape(*shape[:-1], count, order="F"))
    kept = np.empty((rows, count), np.float32)
    step = max(1, _BLOCK // (width * dtype.itemsize))
    for begin in range(0, rows, step):
        wanted = min(step, rows - begin)
        kept[begin : begin + wanted] = _numbers(file, wanted * width, dtype).reshape(wanted, width)[:, :count]
    return kept.reshape(*shape[:-1], count)


def _numbers(file: IO[bytes], count: int, dtype: np.dtype) -> np.ndarray:
    content = file.read(count * dtype.itemsize)
    if len(content) != count * dtype.itemsize:
        raise EOFError("its end is missing")
    return np.frombuffer(content, dtype)
