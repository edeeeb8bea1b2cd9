"""Codes: what a model says about a face in numbers, and the files they are kept in.

Standard names (DESIGN.md): ``identity``, ``expression``, ``pose`` (global rotation, axis-angle), ``jaw``, ``eyes``,
``eyelids``, ``texture``, ``light``, ``camera``, ``detail``; a model may add its own. Values are float tensors with the
faces on the first axis. ``warp`` [B, 3, 3] (photograph -> crop pixels) and ``photo_size`` [B, 2] (height, width) are
kept beside them, so that codes read from a file land on the photograph again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from facecli.errors import InputError
from facecli.io.arrays import write_npz

STANDARD_NAMES = (
    "identity", "expression", "pose", "jaw", "eyes", "eyelids", "texture", "light", "camera", "detail",
)  # fmt: skip

_HEADER = "__facecli_codes__"


@dataclass
class Codes:
    """Named code tensors of B faces.

    Args:
        values: name -> [B, ...] float tensor.
        model: the plugin's name.
        family: the plugin's family; codes of one family can be mixed.
    """

    values: dict[str, torch.Tensor]
    model: str = ""
    family: str = ""

    def __post_init__(self):
        lengths = {len(value) for value in self.values.values()}
        if len(lengths) > 1:
            raise ValueError(f"codes of different lengths: { {k: len(v) for k, v in self.values.items()} }")

    def __len__(self) -> int:
        return len(next(iter(self.values.values()))) if self.values else 0

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def select(self, index: int | slice | list[int]) -> Codes:
        """The faces `index`, still batched."""
        index = [index] if isinstance(index, int) else index
        return Codes({name: value[index] for name, value in self.values.items()}, self.model, self.family)

    def to(self, device: str | torch.device) -> Codes:
        return Codes({name: value.to(device) for name, value in self.values.items()}, self.model, self.family)

    def replace(self, **values: torch.Tensor) -> Codes:
        """A copy with some codes exchanged: the *mix* step."""
        return Codes({**self.values, **values}, self.model, self.family)

    @staticmethod
    def concatenate(parts: Iterable[Codes]) -> Codes:
        """Several batches as one; all must have the same names."""
        parts = list(parts)
        names = parts[0].values
        return Codes({name: torch.cat([p[name] for p in parts]) for name in names}, parts[0].model, parts[0].family)


@dataclass
class CodesFile:
    """What a ``codes.npz`` holds: codes with the faces (or frames) on the first axis, and further arrays."""

    codes: Codes
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)


def save_codes(path: str | Path, codes: Codes, **extras: np.ndarray) -> None:
    """Write `codes` to an ``.npz``; `extras` are stored under ``extra/<name>``. The file holds no pickles."""
    arrays = {name: value.detach().cpu().numpy() for name, value in codes.values.items()}
    arrays |= {f"extra/{name}": np.asarray(value) for name, value in extras.items()}
    arrays[_HEADER] = np.array([codes.model, codes.family])
    write_npz(path, arrays)


def load_codes(path: str | Path) -> CodesFile:
    """Read a file that :func:`save_codes` wrote.

    Raises:
        InputError: the file can't be read or is no codes file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except Exception as error:
        raise InputError(path, f"not a readable .npz file: {error}") from error
    if _HEADER not in arrays:
        raise InputError(path, "holds no facecli codes", "codes.npz files are written by `facecli reconstruct`")
    model, family = (str(word) for word in arrays.pop(_HEADER))
    extras = {name.removeprefix("extra/"): arrays.pop(name) for name in list(arrays) if name.startswith("extra/")}
    return CodesFile(Codes({name: torch.from_numpy(value) for name, value in arrays.items()}, model, family), extras)
