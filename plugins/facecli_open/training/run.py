"""The training from beginning to end: examples, network, curve, weights."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facecli.data.head_set import HeadSet, renderer
from facecli.data.heads import choose_heads
from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli.io.safe_pickle import load_checkpoint
from facecli.listener import Listener
from facecli_open.inputs import INPUTS, PLACES
from facecli_open.network import IDENTITY, OUTPUTS, HeadNet
from facecli_open.regressor import USUAL_DISTANCE, WEIGHTS, write_regressor
from facecli_open.training.curve import draw_curve
from facecli_open.training.examples import Examples, make_examples
from facecli_open.training.labels import Loss, Mirror, metrics, mirror, typical
from facecli_open.training.settings import Settings

WARM_UP = 200
"""Steps over which the rate of learning rises."""
AVERAGED = 0.998
"""Of the weights' running average, what a step keeps; the average is what is tested and written."""
EXAMPLES, CHECKPOINT, CURVE = "examples", "checkpoint.pt", "curve.csv"
_SMALLEST = np.repeat([0.3, 0.02, 0.02], [INPUTS - 9 - 17 * PLACES, 9, 17 * PLACES]).astype(np.float32)
"""What an input's standard deviation is taken for at least: points in mm, turn, picture."""


@dataclass
class _Data:
    """Inputs [N, 2, INPUTS] and labels [N, 2, OUTPUTS], plain and mirrored; `tested` of them, the first, only test."""

    inputs: torch.Tensor
    labels: torch.Tensor
    tested: int

    @property
    def taught(self) -> int:
        return len(self.inputs) - self.tested


def train(settings: Settings, out: Path, told: Listener, workers: int | None = None) -> Path:
    """Train and write ``open.safetensors``, ``curve.csv``, ``curve.png`` and ``settings.json`` into `out`.

    A killed training goes on.

    Raises:
        FacecliError: ICT-FaceKit is missing, or `out` can't be written to.
    """
    choice = choose_heads("ict", Path(settings.face_model) if settings.face_model else None)
    heads = HeadSet(choice, settings.set, settings.seed, settings.size)
    head = renderer(heads).model
    told.say(f"{settings.heads} heads, seed {settings.seed}: drawn and looked at by MediaPipe, or taken from {out}")
    found = make_examples(heads, 0, settings.heads, out / EXAMPLES, told, workers)
    tested = int(np.searchsorted(found.index, settings.tested))
    if not 0 < tested < len(found):
        raise InputError(out / EXAMPLES, f"MediaPipe found {len(found)} heads, too few", "draw more of them")
    data = _data(found, mirror(head), tested)
    told.say(f"{data.taught} heads to learn from, {tested} to test on")
    loss = Loss(metrics(head))
    network, rows = _fit(settings, data, loss, out, told, heads.fingerprint)
    error = _guesses(network, data.inputs[:tested, 0]) - data.labels[:tested, 0]
    facts = _facts(settings, heads, data, rows[-1])
    draw_curve(out / "curve.png", rows)
    write_regressor(out / WEIGHTS, network, error.square().mean(0).sqrt().numpy(), facts)
    with atomic_write(out / "settings.json") as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(settings), indent=1) + "\n", "utf-8")
    return out / WEIGHTS


def _data(found: Examples, mirrored: Mirror, tested: int) -> _Data:
    distance = np.log(found.distance / USUAL_DISTANCE)[:, None]
    plain = np.concatenate([found.identity, found.expression, distance], 1)
    twin = np.concatenate([found.identity @ mirrored.identity, found.expression[:, mirrored.expression], distance], 1)
    labels = np.stack([plain, twin], 1).astype(np.float32)
    return _Data(torch.from_numpy(found.inputs), torch.from_numpy(labels), tested)


# --- learning --------------------------------------------------------------------------------------------------------


