"""SynergyNet's official file into its networks, and the face model that lies in it, too."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli.assets.catalogue import Asset
from facecli.nn.checkpoints import Checkpoint
from facecli.nn.fuse import fuse
from facecli_synergynet.mlps import N_POINTS, MLPFor, MLPRev, pooled_width
from facecli_synergynet.network import ARCHITECTURES, N_PARAMETERS, SIZES, Regressor, recognise

SYSTEM = "SynergyNet"
DEFAULT = "mobilenet_v2"
_BACKBONE = "I2P.backbone."
_FOR, _REV = "forwardDirection", "reverseDirection"
# Buffers of the training model: mean and deviation of the parameters, and the face's parts with their columns.
_WHITENING = ("param_mean", "param_std")
_BASES = {"u": 1, "w_shp": SIZES["shape"], "w_exp": SIZES["exp"]}
_LANDMARKS, _LANDMARK_ROWS = "_base", 3 * N_POINTS  # ends the names of those that have the rows of the landmarks only
_ARRAYS = (*_WHITENING, *_BASES, *(f"{name}{_LANDMARKS}" for name in _BASES))


def open_checkpoint(source: Asset | str | Path) -> Checkpoint:
    """best.pth.tar, or another file in its format. Raises MissingAssetError, InputError."""
    return Checkpoint.of(source, SYSTEM)


def load_backbone(checkpoint: Checkpoint, device: Any = "cpu", fused: bool = True) -> Regressor:
    """The network that gives parameters, in evaluation mode; which architecture it is of is seen in the file.

    Args:
        checkpoint: see :func:`open_checkpoint`.
        device: where it goes.
        fused: faster, without official names and not to be trained: see :mod:`facecli.nn.fuse`.

    Raises:
        InputError: the file is another network's. (The official program loads what fits and leaves the rest random.)
    """
    state = checkpoint.state(prefix=_BACKBONE)
    name = recognise(state) or DEFAULT
    network = checkpoint.build(ARCHITECTURES[name], state, device, f"backbone {name}" if state else "backbone")
    return fuse(network) if fused else network


def load_mlps(checkpoint: Checkpoint, device: Any = "cpu") -> tuple[MLPFor, MLPRev]:
    """The networks of training, `forwardDirection` and `reverseDirection`, in evaluation mode. Raises InputError."""
    forward, reverse = (checkpoint.state(prefix=f"{name}.") for name in (_FOR, _REV))
    refine = partial(MLPFor, pooled_width(forward))
    return checkpoint.build(refine, forward, device, _FOR), checkpoint.build(MLPRev, reverse, device, _REV)


def face_model(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The face model that lies beside the networks, float32, by its official names.

    `param_mean`, `param_std` [62 or more]; `u` [3V, 1], `w_shp` [3V, 40], `w_exp` [3V, 10]; and their rows of the 68
    landmarks, `u_base`, `w_shp_base`, `w_exp_base` [204, …]. What the file lacks isn't in the answer.

    Raises:
        InputError: an array hasn't the shape that it must have, or numbers in it aren't finite.
    """
    state = checkpoint.state()
    found = {}
    for name in _ARRAYS:
        if name in state:
            _check_array(checkpoint, name, state[name])
            found[name] = state[name].float().numpy().copy()
            if not np.isfinite(found[name]).all():
                raise checkpoint.error(f"{name} has numbers that aren't finite")
    if len({len(found[name]) for name in _BASES if name in found}) > 1:
        raise checkpoint.error(f"{', '.join(_BASES)} are of different face models")
    return found


def _check_array(checkpoint: Checkpoint, name: str, value: torch.Tensor) -> None:
    shape = list(value.shape)
    if name in _WHITENING:
        wanted, fits = f"[{N_PARAMETERS} or more]", len(shape) == 1 and shape[0] >= N_PARAMETERS
    else:
        columns, rows = _BASES[name.removesuffix(_LANDMARKS)], _LANDMARK_ROWS if name.endswith(_LANDMARKS) else 0
        wanted = f"[{rows or '3V'}, {columns}]"
        fits = len(shape) == 2 and shape[1] == columns and (shape[0] == rows if rows else shape[0] % 3 == 0 < shape[0])
    if not fits:
        raise checkpoint.error(f"{name} has the shape {shape}, not {wanted}")
