"""A result folder: written aside and renamed when it is whole, with a note of what made it.

``run.json`` holds the input and the settings, ``faces.jsonl`` one record a face; a finished folder is known by them,
so the next run can skip it and still print its records.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock

from facecli import __version__
from facecli.errors import InputError, OutputError
from facecli.io.atomic import TEMPORARY_PREFIX, output_error, remove_leftovers, replace_folder, temporary_name
from facecli.io.journal import RUN_FILE
from facecli.reconstruction.layouts import Places, Staging

FACES_FILE, LOCK_FILE = "faces.jsonl", "lock"
FILE_KEYS = ("mesh", "overlay", "codes", "arkit", "animation", "gif")
"""Of a record: paths relative to the folder. So are those in the dictionary `pictures` and the list `files`."""
_CHOOSE = "choose another -o"

_swept: set[Path] = set()
"""Folders that were looked through for what killed runs left: once each is enough."""


class ResultFolder:
    """Where the results of one input go.

    Args:
        final: the folder that appears when everything is written.
        input: what is told of the input: its path, size and time.
        settings: what else results depend on; the model among it.
        resumable: a killed run's working folder is gone on with (videos); else each run makes its own (photographs),
            and two runs at once don't disturb each other.

    When it is finished, `files` is what records say of a layout's files, if there is one.
    """

    def __init__(self, final: Path, input: dict[str, Any], settings: dict[str, Any], *, resumable: bool = False):
        self.final, self.input, self.settings = final, input, settings
        if resumable:
            self.work = final.with_name(f"{TEMPORARY_PREFIX}{_short(final.name)}.work")
        else:
            self.work = temporary_name(final)
        self._lock: filelock.FileLock | None = None
        self._staging: Staging | None = None
        self.is_begun = False
        self.files: dict[str, list[str]] = {}

    # --- what is there -----------------------------------------------------------------------------------------------

    def is_done(self, *, overwrite: bool = False) -> bool:
        """Whether an earlier run finished it, from the same input with the same settings. With `overwrite`, never.

        Raises:
            InputError: the folder holds something else, which is not ours to replace.
        """
        if not self.final.exists():
            return False
        made_by = _run_file(self.final)
        if made_by is None:
            name = self.input.get("path", self.final.name)
            raise InputError(name, f"{self.final} is there already and is not of facecli's making", _CHOOSE)
        if overwrite:
            return False
        self._check_ours(made_by)
        if not self._same_input(made_by["input"]) or made_by["settings"] != self.settings:
            return False
        return all((self.final.parent / file).exists() for file in _files_beside(made_by))

    def _check_ours(self, made_by: dict[str, Any]) -> None:
        """Refuses to replace what was made by another model, or of another input."""
        name, mend = self.input.get("path", self.final.name), f"{_CHOOSE}, or --overwrite"
        old, new = made_by["settings"].get("model"), self.settings["model"]
        if old != new:
            raise InputError(name, f"{self.final} holds results of the model {old}", mend)
        theirs = made_by["input"]
        if theirs.get("path") != self.input.get("path") and not self._same_input(theirs):
            raise InputError(name, f"{self.final} holds results of {theirs.get('path')}", mend)

    def _same_input(self, other: dict[str, Any]) -> bool:
        """A file that was moved with its results is the same; one that was edited isn't."""
        return {**other, "path": None} == {**self.input, "path": None}

    @property
    def problem(self) -> str | None:
        """What was wrong with the finished input: a video that ended before its end."""
        return (_run_file(self.final) or {}).get("problem")

    def records(self) -> Iterator[dict[str, Any]]:
        """The finished records, with paths as the caller sees them."""
        with (self.final / FACES_FILE).open(encoding="utf-8") as lines:
            for line in lines:
                yield with_paths(json.loads(line), self.final)

    # --- making it ---------------------------------------------------------------------------------------------------

    def begin(self) -> Path:
        """An empty working folder."""
        self.is_begun = True
        _sweep(self.final.parent)
        with self.writing():
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
        return self.work

    def resume(self, *, overwrite: bool = False) -> bool:
        """Whether the working folder of an interrupted run of the same kind is there; else a new one is made.

        Raises:
            InputError: another process is at work in it.
        """
        _sweep(self.final.parent)
        with self.writing():
            self.work.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(self.work / LOCK_FILE)
            try:
                self._lock.acquire(timeout=0)
            except filelock.Timeout:
                self._lock = None
                name = self.input.get("path", self.final.name)
                raise InputError(name, "another facecli is at work on it", f"wait for it, or {_CHOOSE}") from None
            self.is_begun = True
            if not overwrite and _read_json(self.work / RUN_FILE) == self._stamp():
                return True
            for entry in self.work.iterdir():
                if entry.name != LOCK_FILE:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            self._write_stamp()
        return False

    def stage(self, places: Places) -> Staging:
        """Where a layout writes this input's files; `finish` puts them in their places."""
        if self._staging is None:
            name = self.input.get("path", self.final.name)
            previous = _files_beside(_run_file(self.final) or {})
            self._staging = Staging(self.final, self.work, name, previous, places)
            self._staging.root.mkdir(parents=True, exist_ok=True)
        return self._staging

    def finish(
        self, records: Iterable[dict[str, Any]], problem: str | None = None, listed: Sequence[str] | None = None
    ) -> None:
        """Write the records (paths relative to the folder) and put the folder in its place, after all that a layout
        has made beside it: a folder that is there says that everything is.

        Args:
            listed: which of a layout's files, by their paths below its root, records name; None: all.

        Raises:
            InputError: something foreign lies where the layout's files belong.
        """
        with self.writing():
            beside = self._settled(listed)
            records = (record | self.files for record in records)
            with (self.work / FACES_FILE).open("w", encoding="utf-8", errors="backslashreplace") as file:
                for record in records:
                    file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            self._write_stamp(problem, beside)
            if self._staging:
                self._staging.publish()
            self.release()
            (self.work / LOCK_FILE).unlink(missing_ok=True)
            replace_folder(self.work, self.final)
            if self._staging:
                self._staging.note()

    def _settled(self, listed: Sequence[str] | None) -> list[str]:
        """What a layout wrote beside the folder."""
        if self._staging is None:
            return []
        beside, inside = self._staging.settle()
        named = (file for file in (*beside, *inside) if listed is None or file in listed)
        own = f"{self.final.name}/"
        self.files = {"files": [file.removeprefix(own) if file.startswith(own) else f"../{file}" for file in named]}
        return beside

    def discard(self) -> None:
        self.release()
        shutil.rmtree(self.work, ignore_errors=True)

    def release(self) -> None:
        """Let another run go on with the working folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Failed writes in here are told by the folder's final name, which the user knows."""
        try:
            yield
        except OSError as error:
            raise output_error(self.final, error) from error
        except OutputError as error:
            raise OutputError(str(error).replace(str(self.work), str(self.final))) from error

    def _stamp(self) -> dict[str, Any]:
        return {"facecli": __version__, "input": self.input, "settings": self.settings}

    def _write_stamp(self, problem: str | None = None, files: list[str] | None = None) -> None:
        stamp = self._stamp() | ({"problem": problem} if problem else {}) | ({"files": files} if files else {})
        text = json.dumps(stamp, indent=2, ensure_ascii=False) + "\n"
        (self.work / RUN_FILE).write_text(text, "utf-8", errors="backslashreplace")


def with_paths(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The record with its files' paths below `folder`."""

    def path(value: str | None) -> str | None:
        return os.path.normpath(folder / value) if value else value

    changed = {key: path(record[key]) for key in FILE_KEYS if key in record}
    if "pictures" in record:
        changed["pictures"] = {name: path(value) for name, value in record["pictures"].items()}
    if "files" in record:
        changed["files"] = [path(value) for value in record["files"]]
    return record | changed


def _files_beside(made_by: dict[str, Any]) -> list[str]:
    """What a layout put beside the folder, by its run.json."""
    files = made_by.get("files", [])
    return [file for file in files if isinstance(file, str)] if isinstance(files, list) else []


def _short(name: str) -> str:
    """A name that leaves room for more in a file system's 255 bytes."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= 200 else hashlib.sha256(encoded).hexdigest()[:32]


def _sweep(folder: Path) -> None:
    if folder not in _swept:
        _swept.add(folder)
        remove_leftovers(folder)


def _run_file(folder: Path) -> dict[str, Any] | None:
    """The folder's run.json, if it is one of ours."""
    made_by = _read_json(folder / RUN_FILE)
    ours = made_by is not None and all(isinstance(made_by.get(key), dict) for key in ("input", "settings"))
    return made_by if ours else None


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
