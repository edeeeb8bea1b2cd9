"""`SurfaceErrors`: what every scan-to-mesh benchmark gives, and how its statistics are pooled."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass
class SurfaceErrors:
    """Distances from the scans' points to one method's meshes.

    Args:
        method: its name.
        protocol: ``"nonmetrical"`` (scale is fitted) or ``"metrical"``, or another benchmark's word.
        distances: case -> [n] float64 millimetres, one a scan point; in the order of the list of cases.
        missing: listed cases for which there is no prediction. Numbers with missing cases are not comparable.
        failed: case -> why it couldn't be evaluated (a broken file, a mesh of NaN).
        warnings: case -> what is odd about it, though it was evaluated.
        notes: what is to be known of the method as a whole ("keeps the expression").
    """

    method: str
    protocol: str
    distances: dict[str, np.ndarray]
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def pooled(self) -> np.ndarray:
        """[N] all distances of all cases: a case with a denser scan weighs more, as in the official evaluation."""
        return np.concatenate([np.empty(0), *self.distances.values()])

    @property
    def median(self) -> float:
        """Millimetres; NaN if nothing was evaluated. So are `mean` and `std`."""
        return float(np.median(self.pooled)) if len(self.pooled) else float("nan")

    @property
    def mean(self) -> float:
        return float(np.mean(self.pooled)) if len(self.pooled) else float("nan")

    @property
    def std(self) -> float:
        """Of the population (no n - 1)."""
        return float(np.std(self.pooled)) if len(self.pooled) else float("nan")

    @property
    def images(self) -> int:
        """Cases evaluated."""
        return len(self.distances)

    @property
    def listed(self) -> int:
        """Cases that should have been."""
        return len(self.distances) + len(self.missing) + len(self.failed)
