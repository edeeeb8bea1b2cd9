"""From what the user named (files, folders, patterns, a list on standard input) to the files to work on, one by one."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, Any, Literal

from facecli.errors import InputError
from facecli.io.filetypes import check_file, content_kind, suffix_kind
from facecli.io.journal import LAYOUT_JOURNAL, RUN_FILE, Journal

Kind = Literal["image", "video", "codes", "avatar"]

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Source:
    """One file to work on.

    Args:
        path: where it is.
        name: as the user named it, for messages and JSON.
        kind: ``"image"``, ``"video"`` or ``"codes"``; ``"avatar"`` of those that `facecli transfer` takes for one.
        relative: its path below the folder (or the fixed part of the pattern) it was found by, suffix kept; the file
            name alone for a file named by itself. Outputs keep the tree with it, see :class:`OutputNames`.
    """

    path: Path
    name: str
    kind: Kind
    relative: Path

    def state(self) -> dict[str, Any]:
        """By what the file is known again. A missing one is told when it is read."""
        known: dict[str, Any] = {"path": os.path.abspath(self.path), "name": self.path.name}  # noqa: PTH100
        with contextlib.suppress(OSError):
            status = self.path.stat()
            known |= {"size": status.st_size, "modified_ns": status.st_mtime_ns}
        return known


def expand_sources(
    inputs: Iterable[str | Path],
    *,
    recursive: bool = False,
    stdin: IO | None = None,
    exclude: Sequence[str | Path] = (),
) -> Iterator[Source | InputError]:
    """The files behind `inputs`, lazily and in natural order (``2.jpg`` before ``10.jpg``), each once.

    An input is a file of any suffix; a folder (its pictures and videos by suffix, hidden ones left out, those of
    folders below it only with `recursive`); a pattern that the shell did not expand (``*``, ``?``, ``[…]``, ``**``;
    a file whose real name has such characters goes first); or ``-`` for a list on `stdin`, one path a line or
    separated by NUL (``find -print0``), taken as it arrives. What can't be used is yielded as its InputError.

    Our own results are no inputs unless they are named themselves: folders and patterns leave out the folders
    `exclude` (the output folders) and all folders with results of `facecli reconstruct`. A folder that lies in an
    output folder was meant, so that of it only the files are left out that the output folder's journal lists.
    """
    seen: set[str] = set()
    outputs = _Outputs(exclude)
    for name in inputs:
        for item in _expand(str(name), recursive, stdin, outputs):
            if isinstance(item, Source):
                key = os.path.abspath(item.path)  # noqa: PTH100  (links are not followed: a link is a name of its own)
                if key in seen:
                    continue
                seen.add(key)
            yield item


def _expand(name: str, recursive: bool, stdin: IO | None, outputs: _Outputs) -> Iterator[Source | InputError]:
    if name == "-":
        for line in _listed(sys.stdin if stdin is None else stdin):
            yield from _expand_name(line, recursive, outputs)
    else:
        yield from _expand_name(name, recursive, outputs)


def _expand_name(name: str, recursive: bool, outputs: _Outputs) -> Iterator[Source | InputError]:
    path = Path(name)
    try:
        if not name:
            raise InputError("''", "is an empty name")
        if "://" in name and not os.path.lexists(name):
            raise InputError(name, "is an address, not a file", "download it first")
        if os.path.isdir(name):  # noqa: PTH112  (unlike Path's it never raises)
            yield from _folder(name, recursive, outputs.seen_from(name))
        elif _WILD.search(name) and not os.path.lexists(name):
            yield from _pattern(name, recursive, outputs)
        else:
            check_file(path, name)
            kind = suffix_kind(path) or _kind_of_content(path)
            yield Source(path, name, kind, name_of_result(path) if kind == "codes" else Path(path.name))
    except InputError as error:
        yield error


def name_of_result(path: Path) -> Path:
    """Results hold many files ``codes.npz`` and ``mesh.glb``: ``holiday/face0/codes.npz`` is called
    ``holiday-face0.npz``, other files by their names."""
    parts = Path(os.path.abspath(path)).parts  # noqa: PTH100
    if path.name in ("codes.npz", "mesh.glb") and len(parts) > 3 and re.fullmatch(r"face\d+", parts[-2]):
        return Path(f"{parts[-3]}-{parts[-2]}{path.suffix}")
    return Path(path.name)


def _kind_of_content(path: Path) -> Kind:
    """Of a file named by itself. What is neither goes to the pictures' reader, who says what it is instead."""
    return "video" if content_kind(path) == "video" else "image"


