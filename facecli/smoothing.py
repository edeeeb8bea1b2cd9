"""Smoothing of codes over time: the One-Euro filter (Casiez, Roussel, Vogel, CHI 2012), on values and on rotations."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch

from facecli.codes import Codes
from facecli.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

ROTATIONS = ("pose", "jaw", "eyes", "neck")
"""Codes that are axis-angle rotations (three numbers each): they are filtered on the sphere, not number by number."""

FIXED = ("warp", "photo_size")
"""Facts about the picture, not about the face."""


Unit = Callable[[torch.Tensor], float | None]


class OneEuroFilter:
    """A low-pass filter that opens up when things move: little jitter at rest, little lag in motion.

    Args:
        min_cutoff: Hz; lower is smoother at rest.
        beta: how much speed opens the filter.
        derivative_cutoff: Hz, for the speed's own low-pass.
        unit: value -> a change of it that is just noticeable; None goes by the spread of its numbers.
    """

    def __init__(
        self, min_cutoff: float = 1.0, beta: float = 1.0, derivative_cutoff: float = 2.0, unit: Unit | None = None
    ):
        self.unit = unit
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self._time: float | None = None
        self._value: torch.Tensor | None = None
        self._speed: torch.Tensor | None = None

    def __call__(self, value: torch.Tensor, time: float) -> torch.Tensor:
        """The filtered `value` (any shape) at `time` seconds; times grow."""
        if self._value is None or time <= self._time:
            self._time, self._value, self._speed = time, value, torch.zeros_like(value)
            return value
        step = time - self._time
        speed = self._difference(value) / step
        self._speed = self._speed + _alpha(self.derivative_cutoff, step) * (speed - self._speed)
        # One cutoff for the whole array: parts of one thing must not lag behind each other.
        cutoff = self.min_cutoff + self.beta * float(self._speed.abs().mean() / self._scale(value))
        self._value = self._advance(value, _alpha(cutoff, step))
        self._time = time
        return self._value

    def _difference(self, value: torch.Tensor) -> torch.Tensor:
        return value - self._value

    def _advance(self, value: torch.Tensor, alpha: float) -> torch.Tensor:
        return self._value + alpha * (value - self._value)

    def _scale(self, value: torch.Tensor) -> float:
        """Speeds are measured against what is noticeable, so that one `beta` suits pixels and weights."""
        unit = None if self.unit is None else self.unit(value)
        if unit:
            return unit
        if value.numel() < 2:
            return max(float(value.abs().mean()), 1e-6) * 0.05
        return max(float(value.std()), 1e-6) * 0.05


class OneEuroRotationFilter(OneEuroFilter):
    """The same for rotations [..., 3] in axis-angle: differences and steps are rotations, speeds in radians."""

    def _difference(self, value: torch.Tensor) -> torch.Tensor:
        before, now = axis_angle_to_matrix(self._value.double()), axis_angle_to_matrix(value.double())
        return matrix_to_axis_angle(now @ before.transpose(-1, -2)).to(value)

    def _advance(self, value: torch.Tensor, alpha: float) -> torch.Tensor:
        before = axis_angle_to_matrix(self._value.double())
        part = axis_angle_to_matrix(alpha * self._difference(value).double())
        return matrix_to_axis_angle(part @ before).to(value)

    def _scale(self, value: torch.Tensor) -> float:
        return 0.1


def _alpha(cutoff: float, step: float) -> float:
    """Weight of the new value of a first-order low-pass with `cutoff` Hz after `step` seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


class CodesSmoother:
    """One-Euro over all codes of one person.

    Args:
        gap: seconds without the face after which smoothing starts afresh.
        unit: (name, value) -> a just noticeable change of a code's numbers, or None: the model's `code_unit`.
    """

    def __init__(self, gap: float = 0.5, unit: Callable[[str, torch.Tensor], float | None] | None = None):
        self.gap, self._unit = gap, unit
        self._filters: dict[str, OneEuroFilter] = {}
        self._last: float | None = None

    def __call__(self, codes: Codes, time: float) -> Codes:
        """Smoothed `codes` (of one face, [1, ...] each) at `time` seconds."""
        if self._last is not None and time - self._last > self.gap:
            self._filters = {}
        self._last = time
        return codes.replace(
            **{name: self._filter(name)(value, time) for name, value in codes.values.items() if name not in FIXED}
        )

    def _filter(self, name: str) -> OneEuroFilter:
        if name not in self._filters:
            unit = None if self._unit is None else functools.partial(self._unit, name)
            self._filters[name] = OneEuroRotationFilter() if name in ROTATIONS else OneEuroFilter(unit=unit)
        return self._filters[name]
