"""What was made in an output folder, from what, and how: the notes by which the next run knows what is finished.

One hidden file at the folder's root, so that the layouts that research code globs (``*.npy``, ``detections/*.txt``)
stay as they are. A line says which files are about to be written, and a second one that they are, with their input,
its state, the settings and what was said of them. Lines are appended; of a file, the last one counts. After a kill in
the middle files are known as ours and as unfinished; a torn line counts for nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facecli.io.atomic import output_error

JOURNAL_FILE = ".facecli-done.jsonl"
LAYOUT_JOURNAL = ".facecli-layout.jsonl"
"""The same of what `facecli reconstruct --layout` puts beside its result folders: never an input of a search."""
RUN_FILE = "run.json"
"""The note in a result folder of `facecli reconstruct`."""


@dataclass(frozen=True)
class Entry:
    """What was made of one input.

    Args:
        files: paths below the output folder.
        stamp: input and settings (JSON values); what was made with another stamp is made again.
        records: what was said of the faces, as JSON values.
        problem, mend: what was wrong all the same, as in :class:`facecli.errors.InputError`; "" if nothing.
    """

    files: Sequence[str]
    stamp: dict[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    mend: str = ""


class Journal:
    """The notes of the output folder `root`, which need not exist. For several threads; what other processes append
    is seen after :meth:`refresh`."""

    def __init__(self, root: str | Path, file: str = JOURNAL_FILE):
        self.root = Path(root)
        self.path = self.root / file
        self._lines: dict[str, int] = {}  # file → place of its last line; the lines themselves stay on disk
        self._read = 0
        self._ends_torn = False
        self._lock = threading.Lock()
        self.refresh()

    def knows(self, file: str | Path) -> bool:
        """Was `file` (relative to the root) written by us, or begun?"""
        return _key(file) in self._lines

    def last(self, file: str | Path) -> Entry | None:
        """The entry of what was made last under this name; None if it was only begun, or isn't known."""
        place = self._lines.get(_key(file))
        return None if place is None else self._entry(place)

    def find(self, files: Sequence[str | Path]) -> Entry | None:
        """The entry of what was made last under all these names at once, whole and still there; else None."""
        places = {self._lines.get(_key(file)) for file in files}
        if len(places) != 1 or None in places:
            return None
        entry = self._entry(places.pop())
        if entry is None or not {_key(file) for file in files} <= set(entry.files):
            return None
        mine = all(self._lines.get(file) == self._lines[_key(files[0])] for file in entry.files)
        return entry if mine and all((self.root / file).exists() for file in entry.files) else None

    def begin(self, files: Sequence[str | Path]) -> None:
        """From now on these files are ours, and unfinished until :meth:`done`."""
        self._append({"begun": [_key(file) for file in files]})

    def done(self, entry: Entry) -> None:
        """All of the entry's files are written.

        Raises:
            OutputError: the note can't be written.
        """
        line = {"files": [_key(file) for file in entry.files], "stamp": entry.stamp, "records": entry.records}
        problem = {"problem": entry.problem, "mend": entry.mend} if entry.problem else {}
        self._append(line | problem)

    def refresh(self) -> None:
        """Read what is new in the file."""
        with self._lock:
            try:
                if self.path.stat().st_size <= self._read:
                    return
                with self.path.open("rb") as file:
                    file.seek(self._read)
                    for line in file:
                        self._take(line)
            except OSError:  # none yet, or a root that is no folder: writing will say so
                return

    def _take(self, line: bytes) -> None:
        place, self._read = self._read, self._read + len(line)
        self._ends_torn = not line.endswith(b"\n")
        if self._ends_torn:
            self._read = place  # somebody may be writing it just now
            return
        content = _parse(line)
        for file in content.get("files") or content.get("begun") or ():
            self._lines[file] = place

    def _entry(self, place: int) -> Entry | None:
        with self.path.open("rb") as file:
            file.seek(place)
            content = _parse(file.readline())
        if "stamp" not in content:
            return None
        words = {name: content.get(name, "") for name in ("problem", "mend")}
        return Entry(content["files"], content["stamp"], content.get("records", []), **words)

    def _append(self, content: dict[str, Any]) -> None:
        """One line, appended. ASCII alone: names that are no text stay what they are."""
        self.refresh()
        line = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if self._ends_torn:  # a killed run's: it must not swallow ours
            line = b"\n" + line
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                while line:  # a disk that is nearly full takes a part, and then says so
                    line = line[file.write(line) :]
        except OSError as error:
            raise output_error(self.path, error) from error
        self.refresh()


def _key(file: str | Path) -> str:
    return Path(file).as_posix()


def _parse(line: bytes) -> dict[str, Any]:
    """A line's content; of a torn or strange one, {}."""
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    files = content.get("files") or content.get("begun")
    return content if isinstance(files, list) and all(isinstance(file, str) for file in files) else {}
