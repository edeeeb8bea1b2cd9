"""Which prediction belongs to which scan, and where their landmarks are: by names, or by a list."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from facecli.benchmark.landmark_files import READERS
from facecli.errors import InputError, UsageError
from facecli.io.filetypes import check_file, input_error
from facecli.io.meshes import MESH_SUFFIXES
from facecli.io.sources import natural_key

LANDMARK_SUFFIXES = tuple(suffix for suffix in READERS if suffix != ".json")
"""Of files that are taken without being named: facecli writes `.json` beside meshes, too."""

COLUMNS = ("predicted", "scan", "landmarks", "scan_landmarks")
"""Of a list of pairs; the last two may be left out, or empty."""


@dataclass(frozen=True)
class Pair:
    """One case.

    Args:
        name: in results, and of its files: a relative path without suffix.
        predicted: None if it is listed and not there.
        scan: None if no scan belongs to it.
        landmarks, scan_landmarks: None where there are none.
        problem: why it can't be scored.
    """

    name: str
    predicted: Path | None
    scan: Path | None = None
    landmarks: Path | None = None
    scan_landmarks: Path | None = None
    problem: str = ""


def single_pair(predicted: Path, scan: Path, landmarks: Path | None, scan_landmarks: Path | None) -> Pair:
    """The pair of two files; landmarks that aren't given are looked for beside them."""
    return Pair(
        predicted.stem,
        check_file(predicted),
        check_file(scan),
        landmarks or beside(predicted),
        scan_landmarks or beside(scan),
    )


def beside(mesh: Path) -> Path | None:
    """The landmark file beside a mesh that has its name, or the only `.pp` in its folder if it is the only mesh."""
    for suffix in LANDMARK_SUFFIXES:
        file = mesh.with_suffix(suffix)
        if file.is_file():
            return file
    files = [file for file in mesh.parent.iterdir() if not file.name.startswith(".")]
    picked = [file for file in files if file.suffix.lower() == ".pp"]
    alone = sum(file.suffix.lower() in MESH_SUFFIXES for file in files) == 1
    return picked[0] if alone and len(picked) == 1 else None


