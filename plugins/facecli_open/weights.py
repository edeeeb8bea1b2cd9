"""The trained networks' file: safetensors, small, with what it says of itself in its header."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli_open.gradients import NUMBERS
from facecli_open.inputs import GEOMETRY, PLACES
from facecli_open.network import OUTPUTS, HeadNet
from facecli_open.second_look import LOOKED, SECOND_GEOMETRY

NAME = "open.safetensors"
LOOKS = {"first": (PLACES, GEOMETRY), "second": (LOOKED, SECOND_GEOMETRY)}
"""Places and geometry of what each network is told."""
_PLACES = "places"
_BITS = {_PLACES: 5, "measure.weight": 5, "combine.weight": 7, "tell.weight": 7}
"""Of each number of a matrix; other numbers have 16."""
_GROUP = 128
"""So many numbers of a matrix's row have a step in common."""
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
    """The matrices in few bits, the rest in 16; the facts in the file's header.

    Raises:
        OutputError: the place can't be written to.
    """
    from safetensors.numpy import save

    arrays = {"spread": weights.spread.astype(np.float32)}
    for look in LOOKS:
        state = {name: value.numpy(force=True) for name, value in getattr(weights, look).state_dict().items()}
        state[_PLACES] = state[_PLACES].transpose(0, 2, 1).reshape(-1, NUMBERS)
        parts = {name: value.astype(np.float16) for name, value in state.items() if name not in _BITS}
        for name in _BITS:
            parts |= _packed(name, state[name])
        arrays |= {f"{look}.{name}": value for name, value in parts.items()}
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
    except (KeyError, RuntimeError, IndexError, ValueError, TypeError) as error:
        words = " ".join(str(error).split())
        raise InputError(path, f"is not the open model's network: {words[:200]}", mend) from None


def _rebuilt(arrays: dict[str, np.ndarray], facts: dict[str, str]) -> Weights:
    spread = arrays.pop("spread").astype(np.float32)
    if spread.shape != (OUTPUTS,):
        raise ValueError(f"its spread is {list(spread.shape)} numbers, not {OUTPUTS}")
    networks = {}
    for look, (places, geometry) in LOOKS.items():
        own = {name.removeprefix(f"{look}."): value for name, value in arrays.items() if name.startswith(f"{look}.")}
        local, hidden = own["places_bias"].shape[-1], len(own["combine.bias"])
        measured = geometry + places * local
        shapes = ((places * local, NUMBERS), (hidden, measured), (hidden, hidden), (OUTPUTS, 2 * hidden))
        for name, shape in zip(_BITS, shapes, strict=True):
            own[name] = _unpacked(name, own, shape)
        own[_PLACES] = np.ascontiguousarray(own[_PLACES].reshape(places, local, NUMBERS).transpose(0, 2, 1))
        network = HeadNet(places, geometry, local, hidden)
        network.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in own.items()})
        networks[look] = network
    states = [value for network in networks.values() for value in network.state_dict().values()]
    if not (np.isfinite(spread).all() and all(torch.isfinite(value).all() for value in states)):
        raise ValueError("it holds numbers that are not finite")
    return Weights(networks["first"], networks["second"], spread, facts)


def _packed(name: str, matrix: np.ndarray) -> dict[str, np.ndarray]:
    """`matrix` [R, C] in few bits, and the steps [R, groups] of which its numbers are multiples."""
    rows, columns = matrix.shape
    grouped = np.pad(matrix, ((0, 0), (0, -columns % _GROUP))).reshape(rows, -1, _GROUP)
    most = _most(name)
    steps = (np.maximum(np.abs(grouped).max(2), 1e-4) / most).astype(np.float16)
    codes = np.rint(grouped / steps[..., None].astype(np.float32)).clip(-most, most) + most
    codes = codes.reshape(rows, -1)[:, :columns].astype(np.uint8)
    bits = np.unpackbits(codes.reshape(-1, 1), axis=1)[:, 8 - _BITS[name] :]
    return {f"{name}.codes": np.packbits(bits), f"{name}.steps": steps}


def _unpacked(name: str, own: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """[R, C] the matrix of that shape; it is taken out of `own`."""
    steps, codes = own.pop(f"{name}.steps").astype(np.float32), own.pop(f"{name}.codes")
    if codes.shape != (math.ceil(math.prod(shape) * _BITS[name] / 8),):
        raise ValueError(f"{name} is not of {shape[0]} rows and {shape[1]} columns")
    bits = np.unpackbits(codes, count=math.prod(shape) * _BITS[name]).reshape(*shape, _BITS[name])
    values = bits @ (1 << np.arange(_BITS[name])[::-1]).astype(np.float32) - _most(name)
    return values * np.repeat(steps, _GROUP, axis=1)[:, : shape[1]]


def _most(name: str) -> int:
    return 2 ** (_BITS[name] - 1) - 1
