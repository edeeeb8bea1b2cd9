"""Files of models on this machine: find them, demand them, fetch them, take in those that users got themselves.

Whatever lies under an asset's name in the data folder is whole: fetched and imported files are checked under another
name and renamed.
"""

from __future__ import annotations

import contextlib
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal
from urllib.parse import urlsplit

from facecli.assets import places, verify
from facecli.assets.catalogue import Asset, catalogue
from facecli.assets.download import FetchError, Job, Note, Progress, check_room, disk_error, download
from facecli.errors import InputError, MissingAssetError
from facecli.io.atomic import temporary_name

_FULL_DIGEST = 64
_LOCK_POLL = 0.2  # seconds


# ---------------------------------------------------------------------------------------------------- finding


@dataclass(frozen=True)
class State:
    """An asset on this machine: where, and what is wrong with it."""

    status: Literal["present", "missing", "bad"]
    path: Path | None = None
    problem: str = ""


def state(asset: Asset, thorough: bool = False) -> State:
    """How `asset` stands. The first right file counts; without one, the first wrong one is named.

    Args:
        thorough: read files to their end and hash them afresh, else only look at length, beginning and remembered hash.
    """
    bad = None
    for path in places.candidates(asset.filenames):
        problem = verify.problem(asset, path, afresh=True) if thorough else verify.quick_problem(asset, path)
        if not problem:
            return State("present", path)
        bad = bad or State("bad", path, problem)
    return bad or State("missing")


def find(asset: Asset) -> Path | None:
    """Where `asset` lies, judged by a quick look; None if it is missing or plainly broken."""
    found = state(asset)
    return found.path if found.status == "present" else None


def require(asset: Asset) -> Path:
    """Where `asset` lies, checked by hash (once per file and change of it).

    Raises:
        MissingAssetError: there is none, or only broken ones; the message says what to do.
    """
    bad = ""
    for path in places.candidates(asset.filenames):
        problem = verify.problem(asset, path)
        if not problem:
            return path
        bad = bad or f"{path}: {problem} (delete it; {how_to_get(asset)})"
    raise MissingAssetError(bad or f"{asset.filename} is missing: {how_to_get(asset)}")


def require_all(assets: Iterable[Asset]) -> list[Path]:
    """Where `assets` lie, in their order. All that are missing are named at once, so that users come back once.

    Raises:
        MissingAssetError: as :func:`require`, with a line's worth for each.
    """
    paths, problems = [], []
    for asset in assets:
        try:
            paths.append(require(asset))
        except MissingAssetError as error:
            problems.append(str(error))
    if problems:
        raise MissingAssetError("; ".join(problems))
    return paths


def obtain(asset: Asset, progress: Progress | None = None, note: Note | None = None) -> Path:
    """Like :func:`require`, but fetches what is missing where its licence lets us do so without asking.

    Raises:
        MissingAssetError: it is missing and can't be fetched, or is broken.
    """
    if not places.candidates(asset.filenames) and asset.permissive and sources(asset):
        if note:
            note(f"fetching {asset.filename} ({asset.license}) from {urlsplit(sources(asset)[0].url).netloc}")
        return fetch(asset, progress, note)
    return require(asset)


def how_to_get(asset: Asset) -> str:
    """The command that gets it, its licence and address, and the folder for those who bring it themselves."""
    licence = f"licence: {asset.license or 'unknown'}"
    if sources(asset):
        command = f"`facecli assets get {asset.name}` fetches it from {sources(asset)[0].url} ({licence})"
        return f"{command}, or put it into {places.data_folder()}"
    page = asset.register or "its publisher"
    inside = f", which holds {asset.member}," if asset.member else ""
    return (
        f"get it at {page} ({licence}), then `facecli assets import FILE`{inside} or put {asset.filename} into "
        f"{places.data_folder()}"
    )


# ---------------------------------------------------------------------------------------------------- fetching


@dataclass(frozen=True)
class Source:
    """An address, and the file's path in the archive that it gives (or "")."""

    url: str
    member: str = ""


def sources(asset: Asset) -> list[Source]:
    """Where `asset` can be fetched: the institute's mirror first, which holds plain files by their official names."""
    found = [Source(f"{places.mirror()}/{asset.filename}")] if places.mirror() else []
    return found + ([Source(asset.url, asset.member)] if asset.url else [])


