"""`HeadModel`: the contract between face models and the generator of rendered heads.

A head model gives geometry and says where on it lips, brows, eyes and hair are; colours, light, camera and background
are the generator's (`facecli.data.paint`, `facecli.data.render_head`) and the same for all models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

FIELDS = (
    "lips",  # the red of the lips
    "mouth",  # lining of the mouth, dark; hidden while it is shut
    "teeth",
    "brows",
    "lashes",  # the lids' edges
    "eyeball",  # the eyeballs, whole
    "iris",
    "pupil",
    "hair",  # the scalp
    "beard",  # where one grows: chin, jaw, above the lip
    "flush",  # cheeks, nose, ears: where blood shows; no edge, 0..1
    "cloth",  # below the neckline
)
"""Names of the fields that :meth:`HeadModel.fields` may give."""

FIELD_MM = 4.0
"""Millimetres over which a field goes from 0 to 1."""


@runtime_checkable
class HeadModel(Protocol):
    """Heads of many people in one topology.

    Vertices are float32 millimetres in the head frame: x right, y up, z to the viewer of a frontal face; the origin is
    inside the head, near the middle between the ears. All methods are functions of their arguments alone: what is drawn
    by chance is drawn from the generator handed in, so that a seed is a head for ever.
    """

    name: str
    """E.g. ``"ict"``: a word of ``--faces``."""
    fingerprint: str
    """Changes whenever the same codes would give other vertices: hash of the file, or the formula's version."""
    n_identity: int
    n_expression: int
    expression_names: tuple[str, ...]
    """[E]; ARKit's (``jawOpen``, ``eyeBlink_L``) where the model has such."""
    triangles: np.ndarray
    """[F, 3] int64, counter-clockwise from outside."""
    skin: np.ndarray
    """[F] bool, the outer skin: face, scalp, ears, neck; not eyeballs, lining of the mouth, teeth."""
    face: np.ndarray
    """[F] bool, the part of `skin` that a face mask shows: forehead to chin, ear to ear."""

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[B, V, 3] from `identity` [B, I] and `expression` [B, E]; zeros are the mean head at rest."""
        ...

    def landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[B, 68, 3] iBUG's points of `vertices` [B, V, 3], at the same places of the surface for every head (no
        contour that slides with the view). Point 0 is at the subject's right ear, which is on the picture's left."""
        ...

    # A model may also have ``points478(vertices) -> [B, 478, 3]``: MediaPipe's points, irises included.

    def fields(self) -> Mapping[str, np.ndarray]:
        """Name of :data:`FIELDS` -> [V] float32, the same for all heads; names may be missing.

        A field is a signed distance to its edge along the mean head: ``0.5 + millimetres inside / FIELD_MM``, beyond
        0..1 too (-9 far outside). It is interpolated over the triangles and only then cut, so edges come out sharper
        than the mesh, and may be moved in and out from head to head. What is seen of a triangle from behind (an open
        mouth's hole) is drawn as ``mouth`` whatever its fields say. ``iris`` and ``pupil`` lie on the ``eyeball``.
        """
        ...

    def sample_identity(self, rng: np.random.Generator) -> np.ndarray:
        """[I] float32 of a person drawn by chance."""
        ...

    def sample_expression(self, rng: np.random.Generator) -> np.ndarray:
        """[E] float32 of a face drawn by chance, from rest to lively; nothing impossible (both ``jawOpen`` and
        ``mouthClose``)."""
        ...
