"""What the networks are told of all examples, made in worker processes and kept in bytes."""

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
from facecli_open.gradients import LIMIT, NUMBERS
from facecli_open.inputs import Look, first_look
from facecli_open.second_look import SecondLook
from facecli_open.seen import Seen
from facecli_open.training.examples import Shard
from facecli_open.training.shards import length, make_shards
from facecli_open.weights import LOOKS

VERSION = 2
"""Goes up whenever the same heads and answers give other looks."""
NAMES = ("geometry", "picture")
"""Arrays of a file of N heads, each plain and mirrored: float16 [N, 2, G] and uint8 [N, 2, P, NUMBERS], whose 255 is
gradients' LIMIT."""
BYTE = np.float32(255 / LIMIT)


@dataclass(frozen=True)
class Glances:
    """Looks at a shard of examples; the second one is at what was `told` of them, [N, 2, OUTPUTS]."""

    shard: Shard
    path: Path
    told: np.ndarray | None = None

    @property
    def count(self) -> int:
        return self.shard.count


def looks(
    shards: Sequence[Shard],
    folder: Path,
    listener: Listener,
    answers: np.ndarray | None = None,
    workers: int | None = None,
) -> list[Glances]:
    """Files of the first look at all heads of `shards`, or of the second, for the first network's `answers`
    [N, 2, OUTPUTS] to all of them.

    Raises:
        FacecliError: the face model is missing, or the folder can't be written to.
    """
    name = "first" if answers is None else "second"
    digest = hashlib.blake2b(f"{name} {VERSION} {shards[0].path.parent.name}".encode(), digest_size=8)
    if answers is not None:
        digest.update(np.ascontiguousarray(answers).tobytes())
    home, start, glances = folder / digest.hexdigest(), 0, []
    for shard in shards:
        end = start + length(shard.path, "index")
        glances.append(Glances(shard, home / shard.path.name, None if answers is None else answers[start:end]))
        start = end
    make_shards(glances, _make, NAMES, listener, f"{name} looks", workers)
    return glances


def _make(glances: Glances) -> None:
    """Runs in worker processes."""
    side = glances.shard.heads.size
    with np.load(glances.shard.path, allow_pickle=False) as archive:
        points, greys, warps = (archive[name] for name in ("points", "grey", "warp"))
    places, geometry = LOOKS["first" if glances.told is None else "second"]
    found = np.zeros((len(points), 2, geometry), np.float16), np.zeros((len(points), 2, places, NUMBERS), np.uint8)
    for number in range(len(points)):
        plain = Seen(points[number].astype(np.float64), greys[number], warps[number], (side, side))
        for twin, seen in enumerate((plain, plain.mirrored())):
            look = _look(glances, seen, number, twin)
            found[0][number, twin], found[1][number, twin] = look.geometry, np.rint(look.picture * BYTE)
    write_npz(glances.path, dict(zip(NAMES, found, strict=True)), compressed=False)


def _look(glances: Glances, seen: Seen, number: int, twin: int) -> Look:
    if glances.told is None:
        return first_look(seen)
    return _second_look(glances.shard.heads).of(seen, glances.told[number, twin])


@functools.lru_cache(maxsize=1)
def _second_look(heads: HeadSet) -> SecondLook:
    model = renderer(heads).model.model
    return SecondLook(model, LandmarkFit(model))
