"""Milliseconds of one core that a face's texture, overlay and compression cost, with numba's loops and with numpy.

python benchmarks/pictures.py PHOTO [--rounds 10]
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

import facecli
from facecli.export.pictures import encode_png
from facecli.reconstruction.picture import completed_texture, overlay_of, sampled_texture


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Processor time of `work`, the median of `rounds` after one that compiles and fills caches."""
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return 1000 * float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photo")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    face = next(iter(facecli.reconstruct(options.photo, texture_size=1024)))
    for backend in ("numba", "torch"):
        settings = dataclasses.replace(face.settings, rasterizer=backend)
        sampled = sampled_texture(face.frame, 0, settings)
        texture = completed_texture(face.frame.reconstruction, *sampled)
        steps = {
            "sample": lambda settings=settings: sampled_texture(face.frame, 0, settings),
            "overlay": lambda settings=settings: overlay_of(face.frame, settings, [0]),
        }
        if backend == "numba":
            steps["complete"] = lambda sampled=sampled: completed_texture(face.frame.reconstruction, *sampled)
            steps["PNG"] = lambda texture=texture: encode_png(texture)
        print(backend, ", ".join(f"{name} {milliseconds(work, options.rounds):.1f}" for name, work in steps.items()))


if __name__ == "__main__":
    main()
