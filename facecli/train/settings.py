"""Settings of trainings: a YAML file and ``key=value`` on the command line, checked against a dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from facecli.errors import InputError, UsageError

Settings = TypeVar("Settings")

_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def read_settings(kind: type[Settings], words: Iterable[str], config: Path | None = None) -> Settings:
    """An instance of the dataclass `kind`: its defaults, over them what `config` says, over that ``key=value`` words.

    Raises:
        UsageError: no such setting, or not of its kind. InputError: `config` can't be read.
    """
    given = {} if config is None else _read_yaml(config)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"settings are given as key=value, not {word!r}")
        given[key.strip()] = value
    kinds = get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"there is no setting {key!r}: there are {', '.join(known)}{hint}")
    return kind(**{key: _converted(key, kinds[key], value) for key, value in given.items()})


def described(kind: type) -> list[tuple[str, str, str]]:
    """Name, default and meaning of each setting, from the dataclass's fields and docstring."""
    lines = (kind.__doc__ or "").split("Args:")[-1]
    text = " ".join(lines.split())
    names = [field.name for field in dataclasses.fields(kind)]
    places = {name: re.search(rf"(?:^|[.;] ){name}: ", text) for name in names}
    rows = []
    for field in dataclasses.fields(kind):
        place = places[field.name]
        meaning = ""
        if place:
            later = [found.start() for found in places.values() if found and found.start() > place.start()]
            meaning = text[place.end() : min(later, default=len(text))].strip(" .")
        rows.append((field.name, _spelled(field.default), meaning))
    return rows


def _spelled(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    mend = "it should be a YAML file with lines such as `epochs: 20`"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path, f"can't be read: {' '.join(str(error).split())}", mend) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(path, "holds no settings", mend)
    return content


def _converted(name: str, kind: type, value: Any) -> Any:
    """`value` as the setting's kind."""
    word = _spelled(value).strip()
    try:
        if kind is bool:
            if word.lower() not in (*_YES, *_NO):
                raise ValueError
            return word.lower() in _YES
        if kind is int:
            return int(word.replace("_", ""))
        return kind(word)
    except ValueError:
        wanted = {bool: "yes or no", int: "a whole number", float: "a number"}.get(kind, kind.__name__)
        raise UsageError(f"{name} is {wanted}, not {word!r}") from None
