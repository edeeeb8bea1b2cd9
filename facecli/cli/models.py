"""`facecli models`: what is installed, what each model offers, under which licence, and whether its files are here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console

_NAMED = 3  # missing files named in the table; of more, the number

if TYPE_CHECKING:
    from facecli.assets.catalogue import Asset
    from facecli.plugin import Option, Plugin


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Show what can be chosen of this one.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a model on stdout.")] = False,
) -> None:
    """List the installed models: what they offer, their licences, and whether their files are present.

    With a MODEL: its options, its own pictures and its layouts, the words for --option, --save and --layout of
    `facecli reconstruct`.
    """
    from facecli import registry

    if name is not None:
        plugin = registry.plugin(name)
        if as_json:
            console.emit_json(describe(plugin))
        else:
            _show_one(plugin)
        return
    for broken in registry.broken_plugins().values():
        console.warn(str(broken))
    described = [describe(plugin) for plugin in registry.plugins().values()]
    if as_json:
        for description in described:
            console.emit_json(description)
        return
    from facecli.cli import table

    columns = ("model", "offers", "family", "code licence", "weights licence", "files")
    table.show(columns, [_row(description) for description in described])
    unready = [description["name"] for description in described if not description["ready"]]
    if unready:
        hint = "`facecli doctor` says what to do, `facecli assets list --model NAME` shows a model's files."
        console.say(f"Not ready: {', '.join(unready)}. {hint}")


def describe(plugin: Plugin) -> dict:
    """What `--json` shows of `plugin`; `ready` when its packages and necessary files are here."""
    packages = [name for name in plugin.packages if not package_present(name)]
    present, missing = _split(plugin.assets)
    optional_present, optional_missing = _split(plugin.optional_assets)
    return {
        "name": plugin.name,
        "summary": plugin.summary,
        "offers": list(plugin.offers),
        "family": plugin.family or None,
        "code_license": plugin.code_license,
        "weights_license": plugin.weights_license,
        "citation": plugin.citation or None,
        "homepage": plugin.homepage or None,
        "ready": not (packages or missing),
        "packages_missing": packages,
        "files_present": present + optional_present,
        "files_missing": missing,
        "optional_files_missing": optional_missing,
        "options": {name: _option(option) for name, option in plugin.options.items()},
        "pictures": dict(plugin.pictures),
        "layouts": {
            name: {"summary": layout.summary, "saves": dict(layout.saves), "default": list(layout.default)}
            for name, layout in plugin.layouts.items()
        },
    }


def _option(option: Option) -> dict:
    return {"help": option.help, "kind": option.kind.__name__, "choices": list(option.choices)}


def _show_one(plugin: Plugin) -> None:
    """What can be chosen of one model, as a table a kind."""
    from facecli.cli import table

    description = describe(plugin)
    facts = {
        "offers": "; ".join(plugin.offers),
        "family": plugin.family,
        "licence": f"code {plugin.code_license}, weights {plugin.weights_license}",
        "citation": plugin.citation,
        "homepage": plugin.homepage,
        "files": _files(description),
    }
    table.show((plugin.name, plugin.summary), [(key, value) for key, value in facts.items() if value])
    kinds = {bool: "yes, no", int: "whole number", float: "number", str: "word"}
    choices = [
        (name, ", ".join(option.choices) or kinds.get(option.kind, option.kind.__name__), option.help)
        for name, option in plugin.options.items()
    ]
    _show_table(("--option", "values", "what"), choices)
    _show_table(("--save", "own picture"), list(plugin.pictures.items()))
    for name, layout in plugin.layouts.items():
        rows = [(word, "yes" if word in layout.default else "", what) for word, what in layout.saves.items()]
        _show_table((f"--layout {name} --save", "default", layout.summary), rows)


def _show_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from facecli.cli import table

    if rows:
        console.stdout_console().print()
        table.show(columns, rows)


def package_present(name: str) -> bool:
    """Whether the Python package can be found, without importing it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a parent package that is broken, or a module without a spec
        return False


def _split(assets: tuple[Asset, ...]) -> tuple[list[str], list[str]]:
    """Names of the present and of the missing (or broken) ones."""
    from facecli.assets.store import find

    found = {asset.name: find(asset) is not None for asset in assets}
    return [name for name, here in found.items() if here], [name for name, here in found.items() if not here]


def _row(description: dict) -> tuple[str, ...]:
    return (
        description["name"],
        "; ".join(description["offers"]),
        description["family"] or "",
        description["code_license"],
        description["weights_license"],
        _files(description),
    )


def _files(description: dict) -> str:
    """Files and packages in a few words."""
    words = []
    if description["packages_missing"]:
        words.append(f"package missing: {', '.join(description['packages_missing'])}")
    missing = description["files_missing"]
    if len(missing) > _NAMED:
        words.append(f"{len(missing)} files missing")
    elif missing:
        words.append(f"missing: {', '.join(missing)}")
    elif description["files_present"]:
        words.append("present")
    else:
        words.append("none needed")
    if description["optional_files_missing"]:
        words.append(f"{len(description['optional_files_missing'])} optional missing")
    return "; ".join(words)
