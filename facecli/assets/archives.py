"""Archives that publishers hand out, zip and tar: single files out of them, or a whole folder, and nothing else."""

from __future__ import annotations

import contextlib
import fnmatch
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from facecli.assets.catalogue import Asset
from facecli.assets.download import check_room, disk_error

# What the readers of zip and tar raise for cut-off or flipped bytes.
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)

LARGEST_FOLDER = 16 << 30  # bytes: some times what models have; more is a trap or a mistake


class ArchiveError(Exception):
    """The file can't be opened, or a member not be read, as zip or tar; or its content isn't to be unpacked."""


@dataclass(frozen=True)
class Archive:
    """What zip and tar have in common: regular files by their path in the archive.

    Args:
        sizes: the files' paths and unpacked lengths, by the archive's word, which reading them enforces.
        links: paths of what is neither file nor folder.
        opener: gives a file's stream.
    """

    sizes: dict[str, int]
    links: tuple[str, ...]
    opener: Callable[[str], BinaryIO]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.sizes)

    def read(self, name: str) -> BinaryIO:
        """A stream of the file `name`."""
        try:
            return self.opener(name)
        except (RuntimeError, NotImplementedError) as error:  # zipfile's words for passwords and odd compressions
            raise ArchiveError(f"can't be unpacked: {error} (unpack it yourself)") from error


def is_archive(path: Path) -> bool:
    """Whether `path` can be opened as zip or tar."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def is_cut_zip(path: Path) -> bool:
    """Whether `path` begins as a zip does, and lacks the list of members at its end: a download that broke off."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04" and not zipfile.is_zipfile(path)


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip or (packed) tar. Raises ArchiveError, also for damage found inside the `with`."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
                links = tuple(info.filename for info in infos if _special(info))
                sizes = {info.filename: info.file_size for info in infos if not _special(info)}
                yield Archive(sizes, links, archive.open)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                members = {member.name: member for member in archive if not member.isdir()}
                links = tuple(name for name, member in members.items() if not member.isfile())
                sizes = {name: member.size for name, member in members.items() if member.isfile()}
                yield Archive(sizes, links, lambda name: archive.extractfile(members[name]))
        else:
            raise ArchiveError("is no zip or tar archive")
    except DAMAGED as error:
        raise ArchiveError(f"is a damaged archive: {error}") from error


def _special(info: zipfile.ZipInfo) -> bool:
    """Whether Unix wrote it as something else than a file (most often a symbolic link)."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind not in (0, stat.S_IFREG)


# ------------------------------------------------------------------------------------------------ single files


def member_for(asset: Asset, archive: Archive, names: tuple[str, ...]) -> str | None:
    """The member with one of the paths `names`; else one with the file name of one of them, the least deep first.

    Those in a folder of another edition don't count; those in one of the right edition come first.
    """
    for wanted in names:
        filename = PurePosixPath(wanted).name
        same = [name for name in archive.names if PurePosixPath(name).name == filename]
        fitting = [name for name in same if not asset.other_edition(str(PurePosixPath(name).parent))]
        if fitting:
            return min(fitting, key=lambda name: (_elsewhere(asset, name), name != wanted, name.count("/"), name))
    return None


def _elsewhere(asset: Asset, name: str) -> bool:
    """Whether the member's folders don't name the edition (as all are if there are no editions)."""
    return not asset.edition or asset.edition.lower() not in name.lower()


# ---------------------------------------------------------------------------------------------------- folders


def folder_in(asset: Asset, archive: Archive, stem: str = "") -> str | None:
    """The path in the archive of the folder that `asset` is, ending with "/" ("" if the archive has no folder around
    its files), or None.

    Args:
        stem: the archive's name without suffix, which says what it holds if no folder in it does.
    """
    marker = asset.contains[0]
    roots = {name.removesuffix(marker) for name in archive.names if name == marker or name.endswith(f"/{marker}")}
    roots = sorted((root for root in roots if _whole(asset, archive, root)), key=lambda root: (root.count("/"), root))
    named = [root for root in roots if PurePosixPath(root).name == asset.filename]
    if named:
        return named[0]
    bare = [root for root in roots if root in ("", "./")]
    return bare[0] if bare and stem == asset.filename else None


def _whole(asset: Asset, archive: Archive, root: str) -> bool:
    inside = [name.removeprefix(root) for name in archive.names if name.startswith(root)]
    # fnmatch's * goes through folders
    patterns = [pattern.replace("**/", "") if "**/" in pattern else pattern for pattern in asset.contains]
    return all(fnmatch.filter(inside, pattern) for pattern in patterns)


def check_folder(archive: Archive, root: str) -> dict[str, str]:
    """The files below `root` by their paths in the archive: paths in the folder.

    Raises:
        ArchiveError: links, paths that lead out of the folder, absurd sizes.
    """
    inside = {name: name.removeprefix(root) for name in archive.names if name.startswith(root)}
    for name in (*inside.values(), *(link.removeprefix(root) for link in archive.links if link.startswith(root))):
        if not _safe(name):
            raise ArchiveError(f"is not to be trusted: it holds a file {name!r}, which leads out of its folder")
    if links := [link for link in archive.links if link.startswith(root)]:
        raise ArchiveError(f"is not to be trusted: {links[0]} in it is a link, not a file")
    total = sum(archive.sizes[name] for name in inside)
    if total > LARGEST_FOLDER:
        raise ArchiveError(f"is not to be trusted: it unpacks to {total:,} bytes")
    return inside


def unpack_folder(archive: Archive, root: str, target: Path) -> None:
    """Write the files below `root` into the new folder `target`.

    Raises:
        ArchiveError: as :func:`check_folder`, or damage; `target` may be half-written.
        OutputError: no room, or the folder can't be written.
    """
    inside = check_folder(archive, root)
    check_room(target.parent, sum(archive.sizes[name] for name in inside))
    for name, relative in inside.items():
        _write(archive, name, target / relative)


def _safe(relative: str) -> bool:
    """Whether a member's path stays below the folder that it is unpacked to, on every system."""
    parts = relative.split("/")
    return not any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts)


def _write(archive: Archive, name: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.read(name) as stream, path.open("xb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
    except DAMAGED as error:
        raise ArchiveError(f"is a damaged archive: {name}: {error}") from error
    except OSError as error:
        raise disk_error(path, error) from error
