"""A result folder: written aside and renamed when it is whole, with a note of what made it.

``run.json`` holds the input and the settings, ``faces.jsonl`` one record a face; a finished folder is known by them,
so the next run can skip it and still print its records.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from facecli import __version__
from facecli.errors import OutputError
from facecli.io.atomic import TEMPORARY_PREFIX, output_error, replace_folder

RUN_FILE, FACES_FILE = "run.json", "faces.jsonl"


class ResultFolder:
    """Where the results of one input go.

    Args:
        final: the folder that appears when everything is written.
        description: what the results depend on (input, its size and time, settings).
    """

    def __init__(self, final: Path, description: dict[str, Any]):
        self.final, self.description = final, description
        self.work = final.with_name(f"{TEMPORARY_PREFIX}{_short(final.name)}.work")

    def is_done(self) -> bool:
        """Whether an earlier run finished it, from the same input with the same settings.

        Raises:
            OutputError: the folder holds another model's results, or none of ours: nothing is overwritten unasked.
        """
        if not self.final.exists():
            return False
        made_by = _read_json(self.final / RUN_FILE)
        if made_by is None:
            raise OutputError(
                f"{self.final}: is there already and not of facecli's making (choose another -o, or --overwrite)"
            )
        old, new = (made["settings"]["model"] for made in (made_by, self.description))
        if old != new:
            raise OutputError(f"{self.final}: holds results of the model {old} (choose another -o, or --overwrite)")
        return made_by["input"] == self.description["input"] and made_by["settings"] == self.description["settings"]

    def records(self) -> Iterator[dict[str, Any]]:
        """The finished records, with paths as the caller sees them."""
        with (self.final / FACES_FILE).open(encoding="utf-8") as lines:
            for line in lines:
                yield with_paths(json.loads(line), self.final)

    def begin(self) -> Path:
        """An empty working folder."""
        try:
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
        except OSError as error:
            raise output_error(self.final, error) from error
        return self.work

    def resume(self) -> bool:
        """Whether the working folder of an interrupted run of the same kind is there (else a new one is made)."""
        if _read_json(self.work / RUN_FILE) == self.stamp():
            return True
        self.begin()
        self._write_stamp()
        return False

    def stamp(self) -> dict[str, Any]:
        return {"facecli": __version__, **self.description}

    def finish(self, records: Iterable[dict[str, Any]]) -> None:
        """Write the records (paths relative to the folder) and put the folder in its place."""
        try:
            with (self.work / FACES_FILE).open("w", encoding="utf-8") as file:
                for record in records:
                    file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            self._write_stamp()
            replace_folder(self.work, self.final)
        except OSError as error:
            raise output_error(self.final, error) from error

    def discard(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def _write_stamp(self) -> None:
        (self.work / RUN_FILE).write_text(json.dumps(self.stamp(), indent=2, ensure_ascii=False) + "\n", "utf-8")


def _short(name: str) -> str:
    """A name that leaves room for more in a file system's 255 bytes."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= 200 else hashlib.sha256(encoded).hexdigest()[:32]


FILE_KEYS = ("mesh", "overlay", "codes")


def with_paths(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The record with its files' paths below `folder`."""
    return {key: str(folder / value) if key in FILE_KEYS and value else value for key, value in record.items()}


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
