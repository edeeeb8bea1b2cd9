"""Makes of official files, once, what models read, or read faster: ``facecli assets convert``."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from facecli.assets import places, store, verify
from facecli.assets.catalogue import Asset
from facecli.errors import InputError, MissingAssetError, PluginError, UsageError
from facecli.io.atomic import replace_folder, temporary_name


def original(asset: Asset) -> Path:
    """Where the asset lies as its publisher gives it, checked.

    Raises:
        MissingAssetError: nowhere, or only broken.
    """
    bad = ""
    for path in store.candidates(asset):
        if path.name == asset.converted:
            continue
        problem = verify.problem(asset, path)
        if not problem:
            return path
        bad = bad or f"{path}: {problem} ({store.how_to_get(asset)})"
    raise MissingAssetError(bad or f"{asset.filename} is missing: {store.how_to_get(asset)}")


def convert(asset: Asset, folder: Path | None = None) -> Path:
    """Convert `asset` into `folder` (the user's data folder), whole or not at all. What is there already and newer than
    the original stays as it is.

    Raises:
        UsageError: there is nothing to convert it to.
        MissingAssetError: the original isn't on this machine.
        InputError: the original isn't what its name says.
        OutputError: the folder can't be written or the disk is full.
    """
    if not asset.convert:
        raise UsageError(f"{asset.name}: is used as it is, there is nothing to convert")
    source = original(asset)
    final = Path(folder or places.data_folder()) / asset.converted
    if final.exists() and not verify.problem(asset, final) and _modified(asset, final) >= _modified(asset, source):
        return final
    return _made(asset, asset.convert, source, final)


def make(asset: Asset, files: Iterable[Path] = (), folder: Path | None = None) -> Path:
    """Make `asset` of its parts, in `folder` (the user's data folder), whole or not at all; afresh even if it is there.

    Args:
        files: the parts, under their official names, or folders with them; those that are not among them are looked
            for where models' files are.

    Raises:
        UsageError: it isn't made of parts.
        MissingAssetError: parts are missing; all of them are named.
        InputError: one isn't what its name says.
        OutputError: the folder can't be written or the disk is full.
    """
    if not asset.make:
        raise UsageError(f"{asset.name}: isn't made of other files; they can't be given")
    return _made(asset, asset.make, _parts(asset, files), Path(folder or places.data_folder()) / asset.filename)


def extract(asset: Asset, source: Path, final: Path) -> Path:
    """Make `asset`, as `final`, of the archive or folder `source`, whole or not at all.

    Raises:
        InputError: `source` isn't what it is made of, or is damaged.
        OutputError: the folder can't be written or the disk is full.
    """
    return _made(asset, asset.extract, source, final)


def extract_found(asset: Asset, files: Iterable[Path] = (), folder: Path | None = None) -> Path:
    """Make `asset` of the one archive or folder in `files`, else of the folder that lies where models' files are, in
    `folder` (the user's data folder).

    Raises:
        UsageError: several are given.
        MissingAssetError: none is given, and none is there.
        InputError, OutputError: as :func:`extract`.
    """
    given = list(files)
    if len(given) > 1:
        raise UsageError(f"{asset.name}: is made of one archive or folder, not of {len(given)}")
    source = given[0] if given else next((path for path in store.candidates(asset) if path.is_dir()), None)
    if source is None:
        raise MissingAssetError(
            f"there is no folder {asset.raw[0]} to make {asset.filename} of: {store.how_to_get(asset)}"
        )
    return extract(asset, source, Path(folder or places.data_folder()) / asset.filename)


def _parts(asset: Asset, files: Iterable[Path]) -> dict[str, Path]:
    """Where each part lies, by the parts' names."""
    found = _given(asset, files)
    missing = []
    for part in asset.parts:
        if part.name not in found:
            state = store.state(part)
            if state.status == "missing":
                missing.append(part)
            found[part.name] = state.path
    if missing:
        raise MissingAssetError(f"{asset.filename} can't be made without {_how_to_get_all(missing)}")
    for part in asset.parts:
        if problem := verify.problem(part, found[part.name]):
            raise InputError(found[part.name], problem, store.how_to_get(part))
    return {part.name: found[part.name] for part in asset.parts}


def _how_to_get_all(missing: list[Asset]) -> str:
    """All the files and where they come from, shorter than each by itself."""
    registered = [f"{part.filename} (from {part.register}: {part.license})" for part in missing if not part.fetchable]
    fetchable = [part for part in missing if part.fetchable]
    if fetchable:
        command = f"facecli assets get {' '.join(part.name for part in fetchable)}"
        registered.append(f"{', '.join(part.filename for part in fetchable)} (`{command}`)")
    return "; ".join(registered)


def _given(asset: Asset, files: Iterable[Path]) -> dict[str, Path]:
    """The parts among `files` and in the folders among them, by name."""
    by_filename = {name: part for part in asset.parts for name in part.filenames}
    found: dict[str, Path] = {}
    for path in files:
        if path.is_dir():
            inside = {name: path / name for name in by_filename if (path / name).is_file()}
            if not inside:
                raise InputError(path, f"holds none of {', '.join(by_filename)}")
            found |= {by_filename[name].name: file for name, file in inside.items()}
        elif path.name not in by_filename:
            raise InputError(path, f"is no part of {asset.filename}", f"its parts: {', '.join(by_filename)}")
        elif not path.is_file():
            raise InputError(path, "no such file")
        else:
            found[by_filename[path.name].name] = path
    return found


def _made(asset: Asset, how: str, source: object, final: Path) -> Path:
    """`final`, written by `how` of `source`, checked and renamed."""
    run = _function(asset, how)
    temporary = temporary_name(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        run(source, temporary)
        problem = verify.problem(asset, temporary, afresh=True)
        if problem:
            raise PluginError(f"{how} made a file of {source} that {problem}")
        replace_folder(temporary, final) if temporary.is_dir() else store.put(temporary, final)
    except OSError as error:
        raise store.disk_error(final, error) from error
    finally:
        _remove(temporary)
    places.rescan()
    return final


def _modified(asset: Asset, path: Path) -> int:
    return (path / asset.contains[0] if asset.is_folder else path).stat().st_mtime_ns


def _function(asset: Asset, how: str):
    module, _, function = how.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{how}, which converts {asset.name}, can't be imported: {error}") from error


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
