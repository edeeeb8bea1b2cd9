"""`facecli assets`: which files the models need, where they are on this machine, and how to get the rest."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console
from facecli.errors import EXIT_MISSING_FILE, EXIT_SOME_FAILED, FacecliError, InputError, UsageError

if TYPE_CHECKING:
    from facecli.assets.catalogue import Asset, Login
    from facecli.assets.download import Progress
    from facecli.assets.importing import Imported
    from facecli.assets.login import Credentials
    from facecli.assets.store import State

app = typer.Typer(help="The files that models need: list, get, check, import, convert.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object a file on stdout.")]
ToFolder = Annotated[Path | None, typer.Option("--to", help="Put it there instead of the user's data folder.")]
_WIDE = 140  # columns of a terminal on which licences fit, too
OfModel = Annotated[str | None, typer.Option("--model", help="Only the files of this model.")]


@app.command("list")
def list_assets(model: OfModel = None, as_json: JsonFlag = False) -> None:
    """Show every file that the installed models know: where it is, or how to get it."""
    from facecli.assets.catalogue import catalogue
    from facecli.assets.store import state

    known = catalogue()
    if model is not None:
        wanted = _files_of(model, optional=True)
        known = {name: asset for name, asset in known.items() if asset in wanted}
    states = {name: (asset, state(asset)) for name, asset in known.items()}
    if as_json:
        for name, (asset, found) in states.items():
            console.emit_json(_as_json(name, asset, found))
        return
    _show(states)
    missing = sum(found.status == "missing" for _, found in states.values())
    hint = f"`facecli assets get {'NAME' if model is None else f'--model {model}'}` fetches what can be fetched."
    if model is None:
        hint += " One model's files: --model MODEL."
    console.say(f"{len(states)} files known, {missing} missing." + (f" {hint}" if missing else ""))


def _files_of(model: str, optional: bool) -> list[Asset]:
    """The files that the model `model` needs, and those that only some options need. Raises UsageError."""
    from facecli import registry

    plugin = registry.plugin(model)
    return [*plugin.assets, *(plugin.optional_assets if optional else ())]


def _show(states: dict[str, tuple[Asset, State]]) -> None:
    """A table: all that there is to say in a pipe, what fits on a terminal (licences only on a wide one)."""
    from facecli.assets.catalogue import users_of
    from facecli.cli import table

    out = console.stdout_console()
    if not out.is_terminal:
        columns = ("name", "state", "file", "used by", "size", "licence", "how to get it", "note")
        table.show(columns, [_row(name, asset, found) for name, (asset, found) in states.items()])
        return
    columns, rows = ["name", "state", "used by", "where it is, or how to get it"], []
    if wide := out.width >= _WIDE:
        columns.insert(3, "licence")
    for name, (asset, found) in states.items():
        row = [name, found.status, _in_short(users_of(asset)), _where_or_how(asset, found)]
        if wide:
            row.insert(3, asset.license)
        rows.append(row)
    table.show(columns, rows)


def _row(name: str, asset: Asset, found: State) -> tuple[str, ...]:
    from facecli.assets.catalogue import users_of

    file = {"missing": asset.filename, "present": str(found.path), "bad": f"{found.path}: {found.problem}"}
    size = f"{asset.size / 1e6:.1f} MB" if asset.size else ""
    how = "" if found.status == "present" else _how_in_short(name, asset)
    users = ", ".join(users_of(asset))
    return (name, found.status, file[found.status], users, size, asset.license, how, asset.note)


def _in_short(users: list[str]) -> str:
    """``deca, (emoca)``: brackets for models that do without."""
    optional = " (optional)"
    return ", ".join(f"({user.removesuffix(optional)})" if user.endswith(optional) else user for user in users)


def _where_or_how(asset: Asset, found: State) -> str:
    from facecli.assets.store import sources

    if found.status == "present":
        return _from_home(found.path)
    words = f"{_from_home(found.path)} {found.problem}" if found.status == "bad" else asset.filename
    if ways := sources(asset):
        return f"{words}: get, with your log-in" if ways[0].login else f"{words}: get"
    return f"{words}: convert" if asset.make else f"{words}: {asset.register}, then import"


def _from_home(path: Path) -> str:
    with contextlib.suppress(ValueError, RuntimeError):
        return str(Path("~") / path.relative_to(Path.home()))
    return str(path)


def _how_in_short(name: str, asset: Asset) -> str:
    from facecli.assets.store import sources

    if ways := sources(asset):
        return f"facecli assets get {name}" + (" (asks for your log-in)" if ways[0].login else "")
    if asset.make:
        return f"facecli assets convert {name}"
    return f"{asset.register}, then facecli assets import"


def _as_json(name: str, asset: Asset, found: State) -> dict:
    from facecli.assets.catalogue import users_of

    return {
        "name": name,
        "file": asset.filename,
        "kind": "folder" if asset.is_folder else "file",
        "used_by": users_of(asset),
        "status": found.status,
        "path": str(found.path) if found.path else None,
        "problem": found.problem or None,
        "license": asset.license,
        "size": asset.size,
        "sha256": asset.sha256 or None,
        "url": asset.url or None,
        "register": asset.register or None,
        "login": asset.login.site if asset.login else None,
        "archive": asset.archive_name or None,
        "member": asset.member or None,
        "converted": bool(found.path and found.path.name == asset.converted),
        "note": asset.note or None,
    }


@app.command("get")
def get(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Names or file names.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="All files that this model can't do without.")] = None,
    all_free: Annotated[bool, typer.Option("--all-free", help="All that have a permissive licence.")] = False,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licences that are not permissive, without asking.")
    ] = False,
    to: ToFolder = None,
) -> None:
    """Download files, checked, going on where an earlier attempt broke off.

    Where a site wants your log-in, it is asked for on the terminal, or taken from the environment
    (FACECLI_FLAME_USER and FACECLI_FLAME_PASSWORD for FLAME's), sent to that site over https, and never stored.
    """
    from facecli.assets.catalogue import catalogue, lookup

    if not names and not all_free and not model:
        raise UsageError(
            "assets get: say which files (`facecli assets list` shows them), --model MODEL for all that it needs, or "
            "--all-free"
        )
    wanted = lookup(names or [])
    if model:
        wanted += [asset for asset in _files_of(model, optional=False) if asset not in wanted]
    if all_free:
        wanted += [a for a in catalogue().values() if a.permissive and a.fetchable and a not in wanted]
    consent, desk = _Consent(accept_license), _LoginDesk()
    exit_code = 0
    for asset in wanted:
        try:
            _get_one(asset, consent, desk, to)
        except FacecliError as error:
            console.fail(str(error))
            exit_code = max(exit_code, error.exit_code)
    if exit_code:
        raise typer.Exit(exit_code)


def _get_one(asset: Asset, consent: _Consent, desk: _LoginDesk, to: Path | None) -> None:
    """Fetch one file; say where it is."""
    from facecli.assets import store
    from facecli.assets.download import LoginRefusedError
    from facecli.errors import MissingAssetError

    found = store.state(asset)
    if found.status == "present" and to is None:
        console.say(f"{asset.name}: is there already")
        print(store.require(asset))
        return
    if not store.sources(asset):
        raise MissingAssetError(f"{asset.filename} can't be fetched for you: {store.how_to_get(asset)}")
    console.say(f"{asset.name}: {asset.filename}, licence: {asset.license or 'unknown'}")
    consent.ask(asset)
    try:
        with _progress(asset.archive_name or asset.filename) as progress:
            path = store.fetch(asset, progress, console.say, folder=to, credentials=desk.credentials)
    except LoginRefusedError:
        desk.refused(asset.login)
        raise
    if found.status == "bad" and found.path != path:
        console.warn(f"{found.path}: {found.problem}; delete it")
    print(path)


class _Consent:
    """Asks for what only the user can accept, once a licence."""

    def __init__(self, given: bool):
        self._given = given
        self._accepted: set[str] = set()

    def ask(self, asset: Asset) -> None:
        """Raises UsageError where there is nobody to ask, or the answer is no."""
        if asset.permissive or self._given or asset.license in self._accepted:
            return
        where = f", see {asset.register}" if asset.register else ""
        if not _is_terminal():
            raise UsageError(
                f"{asset.name}: its licence ({asset.license}{where}) is yours to accept: add --accept-license"
            )
        if not typer.confirm(f"Do you accept this licence ({asset.license}{where})?", err=True):
            raise UsageError(f"{asset.name}: not fetched")
        self._accepted.add(asset.license)


class _LoginDesk:
    """Gets the user's log-in for a site, once a site: from the environment, else on the terminal. Never stored."""

    def __init__(self):
        self._known: dict[str, Credentials] = {}
        self._refused: set[str] = set()

    def credentials(self, login: Login) -> Credentials:
        """Raises UsageError where there is nobody to ask, or the site has refused what was said."""
        if login.site in self._refused:
            raise UsageError(f"{login.site} has just refused this log-in, so it isn't tried again")
        if login.site not in self._known:
            self._known[login.site] = self._get(login)
        return self._known[login.site]

    def refused(self, login: Login) -> None:
        """The site doesn't let the log-in pass."""
        self._refused.add(login.site)

    def _get(self, login: Login) -> Credentials:
        from facecli.assets.login import Credentials, from_environment

        if found := from_environment(login):
            return found
        if not _is_terminal():
            raise UsageError(
                f"{login.site} wants a log-in, and there is no terminal to ask for it: set {login.user_variable} and "
                f"{login.password_variable} (register at {login.site})"
            )
        console.say(f"Log-in for {login.site} (register there first). It is sent to that site only, and not stored.")
        user = os.environ.get(login.user_variable) or typer.prompt("User name (e-mail)", err=True)
        password = os.environ.get(login.password_variable) or _hidden("Password: ")
        if not user.strip() or not password:
            raise UsageError(f"{login.site}: no log-in without user name and password")
        return Credentials(user.strip(), password)


def _is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def _hidden(prompt: str) -> str:
    """Ask without showing what is typed; refuse where the terminal can't do that."""
    import getpass
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except getpass.GetPassWarning:
            raise UsageError("this terminal would show the password: put it into the environment instead") from None
        except EOFError:
            return ""


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Progress | None]:
    """A bar with rate and time left on a terminal, else nothing (the notes say what happens). It appears with the first
    bytes: before them, a log-in may be asked for."""
    if not console.stderr_console().is_terminal:
        yield None
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"), rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    )  # fmt: skip
    bar = rich.Progress(*columns, console=console.stderr_console())
    task = bar.add_task(title, total=None)

    def update(have: int, total: int | None) -> None:
        bar.start()
        bar.update(task, completed=have, total=total)

    try:
        yield update
    finally:
        bar.stop()


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
    from facecli.assets.verify import assurance

    if found.status == "present":
        print(f"ok       {name}: {found.path} ({assurance(asset, found.path)})")
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
    from facecli.assets.importing import import_path

    failed = False
    for path in paths:
        for taken in import_path(path, to):
            if isinstance(taken, InputError):
                console.fail(str(taken))
                failed = True
            else:
                _say_imported(taken, as_json)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _say_imported(taken: Imported, as_json: bool) -> None:
    if taken.doubt:
        console.warn(f"{taken.source}: {taken.doubt}")
    if as_json:
        console.emit_json({"name": taken.asset.name, "source": taken.source, "path": str(taken.path)})
    else:
        console.say(f"{taken.source} is {taken.asset.name} (licence: {taken.asset.license or 'unknown'})")
        print(taken.path)


@app.command("convert")
def convert_assets(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME… | NAME FILE…]", help="These, else all that are here and gain by it."),
    ] = None,
    to: ToFolder = None,
) -> None:
    """Make of official files, once, what models read faster: plain arrays, weights without training state.

    Models find the result in the official file's stead. The official file stays.

    A file that nobody hands out is made of its parts, which stay, too: `facecli assets convert bfm
    01_MorphableModel.mat Exp_Pca.bin …`. Parts that aren't named are looked for where models' files are. One that is
    handed out in another form is made of that: `facecli assets convert ict-facekit FaceXModel`.
    """
    from facecli.assets.catalogue import lookup

    names, files = _split_files(names or [])
    exit_code = 0
    for asset in lookup(names) if names else _convertible():
        try:
            path = _converted(asset, files, to)
        except FacecliError as error:
            console.fail(str(error))
            exit_code = max(exit_code, error.exit_code)
            continue
        print(path)
        _say_unless_found(asset, path)
    if exit_code:
        raise typer.Exit(exit_code)


def _converted(asset: Asset, files: list[Path], to: Path | None) -> Path:
    from facecli.assets import convert

    if asset.make:
        return convert.make(asset, files, to)
    return convert.extract_found(asset, files, to) if asset.extract else convert.convert(asset, to)


def _split_files(words: list[str]) -> tuple[list[str], list[Path]]:
    """Names, and the files that follow the one of an asset that is made of others."""
    from facecli.assets.catalogue import lookup

    if len(words) > 1 and ((asset := lookup(words[:1])[0]).make or asset.extract):
        return words[:1], [Path(word) for word in words[1:]]
    return words, []


def _convertible() -> Iterable[Asset]:
    from facecli.assets.catalogue import catalogue
    from facecli.assets.store import candidates

    found = [a for a in catalogue().values() if a.convert and any(p.name != a.converted for p in candidates(a))]
    found += [a for a in catalogue().values() if a.extract and any(p.is_dir() for p in candidates(a)[:1])]
    if not found:
        console.say("none of the files that gain by it is on this machine; `facecli assets list` shows them")
    return found


def _say_unless_found(asset: Asset, made: Path) -> None:
    """Places come before names: an original in an earlier place is what models read."""
    from facecli.assets.store import state

    read = state(asset).path
    if read is None:
        console.warn(f"{made.parent} is not looked in: name it in FACECLI_ASSETS")
    elif not read.samefile(made):
        console.warn(f"{read} comes before it: say --to {read.parent}, or name {made.parent} first in FACECLI_ASSETS")
