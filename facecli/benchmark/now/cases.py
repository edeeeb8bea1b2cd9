"""What was evaluated already: a small file a case, which counts only as long as all that it came from is the same."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facecli.io.arrays import write_npz
from facecli.io.filetypes import input_error

EVALUATION = 1
"""To be raised when the evaluation gives other numbers than before: what older versions stored counts no more."""

CASES_FOLDER = ".cases"


@dataclass(frozen=True)
class Evaluated:
    """One case's result: `distances` [n] float64 mm in the order of the scan's cropped vertices."""

    distances: np.ndarray
    warnings: list[str] = field(default_factory=list)
    facts: Mapping[str, float] = field(default_factory=dict)


class CaseStore:
    """The results of single cases, in the hidden folder ``.cases`` of an output folder."""

    def __init__(self, root: Path):
        self.root = root / CASES_FOLDER

    def path(self, method: str, protocol: str, case: str) -> Path:
        return self.root / protocol / method / f"{case}.npz"

    @staticmethod
    def load(path: Path, fingerprint: str) -> Evaluated | None:
        """What is stored if it has this fingerprint; None if not, or if it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                note = json.loads(archive["note"].tobytes())
                if note["fingerprint"] != fingerprint:
                    return None
                return Evaluated(archive["distances"], list(note["warnings"]), dict(note["facts"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    @staticmethod
    def save(path: Path, fingerprint: str, result: Evaluated) -> None:
        """Store a result; raises OutputError."""
        note = {"fingerprint": fingerprint, "warnings": result.warnings, "facts": dict(result.facts)}
        arrays = {"distances": result.distances, "note": np.frombuffer(json.dumps(note).encode(), np.uint8)}
        write_npz(path, arrays, compressed=False)


class Fingerprints:
    """Fingerprints of a case: of the contents of its files, and of the settings. Each scan is read once."""

    def __init__(self):
        self._known: dict[Path, str] = {}

    def of(self, own: Sequence[Path], shared: Sequence[Path], settings: Sequence[str]) -> str:
        """Args:
            own: files of this case alone.
            shared: files that other cases have, too.
            settings: what else the numbers depend on.

        Raises:
            InputError: a file can't be read.
        """
        parts = [f"evaluation {EVALUATION}", *settings, *map(_digest, own), *map(self._shared, shared)]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=20).hexdigest()

    def _shared(self, path: Path) -> str:
        if path not in self._known:
            self._known[path] = _digest(path)
        return self._known[path]


def _digest(path: Path) -> str:
    """Of the content, and of the suffix, which says how it is read."""
    try:
        with path.open("rb") as file:
            return path.suffix.lower() + hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as error:
        raise input_error(path, error) from error