def _fit(
    settings: Settings, data: _Data, loss: Loss, out: Path, told: Listener, fingerprint: str
) -> tuple[HeadNet, list[dict[str, float]]]:
    """The average of the network's weights, and the curve's rows."""
    torch.manual_seed(settings.seed)
    network = _begin(settings, data)
    average = _begin(settings, data)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay)
    steps = settings.epochs * max(2 * data.taught // settings.batch, 1)
    keeper = _Keeper(out, settings, fingerprint)
    done, step, rows = keeper.load(network, average, optimizer)
    with told.progress("epochs", settings.epochs - done) as progress:
        for epoch in range(done, settings.epochs):
            total = []
            for inputs, labels in _batches(settings, data, epoch):
                for group in optimizer.param_groups:
                    group["lr"] = settings.rate * _schedule(step, steps)
                found = loss(network(inputs), labels)
                optimizer.zero_grad()
                found.backward()
                optimizer.step()
                step += 1
                _blend(average, network, min(AVERAGED, (1 + step) / (10 + step)))
                total.append(found.detach())
            rows.append({"epoch": epoch + 1, "loss": float(torch.stack(total).mean()), **_tested(average, data, loss)})
            keeper.save(network, average, optimizer, epoch + 1, step, rows)
            progress.input_done()
    return average.eval(), rows


def _begin(settings: Settings, data: _Data) -> HeadNet:
    """A network that knows nothing but how large its inputs are."""
    network = HeadNet(settings.hidden, settings.dropped, settings.hidden_dropped)
    some = data.inputs[data.tested :][:20_000].float().flatten(0, 1)
    network.mean.copy_(some.mean(0).half())  # as they are kept in the file
    scale = 1 / np.maximum(some.std(0).numpy(), _SMALLEST)
    network.scale.copy_(torch.from_numpy(scale).half())
    if not settings.picture:
        network.scale[-17 * PLACES :] = 0
    with torch.no_grad():
        network.measure.weight.mul_(0.3)  # thousands of inputs that go together
    return network


def _batches(settings: Settings, data: _Data, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """All heads and their twins in an order by chance, as (inputs, labels)."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(2 * data.taught)
    inputs, labels = (part[data.tested :].flatten(0, 1) for part in (data.inputs, data.labels))
    for start in range(0, max(len(order) - settings.batch + 1, 1), settings.batch):
        rows = torch.from_numpy(order[start : start + settings.batch])
        yield inputs[rows].float(), labels[rows]


def _schedule(step: int, steps: int) -> float:
    """Up in a line, down in half a cosine."""
    return min((step + 1) / WARM_UP, 1) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _blend(average: HeadNet, network: HeadNet, kept: float) -> None:
    with torch.no_grad():
        for old, new in zip(average.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - kept)


def _guesses(network: HeadNet, inputs: torch.Tensor) -> torch.Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part.float()) for part in inputs.split(500)])


def _tested(network: HeadNet, data: _Data, loss: Loss) -> dict[str, float]:
    """How wrong the network is on heads that it wasn't taught, and what knowing nothing gives."""
    truth = data.labels[: data.tested, 0]
    error = _guesses(network, data.inputs[: data.tested, 0]) - truth
    return {
        "face_mm": typical(error[:, :IDENTITY], loss.face),
        "mean_face_mm": typical(truth[:, :IDENTITY], loss.face),
        "sized_mm": typical(error[:, :IDENTITY], loss.sized),
        "mean_sized_mm": typical(truth[:, :IDENTITY], loss.sized),
        "expression": float(error[:, IDENTITY:-1].abs().mean()),
        "mean_expression": float((truth - truth.mean(0))[:, IDENTITY:-1].abs().mean()),
        "log_distance": float(error[:, -1].abs().mean()),
    }


class _Keeper:
    """Where a training stands, on disk."""

    def __init__(self, out: Path, settings: Settings, fingerprint: str):
        self._out = out
        chosen = dataclasses.asdict(settings) | {"face_model": ""}
        self._what = json.dumps([chosen, fingerprint, INPUTS, OUTPUTS])

    def load(self, network: HeadNet, average: HeadNet, optimizer: torch.optim.Optimizer) -> tuple[int, int, list]:
        """Epochs and steps done, and the curve; all zero where there is nothing of these settings."""
        path = self._out / CHECKPOINT
        if not path.is_file():
            return 0, 0, []
        try:
            kept = load_checkpoint(path)
            if kept["what"] != self._what:
                return 0, 0, []
            network.load_state_dict(kept["network"])
            average.load_state_dict(kept["average"])
            optimizer.load_state_dict(kept["optimizer"])
        except (InputError, KeyError, TypeError, RuntimeError, ValueError):
            return 0, 0, []
        torch.set_rng_state(kept["chance"])
        return kept["epoch"], kept["step"], kept["rows"]

    def save(self, network, average, optimizer, epoch: int, step: int, rows: list[dict[str, float]]) -> None:
        """Keep it, the curve first."""
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]))
        table.writeheader()
        table.writerows({name: round(value, 5) for name, value in row.items()} for row in rows)
        with atomic_write(self._out / CURVE) as temporary:
            temporary.write_text(text.getvalue(), "utf-8")
        state = {
            "what": self._what,
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "chance": torch.get_rng_state(),
            "epoch": epoch,
            "step": step,
            "rows": rows,
        }
        with atomic_write(self._out / CHECKPOINT) as temporary:
            torch.save(state, temporary)


def _facts(settings: Settings, heads: HeadSet, data: _Data, row: dict[str, float]) -> dict[str, str]:
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
        "taught": str(data.taught),
        "tested": str(data.tested),
        "license": "MIT",
        **{name: f"{value:.4g}" for name, value in row.items()},
    }
