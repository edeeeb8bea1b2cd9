"""The second look at all examples, made in worker processes from what the first network said of them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.data.head_set import HeadSet, renderer
from facecli.io.arrays import write_npz
from facecli.listener import Listener
from facecli.morphable.ict_fit import LandmarkFit
from facecli_open.second_look import SECOND_INPUTS, SecondLook
from facecli_open.seen import Seen
from facecli_open.training.examples import Shard
from facecli_open.training.shards import make_shards

VERSION = 1
"""Goes up whenever the same answers give another second look."""
NAMES = ("second",)
"""float16 [N, 2, SECOND_INPUTS] of each head and its mirrored twin."""


@dataclass(frozen=True)
class Glance:
    """The second look at a shard of examples: `told` [N, 2, OUTPUTS] was said of them."""

    shard: Shard
    told: np.ndarray
    path: Path

    @property
    def count(self) -> int:
        return self.shard.count


def second_looks(
    shards: Sequence[Shard], answers: np.ndarray, folder: Path, told: Listener, workers: int | None = None
) -> list[Glance]:
    """Files of the second look, for the `answers` [N, 2, OUTPUTS] of the first network to all heads of `shards`.

    Raises:
        FacecliError: the face model is missing, or the folder can't be written to.
    """
    digest = hashlib.blake2b(f"second {VERSION} {shards[0].path.parent.name}".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(answers).tobytes())
    home, start, glances = folder / digest.hexdigest(), 0, []
    for shard in shards:
        with np.load(shard.path, allow_pickle=False) as archive:
            end = start + len(archive["index"])
        glances.append(Glance(shard, answers[start:end], home / shard.path.name))
        start = end
    make_shards(glances, _make, NAMES, told, "second looks", workers)
    return glances


def _make(glance: Glance) -> None:
    """Runs in worker processes."""
    look, side = _second_look(glance.shard.heads), glance.shard.heads.size
    with np.load(glance.shard.path, allow_pickle=False) as archive:
        points, greys, warps = (archive[name] for name in ("points", "grey", "warp"))
    rows = []
    for number, told in enumerate(glance.told):
        plain = Seen(points[number].astype(np.float64), greys[number], warps[number], (side, side))
        both = zip((plain, plain.mirrored()), told, strict=True)
        rows.append(np.stack([look.inputs(seen, said) for seen, said in both]).astype(np.float16))
    seen = np.stack(rows) if rows else np.zeros((0, 2, SECOND_INPUTS), np.float16)
    write_npz(glance.path, {"second": seen}, compressed=False)


@functools.lru_cache(maxsize=1)
def _second_look(heads: HeadSet) -> SecondLook:
    model = renderer(heads).model.model
    return SecondLook(model, LandmarkFit(model))
