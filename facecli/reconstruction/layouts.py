"""What a model's own layout writes: aside first, then to the places where the model's program would have put it."""

from __future__ import annotations

import contextlib
import shutil
import threading
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from facecli.errors import InputError, PluginError
from facecli.io.atomic import output_error
from facecli.io.journal import LAYOUT_JOURNAL, Entry, Journal

STAGING = ".layout"
OWN_FILES = ("run.json", "faces.jsonl", "lock")
_CHOOSE = "choose another -o"


class Places:
    """Who may write where beside the result folders: of one run's inputs, in any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._owners: dict[str, Path] = {}
        self._journals: dict[Path, Journal] = {}

    def journal(self, root: Path) -> Journal:
        with self._lock:
            if root not in self._journals:
                self._journals[root] = Journal(root, LAYOUT_JOURNAL)
            return self._journals[root]

    def take(self, paths: Iterable[Path], owner: Path) -> Path | None:
        """Keeps all `paths` for the result folder `owner`; if another one has one of them, that path instead."""
        with self._lock:
            keys = {_fold(path): path for path in paths}
            for key, path in keys.items():
                if self._owners.get(key, owner) != owner:
                    return path
            self._owners |= dict.fromkeys(keys, owner)
        return None


class Staging:
    """What a layout writes of one input.

    Args:
        final: the input's result folder; what the layout writes comes to lie beside it, or in it.
        work: the folder in which that is made.
        name: of the input, for messages.
        previous: files beside the result folder that an earlier run put there for the same result.
        places: shared by all inputs of a run.
    """

    def __init__(self, final: Path, work: Path, name: str, previous: Iterable[str], places: Places):
        self.final, self.work, self.name, self.places = final, work, name, places
        self.root = work / STAGING
        self.previous = [file for file in previous if _is_harmless(file)]
        self._beside: list[str] = []

    def settle(self) -> tuple[list[str], list[str]]:
        """Moves what belongs in the result folder into `work`, and makes sure that the rest may take its place.

        Returns:
            The files beside the result folder and those in it, as paths below the folder that holds it.

        Raises:
            InputError: something foreign is in a file's place.
            PluginError: the layout writes what it may not.
        """
        files = sorted(path.relative_to(self.root) for path in self.root.rglob("*") if not path.is_dir())
        inside = [file for file in files if file.parts[0] == self.final.name]
        self._beside = [file.as_posix() for file in files if file.parts[0] != self.final.name]
        for file in inside:
            self._move_inside(file)
        self._check_places()
        return self._beside, [file.as_posix() for file in inside]

    def publish(self) -> None:
        """Puts the files in their places, where they are known as ours from the first one on."""
        root = self.final.parent
        if self._beside or self.previous:
            journal = self.places.journal(root)
            journal.begin(self._beside)
            for file in self._beside:
                target = root / file
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (self.root / file).replace(target)
                except OSError as error:
                    raise output_error(target, error) from error
            self._remove(set(self.previous) - set(self._beside))
        shutil.rmtree(self.root, ignore_errors=True)

    def note(self) -> None:
        """The result folder is in its place, too."""
        if self._beside:
            self.places.journal(self.final.parent).done(Entry(self._beside, {"result": self.final.name}))

    def _move_inside(self, file: Path) -> None:
        if len(file.parts) == 1:
            raise InputError(self.name, f"{self.final} would be a file and the folder of results", "rename the input")
        target = self.work.joinpath(*file.parts[1:])
        if file.parts[1] in OWN_FILES:
            raise PluginError(f"the layout writes {file}, which is a file of facecli's own")
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).replace(target)

    def _check_places(self) -> None:
        root, journal = self.final.parent, self.places.journal(self.final.parent)
        journal.refresh()
        for file in self._beside:
            target = root / file
            if target.is_dir() or any(folder.exists() and not folder.is_dir() for folder in target.parents):
                raise InputError(self.name, f"{target} can't be written: something else is in its place", _CHOOSE)
            if (target.exists() or target.is_symlink()) and file not in self.previous:
                self._check_ours(target, file, journal)
        taken = self.places.take((root / file for file in self._beside), self.final)
        if taken is not None:
            raise InputError(self.name, f"{taken} was written for another input of the same name", _CHOOSE)

    def _check_ours(self, target: Path, file: str, journal: Journal) -> None:
        """Whether what is there was put there for this result, or by a run that was killed meanwhile."""
        if not journal.knows(file):
            raise InputError(self.name, f"{target} is there already and is not of facecli's making", _CHOOSE)
        entry = journal.last(file)
        if entry is not None and entry.stamp.get("result") != self.final.name:
            made_for = self.final.with_name(str(entry.stamp.get("result")))
            raise InputError(self.name, f"{target} is there already and belongs to {made_for}", _CHOOSE)

    def _remove(self, files: Iterable[str]) -> None:
        """Files of the earlier run that this one didn't make again, and folders that are empty then."""
        root = self.final.parent
        for file in files:
            with contextlib.suppress(OSError):
                (root / file).unlink()
                for folder in PurePosixPath(file).parents:
                    if folder.parts:
                        (root / folder).rmdir()


def _is_harmless(file: str) -> bool:
    path = PurePosixPath(file)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _fold(path: Path) -> str:
    return unicodedata.normalize("NFC", path.as_posix()).casefold()
