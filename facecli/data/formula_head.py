"""A human head by formula as a :class:`facecli.data.head_model.HeadModel`, for people who have no face model.

Ellipsoids that flow into each other make a plain head (`formula_skull`), named bumps and hollows a face
(`formula_face`), fields of displacements different people and expressions (`formula_changes`). Sizes and proportions
are an adult's; the constants were fitted, by least squares and then rounded, to the proportions of ICT-FaceKit's mean
head (MIT licence), from which this one's face is 0.9 mm away (median). No mesh and no scan is stored: a mesh is laid
over the formula (`formula_mesh`, `formula_places`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from facecli.data import arkit, formula_places
from facecli.data.formula_changes import PEOPLE, expression_fields
from facecli.data.formula_face import with_features
from facecli.data.formula_regions import in_lining, in_slit, regions

VERSION = 1
"""Goes up whenever the same codes give other vertices."""
SQUINT_CLOSES = 0.3
"""How far ``eyeSquint`` 1 closes an eye."""
_LIDS = {"L": ((43, 47), (44, 46)), "R": ((37, 41), (38, 40))}
"""Pairs of iBUG's points on the upper and the lower lid."""
LARGEST_IDENTITY = 2.5
"""Standard deviations; one number in 80 is drawn again."""


class FormulaHead:
    """Heads by formula: 45 named ways in which people differ, 33 shapes of expression with ARKit's names.

    One surface: eyeballs are part of it, as is the mouth's lining, which waits behind the lips; open at the neck.
    """

    name = "formula"
    fingerprint = f"formula-{VERSION}"
    identity_names = tuple(change.name for change in PEOPLE)
    n_identity = len(PEOPLE)

    def __init__(self) -> None:
        shape = _shape()
        self.expression_names = tuple(shape.expression)
        self.n_expression = len(self.expression_names)
        self.mesh = shape.places.mesh
        self.triangles = self.mesh.triangles
        self._ibug68 = shape.places.ibug68
        self._mean = shape.mean.astype(np.float32)
        self._identity = shape.identity.reshape(self.n_identity, -1).astype(np.float32)
        self._expression = np.stack(list(shape.expression.values())).reshape(self.n_expression, -1).astype(np.float32)
        centres = self.mesh.points[self.triangles].mean(1)
        self.skin = ~(in_slit(centres) | in_lining(centres))
        self.face = self.skin & self._is_face()[self.triangles].all(1)

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[B, V, 3] float32 mm from `identity` [B, 45], standard deviations, and `expression` [B, 33], 0..1."""
        identity, expression = (np.atleast_2d(np.asarray(code, np.float32)) for code in (identity, expression))
        expression = self._with_lids_closed(identity, expression)
        moved = identity @ self._identity + expression @ self._expression
        return self._mean + moved.reshape(len(moved), -1, 3)

    def landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[B, 68, 3] of `vertices` [B, V, 3]."""
        return vertices[:, self._ibug68]

    def fields(self) -> Mapping[str, np.ndarray]:
        """See :class:`facecli.data.head_model.HeadModel`."""
        return self._fields

    def sample_identity(self, rng: np.random.Generator) -> np.ndarray:
        """[45] standard normal numbers, none beyond 2.5."""
        identity = rng.standard_normal(self.n_identity)
        while (beyond := np.abs(identity) > LARGEST_IDENTITY).any():
            identity[beyond] = rng.standard_normal(int(beyond.sum()))
        return identity.astype(np.float32)

    def sample_expression(self, rng: np.random.Generator) -> np.ndarray:
        """[33], see :func:`facecli.data.arkit.sample_expression`."""
        return arkit.sample_expression(self.expression_names, rng)

    def _with_lids_closed(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """`expression` [B, E] whose ``eyeBlink`` 1 shuts any eye, and no eye farther, whatever lifts the lower lid."""
        expression = expression.copy()
        for side in _LIDS:
            blink, squint = (self.expression_names.index(f"{name}_{side}") for name in ("eyeBlink", "eyeSquint"))
            closing = expression[:, blink] + SQUINT_CLOSES * expression[:, squint]
            closing = np.minimum(closing, np.maximum(expression[:, blink], 1))
            expression[:, blink] = 0
            at_rest, of_identity, of_expression = self._gaps[side]
            gap = at_rest + identity @ of_identity + expression @ of_expression
            expression[:, blink] = closing * gap / -of_expression[blink]
        return expression

    @functools.cached_property
    def _gaps(self) -> dict[str, list[np.ndarray]]:
        """Side -> height of its eye's slit, mm: at the mean [1], and what each identity [I] and expression [E] adds."""
        gaps = {}
        for side, lids in _LIDS.items():
            upper, lower = self._ibug68[np.array(lids).T]
            heights = [
                field.reshape(-1, len(self._mean), 3)[..., 1]
                for field in (self._mean, self._identity, self._expression)
            ]
            gaps[side] = [(y[:, upper] - y[:, lower]).mean(1) for y in heights]
        return gaps

    @functools.cached_property
    def _fields(self) -> dict[str, np.ndarray]:
        return regions(self.mesh.points, self._mean.astype(np.float64))

    def _is_face(self) -> np.ndarray:
        """[V] bool: forehead to chin, ear to ear."""
        jaw = self._mean[self._ibug68[:17]]
        below = self._mean[:, 1] < np.interp(self._mean[:, 0], jaw[:, 0], jaw[:, 1])
        return (self._mean[:, 2] > 25) & (self._mean[:, 1] < 112) & ~below & (np.abs(self._mean[:, 0]) < 76)


class _Shape:
    """The mean head and its fields: mean [V, 3], identity [I, V, 3], expression name -> [V, 3], float64."""

    def __init__(self) -> None:
        self.places = formula_places.build()
        plain = self.places.mesh.points
        self.mean = with_features(plain)
        self.identity = np.stack([change.field(self.mean) for change in PEOPLE])
        self.expression = expression_fields(plain, self.mean)


@functools.cache
def _shape() -> _Shape:
    """Made once a process."""
    return _Shape()