def fetch(asset: Asset, progress: Progress | None = None, note: Note | None = None, folder: Path | None = None) -> Path:
    """Download `asset` into `folder` (the user's data folder), unless a right one is there. Safe to be interrupted,
    and to be called by several processes at once.

    Raises:
        FetchError: not to be had: no connection, refused, broken off too often, wrong bytes. Nothing is left under
            its name.
        OutputError: the folder can't be written or the disk is full.
    """
    final = Path(folder or places.data_folder()) / asset.filename
    if not sources(asset):
        raise FetchError(f"{asset.filename} can't be fetched for you: {how_to_get(asset)}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(final, note):
            if not (final.exists() and not verify.problem(asset, final)):
                _fetch_from_any(asset, final, progress, note)
    except OSError as error:
        raise disk_error(final, error) from error
    places.rescan()
    return final


@contextlib.contextmanager
def _only_one(final: Path, note: Note | None) -> Iterator[None]:
    """Hold the lock of `final`, so that one process fetches and the others wait for its file."""
    import filelock

    lock = filelock.FileLock(final.with_name(f".{final.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if note:
            note(f"{final.name}: another process is fetching it, waiting")
        lock.acquire(poll_interval=_LOCK_POLL)
    try:
        yield
    finally:
        lock.release()


def _fetch_from_any(asset: Asset, final: Path, progress: Progress | None, note: Note | None) -> None:
    problems = []
    for source in sources(asset):
        try:
            return _fetch_from(asset, source, final, progress, note)
        except FetchError as error:
            problems.append(str(error))
    raise FetchError("; ".join(problems))


def _fetch_from(asset: Asset, source: Source, final: Path, progress: Progress | None, note: Note | None) -> None:
    """One source. A continued download that turns out wrong is begun anew once: its first part may have been another
    edition's."""
    name = PurePosixPath(urlsplit(source.url).path).name if source.member else asset.filename
    job = Job(
        url=source.url,
        part=final.with_name(name + places.PARTIAL_SUFFIX),
        size=None if source.member else asset.size,
        hashed=bool(asset.sha256) and not source.member,
        tamper_proof=len(asset.sha256) == _FULL_DIGEST,
    )
    continued = job.have > 0
    if asset.size:
        check_room(final.parent, asset.size - job.have)
    while True:
        download(job, progress, note)
        problem = _take(asset, source, job, final)
        if not problem:
            return
        job.discard()
        if not continued:
            raise FetchError(f"{source.url}: {problem}; what came was deleted")
        continued = False


def _take(asset: Asset, source: Source, job: Job, final: Path) -> str:
    """Check the finished part and put it in its place; or say what is wrong with it."""
    if not source.member:
        problem = verify.problem(asset, job.part)
        if not problem:
            _put(job.part, final)
            job.discard()
        return problem
    try:
        with _open_archive(job.part) as archive:
            member = _member_named(archive, source.member)
            if member is None:
                return f"the archive holds no {source.member}"
            problem = _copy_checked(asset, archive.read(member), final)
    except _NotAnArchiveError as error:
        return str(error)
    if not problem:
        job.discard()
    return problem


def _put(checked: Path, final: Path) -> None:
    checked.replace(final)
    verify.moved(checked, final)


# ---------------------------------------------------------------------------------------------------- importing


class UnknownFileError(InputError):
    """The file is none of the catalogue's, and no archive that holds one."""


@dataclass(frozen=True)
class Imported:
    """A file that was taken in."""

    asset: Asset
    path: Path
    source: str


def import_file(path: str | Path, folder: Path | None = None) -> list[Imported]:
    """Recognise `path`, or the members of the archive `path`, by name or hash, and copy what is known into `folder`
    (the user's data folder).

    Raises:
        InputError: nothing in it is known, or what its name promises is broken.
        OutputError: the folder can't be written or the disk is full.
    """
    path, folder = Path(path), Path(folder or places.data_folder())
    if not path.is_file():
        raise InputError(path, "is a folder" if path.is_dir() else "no such file")
    asset, problem = _recognise(path)
    if asset:
        taken = [Imported(asset, _import_stream(asset, path.open("rb"), folder, str(path)), str(path))]
    else:
        taken = _import_members(path, folder)
    if not taken and problem:
        raise InputError(path, problem, "get it again")
    if not taken:
        raise UnknownFileError(path, "is none of the files that models need", "`facecli assets list` shows them")
    places.rescan()
    return taken


def _recognise(path: Path) -> tuple[Asset | None, str]:
    """The asset that the file is: by hash whatever its name (browsers rename), else by name where no hash is known.
    Failing that, None and what is wrong with the file that bears an asset's name."""
    problem = ""
    named = [asset for asset in catalogue().values() if path.name in asset.filenames]
    for asset in named:
        problem = verify.problem(asset, path)
        if not problem:
            return asset, ""
    size = path.stat().st_size
    for asset in catalogue().values():
        if asset.sha256 and asset.size in (None, size) and not verify.problem(asset, path):
            return asset, ""
    return None, problem


def _import_members(path: Path, folder: Path) -> list[Imported]:
    """Known members of the archive `path`; none if it is no archive."""
    if not (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        return []
    taken: list[Imported] = []
    try:
        with _open_archive(path) as archive:
            for asset, member in _known_members(archive):
                source = f"{path}:{member}"
                taken.append(Imported(asset, _import_stream(asset, archive.read(member), folder, source), source))
    except _NotAnArchiveError as error:
        raise InputError(path, str(error)) from error
    return taken


def _known_members(archive: _Archive) -> list[tuple[Asset, str]]:
    """The archive's members that are assets by their names."""
    found = []
    for asset in catalogue().values():
        names = [name for name in (asset.member, *asset.filenames) if name]
        members = [member for member in (_member_named(archive, name) for name in names) if member is not None]
        if members:
            found.append((asset, members[0]))
    return found


def _import_stream(asset: Asset, stream: BinaryIO, folder: Path, source: str) -> Path:
    final = folder / asset.filename
    problem = _copy_checked(asset, stream, final)
    if problem:
        raise InputError(source, problem, "get it again")
    return final


def _copy_checked(asset: Asset, stream: BinaryIO, final: Path) -> str:
    """Copy `stream` under a temporary name, check it, rename it to `final`; or say what is wrong with it."""
    temporary = temporary_name(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with stream, temporary.open("wb") as file:
            problem = _copy(asset, stream, file)
        problem = problem or verify.problem(asset, temporary)
        if not problem:
            _put(temporary, final)
        return problem
    except OSError as error:
        raise disk_error(final, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _copy(asset: Asset, stream: BinaryIO, file: BinaryIO) -> str:
    """Copy, but never more than the asset's length where that is known: archives can unpack to anything."""
    try:
        if asset.size is None:
            shutil.copyfileobj(stream, file, 1 << 20)
            return ""
        left = asset.size
        while chunk := stream.read(min(left, 1 << 20)):
            file.write(chunk)
            left -= len(chunk)
        return f"has more than the {asset.size:,} bytes expected" if stream.read(1) else ""
    except _DAMAGED as error:
        return f"is in a damaged archive: {error}"


# ---------------------------------------------------------------------------------------------------- archives


class _NotAnArchiveError(Exception):
    """The file can't be opened, or a member not be read, as zip or tar."""


# What the readers of zip and tar raise for cut-off or flipped bytes.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


@dataclass(frozen=True)
class _Archive:
    """What zip and tar have in common: files by their path in the archive."""

    names: tuple[str, ...]
    opener: Callable[[str], BinaryIO]

    def read(self, name: str) -> BinaryIO:
        """A stream of the file `name`."""
        try:
            return self.opener(name)
        except (RuntimeError, NotImplementedError) as error:  # zipfile's words for passwords and odd compressions
            raise _NotAnArchiveError(f"can't be unpacked: {error} (unpack it yourself)") from error


@contextlib.contextmanager
def _open_archive(path: Path) -> Iterator[_Archive]:
    """Open a zip or (packed) tar. Raises _NotAnArchiveError."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _Archive(tuple(archive.namelist()), archive.open)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                members = {member.name: member for member in archive if member.isfile()}
                yield _Archive(tuple(members), lambda name: archive.extractfile(members[name]))
        else:
            raise _NotAnArchiveError("is no zip or tar archive")
    except _DAMAGED as error:
        raise _NotAnArchiveError(f"is a damaged archive: {error}") from error


def _member_named(archive: _Archive, wanted: str) -> str | None:
    """The member with the path `wanted`; else the one with its last part as file name, the least deep one."""
    if wanted in archive.names:
        return wanted
    filename = PurePosixPath(wanted).name
    same = [name for name in archive.names if PurePosixPath(name).name == filename]
    return min(same, key=lambda name: (name.count("/"), name), default=None)
