"""Nonlinear least squares by Powell's dog leg, step for step as the NoW evaluation's optimizer does it.

Where it stops decides the last digits of published numbers, so its quirks are kept: a trust radius of 0.1 whatever the
unknowns' units, Gauss-Newton steps by conjugate gradients with SciPy's default tolerance, and an end after the first
accepted step that gains less than 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_FIRST_RADIUS = 0.1
_GAIN = 1e-4  # least relative improvement of the sum of squares that is worth another step
_TINY = 1e-15
_MAX_ITERATIONS = 200
_MAX_CG = 2000


@dataclass(frozen=True)
class Refinement:
    """Where the optimizer went.

    Args:
        x: [K] the unknowns at the end.
        residuals: [R] there.
        sse_trace: [iterations + 1] sums of squares, from the start, after each accepted step.
        x_trace: [iterations + 1, K] likewise.
    """

    x: np.ndarray
    residuals: np.ndarray
    sse_trace: np.ndarray
    x_trace: np.ndarray

    @property
    def iterations(self) -> int:
        """Accepted steps."""
        return len(self.sse_trace) - 1


Linearize = Callable[[np.ndarray], tuple[np.ndarray, Callable[[], np.ndarray]]]
"""The unknowns [K] -> residuals [R] there, and a function that gives the Jacobian [R, K] there."""


def minimize_dogleg(linearize: Linearize, x: np.ndarray) -> Refinement:
    """Minimize the sum of squares of `linearize`'s residuals, from `x` [K]."""
    x = np.asarray(x, dtype=np.float64)
    residuals, jacobian = linearize(x)
    sse = residuals @ residuals
    sses, xs = [sse], [x]
    radius = _FIRST_RADIUS
    running = True
    while running and len(xs) <= _MAX_ITERATIONS:
        step = _Steps(jacobian(), residuals)
        if np.abs(step.gradient).max() < _TINY:
            break
        while True:  # until a step is accepted
            h = step.within(radius)
            length = np.linalg.norm(h)
            if length <= _TINY * np.linalg.norm(x):
                running = False
                break
            new_residuals, new_jacobian = linearize(x + h)
            new_sse = new_residuals @ new_residuals
            gain = sse - new_sse
            ratio = gain / step.predicted_gain(h)
            if ratio > 0.9:
                radius = max(radius, 2.5 * length)
            elif not ratio >= 0.05:
                radius /= 4
            if gain > 0:
                running = gain / sse >= _GAIN
                x, residuals, jacobian, sse = x + h, new_residuals, new_jacobian, new_sse
                sses.append(sse)
                xs.append(x)
                break
            if radius <= _TINY * np.linalg.norm(x):
                running = False
                break
    return Refinement(x, residuals, np.array(sses), np.array(xs))


class _Steps:
    """The steps that a linearization suggests."""

    def __init__(self, jacobian: np.ndarray, residuals: np.ndarray):
        self.gradient = -(jacobian.T @ residuals)
        self._normal = jacobian.T @ jacobian
        along = jacobian @ self.gradient
        self._cauchy = (self.gradient @ self.gradient) / max(along @ along, np.finfo(float).tiny) * self.gradient
        self._gauss_newton: np.ndarray | None = None

    def within(self, radius: float) -> np.ndarray:
        """The step [K] of a length up to `radius`: along the gradient, to the Gauss-Newton step, or between."""
        cauchy = self._cauchy
        length = np.linalg.norm(cauchy)
        if length >= radius:
            return radius / length * cauchy
        newton = self._newton()
        if np.linalg.norm(newton) <= radius:
            return newton
        leg = newton - cauchy
        # |cauchy + b leg| = radius, 0 <= b <= 1
        a, b, c = leg @ leg, 2 * (cauchy @ leg), cauchy @ cauchy - radius**2
        return cauchy + (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a) * leg

    def _newton(self) -> np.ndarray:
        from scipy.sparse.linalg import cg

        if self._gauss_newton is None:
            self._gauss_newton, _ = cg(self._normal, self.gradient, maxiter=_MAX_CG)
        return self._gauss_newton

    def predicted_gain(self, h: np.ndarray) -> float:
        """How much less the sum of squares is after the step, if the residuals are linear."""
        return 2 * (self.gradient @ h) - h @ (self._normal @ h)