# --- our own results -------------------------------------------------------------------------------------------------


class _Outputs:
    """The folders that the results go to."""

    def __init__(self, folders: Sequence[str | Path]):
        self._folders = list(dict.fromkeys(os.path.realpath(folder) for folder in folders))
        self._journals: dict[str, Journal] = {}

    def seen_from(self, root: str) -> _Results:
        """What is to be left out when `root`, which the user named, is searched."""
        real = os.path.realpath(root or ".")
        around = [folder for folder in self._folders if _is_below(real, folder)]
        for folder in around:
            self._journals.setdefault(folder, Journal(folder))
        apart = [folder for folder in self._folders if folder not in around]
        return _Results(apart, {folder: self._journals[folder] for folder in around})


class _Results:
    """Tells our results from pictures while a named folder is searched.

    Args:
        folders: real paths of output folders apart from it: left out as a whole.
        journals: of output folders that it lies in: real path → journal; the listed files are left out.
    """

    def __init__(self, folders: Sequence[str], journals: dict[str, Journal]):
        self._folders, self._journals = folders, journals
        self._layouts: dict[str, Journal] = {}
        self.met = False

    def has_folder(self, path: str) -> bool:
        """Is this folder below the named one nothing but results?"""
        real = os.path.realpath(path) if self._folders else path
        found = any(_is_below(real, folder) for folder in self._folders) or _holds_run(path)
        self.met |= found
        return found

    def pick_out(self, folder: str, entries: list[os.DirEntry]) -> list[os.DirEntry]:
        """The entries of `folder` that are no results by a journal: an output folder's, or one of layouts that was
        met on the way down."""
        real = os.path.realpath(folder or ".")
        if real not in self._layouts and os.path.exists(os.path.join(real, LAYOUT_JOURNAL)):  # noqa: PTH110, PTH118
            self._layouts[real] = Journal(real, LAYOUT_JOURNAL)
        above = ((output, journal) for output, journal in self._layouts.items() if _is_below(real, output))
        for output, journal in (*self._journals.items(), *above):
            journal.refresh()  # files are in it before they are on the disk
            below = os.path.relpath(real, output)
            kept = [entry for entry in entries if not journal.knows(Path(below, entry.name))]
            self.met |= len(kept) < len(entries)
            entries = kept
        return entries


def _is_below(path: str, folder: str) -> bool:
    """Is `path` in `folder`, or the same? Both are real paths."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _holds_run(folder: str) -> bool:
    """Is it a result folder of `facecli reconstruct`?"""
    try:
        with open(os.path.join(folder, RUN_FILE), "rb") as file:  # noqa: PTH118, PTH123
            content = json.load(file)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "facecli" in content


# --- folders ---------------------------------------------------------------------------------------------------------


def _folder(name: str, recursive: bool, results: _Results, below: Path = Path()) -> Iterator[Source | InputError]:
    """Pictures and videos in the folder `name`; `below` is put before their `relative`."""
    found, subfolders = False, False
    for relative, entry in _walk(name, recursive, results):
        if isinstance(entry, InputError):
            found = True  # said already: not "holds no pictures" as well
            yield entry
        elif _is_folder(entry):
            subfolders = subfolders or not results.has_folder(entry.path)
        elif (kind := suffix_kind(Path(entry.name))) in ("image", "video"):
            found = True
            yield _entry_source(entry, os.path.join(name, *relative.parts), kind, below / relative)  # noqa: PTH118
    if not found:
        if subfolders and not recursive:
            mend = "--recursive looks into its folders"
        elif results.met:
            mend = "results of facecli are left out; they can be named one by one"
        else:
            mend = "files of other suffixes can be named one by one"
        raise InputError(name, "is a folder without pictures or videos", mend)


def _entry_source(entry: os.DirEntry, name: str, kind: Kind, relative: Path) -> Source | InputError:
    try:
        check_file(entry.path, name)
    except InputError as error:
        return error
    return Source(Path(entry.path), name, kind, relative)


def _walk(folder: str, recursive: bool, results: _Results) -> Iterator[tuple[Path, os.DirEntry | InputError]]:
    """(path below `folder`, entry) of all that isn't hidden: files, then folders, then what is in these."""
    for below, path in _folders(folder, Path(), set(), results):
        entries = _entries(path, results)
        if isinstance(entries, InputError):
            yield below, entries
            continue
        yield from ((below / entry.name, entry) for entry in entries)
        if not recursive:
            return


