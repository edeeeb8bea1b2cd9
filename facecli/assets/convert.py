"""Makes of an official file, once, what models read faster: ``facecli assets convert``."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from pathlib import Path

from facecli.assets import places, store, verify
from facecli.assets.catalogue import Asset
from facecli.errors import MissingAssetError, PluginError, UsageError
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
    run = _converter(asset)
    temporary = temporary_name(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        run(source, temporary)
        problem = verify.problem(asset, temporary, afresh=True)
        if problem:
            raise PluginError(f"{asset.convert} made a file of {source} that {problem}")
        replace_folder(temporary, final) if temporary.is_dir() else store.put(temporary, final)
    except OSError as error:
        raise store.disk_error(final, error) from error
    finally:
        _remove(temporary)
    places.rescan()
    return final


def _modified(asset: Asset, path: Path) -> int:
    return (path / asset.contains[0] if asset.is_folder else path).stat().st_mtime_ns


def _converter(asset: Asset):
    module, _, function = asset.convert.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{asset.convert}, which converts {asset.name}, can't be imported: {error}") from error


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
