"""`Face`: what every detector and landmarker returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Face:
    """One face in one picture. Pixels: x right, y down, integer coordinates at pixel centres.

    Args:
        box: [4] float64 (x0, y0, x1, y1) in pixels, may reach beyond the picture.
        score: the detector's confidence, 0..1 (1 where the detector gives none).
        points: [K, 2] or [K, 3] float64 landmarks in pixels; a third column is depth with x's scale, growing away
            from the camera. [0, 2] from a detector that gives boxes only.
        point_set: name of the landmark set, a key of :data:`facecli.detect.landmarks.POINT_SETS`
            (``"mediapipe478"``, ``"mediapipe468"``, ``"ibug68"``, ``"five"``), or "" without points.
        point_scores: [K] confidence of each point, where the landmarker gives it.
        blendshapes: ARKit-style name -> weight 0..1, where the landmarker gives them.
        matrix: [4, 4] head pose, where the landmarker gives it.
    """

    box: np.ndarray
    score: float
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    point_set: str = ""
    point_scores: np.ndarray | None = None
    blendshapes: dict[str, float] | None = None
    matrix: np.ndarray | None = None

    @property
    def area(self) -> float:
        """Area of the box in square pixels; faces are ordered by it."""
        x0, y0, x1, y1 = self.box
        return float(max(x1 - x0, 0) * max(y1 - y0, 0))


def largest_first(faces: list[Face], keep: str | int = "all") -> list[Face]:
    """Sort `faces` by area, largest first, and keep ``"all"``, ``"largest"`` or the first N."""
    ordered = sorted(faces, key=lambda face: -face.area)
    if keep == "all":
        return ordered
    return ordered[: 1 if keep == "largest" else int(keep)]


def box_of_points(points: np.ndarray) -> np.ndarray:
    """The tight box [4] around `points` [K, 2+]."""
    return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)]).astype(np.float64)
