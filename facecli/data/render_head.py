"""Pictures of heads with exact labels: head `index` of a `seed` is the same for ever, whoever asks for it, and when.

Each part of a picture (identity, pose, light, …) draws from a generator of its own, seeded by (seed, index, part), so
that another face model or another range changes nothing but itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch

from facecli.data import noise
from facecli.data.backgrounds import sample_background
from facecli.data.camera_effects import Wear, sample_wear, take_picture
from facecli.data.head_model import FIELD_MM, HeadModel
from facecli.data.lights import Light, sample_light
from facecli.data.occluders import sample_occluder
from facecli.data.paint import Palette, materials, sample_palette
from facecli.data.scene import SceneRange, View, sample_view
from facecli.data.shading import ShadowMap, openness, shade
from facecli.geometry.normals import vertex_normals
from facecli.render.rasterize import Fragments, pixels_to_image_ndc, rasterize
from facecli.render.window import interpolate_cells

GENERATOR = 1
"""Goes up whenever the same seed gives other pictures."""
_PARTS = ("identity", "expression", "view", "light", "paint", "background", "occluder", "wear", "noise")
_KEPT = ("identity", "paint")
"""What a person has in all pictures."""
_FINER = 2
"""Cells along a pixel: edges come out smooth."""


@dataclass(frozen=True)
class Labels:
    """What each pixel's centre shows of the bare head, without hair and what is in front of it.

    Args:
        depth: float32 [H, W] mm along the camera's axis; 0 where there is no head. normals: float32 [H, W, 3] unit, in
            the camera frame, 0 where there is none.
        head, skin, face: bool [H, W]: any of the head; its outer skin; the face part of that.
        visible: bool [H, W], the head's pixels that neither hair nor a thing in front hides.
    """

    depth: np.ndarray
    normals: np.ndarray
    head: np.ndarray
    skin: np.ndarray
    face: np.ndarray
    visible: np.ndarray


@dataclass
class Rendered:
    """A picture of one head and all that is known of it.

    Pixels are x right, y down, integers at their centres; the camera frame is x right, y up, z to the viewer, mm.

    Args:
        seed, index: which head it is. model: the head model's name.
        image: RGB uint8 [H, W, 3].
        identity, expression: codes [I], [E].
        view: pose and camera. light, palette, wear: what it was drawn with.
        vertices, neutral: [V, 3] float32 mm in the head frame, with and without its expression.
        landmarks_3d, neutral_landmarks_3d: [68, 3] likewise.
        covered: float32 [H, W], how much of a pixel a thing in front or hair covers.
    """

    seed: int
    index: int
    model: HeadModel
    image: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    view: View
    light: Light
    palette: Palette
    wear: Wear
    vertices: np.ndarray
    neutral: np.ndarray
    landmarks_3d: np.ndarray
    neutral_landmarks_3d: np.ndarray
    covered: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[:2]

    @cached_property
    def projected(self) -> np.ndarray:
        """[V, 3] pixels and depth (mm) of `vertices`, float64."""
        return self.view.project(self.vertices)

    @cached_property
    def landmarks(self) -> np.ndarray:
        """[68, 2] iBUG's points in pixels, float64; hidden ones too."""
        return self.view.project(self.landmarks_3d)[:, :2]

    @cached_property
    def landmarks478(self) -> np.ndarray | None:
        """[478, 2] MediaPipe's points in pixels, float64, hidden ones too; None where the model doesn't have them."""
        if not hasattr(self.model, "points478"):
            return None
        return self.view.project(self.model.points478(self.vertices[None])[0])[:, :2]

    @cached_property
    def labels(self) -> Labels:
        """Depth, normals and masks, drawn when first asked for."""
        fragments = _draw(self.projected, self.model.triangles, self.size, 1)
        head = fragments.mask[0].numpy()
        index = fragments.face_index[0].numpy()
        skin, face = (head & part[index] for part in (self.model.skin, self.model.face))
        normals = np.zeros((*self.size, 3), np.float32)
        smooth = vertex_normals(self.vertices.astype(np.float64), self.model.triangles) @ self.view.rotation.T
        found = interpolate_cells(index[head], fragments.bary[0].numpy()[head], self.model.triangles, smooth, True)
        normals[head] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
        depth = np.where(head, fragments.depth[0].numpy(), 0)
        return Labels(depth, normals, head, skin, face, head & (self.covered < 0.5))


