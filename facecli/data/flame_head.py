"""A user's FLAME as a :class:`facecli.data.head_model.HeadModel`; painted where FLAME's masks are there, else plain."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from facecli.assets.store import find, require, require_all
from facecli.data import regions
from facecli.data.head_model import FIELD_MM
from facecli.morphable import files
from facecli.morphable.flame import Flame
from facecli.morphable.flame_files import read_flame, read_landmark_embedding, read_masks
from facecli.morphable.flame_landmarks import FlameLandmarks

IDENTITIES, EXPRESSIONS = 100, 50
MM = 1000.0
JAW_OPEN, EYES_AWAY = 0.35, 0.35
"""Radians."""
_IRIS, _PUPIL = 5.9, 2.0
_EYEBALLS = ("left_eyeball", "right_eyeball")
_VERSION = 1


class FlameHeads:
    """Heads of FLAME.

    Codes: identity [100]; expression [50] and after it the jaw's rotation [3] and both eyes' yaw and pitch [2].

    Args:
        path: another file of FLAME than the one that facecli finds.

    Raises:
        MissingAssetError: FLAME or its landmarks are not on this machine.
        InputError: a file is damaged or something else.
    """

    name = "flame"
    n_identity, n_expression = IDENTITIES, EXPRESSIONS + 5

    def __init__(self, path: str | Path | None = None):
        if path is None:
            path, embedding = require_all([files.FLAME, files.LANDMARK_EMBEDDING])
        else:
            embedding = require(files.LANDMARK_EMBEDDING)
        arrays = read_flame(path)
        self._flame = Flame(arrays, IDENTITIES, EXPRESSIONS).eval()
        self._landmarks = FlameLandmarks(arrays.triangles, read_landmark_embedding(embedding))
        masks = find(files.MASKS)
        self._masks = read_masks(masks) if masks else {}
        numbered = (f"expression_{number:02}" for number in range(EXPRESSIONS))
        self.expression_names = (*numbered, "jaw_x", "jaw_y", "jaw_z", "eyes_yaw", "eyes_pitch")
        self.triangles = arrays.triangles
        eyes = self._has(*_EYEBALLS)[self.triangles].any(1)
        self.skin = ~eyes
        face = self._has("face") if "face" in self._masks else np.ones(len(arrays.template), bool)
        self.face = self.skin & face[self.triangles].all(1)
        digest = hashlib.sha256(arrays.template.tobytes() + arrays.identity.tobytes() + arrays.expression.tobytes())
        self.fingerprint = f"{digest.hexdigest()[:16]}-{'painted' if self._masks else 'plain'}-{_VERSION}"

    @torch.inference_mode()
    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[B, V, 3] mm, see :class:`facecli.data.head_model.HeadModel`."""
        people, faces = (torch.from_numpy(np.atleast_2d(np.asarray(c, np.float32))) for c in (identity, expression))
        yaw, pitch = faces[:, EXPRESSIONS + 3 : EXPRESSIONS + 4], faces[:, EXPRESSIONS + 4 :]
        gaze = torch.cat([-pitch, yaw, torch.zeros_like(yaw)], 1).repeat(1, 2)
        jaw = faces[:, EXPRESSIONS : EXPRESSIONS + 3]
        found, _ = self._flame.head_frame(people, faces[:, :EXPRESSIONS], jaw=jaw, eyes=gaze)
        return found.numpy() * np.float32(MM)

    @torch.inference_mode()
    def landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[B, 68, 3] of `vertices` [B, V, 3]; the contour is fixed on the mesh, too."""
        return self._landmarks.full68(torch.from_numpy(np.asarray(vertices, np.float32))).numpy()

    def sample_identity(self, rng: np.random.Generator) -> np.ndarray:
        """[100] standard normal numbers up to three."""
        return rng.standard_normal(IDENTITIES).clip(-3, 3).astype(np.float32)

    def sample_expression(self, rng: np.random.Generator) -> np.ndarray:
        """[55] from rest to lively."""
        strength = rng.beta(1.5, 2.5) * 1.6
        expression = strength * rng.standard_normal(EXPRESSIONS).clip(-2, 2)
        opening = JAW_OPEN * rng.beta(1, 4) * (rng.random() < 0.7)
        jaw = [opening, rng.normal(0, 0.02), 0]
        gaze = rng.normal(0, 0.35, 2).clip(-1, 1) * EYES_AWAY
        return np.concatenate([expression, jaw, gaze]).astype(np.float32)

    def fields(self) -> Mapping[str, np.ndarray]:
        """See :class:`facecli.data.head_model.HeadModel`."""
        return self._fields

    @functools.cached_property
    def _fields(self) -> dict[str, np.ndarray]:
        if not self._masks:
            return {}
        mean = self.vertices(np.zeros((1, IDENTITIES)), np.zeros((1, self.n_expression)))[0].astype(np.float64)
        points = self.landmarks(mean[None])[0].astype(np.float64)
        eyes = self._has(*_EYEBALLS)
        front = mean[:, 2] > points[48, 2] - 12
        distances = {
            "lips": np.where(front, regions.inside(mean, regions.lip_outline(points)), -99),
            "brows": regions.brows(mean, points),
            "lashes": regions.lashes(mean, points),
            "beard": regions.beard(mean, points),
            "cloth": -(mean[:, 1] - mean[:, 1].min() - 12),
        }
        if "scalp" in self._masks:
            distances["hair"] = _edge_distance(mean, self._has("scalp"))
        fields = {name: np.where(eyes, -9, 0.5 + distance / FIELD_MM) for name, distance in distances.items()}
        fields["flush"] = np.where(eyes, 0, regions.flush(mean, points))
        across = self._off_axis(mean)
        fields["eyeball"] = np.where(eyes, 9.0, -9.0)
        fields["iris"] = np.where(eyes, 0.5 + (_IRIS - across) / FIELD_MM, -9)
        fields["pupil"] = np.where(eyes, 0.5 + (_PUPIL - across) / FIELD_MM, -9)
        return {name: field.astype(np.float32) for name, field in fields.items()}

    def _off_axis(self, mean: np.ndarray) -> np.ndarray:
        """[V] how far a vertex of an eyeball lies from the line straight ahead through its middle."""
        across = np.full(len(mean), 99.0)
        for name in _EYEBALLS:
            ball = self._masks.get(name, np.empty(0, np.int64))
            if len(ball):
                middle = (mean[ball].min(0) + mean[ball].max(0)) / 2
                distance = np.hypot(*(mean[ball, :2] - middle[:2]).T)
                across[ball] = np.where(mean[ball, 2] > middle[2], distance, 99)
        return across

    def _has(self, *names: str) -> np.ndarray:
        """[V] bool, the vertices in any of the masks."""
        found = np.zeros(self._flame.template.shape[1], bool)
        for name in names:
            found[self._masks.get(name, [])] = True
        return found


def _edge_distance(points: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """[V] distance of each of `points` [V, 3] to the nearest one on the other side, negative outside."""
    if inside.all() or not inside.any():
        return np.where(inside, 99.0, -99.0)
    to_inside, _ = cKDTree(points[inside]).query(points)
    to_outside, _ = cKDTree(points[~inside]).query(points)
    return (to_outside - to_inside) / 2
