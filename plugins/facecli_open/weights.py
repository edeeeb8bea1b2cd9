"""The trained networks' file: safetensors, small, with what it says of itself in its header."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli_open.inputs import INPUTS
from facecli_open.network import OUTPUTS, HeadNet
from facecli_open.second_look import SECOND_INPUTS

NAME = "open.safetensors"
_LOOKS = {"first": INPUTS, "second": SECOND_INPUTS}
_BIG = "measure.weight"
"""Kept in 8 bits, a scale a row."""
_FACTS = "facecli"
"""Of the file's header: what it says of itself, as JSON."""


@dataclass(frozen=True)
class Weights:
    """
    Args:
        first, second: the networks of both looks, in evaluation mode.
        spread: [OUTPUTS] float32, standard deviations of their errors on heads that they weren't trained on.
        facts: what the file says of itself: command, seed, heads, numbers.
    """

    first: HeadNet
    second: HeadNet
    spread: np.ndarray
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for network in (self.first, self.second):
            network.eval().requires_grad_(False)


def write_weights(path: Path, weights: Weights) -> None:
    """The first layers in 8 bits, the rest in 16; the facts in the file's header.

    Raises:
        OutputError: the place can't be written to.
    """
    from safetensors.numpy import save

    arrays = {"spread": weights.spread.astype(np.float32)}
    for look in _LOOKS:
        state = {name: value.numpy(force=True) for name, value in getattr(weights, look).state_dict().items()}
        weight = state.pop(_BIG)
        step = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-12) / 127
        arrays |= {f"{look}.{name}": value.astype(np.float16) for name, value in state.items()}
        arrays[f"{look}.{_BIG}"] = np.rint(weight / step).astype(np.int8)
        arrays[f"{look}.{_BIG}.step"] = step[:, 0].astype(np.float32)
    # One entry: several would come in any order, and the same training would not give the same file.
    header = {_FACTS: json.dumps(weights.facts, sort_keys=True)}
    content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata=header)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_weights(path: str | Path | None = None) -> Weights:
    """What :func:`write_weights` wrote; None: the weights that come with facecli.

    Raises:
        InputError: missing, damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

    path = path or Path(str(files("facecli_open").joinpath(NAME)))
    mend = "train it with `facecli train open`, or leave the option away"
    try:
        with safe_open(str(path), "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
            facts = {str(name): str(value) for name, value in json.loads((file.metadata() or {})[_FACTS]).items()}
    except FileNotFoundError:
        raise InputError(path, "no such file", mend) from None
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(path, f"can't be read: {' '.join(str(error).split())}", mend) from error
    try:
        return _rebuilt(arrays, facts)
    except (KeyError, RuntimeError, IndexError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(path, f"is not the open model's network: {words[:200]}", mend) from None


def _rebuilt(arrays: dict[str, np.ndarray], facts: dict[str, str]) -> Weights:
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    spread = arrays.pop("spread")
    if spread.shape != (OUTPUTS,):
        raise ValueError(f"its spread is {list(spread.shape)} numbers, not {OUTPUTS}")
    if not all(np.isfinite(value).all() for value in (*arrays.values(), spread)):
        raise ValueError("it holds numbers that are not finite")
    networks = {}
    for look, inputs in _LOOKS.items():
        own = {name.removeprefix(f"{look}."): value for name, value in arrays.items() if name.startswith(f"{look}.")}
        step = own.pop(f"{_BIG}.step")
        own[_BIG] = own[_BIG] * step[:, None]
        networks[look] = HeadNet(inputs, hidden=len(step))
        networks[look].load_state_dict({name: torch.from_numpy(value) for name, value in own.items()})
    return Weights(networks["first"], networks["second"], spread, facts)
