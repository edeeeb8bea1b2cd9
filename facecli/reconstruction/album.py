"""What is known of one person from several photographs and videos: what each of them tells, on disk, and what they
tell together (`--same-person`).

An input counts once, a video by its median. The mean of inputs is weighed by how much a model believes what it says of
such a face, where it tells that (`certainty`): the front shows more than the side. Sums are exactly rounded
(`math.fsum`), so that the order of inputs doesn't matter, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli.codes import Codes
from facecli.io.arrays import write_npz
from facecli.plugin import Reconstructor
from facecli.reconstruction.following import follow
from facecli.reconstruction.passes import told_of
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import Frame
from facecli.reconstruction.tracks import FACE_ARRAYS, Chunk, Track, held_codes, median_of, stack_rows

_HELD = "held/"
LEAST_CERTAIN = 1e-3
"""Of certainties: an input never counts for nothing."""


@dataclass
class Shared:
    """Codes that a person has in all inputs.

    Args:
        values: code -> [...] float32. inputs: how many of them told.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: int = 0


@dataclass(frozen=True)
class Told:
    """What one input says of its person: code -> [...], and how much that counts."""

    values: Mapping[str, np.ndarray]
    weight: float


def combined(told: Iterable[Told]) -> Shared:
    """The weighted mean over inputs."""
    told = list(told)
    if not told:
        return Shared()
    total = math.fsum(one.weight for one in told)
    names = [name for name in told[0].values if all(name in one.values for one in told)]
    return Shared({name: _mean([(one.values[name], one.weight) for one in told], total) for name in names}, len(told))


def _mean(weighed: Sequence[tuple[np.ndarray, float]], total: float) -> np.ndarray:
    shape = weighed[0][0].shape
    rows = np.stack([value.astype(np.float64).ravel() * weight for value, weight in weighed])
    sums = [math.fsum(column) for column in rows.T]
    return (np.array(sums).reshape(shape) / total).astype(np.float32)


def told_by_faces(codes: Codes, settings: Settings, model: Reconstructor) -> Told:
    """What `codes` [1, ...] of a photograph's face say.

    Raises:
        UsageError: the user wants something held that is no code.
    """
    names = held_codes(settings, model, tuple(codes.values))
    return Told({name: codes[name][0].numpy(force=True) for name in names}, float(certainty_of(codes, model)[0]))


def told_by_track(track: Track, model_name: str, settings: Settings, model: Reconstructor) -> Told:
    """What a video's main person says: medians.

    Raises:
        UsageError: the user wants something held that is no code.
    """
    names = held_codes(settings, model, tuple(track.values))
    certainties = [
        certainty_of(track.codes(slice(start, start + _BLOCK), model_name, model.family), model)
        for start in range(0, len(track), _BLOCK)
    ]
    weight = float(np.median(np.concatenate(certainties)))
    return Told({name: median_of(track.values[name]) for name in names}, weight)


_BLOCK = 1024


def certainty_of(codes: Codes, model: Reconstructor) -> np.ndarray:
    """[B] how much what a person keeps is to be believed of these faces, as the model says; else 1."""
    if not hasattr(model, "certainty"):
        return np.ones(len(codes))
    with torch.inference_mode():
        told = model.certainty(codes).double().numpy(force=True)
    return np.nan_to_num(told).clip(LEAST_CERTAIN, 1)


class Album:
    """What inputs told, a file each in `folder`, by keys; and photographs' faces, so that they need not be found again.

    Args:
        settings, model: the stream's.
    """

    def __init__(self, folder: Path, settings: Settings, model: Reconstructor):
        self.folder, self._settings, self._model = folder, settings, model
        folder.mkdir(parents=True, exist_ok=True)

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def keep_photograph(self, key: str, frame: Frame) -> None:
        """A photograph whose faces were found and encoded; the first one is the person's.

        Raises:
            UsageError: the user wants something held that is no code.
        """
        told = told_by_faces(frame.codes.select(0), self._settings, self._model)
        rows = [
            {"box": face.box, "score": face.score} | told_of(frame, number, points=True)
            for number, face in enumerate(frame.faces)
        ]
        self._write(key, told, stack_rows(rows) | {"problem": np.array(frame.problem or "")})

    def keep_video(self, key: str, track: Track) -> None:
        """The main person of a video."""
        self._write(key, told_by_track(track, self._settings.model or "", self._settings, self._model), {})

    def _write(self, key: str, told: Told, arrays: Mapping[str, Any]) -> None:
        held = {f"{_HELD}{name}": value for name, value in told.values.items()}
        write_npz(self._path(key), {**arrays, **held, "weight": np.float64(told.weight)}, compressed=False)

    def told(self, key: str) -> Told:
        """What an input said."""
        with np.load(self._path(key), allow_pickle=False) as arrays:
            names = [name for name in arrays.files if name.startswith(_HELD)]
            return Told({name.removeprefix(_HELD): arrays[name] for name in names}, float(arrays["weight"]))

    def fill(self, key: str, frame: Frame, shared: Shared) -> None:
        """Gives a photograph's `frame` its faces again, the person's with what is `shared`."""
        with np.load(self._path(key), allow_pickle=False) as arrays:
            chunk = Chunk({name: arrays[name] for name in arrays.files})
        count = len(chunk["box"])
        faces = {name: chunk[name] for name in FACE_ARRAYS if name in chunk}
        rows = Track(0, np.arange(count), np.zeros(count), {}, faces=faces)
        if "point_set" in chunk:
            rows.point_set = next((word for word in chunk["point_set"].tolist() if word), "")
        frame.given, frame.faces = "faces", [rows.face(row) for row in range(count)]
        frame.problem = str(chunk["problem"]) or None
        frame.codes = chunk.codes(list(range(count)), self._settings.model or "", self._model.family)
        hold_shared(frame, shared, self._model)


def hold_shared(frame: Frame, shared: Shared, model: Reconstructor) -> None:
    """Sets the codes that are drawn: the model's, with the first face's shared ones in their places, which its others
    follow."""
    values = {}
    for name, value in shared.values.items():
        values[name] = frame.codes[name].clone()
        values[name][0] = torch.from_numpy(value)
    frame.mixed = follow(frame.codes.replace(**values), frame.codes, model, values)
    followed = [name for name, value in frame.mixed.values.items() if value is not frame.codes[name]]
    frame.held = tuple(dict.fromkeys((*values, *followed)))
