"""The archive of predictions that is mailed to the benchmark's authors, who have the test set's scans."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from facecli.benchmark.now.dataset import Case
from facecli.benchmark.now.predictions import Method
from facecli.errors import InputError
from facecli.io.atomic import atomic_write

MAIL = "ringnet@tue.mpg.de"


def pack(path: Path, method: Method, cases: Sequence[Case], told: Callable[[], None] = lambda: None) -> int:
    """Write the meshes and landmarks of all `cases` into the ZIP archive `path`, below a folder of the method's name.

    Returns:
        the archive's size in bytes.

    Raises:
        InputError: a file isn't there (any more).
        OutputError: the archive can't be written.
    """
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for case in cases:
            prediction = method.find(case)
            for file in (prediction.mesh, prediction.landmarks):
                if file is None:
                    raise InputError(method.folder / case.name, "isn't complete any more")
                archive.write(file, f"{method.name}/{case.name}{file.suffix}")
            told()
    return path.stat().st_size
