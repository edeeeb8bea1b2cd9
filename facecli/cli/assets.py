"""`facecli assets`: which files the models need, where they are on this machine, and how to get the rest."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console
from facecli.errors import EXIT_MISSING_FILE, EXIT_SOME_FAILED, FacecliError, InputError, UsageError

if TYPE_CHECKING:
    from facecli.assets.catalogue import Asset
    from facecli.assets.download import Progress
    from facecli.assets.store import Imported, State

app = typer.Typer(help="The files that models need: list, get, check, import.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object a file on stdout.")]
ToFolder = Annotated[Path | None, typer.Option("--to", help="Put it there instead of the user's data folder.")]


@app.command("list")
def list_assets(as_json: JsonFlag = False) -> None:
    """Show every file that the installed models know: where it is, or how to get it."""
    from facecli.assets.catalogue import catalogue
    from facecli.assets.store import state

    states = {name: (asset, state(asset)) for name, asset in catalogue().items()}
    if as_json:
        for name, (asset, found) in states.items():
            console.emit_json(_as_json(name, asset, found))
        return
    from facecli.cli import table

    table.show(
        ("name", "state", "file", "used by", "size", "licence", "how to get it"),
        [_row(name, asset, found) for name, (asset, found) in states.items()],
    )
    missing = sum(found.status == "missing" for _, found in states.values())
    console.say(f"{len(states)} files known, {missing} missing. What a model needs: `facecli models`.")


def _row(name: str, asset: Asset, found: State) -> tuple[str, ...]:
    from facecli.assets.catalogue import users_of

    file = {"missing": asset.filename, "present": str(found.path), "bad": f"{found.path}: {found.problem}"}
    size = f"{asset.size / 1e6:.1f} MB" if asset.size else ""
    how = "" if found.status == "present" else _how_in_short(name, asset)
    return (name, found.status, file[found.status], ", ".join(users_of(asset)), size, asset.license, how)


def _how_in_short(name: str, asset: Asset) -> str:
    if asset.fetchable:
        return f"facecli assets get {name}"
    return f"{asset.register}, then facecli assets import"


def _as_json(name: str, asset: Asset, found: State) -> dict:
    from facecli.assets.catalogue import users_of

    return {
        "name": name,
        "file": asset.filename,
        "used_by": users_of(asset),
        "status": found.status,
        "path": str(found.path) if found.path else None,
        "problem": found.problem or None,
        "license": asset.license,
        "size": asset.size,
        "sha256": asset.sha256 or None,
        "url": asset.url or None,
        "register": asset.register or None,
        "note": asset.note or None,
    }


@app.command("get")
def get(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Names or file names.")] = None,
    all_free: Annotated[bool, typer.Option("--all-free", help="All that have a permissive licence.")] = False,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licences that are not permissive, without asking.")
    ] = False,
    to: ToFolder = None,
) -> None:
    """Download files, checked, going on where an earlier attempt broke off."""
    from facecli.assets.catalogue import catalogue, lookup

    if not names and not all_free:
        raise UsageError("assets get: say which files (`facecli assets list` shows them), or --all-free")
    wanted = lookup(names or [])
    if all_free:
        wanted += [a for a in catalogue().values() if a.permissive and a.fetchable and a not in wanted]
    exit_code = 0
    for asset in wanted:
        try:
            _get_one(asset, accept_license, to)
        except FacecliError as error:
            console.fail(str(error))
            exit_code = max(exit_code, error.exit_code)
    if exit_code:
        raise typer.Exit(exit_code)


def _get_one(asset: Asset, accept_license: bool, to: Path | None) -> None:
    """Fetch one file; say where it is."""
    from facecli.assets import store
    from facecli.errors import MissingAssetError

    found = store.state(asset)
    if found.status == "present" and to is None:
        console.say(f"{asset.name}: is there already")
        print(store.require(asset))
        return
    if not store.sources(asset):
        raise MissingAssetError(f"{asset.filename} can't be fetched for you: {store.how_to_get(asset)}")
    console.say(f"{asset.name}: {asset.filename}, licence: {asset.license or 'unknown'}")
    _agree(asset, accept_license)
    with _progress(asset.filename) as progress:
        path = store.fetch(asset, progress, console.say, folder=to)
    if found.status == "bad" and found.path != path:
        console.warn(f"{found.path}: {found.problem}; delete it")
    print(path)


def _agree(asset: Asset, accept_license: bool) -> None:
    """Ask for what only the user can accept. Raises UsageError where there is nobody to ask."""
    if asset.permissive or accept_license:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{asset.name}: its licence ({asset.license}) is yours to accept: add --accept-license")
    if not typer.confirm("Do you accept this licence?", err=True):
        raise UsageError(f"{asset.name}: not fetched")


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Progress | None]:
    """A bar with rate and time left on a terminal, else nothing (the notes say what happens)."""
    if not console.stderr_console().is_terminal:
        yield None
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"), rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    )  # fmt: skip
    with rich.Progress(*columns, console=console.stderr_console()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda have, total: bar.update(task, completed=have, total=total)


@app.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="These, else all.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read files to their end and compare them with the catalogue. Exit code 1 when one is wrong."""
    from facecli.assets.catalogue import catalogue, lookup
    from facecli.assets.store import state

    wanted = {asset.name: asset for asset in lookup(names)} if names else catalogue()
    states = {name: (asset, state(asset, thorough=True)) for name, asset in wanted.items()}
    if not names:
        states = {name: pair for name, pair in states.items() if pair[1].status != "missing"}
    for name, (asset, found) in states.items():
        if as_json:
            console.emit_json(_as_json(name, asset, found))
        else:
            _report(name, asset, found)
    if not states:
        console.say("none of the files that models need is on this machine; `facecli assets list` shows them")
    _leave({found.status for _, found in states.values()})


