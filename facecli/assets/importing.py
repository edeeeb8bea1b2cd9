"""Takes in files that users got themselves: recognises, checks and copies them to where models look."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facecli.assets import archives, convert, places, store, verify
from facecli.assets.catalogue import Asset, catalogue
from facecli.assets.download import check_room
from facecli.errors import InputError


class UnknownFileError(InputError):
    """The file is none of the catalogue's, and no archive that holds one."""


@dataclass(frozen=True)
class Imported:
    """A file (or folder) that was taken in.

    Args:
        source: where it came from, members of archives as ``archive.zip:path/in/it``.
        doubt: what the user should make sure of, or "".
    """

    asset: Asset
    path: Path
    source: str
    doubt: str = ""


def import_path(path: str | Path, folder: Path | None = None) -> Iterator[Imported | InputError]:
    """Import a file, an archive, or what is known in a folder (whose other files don't matter) into `folder` (the
    user's data folder). What can't be taken in comes as the error that says why, and the rest goes on.

    Raises:
        OutputError: the folder can't be written or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        yield from _import_all_below(path, folder)
        return
    try:
        yield from import_file(path, folder)
    except InputError as error:
        yield error


def _import_all_below(path: Path, folder: Path | None) -> Iterator[Imported | InputError]:
    known = False
    models = dict(_folders_below(path))
    for model, asset in models.items():
        known = True
        try:
            yield _import_model_folder(asset, model, Path(folder or places.data_folder()))
        except InputError as error:
            yield error
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        if any(model in file.parents for model in models):
            continue
        try:
            taken: list[Imported | InputError] = [*import_file(file, folder)]
        except UnknownFileError:
            continue
        except InputError as error:
            taken = [error]
        known = True
        yield from taken
    if not known:
        yield InputError(path, "holds none of the files that models need", "`facecli assets list` shows them")


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
        final = folder / _name_for(asset, path.name)
        if wrong := store.copy_checked(asset, path.open("rb"), final):
            raise InputError(path, wrong, "get it again")
        taken = [Imported(asset, final, str(path), _doubt(asset, path))]
    else:
        taken = _import_members(path, folder)
    if not taken and problem:
        raise InputError(path, problem, "get it again")
    if not taken and archives.is_cut_zip(path):
        raise UnknownFileError(path, "is the beginning of a zip archive, not a whole one", "download it again")
    if not taken:
        raise UnknownFileError(path, "is none of the files that models need", "`facecli assets list` shows them")
    places.rescan()
    return taken


def _recognise(path: Path) -> tuple[Asset | None, str]:
    """The asset that the file is: by hash whatever its name (browsers rename), else by name where no hash is known.
    Failing that, None and what is wrong with the file that bears an asset's name."""
    problem = ""
    files = [asset for asset in catalogue().values() if not asset.is_folder]
    for asset in files:
        if path.name in asset.filenames:
            problem = verify.problem(asset, path)
            if not problem:
                return asset, ""
    size = path.stat().st_size
    for asset in files:
        if asset.sha256 and asset.size in (None, size) and not verify.problem(asset, path):
            return asset, ""
    return None, problem


def _name_for(asset: Asset, name: str) -> str:
    """The name to put a file (or folder) of the asset under that is called `name`."""
    return name if name == asset.converted else asset.filename


def _doubt(asset: Asset, path: Path) -> str:
    """Whether it may be another edition's: `path`, in an archive or not, doesn't say which it is of."""
    if not asset.edition or path.name == asset.converted:
        return ""
    if asset.edition.lower() in re.sub(r"[ _-]", "", str(path.absolute())).lower():
        return ""
    family, year = asset.edition[:-4], asset.edition[-4:]
    return f"taken for {family} {year}'s; other editions of {family} have a {path.name}, too"


# ---------------------------------------------------------------------------------------------------- archives


def _import_members(path: Path, folder: Path) -> list[Imported]:
    """Known members of the archive `path`; none if it is no archive."""
    if not archives.is_archive(path):
        return []
    taken: list[Imported] = []
    refused = ""
    try:
        with archives.open_archive(path) as archive:
            for asset in catalogue().values():
                if asset.is_folder:
                    taken += _import_archived_folder(asset, archive, path, folder)
                elif member := archives.member_for(asset, archive, _paths_of(asset)):
                    if other := asset.other_edition(path.name):
                        refused = f"holds {other}'s {asset.filename}; the models need {asset.edition[-4:]}'s"
                    else:
                        taken.append(_import_member(asset, archive, member, path, folder))
    except archives.ArchiveError as error:
        raise InputError(path, str(error)) from error
    if refused and not taken:
        raise InputError(path, refused)
    return taken


def _paths_of(asset: Asset) -> tuple[str, ...]:
    """Under which the asset may be in an archive, the official path first."""
    return tuple(name for name in (asset.member, asset.filename, *asset.alternatives, asset.converted) if name)


def _import_member(asset: Asset, archive: archives.Archive, member: str, path: Path, folder: Path) -> Imported:
    source = f"{path}:{member}"
    final = folder / _name_for(asset, PurePosixPath(member).name)
    if asset.extract and PurePosixPath(member).name == asset.raw[1]:
        return Imported(asset, convert.extract(asset, path, final), str(path))
    if problem := store.copy_checked(asset, archive.read(member), final):
        raise InputError(source, problem, "get it again")
    return Imported(asset, final, source, _doubt(asset, path / member))


def _import_archived_folder(asset: Asset, archive: archives.Archive, path: Path, folder: Path) -> list[Imported]:
    stem = re.sub(r" ?\(\d+\)$", "", path.name.removesuffix(path.suffix))  # browsers count: "model (1).zip"
    root = archives.folder_in(asset, archive, stem)
    if root is None:
        return []
    source = f"{path}:{root}" if root else str(path)
    final = folder / asset.filename
    if problem := store.put_folder(asset, final, lambda target: archives.unpack_folder(archive, root, target)):
        raise InputError(source, problem, "get it again")
    return [Imported(asset, final, source)]


# ---------------------------------------------------------------------------------------------------- folders


def _folders_below(path: Path) -> Iterator[tuple[Path, Asset]]:
    """The folders at and below `path` that are assets, by their names and the file that marks them; or that assets are
    extracted from, by that file alone."""
    assets = [asset for asset in catalogue().values() if asset.is_folder]
    raw = {asset.raw[1]: asset for asset in catalogue().values() if asset.extract}
    for where, inner, files in os.walk(path):
        inner.sort()
        name = Path(where).resolve().name
        asset = next((asset for asset in assets if name in asset.filenames and asset.contains[0] in files), None)
        asset = asset or next((raw[marker] for marker in raw if marker in files), None)
        if asset:
            inner.clear()  # nothing else is looked for inside
            yield Path(where), asset


def _import_model_folder(asset: Asset, source: Path, folder: Path) -> Imported:
    if asset.extract:
        return Imported(asset, convert.extract(asset, source, folder / asset.filename), str(source))
    if problem := verify.problem(asset, source):
        raise InputError(source, problem, "get it again")
    final = folder / _name_for(asset, source.resolve().name)
    if final.exists() and final.samefile(source):
        return Imported(asset, final, str(source))
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, sum(file.stat().st_size for file in source.rglob("*") if file.is_file()))
    if problem := store.put_folder(asset, final, lambda target: _copy_folder(source, target)):
        raise InputError(source, problem, "get it again")
    places.rescan()
    return Imported(asset, final, str(source))


def _copy_folder(source: Path, target: Path) -> None:
    """Files without their dates: what is new here counts as newer than what was converted before."""
    shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
