"""The trained network: face to a guess of its codes. Its weights come with this package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from facecli.errors import InputError
from facecli.plugin import Crop
from facecli_open.inputs import INPUTS, inputs_of
from facecli_open.network import EXPRESSION, IDENTITY, OUTPUTS, HeadNet

USUAL_DISTANCE = 800.0
"""mm, of which the network tells the logarithm of a multiple."""
WEIGHTS = "open.safetensors"
_BIG = "measure.weight"
"""Kept in 8 bits, a scale a row."""
_FACTS = "facecli"
"""Of the file's header: what it says of itself, as JSON."""


@dataclass(frozen=True)
class Guess:
    """What the network thinks of B faces.

    Args:
        identity: float32 [B, 100]. expression: float32 [B, 57], 0..1. distance: float32 [B] mm, from the camera.
    """

    identity: np.ndarray
    expression: np.ndarray
    distance: np.ndarray


class Regressor:
    """
    Args:
        network: in evaluation mode.
        spread: [OUTPUTS] float32, standard deviations of its errors on heads that it wasn't trained on.
        facts: what the file says of itself: command, seed, heads, numbers.
    """

    def __init__(self, network: HeadNet, spread: np.ndarray, facts: dict[str, str] | None = None):
        self.network, self.facts = network.eval().requires_grad_(False), facts or {}
        self.identity_spread, self.expression_spread = spread[:IDENTITY], spread[IDENTITY:-1]
        self.distance_spread = float(spread[-1])

    @classmethod
    def load(cls, path: str | Path | None = None) -> Regressor:
        """The weights in `path`; None: those that come with facecli.

        Raises:
            InputError: the file is missing, damaged, or something else.
        """
        return read_regressor(path or Path(str(files("facecli_open").joinpath(WEIGHTS))))

    def __call__(self, crops: Sequence[Crop]) -> Guess:
        """A guess of B faces; a batch gives what single faces give."""
        inputs = np.stack([inputs_of(crop) for crop in crops]) if crops else np.zeros((0, INPUTS), np.float32)
        return self.of_inputs(inputs)

    def of_inputs(self, inputs: np.ndarray) -> Guess:
        """A guess of B faces by their `inputs` [B, INPUTS]."""
        with torch.inference_mode():
            # One by one: a matrix product's last digits depend on how many rows it has.
            rows = [self.network(row[None]) for row in torch.from_numpy(inputs)]
        told = torch.cat(rows).numpy() if rows else np.zeros((0, OUTPUTS), np.float32)
        identity, expression, distance = np.split(told, [IDENTITY, IDENTITY + EXPRESSION], axis=1)
        return Guess(identity, expression.clip(0, 1), USUAL_DISTANCE * np.exp(distance[:, 0]))


# --- the file --------------------------------------------------------------------------------------------------------


def write_regressor(path: Path, network: HeadNet, spread: np.ndarray, facts: dict[str, str]) -> None:
    """`network` as safetensors, small: the first layer in 8 bits, the rest in 16; `facts` in the file's header.

    Raises:
        OutputError: the place can't be written to.
    """
    from safetensors.numpy import save

    from facecli.io.atomic import atomic_write

    state = {name: value.numpy(force=True) for name, value in network.state_dict().items()}
    weight = state.pop(_BIG)
    step = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-12) / 127
    arrays = {name: value.astype(np.float16) for name, value in state.items()}
    arrays |= {_BIG: np.rint(weight / step).astype(np.int8), f"{_BIG}.step": step[:, 0].astype(np.float32)}
    arrays["spread"] = spread.astype(np.float32)
    # One entry: several would come in any order, and the same training would not give the same file.
    header = {_FACTS: json.dumps(facts, sort_keys=True)}
    content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata=header)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_regressor(path: str | Path) -> Regressor:
    """What :func:`write_regressor` wrote.

    Raises:
        InputError: missing, damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

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
        network, spread = _rebuilt(arrays)
    except (KeyError, RuntimeError, IndexError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(path, f"is not the open model's network: {words[:200]}", mend) from None
    return Regressor(network, spread, facts)


def _rebuilt(arrays: dict[str, np.ndarray]) -> tuple[HeadNet, np.ndarray]:
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    step, spread = arrays.pop(f"{_BIG}.step"), arrays.pop("spread")
    if spread.shape != (OUTPUTS,):
        raise ValueError(f"its spread is {list(spread.shape)} numbers, not {OUTPUTS}")
    if not all(np.isfinite(value).all() for value in (*arrays.values(), step, spread)):
        raise ValueError("it holds numbers that are not finite")
    arrays[_BIG] = arrays[_BIG] * step[:, None]
    network = HeadNet(hidden=len(step))
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return network, spread
