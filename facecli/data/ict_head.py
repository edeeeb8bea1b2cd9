"""ICT-FaceKit as a :class:`facecli.data.head_model.HeadModel`: where lips, brows, eyes and hair are on it.

The model's licensed textures are not used. Regions are distances on the mean head, mm, from its 68 landmarks and
its parts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from facecli.data import arkit
from facecli.data.head_model import FIELD_MM
from facecli.data.teeth import Teeth, lower_jaw
from facecli.morphable.ict import FACE_END, HEAD_END, IctModel
from facecli.morphable.ict_files import read_ict

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
        regions = {
            "lips": np.where(mean[:, 2] > points[48, 2] - 12, _inside(mean, _lip_outline(points)), -99),
            "brows": _brows(mean, points),
            "lashes": _lashes(mean, points),
            "hair": _hair(mean),
            "beard": _beard(mean, points),
            "flush": _flush(mean, points),
            "cloth": -(mean[:, 1] + 128 - 0.25 * mean[:, 2] - 0.012 * np.abs(mean[:, 0]) ** 1.7),
        }
        fields = {name: np.where(head, 0.5 + distance / FIELD_MM, -9) for name, distance in regions.items()}
        fields["flush"] = np.where(head, regions["flush"], 0)
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


def _lip_outline(points: np.ndarray) -> np.ndarray:
    """[N, 2] the red's outer edge in the frontal plane, through iBUG's 12 outer points."""
    upper = _curve(points[48:55, :2], 60)
    lower = _curve(points[[54, 55, 56, 57, 58, 59, 48], :2], 60)
    return np.concatenate([upper[:-1], lower[:-1]])


def _curve(points: np.ndarray, count: int) -> np.ndarray:
    """[count, D] along a smooth curve through `points` [K, D]."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return CubicSpline(along, points)(np.linspace(0, along[-1], count))


def _inside(mean: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """[V] signed distance in the frontal plane to a closed `outline` [N, 2], positive inside."""
    polygon = outline.astype(np.float32).reshape(-1, 1, 2)
    return np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), True) for x, y in mean[:, :2]])


def _brows(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] how far inside a brow: a band along iBUG's points, thick at its inner third and thin at the temple."""
    best = np.full(len(mean), -99.0)
    for line in (points[[21, 20, 19, 18, 17]], points[[22, 23, 24, 25, 26]]):
        line = _curve(line - [0, 1.5, 0], 40)
        share = np.linspace(0, 1, len(line))
        half = 4.2 * np.clip(np.minimum(0.55 + 3 * share, 1.15 - 0.85 * share), 0, 1)
        distance = np.linalg.norm(mean[:, None] - line[None], axis=2)
        best = np.maximum(best, (half - distance).max(1))
    return best


def _lashes(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] how far inside the dark edge of the lids, thicker above."""
    best = np.full(len(mean), -99.0)
    for line, half in (
        (points[[36, 37, 38, 39]], 0.7), (points[[42, 43, 44, 45]], 0.7),
        (points[[36, 41, 40, 39]], 0.1), (points[[42, 47, 46, 45]], 0.1),
    ):  # fmt: skip
        distance = np.linalg.norm(mean[:, None] - _curve(line, 40)[None], axis=2).min(1)
        best = np.maximum(best, half - distance)
    return best


def _hair(mean: np.ndarray) -> np.ndarray:
    """[V] how far behind the hairline: forehead, temples, sideburns, round the ears, nape."""
    x, y, z = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    top = y - (118 - 0.006 * x**2)
    behind = np.minimum(np.interp(y, [-40, 0, 30, 60, 90, 120], [-62, -45, 8, 22, 38, 60]) - z, (y + 30) * 0.8)
    ear = np.where(y < 64, 79 - x, 99)  # what stands out from the head
    return np.minimum(np.maximum(top, behind), ear)


def _beard(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] how far inside the part where a beard grows: jaw, chin, above the lip; not on the lips."""
    x, y, z = mean.T
    cheek = np.interp(np.abs(x), [0, 14, 30, 55, 72], [-14, -14, -20, -14, 20]) - y
    return np.minimum.reduce([cheek, y + 92, z - 18, -_inside(mean, _lip_outline(points)) - 1])


def _flush(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] 0..1, how much blood shows: cheeks, tip of the nose, ears."""
    cheek = (points[[41, 46]] + points[[48, 54]]) / 2 + [[-8, 4, 0], [8, 4, 0]]
    ears = np.array([[-82, 22, -12], [82, 22, -12]])
    spots = ((*cheek, 20.0), (points[30], 12.0), (*ears, 18.0))
    total = np.zeros(len(mean))
    for *centres, radius in spots:
        for centre in centres:
            total = np.maximum(total, np.exp(-((mean - centre) ** 2).sum(1) / (2 * radius**2)))
    return total
