"""Faces a second of each installed model whose files are here: one by one, at its own batch, and the whole command.

    python benchmarks/models.py [MODEL…]

`encode` and `decode` are the model alone on the sample photograph's face; `everything` is `facecli reconstruct` on a
folder of copies with all that is written by default, its start-up left out.
"""

from __future__ import annotations

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
from facecli.io.images import read_image, write_image

SAMPLE = Path(__file__).parents[1] / "assets/astronaut.png"
COPIES = 24


def rate(work: Callable[[], object], faces: int, seconds: float = 3.0) -> float:
    """Faces a second: the best of as many runs as fit."""
    work()
    best, spent = 0.0, 0.0
    while spent < seconds:
        start = time.perf_counter()
        work()
        took = time.perf_counter() - start
        best, spent = max(best, faces / took), spent + took
    return best


def stages(model, crops: list) -> tuple[float, float]:
    """Faces a second of encoding and decoding `crops` at once; what decoding leaves for later isn't made."""
    with torch.inference_mode():
        codes = model.encode(crops)
        return rate(lambda: model.encode(crops), len(crops)), rate(lambda: model.decode(codes), len(crops))


def command(model: str, folder: Path, batch: int) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory() as output:
        start = time.perf_counter()
        arguments = ["reconstruct", str(folder), "-m", model, "-o", output, "-q", "--batch-size", str(batch)]
        subprocess.run([sys.executable, "-m", "facecli", *arguments], check=True)
        return time.perf_counter() - start


def main() -> None:
    image = read_image(SAMPLE)
    ready = [p for p in registry.plugins().values() if p.reconstructor and describe(p)["ready"]]
    wanted = sys.argv[1:] or [plugin.name for plugin in ready]
    print(f"faces a second, {torch.get_num_threads()} threads")
    print(f"{'model':12}{'batch':>6}{'encode':>10}{'decode':>10}{'everything':>12}{'gain':>7}")
    with tempfile.TemporaryDirectory() as work:
        one, many = Path(work) / "one", Path(work) / "many"
        for folder, count in ((one, 1), (many, COPIES + 1)):
            for number in range(count):
                write_image(folder / f"{number}.png", image)
        for name in wanted:
            model = registry.reconstructor(name)
            detector = registry.landmarker(model.landmarker, **model.landmarker_options)
            crop = model.crop(image, largest_first(detector.detect([image])[0])[0])
            detector.close()
            first = 0.0
            for batch in dict.fromkeys((1, model.batch_size)):
                encode, decode = stages(model, [crop] * batch)
                whole = COPIES / max(command(name, many, batch) - command(name, one, batch), 1e-3)
                first = first or whole
                print(f"{name:12}{batch:6}{encode:10.1f}{decode:10.1f}{whole:12.2f}{whole / first:7.2f}", flush=True)


if __name__ == "__main__":
    main()
