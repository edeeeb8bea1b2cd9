"""What is made of many heads in worker processes, kept in files of :data:`SHARD` heads: a killed run goes on."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from facecli.benchmark.workers import map_cases
from facecli.io.atomic import remove_leftovers
from facecli.listener import Listener

SHARD = 250


class Job(Protocol):
    """The making of one file; picklable.

    Args:
        path: the file. count: heads in it, at most.
    """

    path: Path
    count: int


def make_shards(
    jobs: Sequence[Job],
    make: Callable[[Job], None],
    names: Sequence[str],
    told: Listener,
    unit: str,
    workers: int | None = None,
) -> None:
    """Have `make`, a function at module level, write the files that aren't there or are damaged.

    Args:
        names: of the arrays that a whole file holds. unit: what is counted on the way.

    Raises:
        FacecliError: the first of what `make` raises.
    """
    for folder in {job.path.parent for job in jobs}:
        remove_leftovers(folder)
    missing = [job for job in jobs if not _whole(job, names)]
    if not missing:
        return
    with told.progress(unit, sum(job.count for job in missing)) as progress:
        for outcome in map_cases(make, missing, workers=workers, worth=2):
            if outcome.error is not None:
                raise outcome.error
            for _ in range(outcome.item.count):
                progress.input_done()


def read_shards(jobs: Sequence[Job], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of all files, in order, one behind the other; read one at a time, so that memory is needed once.

    Raises:
        OSError, KeyError, ValueError: a file is not whole.
    """
    found: dict[str, np.ndarray] = {}
    lengths = [length(job.path, names[0]) for job in jobs]
    start = 0
    for job, count in zip(jobs, lengths, strict=True):
        with np.load(job.path, allow_pickle=False) as archive:
            for name in names:
                part = archive[name]
                if name not in found:
                    found[name] = np.empty((sum(lengths), *part.shape[1:]), part.dtype)
                found[name][start : start + count] = part
        start += count
    return found


def length(path: Path, name: str) -> int:
    """Of the array `name` in a file."""
    with np.load(path, allow_pickle=False) as archive:
        return len(archive[name])


def _whole(job: Job, names: Sequence[str]) -> bool:
    try:
        with zipfile.ZipFile(job.path) as archive:
            return archive.testzip() is None and {f"{name}.npy" for name in names} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, EOFError):
        return False
