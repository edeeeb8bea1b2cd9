"""The guess of a model that knows nobody: the mean head at rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facecli.plugin import Crop

_DISTANCE = 800.0


@dataclass(frozen=True)
class Guess:
    """Args:
    identity: float32 [B, 100]. expression: float32 [B, 57]. distance: float32 [B] mm, from the camera.
    """

    identity: np.ndarray
    expression: np.ndarray
    distance: np.ndarray


class MeanHead:
    """In the place of a regressor."""

    identity_spread = 1.0
    expression_spread = 0.25
    distance_spread = 0.15
    """Standard deviations of what it doesn't know."""

    def __call__(self, crops: Sequence[Crop]) -> Guess:
        """Nobody, of B crops."""
        count = len(crops)
        nobody, rest = np.zeros((count, 100), np.float32), np.zeros((count, 57), np.float32)
        return Guess(nobody, rest, np.full(count, _DISTANCE, np.float32))
