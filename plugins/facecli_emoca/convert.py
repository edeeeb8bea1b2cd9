"""Makes of a model's folder one with the four networks alone: what training kept beside them is much larger."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from facecli.errors import OutputError
from facecli_emoca.checkpoint import CFG, CHECKPOINTS, PREFIX, network_state, read_checkpoint


def convert_model(source: str | Path, target: str | Path) -> None:
    """Write the folder `target`: cfg.yaml, and every checkpoint of `source` under its name, with its networks only.

    Raises:
        InputError: a checkpoint is damaged, unsafe, or another system's.
        OutputError: the disk is full.
    """
    source, target = Path(source), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / CFG, target / CFG)
    for path in sorted(source.glob(CHECKPOINTS)):
        checkpoint = read_checkpoint(path)
        state = network_state(checkpoint)
        if not state:
            raise checkpoint.error("holds no networks of EMOCA")
        final = target / path.relative_to(source)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            # A copy each: torch would write all of the memory that a tensor is a view of.
            torch.save({"state_dict": {f"{PREFIX}{key}": value.clone() for key, value in state.items()}}, final)
        except RuntimeError as error:  # torch's writer reports a full disk so
            raise OutputError(f"{target}: can't be written: {error} (make room on the disk)") from error