def _report(name: str, asset: Asset, found: State) -> None:
    from facecli.assets.store import how_to_get

    if found.status == "present":
        known = (
            "SHA-256 right" if len(asset.sha256) == 64 else "SHA-256 begins right" if asset.sha256 else "no known hash"
        )
        print(f"ok       {name}: {found.path} ({known})")
    elif found.status == "bad":
        print(f"bad      {name}: {found.path} {found.problem} (delete it; {how_to_get(asset)})")
    else:
        print(f"missing  {name}: {how_to_get(asset)}")


def _leave(statuses: set[str]) -> None:
    if "bad" in statuses:
        raise typer.Exit(EXIT_SOME_FAILED)
    if "missing" in statuses:
        raise typer.Exit(EXIT_MISSING_FILE)


@app.command("import")
def import_assets(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, archives, or folders of them.")],
    to: ToFolder = None,
    as_json: JsonFlag = False,
) -> None:
    """Take in files that you got yourself: they are recognised, checked and copied to where models look."""
    failed = False
    for path in paths:
        for taken in _import_path(path, to):
            if isinstance(taken, InputError):
                console.fail(str(taken))
                failed = True
            else:
                _say_imported(taken, as_json)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _import_path(path: Path, to: Path | None) -> Iterator[Imported | InputError]:
    """Import a file, or what is known in a folder, whose other files don't matter."""
    from facecli.assets.store import UnknownFileError, import_file

    if not path.is_dir():
        try:
            yield from import_file(path, to)
        except InputError as error:
            yield error
        return
    known = False
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        for taken in _import_path(file, to):
            if not isinstance(taken, UnknownFileError):
                known = True
                yield taken
    if not known:
        yield InputError(path, "holds none of the files that models need", "`facecli assets list` shows them")


def _say_imported(taken: Imported, as_json: bool) -> None:
    if as_json:
        console.emit_json({"name": taken.asset.name, "source": taken.source, "path": str(taken.path)})
    else:
        console.say(f"{taken.source} is {taken.asset.name} (licence: {taken.asset.license or 'unknown'})")
        print(taken.path)