@dataclass(frozen=True)
class Posed:
    """A head before its camera: codes [I] and [E], the view, vertices [V, 3] with and without its expression."""

    identity: np.ndarray
    expression: np.ndarray
    view: View
    vertices: np.ndarray
    neutral: np.ndarray


class HeadRenderer:
    """Draws heads of one model.

    Args:
        model: whose heads.
        scene: what poses, distances and wear are drawn from.
        size: side of the pictures in pixels.
    """

    def __init__(self, model: HeadModel, scene: SceneRange, size: int = 512):
        self.model, self.scene, self.size = model, scene, size
        zeros = np.zeros((1, model.n_identity), np.float32), np.zeros((1, model.n_expression), np.float32)
        self._mean = model.vertices(*zeros)[0]
        self.anchor = model.landmarks(self._mean[None])[0, 17:].mean(0).astype(np.float64)
        self._triangles = np.ascontiguousarray(model.triangles, np.int64)
        self.openness = openness(self._mean, self._triangles)
        self._fields = dict(model.fields())

    def pose(self, seed: int, index: int, person: int | None = None) -> Posed:
        """Who head `index` of the set `seed` is and where, without its picture; `person` as in :meth:`render`."""
        return self._pose(streams(seed, index, person))

    def _pose(self, parts: dict[str, np.random.Generator]) -> Posed:
        identity = np.asarray(self.model.sample_identity(parts["identity"]), np.float32)
        expression = np.asarray(self.model.sample_expression(parts["expression"]), np.float32)
        if parts["expression"].random() < self.scene.rest:
            expression = np.zeros_like(expression)
        both = self.model.vertices(np.stack([identity] * 2), np.stack([expression, np.zeros_like(expression)]))
        view = sample_view(self.scene, self.size, self.anchor, parts["view"])
        return Posed(identity, expression, view, both[0], both[1])

    def render(self, seed: int, index: int, person: int | None = None) -> Rendered:
        """Head `index` of the set `seed`.

        Args:
            person: with the shape and the colours of that head, for several pictures of one person.
        """
        parts = streams(seed, index, person)
        posed = self._pose(parts)
        view, points = posed.view, self.model.landmarks(np.stack([posed.vertices, posed.neutral]))
        palette, light = sample_palette(parts["paint"]), sample_light(parts["light"])
        wear = sample_wear(self.scene.wear, parts["wear"])
        picture, covered = self._light_of(posed.vertices, view, light, palette, parts["background"])
        landmarks = view.project(points[0])[:, :2]
        if parts["occluder"].random() < self.scene.occluded:
            box = np.concatenate([landmarks.min(0), landmarks.max(0)])
            mask, colors = sample_occluder(picture.shape[:2], box, parts["occluder"])
            picture += mask[..., None] * (colors - picture)
            covered = np.maximum(covered, mask)
        return Rendered(
            seed=seed,
            index=index,
            model=self.model,
            image=take_picture(picture, wear, parts["noise"]),
            identity=posed.identity,
            expression=posed.expression,
            view=view,
            light=light,
            palette=palette,
            wear=wear,
            vertices=posed.vertices,
            neutral=posed.neutral,
            landmarks_3d=points[0],
            neutral_landmarks_3d=points[1],
            covered=covered,
        )

    def _light_of(
        self, head: np.ndarray, view: View, light: Light, palette: Palette, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Linear light [H, W, 3] of the whole picture, and where hair hides the head [H, W]."""
        background = sample_background((self.size, self.size), rng)
        drawn = self._with_hair(head, palette)
        projected = view.project(drawn)
        fragments = _draw(projected, self._triangles, (self.size, self.size), _FINER)
        mask = fragments.mask[0].numpy()
        if not mask.any():
            return background, np.zeros((self.size, self.size), np.float32)
        face, bary = fragments.face_index[0].numpy()[mask], fragments.bary[0].numpy()[mask]
        cells = _Cells(face, bary, self._triangles)
        normals = vertex_normals(drawn.astype(np.float64), self._triangles) @ view.rotation.T
        in_camera = view.into_camera(drawn).astype(np.float32)
        names = list(self._fields)
        columns = [normals, in_camera, self._mean, self.openness[:, None], self._blotches(palette)[:, None]]
        columns += [self._fields[name][:, None] for name in names]
        values = cells.mix(np.concatenate(columns, 1))
        back = _turned_away(projected, self._triangles)[face]
        normal, place = values[:3], values[3:6]
        normal *= np.where(back, -1, 1) / np.maximum(np.linalg.norm(normal, axis=0), 1e-6)
        to_viewer = -place / np.linalg.norm(place, axis=0)
        fields = {name: values[11 + number] for number, name in enumerate(names)}
        paint = materials(palette, fields, values[6:9], values[10], back)
        lit = ShadowMap(in_camera, self._triangles, light.directions[0]).lit(place.T, light.softness)
        lit[back] = 0
        sky = np.where(back, np.float32(0.15), values[9])
        colors = shade(paint, normal, to_viewer, sky, _exposed(light, normal, lit), lit)
        where = np.flatnonzero(mask)
        layer = np.zeros((mask.size, 5), np.float32)
        for channel in range(3):
            layer[where, channel] = colors[channel]
        layer[where, 3] = 1
        if "hair" in fields:
            layer[where, 4] = (1 - paint.skin) * (fields["hair"] > 0.5)
        layer = layer.reshape(*mask.shape, 5)
        layer = cv2.resize(layer, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return background * (1 - layer[..., 3:4]) + layer[..., :3], layer[..., 4]

    def _with_hair(self, head: np.ndarray, palette: Palette) -> np.ndarray:
        """[V, 3] `head` with its scalp raised to the hair's surface."""
        if palette.bald or "hair" not in self._fields:
            return head
        behind = (self._fields["hair"] - 0.5) * FIELD_MM - palette.hairline
        share = (behind / (10 + palette.hair_height)).clip(0, 1)
        share = share * share * (3 - 2 * share)
        wild = 1 + 0.25 * noise.at_points(self._mean, 30, palette.offset)
        height = (palette.hair_height * share * wild.clip(0.3, 1.7))[:, None]
        return (head + height * vertex_normals(head.astype(np.float64), self._triangles)).astype(np.float32)

    def _blotches(self, palette: Palette) -> np.ndarray:
        """[V] smooth noise on the mean head."""
        return noise.at_points(self._mean, 22, palette.offset, octaves=2)


class _Cells:
    """Cells of a picture that show a mesh."""

    def __init__(self, face: np.ndarray, bary: np.ndarray, triangles: np.ndarray):
        self._face, self._bary, self._triangles = face, bary, triangles

    def mix(self, values: np.ndarray) -> np.ndarray:
        """Per-vertex `values` [V, C] at the cells: [C, N] float32."""
        return interpolate_cells(self._face, self._bary, self._triangles, values, True).T


def streams(seed: int, index: int, person: int | None = None) -> dict[str, np.random.Generator]:
    """A generator for each part of head `index` of the set `seed`; what a `person` keeps is that head's."""
    person = index if person is None else person
    owner = {part: person if part in _KEPT else index for part in _PARTS}
    return {part: np.random.default_rng([seed, owner[part], number]) for number, part in enumerate(_PARTS)}


def _draw(projected: np.ndarray, triangles: np.ndarray, size: tuple[int, int], finer: int) -> Fragments:
    """The mesh at `finer` cells a pixel, with a true perspective; what is behind the camera isn't drawn."""
    height, width = size
    points = projected.astype(np.float64).copy()
    points[:, :2] = (points[:, :2] + 0.5) * finer - 0.5
    cells = height * finer, width * finer
    ndc = pixels_to_image_ndc(torch.from_numpy(points)[None], cells, shift_depth=False)
    return rasterize(ndc, torch.from_numpy(triangles), cells, perspective=True)


def _turned_away(projected: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[F] bool, triangles whose back the camera sees: counter-clockwise ones look clockwise where y goes down."""
    corners = projected[triangles][..., :2]
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return ax * by - ay * bx > 0


def _exposed(light: Light, normals: np.ndarray, lit: np.ndarray) -> Light:
    """`light` so bright that white paint on the head would be a bit below white in the picture's middle."""
    normals, lit = normals[:, ::37], lit[::37]
    received = light.ambient(normals)
    for number, (direction, color) in enumerate(zip(light.directions, light.colors, strict=True)):
        cosine = np.maximum(direction @ normals, 0)
        received = received + color[:, None] * cosine * (lit if number == 0 else 1)
    return light.scaled(0.95 / max(float(received.mean()), 1e-3))
