"""SMIRK's official file into its networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facecli.nn.checkpoints import Checkpoint
from facecli.nn.fuse import fuse
from facecli_smirk import files
from facecli_smirk.encoder import SmirkEncoder
from facecli_smirk.generator import SmirkGenerator

_ENCODER, _GENERATOR = "smirk_encoder.", "smirk_generator."


def load_encoder(device: Any = "cpu", fused: bool = True, path: str | Path | None = None) -> SmirkEncoder:
    """The encoder, in evaluation mode.

    Args:
        device: where it goes.
        fused: twice as fast, without official names and not to be trained: see :mod:`facecli.nn.fuse`.
        path: a checkpoint with the official file's names; None is the official file.

    Raises:
        MissingAssetError: there is no such file.
        InputError: it is damaged, unsafe, or another network's.
    """
    checkpoint = _checkpoint(path)
    encoder = checkpoint.build(SmirkEncoder, checkpoint.state(prefix=_ENCODER), device, "encoder")
    return fuse(encoder) if fused else encoder


def load_generator(device: Any = "cpu", fused: bool = True, path: str | Path | None = None) -> SmirkGenerator:
    """The generator, in evaluation mode. Arguments and errors as for :func:`load_encoder`; checkpoints of the
    pretraining stage don't have it, which is an InputError, too."""
    checkpoint = _checkpoint(path)
    state = checkpoint.state(prefix=_GENERATOR)
    if not state and checkpoint.state(prefix=_ENCODER):
        raise checkpoint.error("holds SMIRK's encoder only: it is of the pretraining stage, which has no generator")
    generator = checkpoint.build(SmirkGenerator, state, device, "generator")
    return fuse(generator) if fused else generator


def _checkpoint(path: str | Path | None) -> Checkpoint:
    return Checkpoint(path, "SMIRK") if path else Checkpoint.of(files.SMIRK, "SMIRK")
