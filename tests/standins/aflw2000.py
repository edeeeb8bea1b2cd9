"""A made AFLW2000-3D: the official names, formats and shapes, with labels of one's choice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecli.io.images import write_image
from standins.tddfa import landmark_layout


def face_points(x: float, y: float, size: float) -> np.ndarray:
    """[68, 2] a schematic face around a pixel; its box is about `size` wide."""
    return np.array([x, y]) + landmark_layout() * (size / 14.4, -size / 14.4)


def write_case(folder: Path, name: str, points: np.ndarray, angles: Sequence[float], image: np.ndarray) -> None:
    """`name`.png and `name`.mat.

    Args:
        points: [68, 2] pixels. angles: yaw, pitch, roll in degrees.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{name}.png", image)
    write_mat(folder / f"{name}.mat", points, angles)


def write_mat(path: Path, points: np.ndarray, angles: Sequence[float]) -> None:
    """With the official keys and shapes, single precision."""
    from scipy.io import savemat

    yaw, pitch, roll = np.radians(angles)
    content = {
        "pt3d_68": np.concatenate([points.T, np.zeros((1, 68))]),
        "Pose_Para": np.array([[pitch, yaw, roll, 0, 0, 0, 1e-3]]),
        "Shape_Para": np.zeros((199, 1)),
        "Exp_Para": np.zeros((29, 1)),
        "roi": np.array([[1, 1, 450, 450]]),
    }
    savemat(path, {name: value.astype(np.float32) for name, value in content.items()})
