"""3DDFA_V2's official files into its networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from facecli.assets.catalogue import Asset
from facecli.nn.checkpoints import Checkpoint, State
from facecli.nn.fuse import fuse
from facecli_tddfa_v2.network import CODES, MobileNet, recognise

SYSTEM = "3DDFA_V2"
_HEAD = "fc_param."  # the name of `fc` while there was a second head, for landmarks, beside it
_TRAINING = "fc_lm."


def load_network(source: Asset | str | Path, device: Any = "cpu", fused: bool = True) -> nn.Module:
    """The network [B, 3, 120, 120] -> [B, 62] in evaluation mode. Which one it is, and its width, is seen in the file.

    Args:
        source: mb1_120x120.pth, mb05_120x120.pth, resnet22.pth, or another file in their format.
        device: where it goes.
        fused: faster, without official names and not to be trained: see :mod:`facecli.nn.fuse`.

    Raises:
        MissingAssetError: there is no such file.
        InputError: it is damaged, unsafe, or another network's.
    """
    checkpoint = Checkpoint.of(source, SYSTEM)
    state = _renamed(checkpoint.state())
    architecture = recognise(state)
    if architecture is None:
        architecture, state = MobileNet, {}  # no part of the file is 3DDFA_V2's: `build` says so
    network = checkpoint.build(architecture, state, device, "network")
    if network.numbers not in CODES:
        known = ", ".join(str(numbers) for numbers in CODES)
        raise checkpoint.error(f"gives {network.numbers} numbers a face; known is what {known} mean")
    return fuse(network) if fused else network


def _renamed(state: State) -> State:
    return {key.replace(_HEAD, "fc."): value for key, value in state.items() if not key.startswith(_TRAINING)}
