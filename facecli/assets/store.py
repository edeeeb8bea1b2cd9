"""Files of models on this machine: find them, demand them, fetch them.

Whatever lies under an asset's name in the data folder is whole: what is fetched, imported or converted is checked under
another name and renamed.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import urlsplit

from facecli.assets import archives, places, verify
from facecli.assets.catalogue import Asset, Login
from facecli.assets.download import (
    FetchError,
    Job,
    LoginRefusedError,
    Note,
    Progress,
    check_room,
    disk_error,
    download,
    refused_login,
)
from facecli.assets.login import Ask
from facecli.errors import InputError, MissingAssetError
from facecli.io.atomic import replace_folder, temporary_name

_FULL_DIGEST = 64
_LOCK_POLL = 0.2  # seconds


# ---------------------------------------------------------------------------------------------------- finding


@dataclass(frozen=True)
class State:
    """An asset on this machine: where, and what is wrong with it."""

    status: Literal["present", "missing", "bad"]
    path: Path | None = None
    problem: str = ""


def candidates(asset: Asset) -> list[Path]:
    """All that goes by one of the asset's names, in the order in which it counts: by places; in each what was
    converted, unless a newer original lies beside it; the official name; other names; what it is extracted from."""
    found: list[Path] = []
    raw = places.candidates(asset.raw[:1], asset.raw[1]) if asset.extract else None
    for number, there in enumerate(places.candidates(asset.filenames, asset.contains[0] if asset.is_folder else "")):
        made = [path for path in there if path.name == asset.converted]
        originals = [path for path in there if path.name != asset.converted]
        stale = made and originals and _changed(asset, originals[0]) > _changed(asset, made[0])
        found += [*originals, *made] if stale else [*made, *originals]
        found += raw[number] if raw else []
    return list(dict.fromkeys(found))


def _changed(asset: Asset, path: Path) -> int:
    try:
        return (path / asset.contains[0] if asset.is_folder else path).stat().st_mtime_ns
    except OSError:
        return 0


def state(asset: Asset, thorough: bool = False) -> State:
    """How `asset` stands. The first right file counts; without one, the first wrong one is named.

    Args:
        thorough: read files to their end and hash them afresh, else only look at length, beginning and remembered hash.
    """
    bad = None
    for path in candidates(asset):
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
    for path in candidates(asset):
        problem = verify.problem(asset, path)
        if not problem:
            return path
        bad = bad or f"{path}: {problem} (delete it; {how_to_get(asset)})"
    raise MissingAssetError(bad or f"{asset.filename} is missing: {how_to_get(asset)}")


def require_all(assets: Iterable[Asset]) -> list[Path]:
    """Where `assets` lie, in their order. All that are missing are named at once, so that users come back once.

    Raises:
        MissingAssetError: as :func:`require`; one command for all that can be fetched.
    """
    paths, fetchable, problems = [], [], []
    for asset in assets:
        try:
            paths.append(require(asset))
        except MissingAssetError as error:
            if sources(asset) and not candidates(asset):
                fetchable.append(asset)
            else:
                problems.append(str(error))
    if fetchable:
        problems.insert(0, _missing(fetchable))
    if problems:
        raise MissingAssetError("; ".join(problems))
    return paths


def _missing(assets: list[Asset]) -> str:
    """The words for missing files, all of which can be fetched."""
    if len(assets) == 1:
        return f"{assets[0].filename} is missing: {how_to_get(assets[0])}"
    names = " ".join(asset.name for asset in assets)
    licences = "; ".join(dict.fromkeys(asset.license or "unknown" for asset in assets))
    files = ", ".join(asset.filename for asset in assets)
    command = f"`facecli assets get {names}` fetches them (licences: {licences})"
    return f"{files} are missing: {command}, or put them into {places.data_folder()}"


def obtain(asset: Asset, progress: Progress | None = None, note: Note | None = None) -> Path:
    """Like :func:`require`, but fetches what is missing where its licence lets us do so without asking.

    Raises:
        MissingAssetError: it is missing and can't be fetched, or is broken.
    """
    if not candidates(asset) and asset.permissive and sources(asset):
        if note:
            note(f"fetching {asset.filename} ({asset.license}) from {sources(asset)[0].host}")
        return fetch(asset, progress, note)
    return require(asset)


def how_to_get(asset: Asset) -> str:
    """The command that gets it, its licence and address, and the folder for those who bring it themselves."""
    licence = f"licence: {asset.license or 'unknown'}"
    if ways := sources(asset):
        way = f"with your log-in at {ways[0].login.site}" if ways[0].login else f"from {ways[0].url}"
        command = f"`facecli assets get {asset.name}` fetches it {way} ({licence})"
        return f"{command}, or put it into {places.data_folder()}"
    if asset.make:
        parts = ", ".join(part.filename for part in asset.parts)
        command = f"`facecli assets convert {asset.name} FILES` makes it of {parts} ({licence}, {asset.register})"
        return f"{command}; if you have it, `facecli assets import FILE`"
    page = asset.register or "its publisher"
    inside = f", which holds {asset.member}," if asset.member else ""
    return (
        f"get it at {page} ({licence}), then `facecli assets import FILE`{inside} or put {asset.filename} into "
        f"{places.data_folder()}"
    )


# ---------------------------------------------------------------------------------------------------- fetching


@dataclass(frozen=True)
class Source:
    """An address, whether it gives an archive that the asset is in, and the log-in that it wants."""

    url: str
    packed: bool = False
    login: Login | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


def sources(asset: Asset) -> list[Source]:
    """Where `asset` can be fetched: the institute's mirror first, which holds files by their official names (and
    folders as their archives); where a log-in is wanted last."""
    found = []
    if places.mirror():
        name = asset.archive_name if asset.is_folder else asset.filename
        found.append(Source(f"{places.mirror()}/{name}", asset.is_folder))
    if asset.url:
        found.append(Source(asset.url, asset.packed))
    if asset.login:
        found.append(Source(asset.login.post_url, asset.packed, asset.login))
    return found


@dataclass(frozen=True)
class _Talk:
    """Whom to tell how it goes, and whom to ask."""

    progress: Progress | None = None
    note: Note | None = None
    credentials: Ask | None = None


def fetch(
    asset: Asset,
    progress: Progress | None = None,
    note: Note | None = None,
    folder: Path | None = None,
    credentials: Ask | None = None,
) -> Path:
    """Download `asset` into `folder` (the user's data folder), unless a right one is there. Safe to be interrupted,
    and to be called by several processes at once.

    Args:
        credentials: gets the user's log-in, if and when it comes to that; see :mod:`facecli.assets.login`.

    Raises:
        FetchError: not to be had: no connection, refused, broken off too often, wrong bytes. Nothing is left under
            its name.
        LoginRefusedError: the site refuses the log-in.
        OutputError: the folder can't be written or the disk is full.
        UsageError: from `credentials`.
    """
    final = Path(folder or places.data_folder()) / asset.filename
    if not sources(asset):
        raise FetchError(f"{asset.filename} can't be fetched for you: {how_to_get(asset)}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(final.with_name(asset.archive_name or asset.filename), note):
            if not (final.exists() and not verify.problem(asset, final)):
                _fetch_from_any(asset, final, _Talk(progress, note, credentials))
    except OSError as error:
        raise disk_error(final, error) from error
    places.rescan()
    return final


@contextlib.contextmanager
def _only_one(target: Path, note: Note | None) -> Iterator[None]:
    """Hold the lock of `target`, so that one process fetches and the others wait for its file."""
    import filelock

    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if note:
            note(f"{target.name}: another process is fetching it, waiting")
        lock.acquire(poll_interval=_LOCK_POLL)
    try:
        yield
    finally:
        lock.release()


def _fetch_from_any(asset: Asset, final: Path, talk: _Talk) -> None:
    problems, kind = [], FetchError
    for source in sources(asset):
        try:
            return _fetch_from(asset, source, final, talk)
        except FetchError as error:
            problems.append(str(error))
            kind = LoginRefusedError if isinstance(error, LoginRefusedError) else kind
    words = "; ".join(problems)
    if asset.register and "assets import" not in words:
        words += f" (or get it in a browser: {asset.register}, then `facecli assets import FILE`)"
    raise kind(words)


def _fetch_from(asset: Asset, source: Source, final: Path, talk: _Talk) -> None:
    """One source. A continued download that turns out wrong is begun anew once: its first part may have been another
    edition's."""
    credentials = talk.credentials(source.login) if source.login and talk.credentials else None
    if source.login and not credentials:
        variables = f"{source.login.user_variable} and {source.login.password_variable}"
        words = f"`facecli assets get {asset.name}` asks for it, or takes it from {variables}"
        raise FetchError(f"{source.login.site} wants a log-in: {words}")
    name = asset.archive_name if source.packed else asset.filename
    job = Job(
        url=source.url,
        part=final.with_name(name + places.PARTIAL_SUFFIX),
        size=None if source.packed else asset.size,
        hashed=name.endswith(".zip") if source.packed else bool(asset.sha256),  # a zip has a checksum for each file
        tamper_proof=len(asset.sha256) == _FULL_DIGEST,
        credentials=credentials,
        login_site=source.login.site if source.login else "",
    )
    continued = job.have > 0
    if asset.size:
        check_room(final.parent, asset.size - job.have)
    while True:
        if not (asset.extract and zipfile.is_zipfile(job.part)):  # else it came whole, and extracting was cut off
            download(job, talk.progress, talk.note)
        if asset.extract and source.packed and talk.note:
            talk.note(f"{asset.filename}: making it of {name}")
        problem = _take(asset, source, job, final)
        if not problem:
            return
        job.discard()
        if not continued:
            kind = LoginRefusedError if refused_login(job) in problem else FetchError
            raise kind(f"{source.url}: {problem}; what came was deleted")
        continued = False


def _take(asset: Asset, source: Source, job: Job, final: Path) -> str:
    """Check the finished part and put it in its place; or say what is wrong with it."""
    if not source.packed:
        problem = verify.problem(asset, job.part)
        if not problem:
            put(job.part, final)
            job.discard()
        return problem
    if source.login and not archives.is_archive(job.part):
        return f"no archive came: {refused_login(job)}"
    if asset.extract:
        return _extract(asset, job, final)
    try:
        with archives.open_archive(job.part) as archive:
            problem = _take_from_archive(asset, archive, final)
    except archives.ArchiveError as error:
        return str(error)
    if not problem:
        job.discard()
    return problem


def _extract(asset: Asset, job: Job, final: Path) -> str:
    from facecli.assets.convert import extract

    try:
        extract(asset, job.part, final)
    except InputError as error:
        return f"{error.source.removeprefix(str(job.part)).lstrip(':') or 'the archive'} {error.problem}"
    job.discard()
    return ""


def _take_from_archive(asset: Asset, archive: archives.Archive, final: Path) -> str:
    if asset.is_folder:
        root = archives.folder_in(asset, archive, stem=asset.filename)
        if root is None:
            return f"the archive holds no folder {asset.filename} with {' and '.join(asset.contains)}"
        return put_folder(asset, final, lambda target: archives.unpack_folder(archive, root, target))
    member = archives.member_for(asset, archive, (asset.member,))
    if member is None:
        return f"the archive holds no {asset.member}"
    return copy_checked(asset, archive.read(member), final)


# ------------------------------------------------------------------------------------- putting things in their place


def put(checked: Path, final: Path) -> None:
    """Rename the checked file to its name."""
    checked.replace(final)
    verify.moved(checked, final)


def copy_checked(asset: Asset, stream: BinaryIO, final: Path) -> str:
    """Copy `stream` under a temporary name, check it, rename it to `final`; or say what is wrong with it.

    Raises:
        OutputError: the folder can't be written or the disk is full.
    """
    temporary = temporary_name(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with stream, temporary.open("wb") as file:
            problem = _copy(asset, stream, file, final)
        problem = problem or verify.problem(asset, temporary)
        if not problem:
            put(temporary, final)
        return problem
    except OSError as error:
        raise disk_error(final, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _copy(asset: Asset, stream: BinaryIO, file: BinaryIO, final: Path) -> str:
    """Copy, but never more than the asset's length where that is known: archives can unpack to anything."""
    try:
        if asset.size is None or verify.is_converted(asset, final):
            shutil.copyfileobj(stream, file, 1 << 20)
            return ""
        left = asset.size
        while chunk := stream.read(min(left, 1 << 20)):
            file.write(chunk)
            left -= len(chunk)
        return f"has more than the {asset.size:,} bytes expected" if stream.read(1) else ""
    except archives.DAMAGED as error:
        return f"is in a damaged archive: {error}"


def put_folder(asset: Asset, final: Path, fill: Callable[[Path], None]) -> str:
    """Let `fill` make the folder under a temporary name, check it, rename it to `final`; or say what is wrong with it.

    Raises:
        OutputError: the place can't be written or the disk is full.
    """
    temporary = temporary_name(final)
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        problem = verify.problem(asset, temporary)
        if not problem:
            replace_folder(temporary, final)
        return problem
    except OSError as error:
        raise disk_error(final, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
