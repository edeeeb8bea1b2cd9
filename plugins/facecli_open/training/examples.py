"""Examples: rendered heads as MediaPipe finds them, beside the codes that made them."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.data.head_set import HeadSet, draw
from facecli.data.render_head import Rendered
from facecli.detect.face import Face
from facecli.io.arrays import write_npz
from facecli.listener import Listener
from facecli_mediapipe.landmarker import MediaPipeLandmarker
from facecli_open.crop import SIZE, crop_head
from facecli_open.network import EXPRESSION, IDENTITY
from facecli_open.seen import Seen
from facecli_open.training.shards import SHARD, make_shards

VERSION = 3
"""Goes up whenever the same head is seen otherwise."""
NEAR = 0.1
"""Of the picture's side: how far the middle of a face that is found may lie from the head's."""
NAMES = ("index", "points", "grey", "warp", "identity", "expression", "distance")
"""Arrays of a file of N heads: index [N] in the set; what :class:`Seen` takes; codes [N, 100] and [N, 57]; distance [N]
mm."""


@dataclass(frozen=True)
class Shard:
    """Heads `first` to `first` + `count` of a set, and the file of those that MediaPipe finds."""

    heads: HeadSet
    first: int
    count: int
    path: Path


def make_examples(heads: HeadSet, count: int, folder: Path, told: Listener, workers: int | None = None) -> list[Shard]:
    """The first `count` heads of the set, those that MediaPipe finds. What `folder` has isn't made again.

    Raises:
        FacecliError: the face model is missing, or the folder can't be written to.
    """
    text = f"examples {VERSION} {heads.fingerprint}"
    home = folder / hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    shards = [_shard(heads, start, min(SHARD, count - start), home) for start in range(0, count, SHARD)]
    make_shards(shards, _make, NAMES, told, "heads", workers)
    return shards


def _shard(heads: HeadSet, first: int, count: int, home: Path) -> Shard:
    # A last one that isn't full is none of a larger set's.
    name = f"{first:06}" if count == SHARD else f"{first:06}-{count}"
    return Shard(heads, first, count, home / f"{name}.npz")


def _make(shard: Shard) -> None:
    """Draw the shard's heads, find them, and keep what was found. Runs in worker processes."""
    rows = []
    for index in range(shard.first, shard.first + shard.count):
        head = draw(shard.heads, index)
        face = found(head)
        if face is None:
            continue
        seen = Seen.of(crop_head(head.image, face))
        points = seen.points.astype(np.float32)
        codes = head.identity, head.expression, np.float32(head.view.distance)
        rows.append((np.int64(index), points, seen.grey, seen.warp, *codes))
    columns = [np.stack(column) for column in zip(*rows, strict=True)] if rows else _nothing()
    write_npz(shard.path, dict(zip(NAMES, columns, strict=True)), compressed=False)


def found(head: Rendered) -> Face | None:
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
    shapes = [(0, 478, 3), (0, SIZE, SIZE), (0, 3, 3), (0, IDENTITY), (0, EXPRESSION), (0,)]
    kinds = [np.float32, np.uint8, np.float64, np.float32, np.float32, np.float32]
    return [np.zeros(0, np.int64), *(np.zeros(shape, kind) for shape, kind in zip(shapes, kinds, strict=True))]
