"""Smoothing of codes over time, of values and of rotations.

The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012) knows the past only; Savitzky-Golay's polynomials (1964) look
both ways, so they don't lag, but need the whole track.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

from facecli.codes import Codes
from facecli.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from facecli.plugin import Reconstructor

ROTATIONS = ("pose", "jaw", "eyes", "neck")
"""Codes that are axis-angle rotations (three numbers each): they are filtered on the sphere, not number by number."""

FIXED = ("warp", "photo_size")
"""Facts about the picture, not about the face."""


Unit = Callable[[torch.Tensor], float | None]
Steadier = Callable[[Codes], Codes]


def steadiers(model: Reconstructor) -> tuple[Steadier, Steadier]:
    """The model's `steady` and `unsteady`: codes in terms of the photograph instead of the crop, and back."""
    return getattr(model, "steady", _as_it_is), getattr(model, "unsteady", _as_it_is)


def _as_it_is(codes: Codes) -> Codes:
    return codes


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
    """The same for rotations [..., 3 n] in axis-angle: differences and steps are rotations, speeds in radians."""

    def __call__(self, value: torch.Tensor, time: float) -> torch.Tensor:
        return super().__call__(value.unflatten(-1, (-1, 3)), time).flatten(-2)

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
        steady: the model's own `steady` and `unsteady`, for codes that depend on the crop.
    """

    def __init__(
        self,
        gap: float = 0.5,
        unit: Callable[[str, torch.Tensor], float | None] | None = None,
        steady: tuple[Steadier, Steadier] | None = None,
    ):
        self.gap, self._unit = gap, unit
        self._steady, self._unsteady = steady or (_as_it_is, _as_it_is)
        self._filters: dict[str, OneEuroFilter] = {}
        self._last: float | None = None

    @classmethod
    def of(cls, model: Reconstructor) -> CodesSmoother:
        """With what `model` knows of its codes."""
        return cls(unit=getattr(model, "code_unit", None), steady=steadiers(model))

    def __call__(self, codes: Codes, time: float) -> Codes:
        """Smoothed `codes` (of one face, [1, ...] each) at `time` seconds."""
        if self._last is not None and time - self._last > self.gap:
            self._filters = {}
        self._last = time
        codes = self._steady(codes)
        smoothed = {name: self._filter(name)(value, time) for name, value in codes.values.items() if name not in FIXED}
        return self._unsteady(codes.replace(**smoothed))

    def _filter(self, name: str) -> OneEuroFilter:
        if name not in self._filters:
            unit = None if self._unit is None else functools.partial(self._unit, name)
            self._filters[name] = OneEuroRotationFilter() if name in ROTATIONS else OneEuroFilter(unit=unit)
        return self._filters[name]


# --- Savitzky-Golay --------------------------------------------------------------------------------------------------

BLOCK_NUMBERS = 4_000_000
"""Numbers that are worked on at once: tracks may be longer than memory."""


def savitzky_golay(
    values: np.ndarray,
    times: np.ndarray,
    *,
    window: float = 0.3,
    order: int = 2,
    rotations: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Each value replaced by that of the polynomial which fits its neighbours best.

    At regular times it equals `scipy.signal.savgol_filter` with ``mode="interp"``. Times may be irregular (the fit is
    made at the frames' own) and have gaps: across one of more than half a window nothing is mixed, and stretches that
    are shorter than the window get a shorter one.

    Args:
        values: [N, ...]; may be memory-mapped.
        times: [N] seconds, rising.
        window: seconds that a polynomial spans; at least `order` + 3 frames.
        order: of the polynomials.
        rotations: the last axis holds rotations in axis-angle, three numbers each. They are taken relative to the
            window's mean rotation, where they are small, and filtered there.
        out: where the result goes, [N, ...]; not `values` itself.
    """
    out = np.empty_like(values) if out is None else out
    for start, stop, count in _stretches(times, window, order):
        smoothed = _fit_rotations if rotations else _fit_values
        size = max(BLOCK_NUMBERS // (count * max(int(np.prod(values.shape[1:])), 1)), 1)
        for first in range(start, stop, size):
            last = min(first + size, stop)
            neighbours = _neighbours(np.arange(first, last), start, stop, count)
            weights = _weights(times, np.arange(first, last), neighbours, min(order, max(count - 2, 0)))
            low = neighbours.min()
            part = np.asarray(values[low : neighbours.max() + 1], np.float64)
            out[first:last] = smoothed(part, neighbours - low, weights, np.arange(first, last) - low)
    return out


def _stretches(times: np.ndarray, window: float, order: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, frames in a window) of what lies between gaps; the number of frames is odd."""
    times = np.asarray(times, np.float64)
    steps = np.diff(times)
    typical = float(np.median(steps)) if len(steps) else 0.0
    cuts = np.flatnonzero(steps > max(window / 2, 2.5 * typical)) + 1
    wanted = max(window / typical if typical > 0 else 0, order + 3)
    odd = 2 * round((wanted - 1) / 2 - 1e-6) + 1  # the nearest; of two the smaller, whatever the last bits of times say
    for start, stop in zip((0, *cuts.tolist()), (*cuts.tolist(), len(times)), strict=True):
        most = stop - start
        yield start, stop, min(odd, most - (most + 1) % 2)


def _neighbours(index: np.ndarray, start: int, stop: int, count: int) -> np.ndarray:
    """[n, count] the frames of each window: around `index`, but at the ends the first and last ones."""
    first = np.clip(index - count // 2, start, stop - count)
    return first[:, None] + np.arange(count)


def _weights(times: np.ndarray, index: np.ndarray, neighbours: np.ndarray, order: int) -> np.ndarray:
    """[n, count]: the value at `index` of the polynomial that fits the neighbours is their weighted sum."""
    away = times[neighbours] - times[index][:, None]
    span = np.maximum(np.ptp(away, axis=1), 1e-9)[:, None]
    powers = (away / span)[..., None] ** np.arange(order + 1)
    normal = powers.transpose(0, 2, 1) @ powers
    constant = np.zeros((len(index), order + 1, 1))
    constant[:, 0] = 1
    return (powers @ np.linalg.solve(normal, constant))[..., 0]


def _fit_values(values: np.ndarray, neighbours: np.ndarray, weights: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.einsum("nm,nm...->n...", weights, values[neighbours])


def _fit_rotations(values: np.ndarray, neighbours: np.ndarray, weights: np.ndarray, centres: np.ndarray) -> np.ndarray:
    shape = values.shape
    quaternions = _to_quaternions(values.reshape(len(values), -1, 3))
    around = quaternions[neighbours]  # [n, m, k, 4]
    centre = quaternions[centres][:, None]
    around = around * np.where((around * centre).sum(-1, keepdims=True) < 0, -1.0, 1.0)  # q and -q are one rotation
    mean = around.mean(1)
    mean = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    apart = _to_axis_angle(_product(around, mean[:, None] * (1, -1, -1, -1)))
    moved = np.einsum("nm,nmkc->nkc", weights, apart)
    return _to_axis_angle(_product(_to_quaternions(moved), mean)).reshape(len(centres), *shape[1:])


def _to_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Axis-angle [..., 3] -> [..., 4] (w, x, y, z)."""
    half = np.linalg.norm(rotations, axis=-1, keepdims=True) / 2
    return np.concatenate([np.cos(half), rotations * np.sinc(half / np.pi) / 2], -1)


def _to_axis_angle(quaternions: np.ndarray) -> np.ndarray:
    """[..., 4] -> [..., 3], angles in 0..pi."""
    quaternions = np.where(quaternions[..., :1] < 0, -quaternions, quaternions)
    sine = np.linalg.norm(quaternions[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternions[..., :1])
    return quaternions[..., 1:] * np.where(sine < 1e-12, 2.0, angle / np.maximum(sine, 1e-12))


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quaternions: b first, then a."""
    (aw, ax, ay, az), (bw, bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )
