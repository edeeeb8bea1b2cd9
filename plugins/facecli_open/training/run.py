"""The training from beginning to end: examples, the first network, the second look, the second network, weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facecli.data.head_set import HeadSet, renderer
from facecli.data.heads import choose_heads
from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli.listener import Listener
from facecli_open.inputs import GEOMETRY
from facecli_open.network import HeadNet
from facecli_open.second_look import SECOND_GEOMETRY, USUAL_DISTANCE
from facecli_open.training.curve import draw_curve
from facecli_open.training.examples import Shard, make_examples
from facecli_open.training.fit import Data, Keeper, Plan, Row, answers, fit, write_rows
from facecli_open.training.labels import Loss, Mirror, metrics, mirror
from facecli_open.training.looks import Glances, looks
from facecli_open.training.settings import Settings
from facecli_open.training.shards import read_shards
from facecli_open.weights import NAME, Weights, write_weights

EXAMPLES, LOOKS, CURVE = "examples", "looks", "curve.csv"
_POINTS, _OTHER = 0.3, 0.05
"""What a standard deviation is taken for at least: of points in mm, of the rest."""


def train(settings: Settings, out: Path, told: Listener, workers: int | None = None) -> Path:
    """Train and write ``open.safetensors``, ``curve.csv``, ``curve.png`` and ``settings.json`` into `out`.

    A killed training goes on.

    Raises:
        FacecliError: ICT-FaceKit is missing, or `out` can't be written to.
    """
    choice = choose_heads("ict", Path(settings.face_model) if settings.face_model else None)
    heads = HeadSet(choice, settings.set, settings.seed, settings.size)
    told.say(f"{settings.heads} heads, seed {settings.seed}: drawn and looked at by MediaPipe, or taken from {out}")
    shards = make_examples(heads, settings.heads, out / EXAMPLES, told, workers)
    model = renderer(heads).model
    truth = _truth(shards, mirror(model), settings, out)
    told.say(f"{len(truth.taught)} heads to learn from, {len(truth.tested)} to test on")
    pupil = _Pupil(settings, out, Loss(metrics(model)), told)
    first, first_rows, said = pupil.first(_seen(truth, looks(shards, out / LOOKS, told, None, workers), settings))
    glances = looks(shards, out / LOOKS, told, said.numpy(), workers)
    data = _seen(dataclasses.replace(truth, told=said), glances, settings)
    second, second_rows = pupil.second(data)
    rows = [{"look": look, **row} for look, some in ((1, first_rows), (2, second_rows)) for row in some]
    write_rows(out / CURVE, rows)
    draw_curve(out / "curve.png", rows)
    tested = torch.from_numpy(data.tested)
    error = said[tested, 0] + answers(second, data, data.tested, 0) - data.labels[tested, 0]
    facts = _facts(settings, heads, data, first_rows[-1], second_rows[-1])
    write_weights(out / NAME, Weights(first, second, error.square().mean(0).sqrt().numpy(), facts))
    with atomic_write(out / "settings.json") as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(settings), indent=1) + "\n", "utf-8")
    return out / NAME


def _truth(shards: Sequence[Shard], mirrored: Mirror, settings: Settings, out: Path) -> Data:
    """What is true of the heads; nobody has looked at them yet."""
    found = read_shards(shards, ("index", "identity", "expression", "distance"))
    numbers = np.arange(len(found["index"]))
    tested = found["index"] < settings.tested
    if not tested.any() or (~tested).sum() < 2:
        raise InputError(out / EXAMPLES, f"MediaPipe found {len(numbers)} heads, too few", "draw more of them")
    distance = np.log(found["distance"] / USUAL_DISTANCE)[:, None]
    identity, expression = found["identity"], found["expression"]
    plain = np.concatenate([identity, expression, distance], 1)
    twin = np.concatenate([identity @ mirrored.identity, expression[:, mirrored.expression], distance], 1)
    labels = torch.from_numpy(np.stack([plain, twin], 1).astype(np.float32))
    nothing = torch.zeros(len(numbers), 2, 0)
    return Data(nothing, nothing, labels, torch.zeros_like(labels), numbers[~tested], numbers[tested])


def _seen(data: Data, glances: Sequence[Glances], settings: Settings) -> Data:
    """`data` as it is looked at."""
    found = read_shards(glances, ("geometry", "picture"))
    if not settings.picture:
        found["picture"][:] = 0
    return dataclasses.replace(data, **{name: torch.from_numpy(array) for name, array in found.items()})


@dataclass(frozen=True)
class _Pupil:
    """Both networks' lessons."""

    settings: Settings
    out: Path
    loss: Loss
    listener: Listener

    def first(self, data: Data) -> tuple[HeadNet, list[Row], torch.Tensor]:
        """The first network, its curve, and what is said of all heads [N, 2, OUTPUTS] as if each were new.

        A network knows the heads that it was taught too well for the second one to learn from. So two more are taught
        half of the heads each, and say what they think of the other half.
        """
        smallest = np.full(GEOMETRY, _OTHER)
        smallest[:-9] = _POINTS
        chosen = self.settings
        plan = Plan("first", "epochs, first look", chosen.local, chosen.hidden, chosen.epochs, smallest)
        network, rows = self._fit(plan, data)
        said = torch.zeros_like(data.labels)
        for part, name in enumerate(("first_even", "first_odd")):
            half = dataclasses.replace(plan, name=name, title=f"epochs, half {part + 1} of 2")
            halved, _ = self._fit(half, dataclasses.replace(data, taught=data.taught[part::2]))
            _say(said, halved, data, data.taught[1 - part :: 2])
        _say(said, network, data, data.tested)
        return network, rows, said

    def second(self, data: Data) -> tuple[HeadNet, list[Row]]:
        """The second network and its curve."""
        smallest, chosen = np.full(SECOND_GEOMETRY, _OTHER), self.settings
        widths = chosen.second_local, chosen.second_hidden
        return self._fit(Plan("second", "epochs, second look", *widths, chosen.second_epochs, smallest, 0.3), data)

    def _fit(self, plan: Plan, data: Data) -> tuple[HeadNet, list[Row]]:
        chosen = dataclasses.asdict(self.settings) | {"face_model": ""}
        if plan.name != "second":
            chosen |= dict.fromkeys(("second_epochs", "second_local", "second_hidden"), 0)
        digest = hashlib.blake2b(data.labels.numpy().tobytes(), digest_size=8)
        digest.update(data.told.numpy().tobytes())
        keeper = Keeper(self.out / "networks" / f"{plan.name}.pt", [plan.name, chosen, digest.hexdigest()])
        return fit(plan, self.settings, data, self.loss, keeper, self.listener)


def _say(said: torch.Tensor, network: HeadNet, data: Data, heads: np.ndarray) -> None:
    """Put the network's answers to `heads` and their twins in their places."""
    for view in range(2):
        said[torch.from_numpy(heads), view] = answers(network, data, heads, view)


def _facts(settings: Settings, heads: HeadSet, data: Data, first: Row, second: Row) -> dict[str, str]:
    """The weights' header."""
    defaults = Settings()
    words = [
        f"{field.name}={getattr(settings, field.name)}"
        for field in dataclasses.fields(settings)
        if field.name != "face_model" and getattr(settings, field.name) != getattr(defaults, field.name)
    ]
    return {
        "command": " ".join(["facecli train open", *words]),
        "set": heads.fingerprint,
        "seed": str(settings.seed),
        "taught": str(len(data.taught)),
        "tested": str(len(data.tested)),
        "license": "MIT",
        **{name: f"{value:.4g}" for name, value in second.items()},
        "first_look_face_mm": f"{first['face_mm']:.4g}",
    }
