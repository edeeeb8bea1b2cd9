"""Answers of a method, kept in chunks as they come: a run that is killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facecli import __version__
from facecli.benchmark.aflw2000.methods import Answer, Case
from facecli.io.arrays import write_npz
from facecli.io.atomic import atomic_write, remove_leftovers

CHUNK, SECONDS = 128, 20.0
"""Answers that a chunk holds, and seconds after which one is written with what there is."""

SETTINGS_FILE = "settings.json"
_ARRAYS = ("names", "stamps", "landmarks", "rotations", "missing")


class AnswerStore:
    """Answers of one method with one set of options, in a folder of its own below `root`.

    An answer counts as long as its picture, and the box that it was asked with, are the same. Pictures that can't be
    read have none.
    """

    def __init__(self, root: Path, method: str, settings: Mapping[str, Any]):
        described = {**settings, "facecli": __version__}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
        self.folder = root / f"{method}-{digest}"
        self._described = described
        self._waiting: list[tuple[Answer, str]] = []
        self._written = time.monotonic()

    def clear(self) -> None:
        """Forget all answers."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def known(self, cases: Iterable[Case]) -> dict[str, Answer]:
        """Name -> the answer to the case, of those that are here already."""
        remove_leftovers(self.folder)
        kept: dict[str, tuple[str, Answer]] = {}
        for path in sorted(self.folder.glob("*.npz")):
            kept |= {answer.name: (stamp, answer) for answer, stamp in _read(path)}
        found = {}
        for case in cases:
            stamp, answer = kept.get(case.name, ("", None))
            if answer is not None and stamp == _stamp(case):
                found[case.name] = answer
        return found

    def keep(self, case: Case, answer: Answer) -> None:
        """Take an answer; it is written with others."""
        if answer.error is None:
            self._waiting.append((answer, _stamp(case)))
        if len(self._waiting) >= CHUNK or time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OutputError: the folder can't be written to, or the disk is full.
        """
        self._written = time.monotonic()
        if not self._waiting:
            return
        if not (self.folder / SETTINGS_FILE).exists():
            with atomic_write(self.folder / SETTINGS_FILE) as temporary:
                temporary.write_text(json.dumps(self._described, indent=2) + "\n", encoding="utf-8")
        number = max((int(path.stem) for path in self.folder.glob("[0-9]*.npz") if path.stem.isdigit()), default=-1) + 1
        write_npz(self.folder / f"{number:05d}.npz", _arrays(self._waiting))
        self._waiting = []


def _stamp(case: Case) -> str:
    """The picture's size and time, and the box."""
    try:
        status = case.image.stat()
    except OSError:
        return "no picture"
    box = " ".join(f"{number:.2f}" for number in case.box)
    return f"{status.st_size} {status.st_mtime_ns} {box}"


def _arrays(answers: list[tuple[Answer, str]]) -> dict[str, np.ndarray]:
    def stacked(values: Iterable[np.ndarray | None], shape: tuple[int, int]) -> np.ndarray:
        return np.stack([np.full(shape, np.nan) if value is None else value for value in values])

    return {
        "names": np.array([answer.name for answer, _ in answers]),
        "stamps": np.array([stamp for _, stamp in answers]),
        "landmarks": stacked((answer.landmarks for answer, _ in answers), (68, 2)),
        "rotations": stacked((answer.rotation for answer, _ in answers), (3, 3)),
        "missing": np.array([answer.missing for answer, _ in answers]),
    }


def _read(path: Path) -> Iterator[tuple[Answer, str]]:
    """The chunk's answers; none of a file that something else has put there."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = [archive[name] for name in _ARRAYS]
    except Exception:  # it is predicted again
        return
    for name, stamp, landmarks, rotation, missing in zip(*columns, strict=True):
        given = (None if np.isnan(value).any() else value for value in (landmarks, rotation))
        yield Answer(str(name), *given, missing=str(missing)), str(stamp)
