"""Ratios of the rasterizer's backends on a FLAME-size head, all measured in this process.

    python benchmarks/rasterizer.py [--sizes 224 512] [--batch 8] [--rounds 7] [--threads 1] [--device cpu]

Times depend on the machine, ratios hardly: each backend is compared with numba and with clearing the buffers that it
fills. The target: numba needs at most 6 times the clearing plus 20 ns for each pixel of the faces' bounding boxes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from facecli.render.rasterize import available_backends, rasterize
from facecli.render.torch_backend import pixel_boxes

HEAD = Path(__file__).parents[1] / "tests" / "golden" / "rendering" / "head_forward.npz"
CLEARINGS, SECONDS_PER_TEST = 6, 20e-9


def fastest(work: Callable[[], object], rounds: int, device: torch.device) -> float:
    """Seconds of the quickest of `rounds` runs, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def clear(images: int, size: int, device: torch.device) -> list[torch.Tensor]:
    """Fill face index, weights and depth with "nothing": the least any rasterizer does."""
    shape = (images, size, size)
    return [
        torch.full(shape, -1, dtype=torch.int64, device=device),
        torch.full((*shape, 3), -1.0, device=device),
        torch.full(shape, -1.0, device=device),
    ]


def box_pixels(verts: torch.Tensor, faces: torch.Tensor, size: int) -> int:
    """How many (face, pixel) tests the bounding boxes give."""
    boxes = pixel_boxes(verts[:, faces].flatten(0, 1), (size, size), False)
    return int((boxes[:, 2] * boxes[:, 3]).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224, 256, 512])
    parser.add_argument("--batch", type=int, default=1, help="pictures drawn at once")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    with np.load(HEAD) as case:
        verts = torch.from_numpy(case["verts"][:1]).repeat(options.batch, 1, 1).to(device)
        faces = torch.from_numpy(case["faces"].astype(np.int64)).to(device)
    found = available_backends(device)
    usable = [name for name, reason in found.items() if not reason]
    print(
        f"{verts.shape[1]} vertices, {len(faces)} faces, batch {options.batch}, {options.threads} thread(s), {device}"
    )
    print(f"{'size':>5} {'backend':>12} {'ms':>9} {'÷ numba':>8} {'÷ clear':>8} {'ns/test':>8}")
    for size in options.sizes:
        clearing = fastest(lambda size=size: clear(options.batch, size, device), options.rounds, device)
        tests = box_pixels(verts, faces, size)
        seconds = {
            name: fastest(lambda n=name, s=size: rasterize(verts, faces, (s, s), backend=n), options.rounds, device)
            for name in usable
        }
        with_gradient = verts.clone().requires_grad_()

        def forward_backward(size: int = size, verts: torch.Tensor = with_gradient) -> None:
            rasterize(verts, faces, (size, size)).bary.sum().backward()

        seconds["auto + grad"] = fastest(forward_backward, options.rounds, device)
        reference = seconds.get("numba", seconds["torch"])
        for name, value in {"clear": clearing, **seconds}.items():
            print(
                f"{size:>5} {name:>12} {value * 1e3:>9.3f} {value / reference:>8.2f} {value / clearing:>8.1f} "
                f"{value / tests * 1e9:>8.1f}"
            )
        if "numba" in seconds:
            target = CLEARINGS * clearing + SECONDS_PER_TEST * tests
            print(f"{size:>5} numba takes {seconds['numba'] / target:.2f} of its target ({target * 1e3:.2f} ms)")
    for name, reason in found.items():
        if reason:
            print(f"{name}: not measured, {reason}")


if __name__ == "__main__":
    main()
