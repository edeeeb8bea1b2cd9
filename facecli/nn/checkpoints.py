"""Official checkpoints into modules: read without unpickling freely, compared with the network they are for, and put
into it in one copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from facecli.assets.catalogue import Asset
from facecli.assets.store import how_to_get, require
from facecli.errors import InputError
from facecli.io.safe_pickle import load_checkpoint

State = dict[str, torch.Tensor]
Network = TypeVar("Network", bound=nn.Module)

_OPTIONAL = "num_batches_tracked"  # counters that checkpoints from before torch 0.4.1 lack; evaluation has no use for

# System -> how the names in its checkpoints begin. The first that has one is it: EMOCA's networks are DECA's and more.
_MARKS = {
    "EMICA": ("deca.E_mica.", "E_mica.", "face_encoder."),
    "EMOCA": ("deca.E_expression.", "E_expression."),
    "DECA": ("E_flame", "deca.E_flame."),
    "SMIRK": ("smirk_encoder.", "smirk_generator."),
    "MICA": ("flameModel", "arcface"),
    "Deep3DFaceRecon": ("net_recon",),
    "SynergyNet": ("forwardDirection.", "I2P."),
    "3DDFA_V2": ("dw6.", "fc_param.", "conv_param."),
    "FaceBoxes": ("inception1.",),
    "ArcFace": ("prelu.",),
    "DiffusionRig": ("denoisingUNet.",),
    "FAN": ("m0.b1_4.",),
}


class Checkpoint:
    """An official file of weights, read.

    Args:
        path: the file.
        system: whose weights it should hold: ``"SMIRK"``.
        mend: what users can do when it doesn't.
        inert: see :func:`facecli.io.safe_pickle.load_checkpoint`.

    Raises:
        InputError: it is missing, damaged or unsafe.
    """

    def __init__(self, path: str | Path, system: str, mend: str = "", inert: Iterable[str] = ()):
        self.path, self.system, self.mend = Path(path), system, mend
        # What isn't asked for is never read: optimisers' states are twice as large as the weights.
        self.content = load_checkpoint(path, inert=inert, mmap=True)

    @classmethod
    def of(cls, source: Asset | str | Path, system: str) -> Checkpoint:
        """The checkpoint that is an asset, or another file. Raises MissingAssetError, too."""
        if isinstance(source, Asset):
            return cls(require(source), system, mend_of(source))
        return cls(source, system)

    def state(self, entry: str = "", prefix: str = "") -> State:
        """Tensors by name: those below `entry` of the file's dictionary whose names begin with `prefix`, without it.
        None where there are none."""
        content = self.content
        if entry:
            content = content.get(entry) if isinstance(content, Mapping) else None
        state = tensors(content)
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

    def build(
        self, architecture: Callable[[], Network], state: Mapping[str, torch.Tensor], device: Any, name: str
    ) -> Network:
        """The network of `state`, in evaluation mode on `device`.

        Args:
            architecture: makes the module; its values don't matter, and none are computed.
            state: a part of this file, see :meth:`state`.
            name: what messages call the network.

        Raises:
            InputError: the file is another system's, or `state` doesn't fit.
        """
        with torch.device("meta"):  # costs no memory and no initialisation
            module = architecture()
        wanted = module.state_dict()
        name = f"{self.system}'s {name}"
        if not state:
            found = system_of(self.content)
            foreign = found not in ("", self.system)
            problem = f"holds {found}'s weights, not {self.system}'s" if foreign else f"holds no weights of {name}"
            raise self.error(problem)
        problem = misfit(state, wanted)
        if problem:
            raise self.error(f"doesn't fit {name}: {problem}")
        return assemble(module, state, device)

    def error(self, problem: str) -> InputError:
        """The one line for a file that is not what it should be."""
        return InputError(self.path, problem, self.mend)


def read_state(asset: Asset, architecture: Callable[[], nn.Module]) -> State:
    """The state dict that `asset`'s file is, on the CPU, with its wrappings taken off (``state_dict``, ``module.``).

    Args:
        architecture: makes the module that it is for; only the names and shapes of its state are looked at.

    Raises:
        MissingAssetError: the file isn't there, or its hash is wrong.
        InputError: it is damaged, unsafe, or holds another network.
    """
    path = require(asset)
    state = tensors(load_checkpoint(path))
    with torch.device("meta"):
        wanted = architecture().state_dict()
    problem = misfit(state, wanted)
    if problem:
        raise InputError(path, f"isn't the official {asset.filename}: {problem}", mend_of(asset))
    return state


def load_module(asset: Asset, architecture: Callable[[], Network], device: Any) -> Network:
    """The network that `asset`'s file is, ready to be used on `device`. Raises as :func:`read_state`."""
    state = read_state(asset, architecture)
    with torch.device("meta"):
        module = architecture()
    return assemble(module, state, device)


def mend_of(asset: Asset) -> str:
    """What to do about a file under `asset`'s name that isn't it."""
    get = f"`facecli assets get {asset.name}`" if asset.fetchable else how_to_get(asset)
    return f"delete it, then {get}"


def tensors(content: Any) -> State:
    """Tensors by name, with the usual wrappings taken off; {} for what isn't a state dict."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        return {}
    return {
        str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, torch.Tensor)
    }


def rows(state: Mapping[str, torch.Tensor], key: str) -> int:
    """Length of `state`'s tensor `key` along its first axis, which in weights is the width of a layer; 0 without."""
    return next(iter(state[key].shape), 0) if key in state else 0


def system_of(content: Any) -> str:
    """Whose checkpoint this is, by the names in it; "" for what isn't known."""
    names = {*tensors(content)}
    if isinstance(content, Mapping):
        names |= {str(key) for key in content}
    for system, marks in _MARKS.items():
        if any(name.startswith(marks) for name in names):
            return system
    return ""


def misfit(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> str:
    """Why `state` can't go into a module with the state `wanted`, or ""."""
    lacking = [key for key in wanted if key not in state and not key.endswith(_OPTIONAL)]
    if lacking:
        return f"it lacks {len(lacking)} of the network's {len(wanted)} tensors, the first being {lacking[0]}"
    foreign = [key for key in state if key not in wanted]
    if foreign:
        return f"it has {len(foreign)} tensors that the network doesn't know, the first being {foreign[0]}"
    for key, tensor in state.items():
        if tensor.shape != wanted[key].shape:
            return f"{key} has the shape {list(tensor.shape)}, not {list(wanted[key].shape)}"
    return ""


def assemble(module: Network, state: Mapping[str, torch.Tensor], device: Any) -> Network:
    """`module`, made on the meta device, with copies of `state`, which fits it, on `device` and in evaluation mode."""
    values = {}
    for key, wanted in module.state_dict().items():
        if key in state:
            values[key] = state[key].to(device=device, dtype=wanted.dtype, copy=True)
        else:
            values[key] = torch.zeros(wanted.shape, dtype=wanted.dtype, device=device)
    module.load_state_dict(values, assign=True)
    return module.eval()
