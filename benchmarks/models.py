"""Faces a second of each installed model whose files are here: its network, codes and meshes, and the whole command.

    python benchmarks/models.py [MODEL[:OPTION=VALUE[,…]] …] [--batches 1,8,64] [--device cpu] [--no-command]
    python benchmarks/models.py synergynet 3ddfa_v2:network=mobilenet 3ddfa_v2:network=mobilenet_05 deep3d

`network` is the network on its input, `encode` crops to codes, `decode` codes to meshes and landmarks, all of the
sample photograph's face and on the device. `command` is `facecli reconstruct` on a folder of copies, with all that is
written by default and at the model's own batch, its start-up left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from facecli import registry
from facecli.cli.models import describe
from facecli.detect.face import largest_first
from facecli.detect.within_boxes import face_finder
from facecli.io.images import read_image, write_image
from facecli.reconstruction.settings import converted_options, parse_options

SAMPLE = Path(__file__).parents[1] / "assets/astronaut.png"
COPIES = 16
SECONDS = 1.0
"""That a measurement goes on, or one run where that takes longer."""


def rate(work: Callable[[], object], faces: int, device: str) -> float:
    """Faces a second: the best of as many runs as fit. The first counts where there is no time for others."""

    def took() -> float:
        start = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    first = took()
    if first > SECONDS:
        return faces / first
    best, spent = float("inf"), 0.0
    while spent < SECONDS:
        seconds = took()
        best, spent = min(best, seconds), spent + seconds
    return faces / best


def network_input(model, crops: list) -> torch.Tensor | None:
    """What `encode` gives to the model's network; None where it isn't known by that name."""
    if not isinstance(getattr(model, "network", None), torch.nn.Module):
        return None
    seen = []
    hook = model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.encode(crops)
    hook.remove()
    return seen[0]


@torch.inference_mode()
def stages(model, crops: list, device: str) -> tuple[float | None, float, float]:
    """Faces a second of network, encoding and decoding; what decoding leaves for later isn't made."""
    pixels, codes = network_input(model, crops), model.encode(crops)
    network = None if pixels is None else rate(lambda: model.network(pixels), len(crops), device)
    encode = rate(lambda: model.encode(crops), len(crops), device)
    return network, encode, rate(lambda: model.decode(codes), len(crops), device)


def command(model: str, options: list[str], folder: Path, device: str) -> float:
    """Seconds of the whole command."""
    words = [word for option in options for word in ("-O", option)]
    with tempfile.TemporaryDirectory() as output:
        start = time.perf_counter()
        arguments = ["reconstruct", str(folder), "-m", model, *words, "--device", device, "-o", output, "-q"]
        subprocess.run([sys.executable, "-m", "facecli", *arguments], check=True)
        return time.perf_counter() - start


def command_rate(model: str, options: list[str], work: Path, device: str) -> float:
    """Faces a second of the command, beyond the first."""
    one, many = (command(model, options, work / name, device) for name in ("one", "many"))
    return COPIES / max(many - one, 1e-3)


def measure(named: str, batches: list[int], device: str, work: Path, with_command: bool) -> None:
    """Prints the rows of one model."""
    name, _, further = named.partition(":")
    options = [option for option in further.split(",") if option]
    image, plugin = read_image(SAMPLE), registry.plugin(name)
    model = registry.reconstructor(name, device=device, **converted_options(plugin, parse_options(options)))
    finder = face_finder(name, model.landmarker, model.landmarker_options)
    crop = model.crop(image, largest_first(finder.detect([image])[0])[0])
    finder.close()
    whole = command_rate(name, options, work, device) if with_command else None
    for batch in batches:
        row = [*stages(model, [crop] * batch, device), whole]
        cells = "".join(f"{'' if value is None else format(value, '.1f'):>10}" for value in row)
        print(f"{named:34}{batch:6}{cells}", flush=True)
        whole = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL[:OPTION=VALUE,…]")
    parser.add_argument("--batches", default="1,8,64")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-command", action="store_true")
    given = parser.parse_args()
    ready = [p.name for p in registry.plugins().values() if p.reconstructor and describe(p)["ready"]]
    print(f"faces a second, {given.device}, {torch.get_num_threads()} threads")
    print(f"{'model':34}{'batch':>6}{'network':>10}{'encode':>10}{'decode':>10}{'command':>10}")
    with tempfile.TemporaryDirectory() as work:
        for folder, count in (("one", 1), ("many", COPIES + 1)):
            for number in range(count):
                write_image(Path(work) / folder / f"{number}.png", read_image(SAMPLE))
        batches = [int(batch) for batch in given.batches.split(",")]
        for named in given.models or ready:
            measure(named, batches, given.device, Path(work), not given.no_command)


if __name__ == "__main__":
    main()
