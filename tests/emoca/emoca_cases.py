"""EMOCA's golden cases: their numbers, codes and stand-ins for crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import seeded
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.plugin import Crop

GOLDEN = Path(__file__).parents[1] / "golden/emoca"


def golden_case(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


def codes_of(case: dict[str, np.ndarray], warp: np.ndarray | None = None) -> Codes:
    """The codes ``in_*`` of a golden case, on a photograph that is the crop."""
    names = {"identity": "shape", "texture": "tex", "expression": "exp", "light": "light", "detail": "detail"}
    values = {ours: torch.from_numpy(case[f"in_{theirs}code"]) for ours, theirs in names.items()}
    pose = torch.from_numpy(case["in_posecode"])
    values |= {"pose": pose[:, :3], "jaw": pose[:, 3:], "camera": torch.from_numpy(case["in_cam"])}
    warp = np.eye(3) if warp is None else warp
    values["warp"] = torch.from_numpy(warp).float().expand(len(pose), 3, 3)
    values["photo_size"] = torch.full((len(pose), 2), 224.0)
    return Codes(values, "emoca", "flame")


def picture(key: str, count: int, size: int = 224) -> torch.Tensor:
    """The golden cases' stand-in for crops: smooth noise [count, 3, size, size]."""
    noise = torch.from_numpy(seeded.rng(f"emoca.{key}").random((count, 3, 14, 14)).astype(np.float32))
    return torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False)


def crops_of(images: torch.Tensor) -> list[Crop]:
    face = Face(np.array([0.0, 0, 223, 223]), 1.0)
    return [Crop(face, image.numpy(), np.eye(3), (224, 224)) for image in images]
