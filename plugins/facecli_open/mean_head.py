"""The guess of a model that knows nobody: the mean head at rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facecli.plugin import Crop


@dataclass(frozen=True)
class Guess:
    """Args:
    identity: float32 [B, 100]. expression: float32 [B, 57].
    """

    identity: np.ndarray
    expression: np.ndarray


class MeanHead:
    """In the place of a regressor."""

    identity_spread = 1.0
    expression_spread = 0.25
    """Standard deviations of what it doesn't know."""

    @classmethod
    def load(cls) -> MeanHead:
        return cls()

    def __call__(self, crops: Sequence[Crop]) -> Guess:
        """Nobody, of B crops."""
        return Guess(np.zeros((len(crops), 100), np.float32), np.zeros((len(crops), 57), np.float32))