# --- a list ----------------------------------------------------------------------------------------------------------


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a CSV file: :data:`COLUMNS`, with or without a line that names them; paths from the file's folder.

    Raises:
        InputError: it can't be read, or a line has too few columns.
    """
    check_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise input_error(path, error) from error
    columns: Sequence[str] = COLUMNS
    if rows and {"predicted", "scan"} <= {word.strip().lower() for word in rows[0][1]}:
        columns = [word.strip().lower() for word in rows.pop(0)[1]]
    if not rows:
        raise InputError(path, "lists no pairs", f"a line is {','.join(COLUMNS)}")
    names = _Names()
    return [_listed_pair(path, number, dict(zip(columns, row, strict=False)), names) for number, row in rows]


def _listed_pair(path: Path, number: int, row: dict[str, str], names: _Names) -> Pair:
    words = {column: row.get(column, "").strip() for column in (*COLUMNS, "name")}
    if not words["predicted"] or not words["scan"]:
        raise InputError(path, f"line {number} names no prediction or no scan", f"a line is {','.join(COLUMNS)}")
    files = {column: path.parent / words[column] if words[column] else None for column in COLUMNS}
    name = names.new(words["name"] or str(PurePosixPath(words["predicted"].replace("\\", "/")).with_suffix("")))
    problem = ""
    for column, file in files.items():
        if file is not None and not file.is_file() and column != "predicted":
            problem = problem or f"{file}: no such file"
    if not files["predicted"].is_file():
        return Pair(name, None, files["scan"])
    if problem:
        return Pair(name, files["predicted"], problem=problem)
    return Pair(
        name,
        files["predicted"],
        files["scan"],
        files["landmarks"] or beside(files["predicted"]),
        files["scan_landmarks"] or beside(files["scan"]),
    )


class _Names:
    """Names of cases, each once, that are harmless as paths."""

    def __init__(self):
        self._given: set[str] = set()

    def new(self, word: str) -> str:
        parts = [part for part in word.replace("\\", "/").replace(":", "_").split("/") if part not in ("", ".", "..")]
        wanted = name = "/".join(parts) or "case"
        number = 2
        while name in self._given:
            name, number = f"{wanted}_{number}", number + 1
        self._given.add(name)
        return name


# --- folders ---------------------------------------------------------------------------------------------------------


def match_folders(
    predictions: Path,
    scans: Path,
    *,
    landmarks: Path | None = None,
    scan_landmarks: Path | None = None,
    listed: Sequence[str] | None = None,
    without: Path | None = None,
) -> list[Pair]:
    """A pair for each prediction, or for each listed one, in natural order.

    A prediction `subject/image.obj` belongs to the scan of the same path, else to that of its folder (`subject.ply`, or
    the only one in the folder `subject`), else to the one with its stem.

    Args:
        landmarks, scan_landmarks: folders with landmark files, matched likewise; else they lie beside the meshes.
        listed: paths of predictions below the folder, without suffix. Without a list, scans without a prediction are
            cases without one.
        without: a folder whose content doesn't count (that of the results).

    Raises:
        InputError: a folder isn't there or holds no meshes.
    """
    predicted = _Folder(predictions, MESH_SUFFIXES, without)
    known = _Folder(scans, MESH_SUFFIXES, without)
    for folder in (known, *([] if listed else [predicted])):
        if not folder.files:
            raise InputError(folder.root, "holds no meshes", f"they are {', '.join(MESH_SUFFIXES)} files")
    own = None if landmarks is None else _Folder(landmarks, tuple(READERS), without)
    theirs = None if scan_landmarks is None else _Folder(scan_landmarks, tuple(READERS), without)
    found, used = [], set()
    for name in predicted.files if listed is None else listed:
        file = predicted.files.get(name)
        if file is None:
            found.append(Pair(name, None))
            continue
        scan, problem = known.belonging(name)
        used.add(scan)
        if scan is None:
            found.append(Pair(name, file, problem=problem))
            continue
        found.append(
            Pair(
                name,
                file,
                scan,
                beside(file) if own is None else own.files.get(name) or own.belonging(name)[0],
                beside(scan) if theirs is None else theirs.belonging(known.name(scan))[0],
            )
        )
    if listed is None:
        found += [Pair(name, None, scan) for name, scan in known.files.items() if scan not in used]
    return found


def read_list(path: Path, groups: Sequence[str] = ()) -> list[str]:
    """Lines `subject/image.jpg` of a list of images, without their suffix, each once.

    Args:
        groups: folders of which each line must begin with one, if there are any.

    Raises:
        InputError: it can't be read, is empty, or a line has no group.
    """
    check_file(path)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise input_error(path, error) from error
    names: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        parts = [part for part in line.strip().replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            continue
        if ".." in parts:
            raise InputError(path, f"line {number} leads out of the folder of predictions")
        if groups and parts[0] not in groups:
            mend = f"lines begin with {' or '.join(groups)}/, or give --predictions one of these folders"
            raise InputError(path, f"line {number} says no set: {line.strip()[:60]!r}", mend)
        name = PurePosixPath(*parts)
        suffix = name.suffix.lower()
        names[str(name.with_suffix("") if suffix and not suffix[1:].isdigit() else name)] = None
    if not names:
        raise InputError(path, "lists nothing")
    return list(names)


class _Folder:
    """Files of some suffixes below a folder, by their path without suffix; the first suffix wins."""

    def __init__(self, root: Path, suffixes: Sequence[str], without: Path | None = None):
        if not root.is_dir():
            raise InputError(root, "is no folder" if root.exists() else "no such folder")
        self.root = root
        found: dict[str, Path] = {}
        for file in _walk(root, without):
            suffix = file.suffix.lower()
            if suffix in suffixes:
                name = file.relative_to(root).with_suffix("").as_posix()
                if name not in found or suffixes.index(suffix) < suffixes.index(found[name].suffix.lower()):
                    found[name] = file
        self.files = {name: found[name] for name in sorted(found, key=natural_key)}
        self._by_stem: dict[str, list[Path]] = {}
        self._by_folder: dict[str, list[Path]] = {}
        for name, file in self.files.items():
            path = PurePosixPath(name)
            self._by_stem.setdefault(path.name, []).append(file)
            self._by_folder.setdefault(str(path.parent), []).append(file)

    def name(self, file: Path) -> str:
        return file.relative_to(self.root).with_suffix("").as_posix()

    def belonging(self, name: str) -> tuple[Path | None, str]:
        """The file that belongs to another folder's file `name`, or None and why there is none."""
        if name in self.files:
            return self.files[name], ""
        path = PurePosixPath(name)
        folders = [folder for folder in path.parents if str(folder) != "."]  # the deepest first
        keys = [key for folder in folders for key in dict.fromkeys((str(folder), folder.name))]
        for key in keys or [path.name]:  # a prediction `subject.obj` may belong to a folder `subject`
            inside = self._by_folder.get(key, [])
            if key in self.files:
                return self.files[key], ""
            if len(inside) == 1:
                return inside[0], ""
            if inside:
                return None, f"{self.root / key} holds {len(inside)} files: say with --pairs which belongs to it"
        same_stem = self._by_stem.get(path.name, [])
        if len(same_stem) == 1:
            return same_stem[0], ""
        if same_stem:
            return None, f"{self.root} holds {len(same_stem)} of that name: say with --pairs which belongs to it"
        return None, f"{self.root} holds nothing named like it or its folder"


def _walk(root: Path, without: Path | None) -> Iterator[Path]:
    """Files below `root` that are not hidden."""
    excluded = None if without is None else without.resolve()
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = _visible(folders, Path(folder), excluded)
        yield from (Path(folder) / name for name in files if not name.startswith("."))


def _visible(names: Iterable[str], folder: Path, excluded: Path | None) -> list[str]:
    return sorted(name for name in names if not name.startswith(".") and (folder / name).resolve() != excluded)


def split_groups(pairs: Sequence[Pair], groups: Sequence[str]) -> dict[str, list[Pair]]:
    """Pairs by the group that their names begin with, which is taken off; all as one group ``""`` if none has any.

    Raises:
        UsageError: some names begin with a group and others don't.
    """
    found: dict[str, list[Pair]] = {group: [] for group in groups}
    rest = []
    for pair in pairs:
        group, slash, name = pair.name.partition("/")
        if slash and group in found:
            found[group].append(replace(pair, name=name))
        elif pair.predicted is not None:
            rest.append(pair)
    found = {group: members for group, members in found.items() if members}
    if not found:
        return {"": list(pairs)}
    if rest:
        raise UsageError(f"predictions lie in {', '.join(found)}, and others not, such as {rest[0].predicted}")
    return found
