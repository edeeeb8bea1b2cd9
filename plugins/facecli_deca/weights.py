"""DECA's official file into its networks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from facecli.nn.checkpoints import Checkpoint
from facecli.nn.fuse import fuse
from facecli_deca import files
from facecli_deca.detail_decoder import DetailDecoder
from facecli_deca.encoder import N_CODES, N_DETAIL, ResnetEncoder

# Entry of the checkpoint -> what makes the network.
NETWORKS = {
    "E_flame": partial(ResnetEncoder, N_CODES),
    "E_detail": partial(ResnetEncoder, N_DETAIL),
    "D_detail": DetailDecoder,
}


def load_networks(
    device: Any = "cpu",
    names: Iterable[str] = tuple(NETWORKS),
    fused: bool = True,
    path: str | Path | None = None,
) -> dict[str, nn.Module]:
    """Networks by their official names, in evaluation mode. Only what is asked for is read.

    Args:
        device: where they go.
        names: of `NETWORKS`: E_flame (coarse codes), E_detail (wrinkle code), D_detail (displacement).
        fused: faster, without official names and not to be trained: see :mod:`facecli.nn.fuse`.
        path: another file in the official one's format.

    Raises:
        MissingAssetError: there is no such file.
        InputError: it is damaged, unsafe, or another network's.
    """
    checkpoint = Checkpoint.of(files.DECA, "DECA") if path is None else Checkpoint(path, "DECA")
    found = {name: checkpoint.build(NETWORKS[name], checkpoint.state(name), device, name) for name in names}
    return {name: fuse(network) for name, network in found.items()} if fused else found
