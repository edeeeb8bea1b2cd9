"""Expressions of one model in the numbers of another one of another family: where both are linear on one mesh, and the
one's basis has room for what the other's says.

The faces at rest need not be the same: 3DDFA's mean face has an expression, Deep3D's has none. Both are the same
person's, so what lies between them is expression as well, and is carried along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from facecli.codes import Codes
from facecli.errors import UsageError
from facecli.plugin import ExpressionBasis, Plugin

EXPRESSION = "expression"
MOST_LOST = 0.25
"""Of the movements' root mean square over vertices and faces, what the other basis may leave out: 94 % of the variance
comes over, and of movements of 2 or 3 mm half a millimetre is lost, less than such models' own errors on NoW."""
MOST_APART = 1.0
"""Millimetres (root mean square) between the faces at rest that no expression explains. Of one mesh and one person they
are much less, of different meshes centimetres."""
LEAST_SHARED = 0.5
"""Of the smaller mesh's vertices, how many the other one must have."""
_PRECISION = 1e-5
"""Combinations of the basis that move vertices so many times less than others do aren't used."""


@dataclass(frozen=True)
class Bridge:
    """Numbers of the target's model -> numbers of the source's: ``source = target @ matrix + rest``.

    Args:
        family: of the source's codes.
        matrix: [E, F] float64; rest: [F], what the target's zero is.
        moved: millimetres (root mean square over vertices and faces) that the target's expressions usually are.
        lost: millimetres of it that stay behind.
        apart: millimetres between the faces at rest that stay behind.
        shared: vertices that both models have.
    """

    family: str
    matrix: np.ndarray
    rest: np.ndarray
    moved: float
    lost: float
    apart: float
    shared: int

    @property
    def share_lost(self) -> float:
        """0..1 of the movement."""
        return self.lost / self.moved

    def refusal(self) -> str:
        """Why expressions aren't carried over; "" where they are."""
        where = f"on the {self.shared} vertices that both have"
        if self.apart > MOST_APART:
            return (
                f"their faces at rest are {self.apart:.1f} mm apart {where}, more than {MOST_APART:g}: these aren't "
                "the same mesh"
            )
        if self.share_lost > MOST_LOST:
            count = len(self.rest)
            return (
                f"{self.share_lost:.0%} of the movement ({self.lost:.2f} of {self.moved:.2f} mm {where}) is none that "
                f"its {count} expressions can make, more than {MOST_LOST:.0%}"
            )
        return ""

    def note(self) -> str:
        """One line for the user."""
        return (
            f"{self.share_lost:.1%} of the movement stays behind ({self.lost:.2f} of {self.moved:.2f} mm on the "
            f"{self.shared} vertices that both have)"
        )

    def carry(self, codes: Codes) -> Codes:
        """Of the target's `codes` the expression [B, F] alone, as one of the source's family.

        Raises:
            UsageError: they hold none, or one of more numbers than their model has.
        """
        if EXPRESSION not in codes:
            raise UsageError(f"codes of {codes.model or 'the target'} hold no expression")
        theirs = codes[EXPRESSION]
        if theirs.ndim != 2 or theirs.shape[1] > len(self.matrix):
            count = " × ".join(map(str, theirs.shape[1:]))
            raise UsageError(f"the target's expression is {count} numbers, its model has {len(self.matrix)}")
        matrix = torch.from_numpy(self.matrix[: theirs.shape[1]])
        carried = theirs.cpu().double() @ matrix + torch.from_numpy(self.rest)
        return Codes({EXPRESSION: carried.float()}, codes.model, self.family)


