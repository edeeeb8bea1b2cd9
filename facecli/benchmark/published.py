"""Published results of NoW, to be shown beside measured ones."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facecli.errors import UsageError

ALL, NONE = "all", "none"
SETS = {"val": "validation set", "test": "test set"}
"""Image sets as options name them -> in words."""

_FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class PublishedResult:
    """What somebody else reports of a method.

    Args:
        method: its name, for people.
        protocol: ``"nonmetrical"`` or ``"metrical"``.
        set: of images, ``"val"`` or ``"test"``.
        median, mean, std: of the pooled distances, in millimetres.
        source: where the numbers are from.
        verified: they were read there, not remembered.
    """

    method: str
    protocol: str
    set: str
    median: float
    mean: float
    std: float
    source: str
    verified: bool

    def remarks(self, protocol: str | None, set: str | None) -> list[str]:
        """What must stand beside the name in a table or plot of results of this `protocol` and `set`."""
        found = [] if self.set == set else [SETS.get(self.set, self.set)]
        found += [] if self.protocol == protocol else [self.protocol]
        return found + ([] if self.verified else ["unverified"])

    def comparable(self, protocol: str | None, set: str | None) -> bool:
        """Whether the numbers may stand in one table with results of this `protocol` and `set`."""
        return (self.protocol, self.set) == (protocol, set)


def published(names: str | Sequence[str], protocol: str, set: str) -> list[PublishedResult]:
    """Published results, best median first.

    Args:
        names: ``"all"`` for all that there are of this protocol and set, ``"none"``, or names of methods, in a list or
            with commas between; upper and lower case don't matter. ``"test"`` and ``"val"`` mean all of that set,
            whatever `set` is; a named method that has no numbers of `set` comes with those of the other one. Such
            results are not comparable (:meth:`PublishedResult.comparable`): they belong into no table of this set.
        protocol: ``"nonmetrical"`` or ``"metrical"``.
        set: ``"val"`` or ``"test"``, of the images that are evaluated.

    Raises:
        UsageError: an unknown name, or a method without numbers of this protocol.
    """
    words = names.split(",") if isinstance(names, str) else list(names)
    found: dict[PublishedResult, None] = {}
    for word in filter(None, (word.strip().lower() for word in words)):
        found |= dict.fromkeys(_of_word(word, protocol, set))
    return sorted(found, key=lambda result: (result.median, result.mean, result.method))


def known_methods() -> list[str]:
    """The words for methods, as :func:`published` takes them."""
    return list(_methods())


def _of_word(word: str, protocol: str, set: str) -> list[PublishedResult]:
    if word == NONE:
        return []
    if word == ALL or word in SETS:
        wanted = set if word == ALL else word
        return [r for results in _methods().values() for r in results if r.comparable(protocol, wanted)]
    results = [result for result in _methods()[_key(word)] if result.protocol == protocol]
    if not results:
        raise UsageError(f"there are no published {protocol} numbers of {word}; --published all shows what there is")
    return [result for result in results if result.set == set] or results


def _key(word: str) -> str:
    """The method that `word` names: by its key, another name of it, or its full name."""
    keys = _words()
    if word in keys:
        return keys[word]
    near = difflib.get_close_matches(word, keys, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join([ALL, NONE, *SETS, *_methods()])}"
    raise UsageError(f"nothing is published of a method {word!r}: {hint}")


@functools.cache
def _data() -> dict[str, Any]:
    import yaml

    return yaml.safe_load(_FILE.read_text("utf-8"))


@functools.cache
def _methods() -> dict[str, tuple[PublishedResult, ...]]:
    sources = _data()["sources"]
    return {
        key: tuple(
            PublishedResult(
                entry["name"],
                row["protocol"],
                row["set"],
                *row["numbers"],
                source=sources[row["source"]],
                verified=row.get("verified", False),
            )
            for row in entry["results"]
        )
        for key, entry in _data()["methods"].items()
    }


@functools.cache
def _words() -> dict[str, str]:
    words = {}
    for key, entry in _data()["methods"].items():
        for word in (key, entry["name"].lower(), *entry.get("aliases", ())):
            words[word] = key
    return words
