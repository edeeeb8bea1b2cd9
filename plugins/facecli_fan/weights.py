"""Checked weights laid out where the face-alignment package looks for them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from facecli.errors import OutputError


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
