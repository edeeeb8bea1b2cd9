"""ICT-FaceKit as a :class:`facecli.data.head_model.HeadModel`: where lips, brows, eyes and hair are on it.

The model's licensed textures are not used. Regions are distances on the mean head, mm, from its 68 landmarks and
its parts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facecli.data import arkit, regions
from facecli.data.head_model import FIELD_MM
from facecli.data.teeth import Teeth, lower_jaw
from facecli.morphable.ict import FACE_END, HEAD_END, IctModel
from facecli.morphable.ict_files import read_ict
from facecli.morphable.ict_points import points478

IRIS_RADIUS, PUPIL_RADIUS = 5.9, 2.0
"""mm; real irises are 5.5 to 6.3."""
LARGEST_IDENTITY = 3.0
"""Standard deviations; one number in 400 is drawn again."""


class IctHead:
    """Heads of ICT-FaceKit with teeth of our own (its light model has none).

    Args:
        path: the model's ``.npz``.

    Raises:
        InputError: missing, damaged, or something else.
    """

    name = "ict"

    def __init__(self, path: str | Path):
        self.model = IctModel(read_ict(path), str(path))
        arrays = self.model.arrays
        self.n_identity, self.n_expression = self.model.n_identity, self.model.n_expression
        self.expression_names = self.model.expression_names
        self._own = len(arrays.mean)  # vertices of the model; the teeth come after them
        self._teeth = Teeth(arrays.mean[self.model.ibug68], first_vertex=self._own)
        self._jaw = lower_jaw(arrays.mean, arrays.mean[self.model.ibug68])
        part = self._parts()
        # The cornea is a clear shell: its shine is the eyeball's in pictures.
        own = arrays.triangles[part[arrays.triangles].max(1) < _CORNEA]
        self.triangles = np.concatenate([own, self._teeth.triangles])
        corner = np.concatenate([part, np.full(self._teeth.count, _TEETH)])[self.triangles[:, 0]]
        self.skin = corner <= _HEAD
        self.face = self.skin & self._is_face()[self.triangles].all(1)
        self.fingerprint = f"{arrays.fingerprint}-{_VERSION}"

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[B, V, 3], see :class:`facecli.data.head_model.HeadModel`."""
        heads = self.model.vertices(identity, expression)
        rest = self.model.vertices(identity, np.zeros_like(np.atleast_2d(expression)))
        teeth = [self._teeth.place(h, r, self.model.ibug68, self._jaw) for h, r in zip(heads, rest, strict=True)]
        return np.concatenate([heads, np.stack(teeth)], 1)

    def landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[B, 68, 3] of `vertices` [B, V, 3]."""
        return vertices[:, self.model.ibug68]

    def points478(self, vertices: np.ndarray) -> np.ndarray:
        """[B, 478, 3] MediaPipe's points of `vertices` [B, V, 3], where that would have them."""
        return points478(self.model, vertices)

    def sample_identity(self, rng: np.random.Generator) -> np.ndarray:
        """[100] standard normal numbers, none beyond three."""
        identity = rng.standard_normal(self.n_identity)
        while (beyond := np.abs(identity) > LARGEST_IDENTITY).any():
            identity[beyond] = rng.standard_normal(int(beyond.sum()))
        return identity.astype(np.float32)

    def sample_expression(self, rng: np.random.Generator) -> np.ndarray:
        """[57], see :func:`facecli.data.arkit.sample_expression`; pupils of any width."""
        weights = arkit.sample_expression(self.expression_names, rng)
        width = rng.uniform(0, 0.6)
        for side in "LR":
            name = f"PupilDilate_{side}"
            if name in self.expression_names:
                weights[self.expression_names.index(name)] = width
        return weights

    def fields(self) -> Mapping[str, np.ndarray]:
        """See :class:`facecli.data.head_model.HeadModel`."""
        return self._fields

    # --- regions of the mean head ----------------------------------------------------------------------------------

    @functools.cached_property
    def _fields(self) -> dict[str, np.ndarray]:
        mean = self.vertices(np.zeros((1, self.n_identity)), np.zeros((1, self.n_expression)))[0]
        points = mean[self.model.ibug68]
        part = np.concatenate([self._parts(), np.full(self._teeth.count, _TEETH)])
        head, eyes, teeth = part <= _HEAD, part == _EYE, part == _TEETH
        off_axis = self._off_axis(mean)
        distances = {
            "lips": np.where(mean[:, 2] > points[48, 2] - 12, regions.inside(mean, regions.lip_outline(points)), -99),
            "brows": regions.brows(mean, points),
            "lashes": regions.lashes(mean, points),
            "hair": _hair(mean),
            "beard": regions.beard(mean, points),
            "flush": regions.flush(mean, points),
            "cloth": -(mean[:, 1] + 128 - 0.25 * mean[:, 2] - 0.012 * np.abs(mean[:, 0]) ** 1.7),
        }
        fields = {name: np.where(head, 0.5 + distance / FIELD_MM, -9) for name, distance in distances.items()}
        fields["flush"] = np.where(head, distances["flush"], 0)
        fields["eyeball"] = np.where(eyes, 9.0, -9.0)
        fields["iris"] = np.where(eyes, 0.5 + (IRIS_RADIUS - off_axis) / FIELD_MM, -9)
        fields["pupil"] = np.where(eyes, 0.5 + (PUPIL_RADIUS - off_axis) / FIELD_MM, -9)
        fields["teeth"] = np.where(teeth, 9.0, -9.0)
        return {name: field.astype(np.float32) for name, field in fields.items()}

    def _parts(self) -> np.ndarray:
        """[V] of the model's own vertices: which part each belongs to."""
        source = self.model.arrays.source_vertex
        part = np.select([source < FACE_END, source < HEAD_END], [_FACE, _HEAD], _EYE)
        for cornea in self.model.cornea.values():
            part[cornea] = _CORNEA
        return part

    def _off_axis(self, mean: np.ndarray) -> np.ndarray:
        """[V] how far a vertex of an eyeball lies from the axis through its pupil; large elsewhere."""
        distance = np.full(len(mean), 99.0)
        centres = self.model.eye_centres(mean[None, : self._own])[0]
        for side, centre in zip("LR", centres, strict=True):
            ball = self.model.eyeball[side]
            across = np.hypot(*(mean[ball, :2] - centre[:2]).T)
            distance[ball] = np.where(mean[ball, 2] > centre[2], across, 99)
        return distance

    def _is_face(self) -> np.ndarray:
        """[V] bool: forehead to chin, ear to ear."""
        mean = self.model.arrays.mean
        jaw = mean[self.model.ibug68[:17]]
        below = mean[:, 1] < np.interp(mean[:, 0], jaw[:, 0], jaw[:, 1])
        own = (self.model.arrays.source_vertex < FACE_END) & (mean[:, 2] > 25) & ~below & (np.abs(mean[:, 0]) < 76)
        return np.concatenate([own, np.zeros(self._teeth.count, bool)])


_FACE, _HEAD, _EYE, _CORNEA, _TEETH = range(5)
_VERSION = 1


def _hair(mean: np.ndarray) -> np.ndarray:
    """[V] how far behind the hairline: forehead, temples, sideburns, round the ears, nape."""
    x, y, z = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    top = y - (118 - 0.006 * x**2)
    behind = np.minimum(np.interp(y, [-40, 0, 30, 60, 90, 120], [-62, -45, 8, 22, 38, 60]) - z, (y + 30) * 0.8)
    ear = np.where(y < 64, 79 - x, 99)  # what stands out from the head
    return np.minimum(np.maximum(top, behind), ear)
