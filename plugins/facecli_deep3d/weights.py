"""Deep3DFaceRecon's official file into its network."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from facecli.assets.catalogue import Asset
from facecli.nn.checkpoints import Checkpoint
from facecli.nn.fuse import fuse
from facecli_deep3d import files
from facecli_deep3d.network import ReconNet, recognise

SYSTEM = "Deep3DFaceRecon"
ENTRY = "net_recon"  # beside it the file holds the states of the optimiser and of its schedule


def load_network(device: Any = "cpu", source: Asset | str | Path = files.DEEP3D, fused: bool = True) -> ReconNet:
    """The regressor, in evaluation mode. Its backbone, and whether it has one last layer or seven, is seen in the file.

    Args:
        device: where it goes.
        source: the official file, or another one in its format.
        fused: faster, without official names and not to be trained: see :mod:`facecli.nn.fuse`.

    Raises:
        MissingAssetError: there is no such file.
        InputError: it is damaged, unsafe, or another network's.
    """
    checkpoint = Checkpoint.of(source, SYSTEM)
    state = checkpoint.state(ENTRY)
    network = checkpoint.build(partial(ReconNet, **recognise(state)), state, device, "network")
    return fuse(network) if fused else network
