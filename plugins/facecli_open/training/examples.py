"""Examples: rendered heads as the network sees them, plain and mirrored, beside the codes that made them.

They are made in processes and kept in files of :data:`SHARD` heads, so that a killed run goes on, and another one with
other settings of the network needs no new heads.
"""

from __future__ import annotations

import functools
import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.benchmark.workers import map_cases
from facecli.data.head_set import HeadSet, draw
from facecli.data.render_head import Rendered
from facecli.detect.face import Face
from facecli.io.arrays import write_npz
from facecli.io.atomic import remove_leftovers
from facecli.listener import Listener
from facecli_mediapipe.landmarker import MediaPipeLandmarker
from facecli_open.crop import crop_head
from facecli_open.inputs import inputs_of, mirrored_inputs_of

SHARD = 250
VERSION = 1
"""Goes up whenever the same head gives other inputs."""
NEAR = 0.1
"""Of the picture's side: how far the middle of a face that is found may lie from the head's."""
_NAMES = ("index", "inputs", "identity", "expression", "distance")


@dataclass(frozen=True)
class Examples:
    """N heads that were found.

    Args:
        index: [N] which heads of the set they are.
        inputs: float16 [N, 2, INPUTS], of each head and of its mirrored twin.
        identity: float32 [N, 100]. expression: float32 [N, 57]. distance: float32 [N] mm.
    """

    index: np.ndarray
    inputs: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @staticmethod
    def concatenate(parts: Sequence[Examples]) -> Examples:
        """All of them, in order."""
        return Examples(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))


@dataclass(frozen=True)
class _Shard:
    heads: HeadSet
    first: int
    count: int
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.first:06}.npz"


def make_examples(
    heads: HeadSet, first: int, count: int, folder: Path, told: Listener, workers: int | None = None
) -> Examples:
    """Heads `first` to `first` + `count` of the set, those that MediaPipe finds. What `folder` has isn't made again.

    Raises:
        FacecliError: the face model is missing, or the folder can't be written to.
    """
    home = folder / _fingerprint(heads)
    remove_leftovers(home)
    end = first + count
    shards = [_Shard(heads, start, min(SHARD, end - start), home) for start in range(first, end, SHARD)]
    kept = {shard.first: found for shard in shards if (found := _read(shard)) is not None}
    missing = [shard for shard in shards if shard.first not in kept]
    if missing:
        with told.progress("heads", sum(shard.count for shard in missing)) as progress:
            for outcome in map_cases(_make, missing, workers=workers, worth=2):
                if outcome.error is not None:
                    raise outcome.error
                for _ in range(outcome.item.count):
                    progress.input_done()
    return Examples.concatenate([kept.get(shard.first) or _read(shard) for shard in shards])


def _fingerprint(heads: HeadSet) -> str:
    """Of all that examples depend on."""
    text = f"examples {VERSION} {heads.fingerprint}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _make(shard: _Shard) -> None:
    """Draw the shard's heads, find them, and keep what was found. Runs in worker processes."""
    rows = []
    for index in range(shard.first, shard.first + shard.count):
        head = draw(shard.heads, index)
        face = _found(head)
        if face is None:
            continue
        crop = crop_head(head.image, face)
        inputs = np.stack([inputs_of(crop), mirrored_inputs_of(crop)]).astype(np.float16)
        rows.append((index, inputs, head.identity, head.expression, np.float32(head.view.distance)))
    columns = [np.stack(column) for column in zip(*rows, strict=True)] if rows else _nothing()
    write_npz(shard.path, dict(zip(_NAMES, columns, strict=True)), compressed=False)


def _found(head: Rendered) -> Face | None:
    """The face that is the head's, as MediaPipe finds it."""
    middle = head.landmarks[17:].mean(0)
    faces = _landmarker().detect([head.image])[0]
    away = [float(np.abs(face.points[:468, :2].mean(0) - middle).max()) for face in faces]
    if not faces or min(away) > NEAR * head.size[0]:
        return None
    return faces[int(np.argmin(away))]


@functools.cache
def _landmarker() -> MediaPipeLandmarker:
    return MediaPipeLandmarker()


def _nothing() -> list[np.ndarray]:
    from facecli_open.inputs import INPUTS
    from facecli_open.network import EXPRESSION, IDENTITY

    floats = [np.zeros((0, size), np.float32) for size in (IDENTITY, EXPRESSION)]
    return [np.zeros(0, np.int64), np.zeros((0, 2, INPUTS), np.float16), *floats, np.zeros(0, np.float32)]


def _read(shard: _Shard) -> Examples | None:
    """What is kept of a shard; None if nothing is, or if it is damaged."""
    try:
        with np.load(shard.path, allow_pickle=False) as archive:
            found = Examples(*(archive[name] for name in _NAMES))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = all(len(getattr(found, name)) == len(found) for name in _NAMES) and len(found) <= shard.count
    return found if whole else None
