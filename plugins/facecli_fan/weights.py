"""Official checkpoints into modules: found and checked by the catalogue, read without unpickling freely, compared with
the network they are for, and for the face-alignment package laid out where it looks."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facecli.assets.catalogue import Asset
from facecli.assets.store import require
from facecli.errors import InputError, MissingAssetError, OutputError
from facecli.io.safe_pickle import load_checkpoint

_OPTIONAL = "num_batches_tracked"  # counters that checkpoints from before torch 0.4.1 lack; evaluation has no use for


def require_all(assets: Iterable[Asset]) -> None:
    """Name everything that is missing at once, so that users don't come back for each file.

    Raises:
        MissingAssetError: something is missing or broken.
    """
    problems = []
    for asset in assets:
        try:
            require(asset)
        except MissingAssetError as error:
            problems.append(str(error))
    if problems:
        raise MissingAssetError("; ".join(problems))


def read_state(asset: Asset, architecture: Callable[[], nn.Module]) -> dict[str, torch.Tensor]:
    """The state dict in `asset`'s file, on the CPU, with its wrappings taken off (``state_dict``, ``module.``).

    Args:
        architecture: makes the module that it is for; only the names and shapes of its state are looked at.

    Raises:
        MissingAssetError: the file isn't there, or its hash is wrong.
        InputError: it is damaged, unsafe, or holds another network.
    """
    path = require(asset)
    state = _unwrap(load_checkpoint(path))
    with torch.device("meta"):  # costs no memory and no initialisation
        wanted = architecture().state_dict()
    problem = _misfit(state, wanted)
    if problem:
        mend = f"delete it, then `facecli assets get {asset.name}`"
        raise InputError(path, f"isn't the official {asset.filename}: {problem}", mend)
    return state


def load_module(asset: Asset, architecture: Callable[[], nn.Module], device: str) -> nn.Module:
    """The network in `asset`'s file, ready to be used on `device`. Raises as :func:`read_state`."""
    state = read_state(asset, architecture)
    module = architecture()
    module.load_state_dict(state)
    return module.to(device).eval()


def _unwrap(checkpoint: Any) -> dict[str, torch.Tensor]:
    """Tensors by name, or {} for what isn't a state dict."""
    if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get("state_dict"), Mapping):
        checkpoint = checkpoint["state_dict"]
    if not isinstance(checkpoint, Mapping):
        return {}
    return {
        str(key).removeprefix("module."): value for key, value in checkpoint.items() if isinstance(value, torch.Tensor)
    }


def _misfit(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> str:
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


@contextlib.contextmanager
def private_hub(contents: Mapping[str, Any]) -> Iterator[None]:
    """While this lasts, torch hub's cache is a folder of our own that holds `contents` and nothing else.

    The package loads some of its checkpoints with a free unpickler. What it gets here was written by ourselves from
    tensors alone, so nothing in a downloaded file can run.

    Args:
        contents: file name -> what to `torch.save` under it, or the Path of a file to copy.
    """
    previous = torch.hub._hub_dir  # get_dir() would turn "not set" into a fixed folder
    with tempfile.TemporaryDirectory(prefix="facecli-hub-") as folder:
        _fill_hub(Path(folder), contents)
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub._hub_dir = previous


def _fill_hub(folder: Path, contents: Mapping[str, Any]) -> None:
    checkpoints = folder / "checkpoints"
    try:
        checkpoints.mkdir()
        for name, content in contents.items():
            if isinstance(content, Path):
                shutil.copyfile(content, checkpoints / name)
            else:
                torch.save(content, checkpoints / name)
    except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as RuntimeError
        raise OutputError(f"{folder}: can't be written: {error} (make room, or set TMPDIR to another place)") from error
