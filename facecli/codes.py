"""Codes: what a model says about a face in numbers, and the files they are kept in.

Standard names (DESIGN.md): ``identity``, ``expression``, ``pose`` (global rotation, axis-angle), ``jaw``, ``eyes``,
``eyelids``, ``texture``, ``light``, ``camera``, ``detail``; a model may add its own. Values are float tensors with the
faces on the first axis. ``warp`` [B, 3, 3] (photograph -> crop pixels) and ``photo_size`` [B, 2] (height, width) are
kept beside them, so that codes read from a file land on the photograph again.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from facecli.errors import InputError, OutputError
from facecli.io.arrays import write_npz
from facecli.io.atomic import output_error
from facecli.io.filetypes import check_file

STANDARD_NAMES = (
    "identity", "expression", "pose", "jaw", "eyes", "eyelids", "texture", "light", "camera", "detail",
)  # fmt: skip

TIME = "time"
"""Of a video's codes: the array of their frames' times, in seconds."""

_HEADER, _EXTRA, _VERSION = "__facecli_codes__", "extra/", 1


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

    @property
    def of_video(self) -> bool:
        """Whether its rows are one person's frames, at `extras["time"]` seconds; else they are faces."""
        return TIME in self.extras


@dataclass(frozen=True)
class CodesSummary:
    """What a ``codes.npz`` is about, from its first bytes.

    Args:
        model, family: the plugin's that made them.
        shapes: code -> shape, faces or frames first.
        of_video: as :attr:`CodesFile.of_video`.
    """

    model: str
    family: str
    shapes: Mapping[str, tuple[int, ...]]
    of_video: bool

    def __len__(self) -> int:
        return next(iter(self.shapes.values()))[0]


def save_codes(path: str | Path, codes: Codes, **extras: np.ndarray) -> None:
    """Write `codes` to an ``.npz``; `extras` are stored under ``extra/<name>``. The file holds no pickles."""
    arrays = {name: value.detach().cpu().numpy() for name, value in codes.values.items()}
    arrays |= {f"{_EXTRA}{name}": np.asarray(value) for name, value in extras.items()}
    arrays[_HEADER] = np.array([codes.model, codes.family, str(_VERSION)])
    write_npz(path, arrays)


def load_codes(path: str | Path) -> CodesFile:
    """Read a file that :func:`save_codes` wrote.

    Raises:
        InputError: the file can't be read or is no codes file.
    """
    with _Archive(path) as archive:
        summary = archive.summary()
        values = {name: torch.from_numpy(archive.array(name)) for name in summary.shapes}
        extras = {name.removeprefix(_EXTRA): archive.array(name) for name in archive.names(_EXTRA)}
    return CodesFile(Codes(values, summary.model, summary.family), extras)


def summarize_codes(path: str | Path) -> CodesSummary:
    """What `load_codes` would find, without reading the numbers.

    Raises:
        InputError: the file can't be read or is no codes file.
    """
    with _Archive(path) as archive:
        return archive.summary()


def unpack_codes(path: str | Path, folder: Path) -> CodesFile:
    """As :func:`load_codes`, but with arrays that lie in files below `folder`: any length fits into memory.

    Raises:
        InputError: the file can't be read or is no codes file.
        OutputError: `folder` can't be written to, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _Archive(path) as archive:
        summary = archive.summary()
        values = {name: torch.from_numpy(archive.unpacked(name, folder)) for name in summary.shapes}
        extras = {name.removeprefix(_EXTRA): archive.unpacked(name, folder) for name in archive.names(_EXTRA)}
    return CodesFile(Codes(values, summary.model, summary.family), extras)


class _Archive:
    """The arrays of an ``.npz`` of codes, one by one. What is wrong with it is told by the file's name."""

    def __init__(self, path: str | Path):
        self.path = path
        check_file(path)

    def __enter__(self) -> _Archive:
        with self._reading():
            self._zip = zipfile.ZipFile(self.path)
        self._members = {info.filename.removesuffix(".npy"): info for info in self._zip.infolist()}
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (InputError, OutputError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(self.path, f"not a readable .npz file: {reason}", "is it cut or damaged?") from error

    def summary(self) -> CodesSummary:
        if _HEADER not in self._members:
            with self._reading():
                self._check_pickles()
            raise InputError(
                self.path, "holds no facecli codes", "codes.npz files are written by `facecli reconstruct`"
            )
        header = self.array(_HEADER)
        words = [str(word) for word in header.ravel()] if header.dtype.kind == "U" else []
        if len(words) < 2:
            raise InputError(self.path, "is a codes file with a damaged header", "make it again")
        if len(words) > 2 and words[2] != str(_VERSION):
            raise InputError(self.path, f"was written by a newer facecli (format {words[2]})", "update facecli")
        names = [name for name in self._members if "/" not in name and name != _HEADER]
        shapes = {name: self._shape(name) for name in names}
        if not shapes:
            raise InputError(self.path, "is a codes file without any code", "make it again")
        if len({shape[:1] for shape in shapes.values()}) > 1 or () in shapes.values():
            raise InputError(self.path, "is a codes file whose codes are of different lengths", "make it again")
        return CodesSummary(words[0], words[1], shapes, f"{_EXTRA}{TIME}" in self._members)

    def names(self, prefix: str) -> list[str]:
        return [name for name in self._members if name.startswith(prefix)]

    def array(self, name: str) -> np.ndarray:
        with self._reading(), self._zip.open(self._members[name]) as file:
            return self._number(name, np.lib.format.read_array(file, allow_pickle=False))

    def unpacked(self, name: str, folder: Path) -> np.ndarray:
        target = folder / f"{name.replace('/', '-')}.npy"
        with self._reading(), self._zip.open(self._members[name]) as source:
            try:
                with target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 22)
            except OSError as error:
                raise output_error(target, error) from error
            return self._number(name, np.load(target, mmap_mode="r+", allow_pickle=False))

    def _number(self, name: str, array: np.ndarray) -> np.ndarray:
        if name == _HEADER or array.dtype.kind in "fiub" or name.startswith(_EXTRA):
            return array
        raise InputError(self.path, f"its code {name!r} is {array.dtype}, not numbers", "make it again")

    def _shape(self, name: str) -> tuple[int, ...]:
        with self._reading(), self._zip.open(self._members[name]) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        if dtype.kind not in "fiub":
            raise InputError(self.path, f"its code {name!r} is {dtype}, not numbers", "make it again")
        return shape

    def _check_pickles(self) -> None:
        for name in self._members:
            self.array(name)