def build(source: ExpressionBasis, target: ExpressionBasis, family: str = "") -> Bridge:
    """The least squares fit of the target's expressions by the source's, on the vertices that both have.

    Head movements in it don't count, for the pose stays the source's: both bases are fitted without their part that is
    an (infinitely small) rigid motion. Coefficients weigh by their spread.

    Args:
        family: of the source's codes.

    Raises:
        UsageError: they aren't on one topology, or on too few of its vertices together.
    """
    if source.topology != target.topology:
        raise UsageError(f"their expressions are on different meshes, {source.topology} and {target.topology}")
    _, ours, theirs = np.intersect1d(source.vertices, target.vertices, return_indices=True)
    fewest = min(len(source.vertices), len(target.vertices))
    if len(ours) < max(LEAST_SHARED * fewest, len(source.directions) / 3 + 2):
        raise UsageError(f"they have only {len(ours)} vertices in common, of {fewest}")
    own, own_rest = _millimetres(source, ours)
    moves, rest = _millimetres(target, theirs)
    rigid, _ = np.linalg.qr(_rigid_motions(rest))
    own, wanted = _without(rigid, own), _without(rigid, np.concatenate([moves, (rest - own_rest).reshape(-1, 1)], 1))
    # The normal equations: in double precision exact enough, and much quicker than the tall matrix.
    solved, *_ = np.linalg.lstsq(own.T @ own, own.T @ wanted, rcond=_PRECISION**2)
    behind = wanted - own @ solved
    matrix = solved[:, :-1].T / _positive(target.spread)[:, None] * source.spread
    middle = source.usual + source.spread * solved[:, -1]
    count = len(ours)
    return Bridge(
        family=family,
        matrix=matrix,
        rest=middle - target.usual @ matrix,
        moved=max(_size(wanted[:, :-1], count), np.finfo(float).tiny),
        lost=_size(behind[:, :-1], count),
        apart=_size(behind[:, -1:], count),
        shared=count,
    )


def _millimetres(basis: ExpressionBasis, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets [3 N, E] of one spread each, and the face [N, 3] at usual coefficients, of these vertices."""
    unit = 1e3 * basis.metres_per_unit
    directions = basis.directions[:, rows].reshape(len(basis.directions), -1).astype(np.float64).T * unit
    mean = basis.mean[rows].astype(np.float64) * unit
    return directions * basis.spread, mean + (directions @ basis.usual).reshape(-1, 3)


def _rigid_motions(points: np.ndarray) -> np.ndarray:
    """[3 N, 6] offsets of points [N, 3] that move or turn them all together."""
    arms = points - points.mean(0)
    arms = arms / np.sqrt((arms**2).mean())
    shifts = np.broadcast_to(np.eye(3)[:, None], (3, len(points), 3))
    turns = np.stack([np.cross(axis, arms) for axis in np.eye(3)])
    return np.concatenate([shifts, turns]).reshape(6, -1).T


def _without(rigid: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return offsets - rigid @ (rigid.T @ offsets)


def _size(offsets: np.ndarray, vertices: int) -> float:
    """Root mean square over vertices of offsets [3 N, E] that add up independently."""
    return float(np.sqrt((offsets**2).sum() / vertices))


def _positive(spread: np.ndarray) -> np.ndarray:
    """Coefficients that never differ carry nothing."""
    return np.where(spread > 0, spread, np.inf)


# --- which models can be asked for together --------------------------------------------------------------------------


def may_mix(ours: Plugin, theirs: Plugin) -> bool:
    """Whether a face of `ours` may have an expression of `theirs`, as far as their descriptions tell."""
    alike = bool(ours.expression_topology) and ours.expression_topology == theirs.expression_topology
    return ours.family == theirs.family or alike


def different(ours: Plugin, theirs: Plugin) -> str:
    """That they can't be mixed, in words."""
    families = f"{ours.family} and {theirs.family}"
    return f"{ours.name} and {theirs.name} can't be mixed: their codes are of different families, {families}"


def companions(ours: Plugin, plugins: Mapping[str, Plugin]) -> str:
    """Which models go together with it, in words."""
    models = [theirs for theirs in plugins.values() if theirs.reconstructor and theirs.name != ours.name]
    within = [theirs.name for theirs in models if theirs.family == ours.family]
    beyond = [theirs.name for theirs in models if theirs.family != ours.family and may_mix(ours, theirs)]
    words = [" and ".join(within)] if within else []
    words += [f"{' and '.join(beyond)} where their bases agree"] if beyond else []
    return f"{ours.name} goes with {'; '.join(words) or 'itself alone'}"