def _folders(folder: str, below: Path, visited: set[tuple[int, int]], results: _Results) -> Iterator[tuple[Path, str]]:
    """`folder` and all folders below it but results. Linked ones are followed; each real one comes once, so that loops
    end."""
    try:
        status = Path(folder or ".").stat()
    except OSError:
        return
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    yield below, folder
    entries = _entries(folder, results)
    for entry in [] if isinstance(entries, InputError) else entries:
        if _is_folder(entry) and not results.has_folder(entry.path):
            yield from _folders(entry.path, below / entry.name, visited, results)


def _entries(folder: str, results: _Results) -> list[os.DirEntry] | InputError:
    """What is in `folder` and neither hidden (temporary files of ours are) nor a result, files first, in natural
    order."""
    try:
        with os.scandir(folder or ".") as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except PermissionError:
        return InputError(folder, "is a folder that may not be read", "check its permissions")
    except OSError as error:
        return InputError(folder, f"can't be read: {error.strerror}")
    entries = results.pick_out(folder, entries)
    return sorted(entries, key=lambda entry: (_is_folder(entry), natural_key(entry.name)))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def natural_key(name: str) -> tuple:
    """Sorts ``2.jpg`` before ``10.jpg``, and capitals among small letters."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


# --- patterns --------------------------------------------------------------------------------------------------------


def _pattern(pattern: str, recursive: bool, outputs: _Outputs) -> Iterator[Source | InputError]:
    """What matches `pattern`. One whose end fixes the suffix (``*.raw``) takes any file, others only known suffixes."""
    parts = PurePath(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if _WILD.search(part))
    root = os.path.join(*parts[:fixed]) if fixed else ""  # noqa: PTH118
    any_suffix = bool(re.search(r"\.[^.*?\[\]]+$", parts[-1]))
    found, results = False, outputs.seen_from(root)
    for relative, entry in _match(root, parts[fixed:], Path(), results):
        name = os.path.join(root, *relative.parts)  # noqa: PTH118
        if _is_folder(entry):
            if "**" not in parts and not results.has_folder(entry.path):
                found = True  # as if the shell had put the folder in the pattern's place
                yield from _matched_folder(name, recursive, relative, results)
            continue
        kind = suffix_kind(Path(entry.name)) or (_kind_of_content(Path(entry.path)) if any_suffix else None)
        if kind:
            found = True
            yield _entry_source(entry, name, kind, relative)
    if not found:
        mend = "results of facecli are left out; they can be named one by one" if results.met else ""
        raise InputError(pattern, "no picture or video has such a name", mend)


def _matched_folder(name: str, recursive: bool, relative: Path, results: _Results) -> Iterator[Source | InputError]:
    try:
        yield from _folder(name, recursive, results, relative)
    except InputError as error:
        yield error


def _match(folder: str, parts: Sequence[str], below: Path, results: _Results) -> Iterator[tuple[Path, os.DirEntry]]:
    """(path below the pattern's fixed part, entry) of what matches the pattern's `parts` below `folder`."""
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _match_deep(folder, rest, below, results)
        return
    entries = _entries(folder, results)
    for entry in [] if isinstance(entries, InputError) else entries:
        if not (fnmatch.fnmatch(entry.name, first) or entry.name == first):
            continue
        if not rest:
            yield below / entry.name, entry
        elif _is_folder(entry) and not results.has_folder(entry.path):
            yield from _match(entry.path, rest, below / entry.name, results)


def _match_deep(folder: str, rest: Sequence[str], below: Path, results: _Results) -> Iterator[tuple[Path, os.DirEntry]]:
    """``**``: `rest` in `folder` and in every folder below it."""
    while rest and rest[0] == "**":
        rest = rest[1:]
    for deeper, path in _folders(folder, Path(), set(), results):
        yield from _match(path, rest or ("*",), below / deeper, results)


# --- lists on standard input -----------------------------------------------------------------------------------------


def _listed(stream: IO) -> Iterator[str]:
    """Paths of a list as they arrive. The first NUL or line end says what separates them; NUL wins within a read."""
    rest, separator = b"", None
    for chunk in _chunks(stream):
        rest += chunk
        if separator is None:
            separator = b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else None
        if separator is not None:
            *whole, rest = rest.split(separator)
            yield from _names(whole, separator)
    yield from _names([rest], separator)


def _chunks(stream: IO) -> Iterator[bytes]:
    """Bytes as they arrive: a pipe's reader must not wait for a full buffer."""
    stream = getattr(stream, "buffer", stream)
    read = getattr(stream, "read1", None) or stream.readline
    first = True
    while chunk := read(65536):
        chunk = chunk.encode("utf-8", "surrogateescape") if isinstance(chunk, str) else chunk
        yield chunk.removeprefix(b"\xef\xbb\xbf") if first else chunk
        first = False


def _names(lines: Iterable[bytes], separator: bytes | None) -> Iterator[str]:
    for line in lines:
        name = line if separator == b"\0" else line.removesuffix(b"\r")
        if name.strip():
            yield os.fsdecode(name)


# --- names of outputs ------------------------------------------------------------------------------------------------


class OutputNames:
    """Gives each source a name below the output folder that no other source has.

    That is its `relative` without the suffix; if another has that already (``a.jpg`` and ``a.png``, ``1.jpg`` of two
    folders) with the suffix, then ``a-2``, ``a-3``, … The same sources in the same order get the same names, so that a
    second run finds its results. No name is the folder of another, names that differ in case only count as equal (they
    are, on some disks), and none leads out of the output folder.
    """

    def __init__(self):
        self._leaves: set[str] = set()
        self._files: set[str] = set()
        self._folders: dict[str, Path] = {}
        self._used_folders: set[str] = set()

    def claim(self, source: Source, *, suffixes: bool = True) -> Path:
        """The name for `source`, relative to the output folder. Append suffixes to it (``name + ".npz"``), since
        `Path.with_suffix` would cut the end off one such as ``a.png``; without `suffixes` no name has the source's."""
        parts = [part for part in PurePath(source.relative).parts if part not in ("", ".", "..", "/", os.sep)]
        parts = [_harmless(part) for part in parts] or ["unnamed"]
        folder = self._folder(tuple(parts[:-1]))
        file = PurePath(parts[-1])
        for candidate in self._candidates(file.stem, file.name if suffixes else file.stem):
            name = folder / candidate
            if self._is_free(name):
                self._leaves.add(_fold(name))
                return name
        raise AssertionError("candidates never end")

    def claim_file(self, source: Source, name: Path) -> str:
        """The file name of `source`, whose name is `name`, unlike all others beside it: ``a.jpg``, ``a-2.jpg``, …"""
        file = PurePath(_harmless(PurePath(source.relative).name))
        for candidate in self._candidates(file.stem, file.stem):
            place = name.with_name(candidate + file.suffix)
            if self._is_free(place):
                self._files.add(_fold(place))
                return place.name
        raise AssertionError("candidates never end")

    def _is_free(self, name: Path) -> bool:
        return not any(_fold(name) in taken for taken in (self._leaves, self._files, self._used_folders))

    @staticmethod
    def _candidates(stem: str, full: str) -> Iterator[str]:
        yield stem
        if full != stem:
            yield full
        number = 2
        while True:
            yield f"{stem}-{number}"
            number += 1

    def _folder(self, parts: tuple[str, ...]) -> Path:
        """The output folder for the sources' folder `parts`: the same one unless a source's name is in the way."""
        if not parts:
            return Path()
        key = _fold(Path(*parts))
        if key not in self._folders:
            above = self._folder(parts[:-1])
            taken = (above / name for name in self._candidates(parts[-1], parts[-1]))
            self._folders[key] = next(path for path in taken if _fold(path) not in self._leaves | self._files)
            self._used_folders.add(_fold(self._folders[key]))
        return self._folders[key]


def _harmless(part: str) -> str:
    """A part of a path that is not hidden, has no separator or drive, and no control characters."""
    part = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", part)
    return part.lstrip(".").rstrip(". ") or "unnamed"


def _fold(path: Path) -> str:
    return unicodedata.normalize("NFC", path.as_posix()).casefold()
