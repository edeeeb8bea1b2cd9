"""Learning: one network, its data, its curve, and where it stands on disk."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli.io.safe_pickle import load_checkpoint
from facecli.listener import Listener
from facecli_open.network import IDENTITY, HeadNet
from facecli_open.training.labels import Loss, typical
from facecli_open.training.looks import BYTE
from facecli_open.training.settings import Settings

WARM_UP = 200
"""Steps over which the rate of learning rises."""
AVERAGED = 0.998
"""Of the weights' running average, what a step keeps; the average is what is tested and written."""
_MEASURED = 8_000  # heads that tell what inputs are like
Row = dict[str, float]


@dataclass(frozen=True)
class Data:
    """Heads, each plain and mirrored.

    Args:
        geometry: float16 [N, 2, G]. picture: uint8 [N, 2, P, NUMBERS], 255 for gradients' LIMIT.
        labels: [N, 2, OUTPUTS]. told: [N, 2, OUTPUTS] what was said before: the network's answer is added to it.
        taught, tested: numbers of heads.
    """

    geometry: torch.Tensor
    picture: torch.Tensor
    labels: torch.Tensor
    told: torch.Tensor
    taught: np.ndarray
    tested: np.ndarray

    def inputs(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network is told of heads and twins, at `rows` of data's first two dimensions, flattened."""
        return self.geometry.flatten(0, 1)[rows].float(), self.picture.flatten(0, 1)[rows].float() / BYTE


@dataclass(frozen=True)
class Plan:
    """How a network learns.

    Args:
        name: of the file that says where it stands. title: what it is called on the way.
        local, hidden: its widths. epochs: times that it is shown each head and its twin.
        smallest: [G] what the geometry's standard deviations are taken for at least.
        boldness: its first answers are multiplied by it.
    """

    name: str
    title: str
    local: int
    hidden: int
    epochs: int
    smallest: np.ndarray
    boldness: float = 1.0


def fit(
    plan: Plan, settings: Settings, data: Data, loss: Loss, keeper: Keeper, told: Listener
) -> tuple[HeadNet, list[Row]]:
    """The average of the network's weights, and the rows of its curve."""
    torch.manual_seed(settings.seed)
    usual = _usual(data)
    network, average = _begin(plan, settings, data), _begin(plan, settings, data)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay)
    steps = plan.epochs * max(2 * len(data.taught) // settings.batch, 1)
    done, step, rows = keeper.load(network, average, optimizer)
    with told.progress(plan.title, plan.epochs - done) as progress:
        for epoch in range(done, plan.epochs):
            total = []
            for heads in _batches(settings, data, epoch):
                for group in optimizer.param_groups:
                    group["lr"] = settings.rate * _schedule(step, steps)
                labels, before = (part.flatten(0, 1)[heads] for part in (data.labels, data.told))
                error = loss(before + network(*data.inputs(heads), usual), labels)
                optimizer.zero_grad()
                error.backward()
                optimizer.step()
                step += 1
                _blend(average, network, min(AVERAGED, (1 + step) / (10 + step)))
                total.append(error.detach())
            rows.append(
                {"epoch": epoch + 1, "loss": float(torch.stack(total).mean()), **_tested(average, data, loss, usual)}
            )
            keeper.save(network, average, optimizer, epoch + 1, step, rows)
            progress.input_done()
    average.take_in(usual)
    return average.eval(), rows


def answers(
    network: HeadNet, data: Data, heads: np.ndarray, view: int, usual: torch.Tensor | None = None
) -> torch.Tensor:
    """[N, OUTPUTS] to `heads` (`view` 0) or their twins (1)."""
    network.eval()
    with torch.inference_mode():
        rows = 2 * torch.from_numpy(heads) + view
        return torch.cat([network(*data.inputs(some), usual) for some in rows.split(250)])


def _begin(plan: Plan, settings: Settings, data: Data) -> HeadNet:
    """A network that knows nothing but how large what it is told is."""
    places, geometry = data.picture.shape[2], data.geometry.shape[2]
    network = HeadNet(places, geometry, plan.local, plan.hidden, settings.dropped, settings.hidden_dropped)
    some = data.geometry[torch.from_numpy(data.taught[:_MEASURED])].float().flatten(0, 1)
    network.mean.copy_(some.mean(0).half())  # as they are kept in the file
    scale = 1 / np.maximum(some.std(0).numpy(), plan.smallest)
    network.scale.copy_(torch.from_numpy(scale).half())
    with torch.no_grad():
        network.measure.weight.mul_(0.3)  # thousands of inputs that go together
        network.tell.weight.mul_(plan.boldness)
        if not settings.picture:
            network.places.zero_()  # and so they stay, as nothing is seen
    return network


def _usual(data: Data) -> torch.Tensor:
    """[P, NUMBERS] the mean picture."""
    rows = 2 * torch.from_numpy(data.taught[:_MEASURED])
    return torch.stack([data.inputs(some)[1].mean(0) for some in rows.split(250)]).mean(0)


def _batches(settings: Settings, data: Data, epoch: int) -> Iterator[torch.Tensor]:
    """All heads and their twins in an order by chance: rows of data's first two dimensions, flattened."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(2 * len(data.taught))
    rows = torch.from_numpy(2 * data.taught[order // 2] + order % 2)
    for start in range(0, max(len(order) - settings.batch + 1, 1), settings.batch):
        yield rows[start : start + settings.batch]


def _schedule(step: int, steps: int) -> float:
    """Up in a line, down in half a cosine."""
    return min((step + 1) / WARM_UP, 1) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _blend(average: HeadNet, network: HeadNet, kept: float) -> None:
    with torch.no_grad():
        for old, new in zip(average.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - kept)


def _tested(network: HeadNet, data: Data, loss: Loss, usual: torch.Tensor) -> Row:
    """How wrong the network is on heads that it wasn't taught, and what knowing nothing gives."""
    tested = torch.from_numpy(data.tested)
    truth = data.labels[tested, 0]
    error = data.told[tested, 0] + answers(network, data, data.tested, 0, usual) - truth
    return {
        "face_mm": typical(error[:, :IDENTITY], loss.face),
        "mean_face_mm": typical(truth[:, :IDENTITY], loss.face),
        "sized_mm": typical(error[:, :IDENTITY], loss.sized),
        "mean_sized_mm": typical(truth[:, :IDENTITY], loss.sized),
        "expression": float(error[:, IDENTITY:-1].abs().mean()),
        "mean_expression": float((truth - truth.mean(0))[:, IDENTITY:-1].abs().mean()),
        "log_distance": float(error[:, -1].abs().mean()),
    }


class Keeper:
    """Where a network's training stands, on disk.

    Args:
        path: the file. what: all that it depends on; a file of something else is not gone on with.
    """

    def __init__(self, path: Path, what: object):
        self._path, self._what = path, json.dumps(what)

    def load(self, network: HeadNet, average: HeadNet, optimizer: torch.optim.Optimizer) -> tuple[int, int, list[Row]]:
        """Epochs and steps done, and the curve; all zero where there is nothing to go on with."""
        if not self._path.is_file():
            return 0, 0, []
        try:
            kept = load_checkpoint(self._path)
            if kept["what"] != self._what:
                return 0, 0, []
            network.load_state_dict(kept["network"])
            average.load_state_dict(kept["average"])
            optimizer.load_state_dict(kept["optimizer"])
        except (InputError, KeyError, TypeError, RuntimeError, ValueError):
            return 0, 0, []
        torch.set_rng_state(kept["chance"])
        return kept["epoch"], kept["step"], kept["rows"]

    def save(self, network, average, optimizer, epoch: int, step: int, rows: list[Row]) -> None:
        """Keep it."""
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
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path) as temporary:
            torch.save(state, temporary)


def write_rows(path: Path, rows: list[dict]) -> None:
    """A curve as CSV.

    Raises:
        OutputError: the place can't be written to.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows({name: round(v, 5) if isinstance(v, float) else v for name, v in row.items()} for row in rows)
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), "utf-8")
