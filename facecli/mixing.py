"""The *mix* step between two faces: codes of one person, with the expression (or whatever else) of another.

Everything here is about codes alone; see :mod:`facecli.reenactment` for whose they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence

import torch

from facecli.codes import STANDARD_NAMES, Codes
from facecli.errors import UsageError
from facecli.plugin import Plugin, Reconstructor

EXPRESSIVE = ("expression", "jaw", "eyelids")
"""What is taken of the target if nothing else is said, as far as both faces have it."""

CARRIED = ("expression", "jaw", "eyelids", "eyes")
"""What a model that carries surfaces (MediaPipe) takes along with the expression: it doesn't keep them apart."""

RESIZED = ("identity", "expression", "texture")
"""Coefficients of bases whose first ones are the same in all models of a family: they may be of any number."""

Mix = Callable[[Codes, Codes], Codes]
"""(source, target), batches of equal length -> the source with what is taken of the target."""


def take(source: Codes, target: Codes, names: Sequence[str]) -> Codes:
    """`source` with the codes `names` of `target`. Batches are of equal length, or one of the two is a single face.

    Coefficients come in the source's number: the target's are cut, or filled up with zeros. What a decoder derives from
    them (DECA's wrinkles, from expression and jaw) follows by itself.

    Raises:
        UsageError: `target` has no such code, or one of another shape.
    """
    count = max(len(source), len(target))
    values = {name: _repeated(value, count) for name, value in source.values.items()}
    for name in names:
        if name not in target:
            raise UsageError(f"no code {name!r} to take: there are {', '.join(target.values)}")
        value = _repeated(target[name], count)
        values[name] = _fitted(name, value, values[name]) if name in values else value
    return Codes(values, source.model, source.family)


def _repeated(value: torch.Tensor, count: int) -> torch.Tensor:
    return value.expand(count, *value.shape[1:]) if len(value) == 1 else value


def _fitted(name: str, value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`value` as many numbers long as `like`, and in its place."""
    value = value.to(like)
    if name in RESIZED and value.ndim == like.ndim == 2:
        missing = like.shape[1] - value.shape[1]
        return torch.nn.functional.pad(value, (0, max(missing, 0)))[:, : like.shape[1]]
    if value.shape[1:] != like.shape[1:]:
        theirs, ours = list(value.shape[1:]), list(like.shape[1:])
        raise UsageError(f"the code {name!r} can't be taken: it is {theirs}, where the source's is {ours}")
    return value


def names_to_take(words: Sequence[str], keep: Sequence[str], source: Collection[str], target: Collection[str],
                  decodable: Collection[str] = ()) -> tuple[str, ...]:  # fmt: skip
    """What `--take` and `--keep` mean for two faces.

    Args:
        words: the user's, empty for :data:`EXPRESSIVE`. keep: what stays the source's in any case.
        source, target: names of the codes that the faces have.
        decodable: further names that the source's decoder knows.

    Raises:
        UsageError: a name that is asked for isn't there, or nothing is left to take.
    """
    known = {*source, *decodable}
    for word in words:
        if word not in target:
            raise UsageError(f"the target has no code {word!r} to take; it has {_listed(target)}")
        if word not in known:
            raise UsageError(f"the source's model has no code {word!r}; it has {_listed(known)}")
    chosen = words or [name for name in EXPRESSIVE if name in target and name in known]
    left = tuple(name for name in dict.fromkeys(chosen) if name not in keep)
    if not left:
        raise UsageError("nothing is left to take of the target (--take, --keep)")
    return left


def check_names(words: Sequence[str], flag: str) -> None:
    """
    Raises:
        UsageError: one of `words` is no standard name of a code.
    """
    unknown = [word for word in words if word not in STANDARD_NAMES]
    if unknown:
        raise UsageError(f"{flag} {unknown[0]}: codes are called {', '.join(STANDARD_NAMES)}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(name for name in STANDARD_NAMES if name in names) or "none"


def mixer(plugin: Plugin, model: Reconstructor, words: Sequence[str], keep: Sequence[str], source: Codes,
          target: Codes, neutral: Codes | None = None) -> Mix:  # fmt: skip
    """How the two faces' codes are mixed: by the model's `carry` where it has one, else code by code.

    Args:
        source, target: any of the batches that will come, for their names and models.
        neutral: the target at rest, [1, ...], for `carry`.

    Raises:
        UsageError: what is asked for can't be had of these two.
    """
    if hasattr(model, "carry"):
        return functools.partial(_carry, model, neutral, further=_beside_carrying(plugin, words, keep))
    decodable = target.values if target.model == plugin.name else ()
    names = names_to_take(words, keep, source.values, target.values, decodable)
    return functools.partial(take, names=names)


def _beside_carrying(plugin: Plugin, words: Sequence[str], keep: Sequence[str]) -> tuple[str, ...]:
    """What else is taken, beside what is carried."""
    inseparable = f"the model {plugin.name} carries expression, jaw, lids and gaze all at once"
    impossible = [word for word in words if word not in (*CARRIED, "pose")]
    if impossible:
        raise UsageError(f"{inseparable}: it can take expression and pose, not {impossible[0]}")
    kept = [word for word in keep if word in CARRIED]
    if kept or (words and "expression" not in words):
        raise UsageError(f"{inseparable}: no --{'keep ' + kept[0] if kept else 'take ' + words[0] + ' alone'}")
    return tuple(word for word in words if word == "pose" and word not in keep)


def _carry(model: Reconstructor, neutral: Codes | None, source: Codes, target: Codes, further: Sequence[str]) -> Codes:
    count = max(len(source), len(target))
    source, target = take(source, target, further), _batch(target, count)
    return model.carry(source, target, None if neutral is None else _batch(neutral, count))


def _batch(codes: Codes, count: int) -> Codes:
    return Codes({name: _repeated(value, count) for name, value in codes.values.items()}, codes.model, codes.family)
