"""Pictures of heads with exact labels: head `index` of a `seed` is the same for ever, whoever asks for it, and when.

Each part of a picture (identity, pose, light, …) draws from a generator of its own, seeded by (seed, index, part), so
that another face model or another range changes nothing but itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch

from facecli.data import noise
from facecli.data.backgrounds import sample_background
from facecli.data.camera_effects import Wear, sample_wear, take_picture
from facecli.data.dress import Dress, palette_of, put_on, sample_dress
from facecli.data.glasses import Lenses
from facecli.data.head_model import FIELD_MM, HeadModel
from facecli.data.lights import Light, sample_light
from facecli.data.occluders import sample_occluder
from facecli.data.paint import Materials, Palette, materials, sample_palette
from facecli.data.scene import SceneRange, View, sample_view
from facecli.data.shading import ShadowMap, openness, shade
from facecli.data.sweep import Piece
from facecli.geometry.normals import vertex_normals
from facecli.render.rasterize import Fragments, pixels_to_image_ndc, rasterize
from facecli.render.window import interpolate_cells

GENERATOR = 1
"""Goes up whenever the same seed gives other pictures."""
_PARTS = ("identity", "expression", "view", "light", "paint", "background", "occluder", "wear", "noise",
          "dress", "hand")  # fmt: skip
_KEPT = ("identity", "paint", "dress")
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
        view: pose and camera. light, palette, wear, dress: what it was drawn with.
        vertices, neutral: [V, 3] float32 mm in the head frame, with and without its expression.
        landmarks_3d, neutral_landmarks_3d: [68, 3] likewise.
        covered: float32 [H, W], how much of a pixel hair or a thing in front covers, glasses' frames and dark
            lenses too.
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
    dress: Dress
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
        dress = sample_dress(self.scene.dressed, palette.bald, parts["dress"], parts["hand"])
        palette = palette_of(dress, palette)
        head = self._with_hair(posed.vertices, palette)
        worn = self._worn(dress, head, points)
        picture, covered = self._light_of(head, worn, view, light, palette, parts["background"])
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
            dress=dress,
            vertices=posed.vertices,
            neutral=posed.neutral,
            landmarks_3d=points[0],
            neutral_landmarks_3d=points[1],
            covered=covered,
        )

    def _worn(self, dress: Dress, head: np.ndarray, points: np.ndarray) -> _Worn:
        """What is drawn with `head` [V, 3]; `points` [2, 68, 3] with and without its expression."""
        if not dress:
            return _Worn(self._triangles)
        return _Worn(self._triangles, *put_on(dress, head, self._triangles, *points))

    def _light_of(
        self, head: np.ndarray, worn: _Worn, view: View, light: Light, palette: Palette, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Linear light [H, W, 3] of the whole picture, and where hair and what is worn hide the head [H, W].

        Args:
            head: [V, 3] with the scalp's hair.
        """
        background = sample_background((self.size, self.size), rng)
        drawn, triangles = worn.vertices(head), worn.triangles
        projected = view.project(drawn)
        fragments = _draw(projected, triangles, (self.size, self.size), _FINER)
        mask = fragments.mask[0].numpy()
        if not mask.any():
            return background, np.zeros((self.size, self.size), np.float32)
        face, bary = fragments.face_index[0].numpy()[mask], fragments.bary[0].numpy()[mask]
        cells = _Cells(face, bary, triangles)
        normals = vertex_normals(drawn.astype(np.float64), triangles) @ view.rotation.T
        in_camera = view.into_camera(drawn).astype(np.float32)
        names = list(self._fields)
        columns = [self._mean, self.openness[:, None], self._blotches(palette)[:, None]]
        columns += [self._fields[name][:, None] for name in names]
        surface = worn.surface(np.concatenate(columns, 1), names)
        values = cells.mix(np.concatenate([normals, in_camera, surface], 1))
        back = _turned_away(projected, triangles)[face]
        normal, place = values[:3], values[3:6]
        normal *= np.where(back, -1, 1) / np.maximum(np.linalg.norm(normal, axis=0), 1e-6)
        to_viewer = -place / np.linalg.norm(place, axis=0)
        fields = {name: values[11 + number] for number, name in enumerate(names)}
        is_worn = worn.at(face)
        paint = materials(palette, fields, values[6:9], values[10], back if is_worn is None else back & ~is_worn)
        worn.paint(paint, face)
        lit = ShadowMap(in_camera, triangles, light.directions[0]).lit(place.T, light.softness)
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
        if is_worn is not None:
            layer[where[is_worn], 4] = 1
        layer = layer.reshape(*mask.shape, 5)
        if worn.lenses is not None:
            _look_through(worn.lenses, layer, np.where(mask, fragments.depth[0].numpy(), np.inf), view)
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


class _Worn:
    """A head's mesh with what is drawn along with it.

    Args:
        triangles: [F, 3] of the head.
    """

    def __init__(self, triangles: np.ndarray, pieces: Sequence[Piece] = (), lenses: Lenses | None = None):
        self._pieces, self.lenses = pieces, lenses
        self._own = len(triangles)
        self._ends = self._own + np.cumsum([len(piece.triangles) for piece in pieces])
        self._head = triangles
        self.triangles = triangles

    def vertices(self, head: np.ndarray) -> np.ndarray:
        """[V + …, 3] of the `head` [V, 3] and all else; `triangles` are theirs from now on."""
        if not self._pieces:
            return head
        parts, start = [self._head], len(head)
        for piece in self._pieces:
            parts.append(piece.triangles + start)
            start += len(piece.vertices)
        self.triangles = np.ascontiguousarray(np.concatenate(parts), np.int64)
        return np.concatenate([head, *(piece.vertices.astype(np.float32) for piece in self._pieces)])

    def surface(self, columns: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """[V + …, C] the head's `columns`: place (3), openness, blotches, and the fields that `names` say."""
        parts = [columns]
        for piece in self._pieces:
            own = np.full((len(piece.vertices), columns.shape[1]), -99, columns.dtype)
            own[:, :3], own[:, 3], own[:, 4] = piece.place, piece.openness, 0
            for number, name in enumerate(names):
                if name in piece.fields:
                    own[:, 5 + number] = piece.fields[name]
            parts.append(own)
        return np.concatenate(parts) if self._pieces else columns

    def at(self, face: np.ndarray) -> np.ndarray | None:
        """[N] bool: which cells, by their triangles `face` [N], show what is worn; None where nothing is worn."""
        return face >= self._own if self._pieces else None

    def paint(self, paint: Materials, face: np.ndarray) -> None:
        """Give the cells of things with a colour of their own that colour."""
        start = self._own
        for piece, end in zip(self._pieces, self._ends, strict=True):
            if piece.color is not None:
                cells = np.flatnonzero((face >= start) & (face < end))
                paint.albedo[:, cells] = np.asarray(piece.color, np.float32)[:, None]
                paint.gloss[cells], paint.sharpness[cells] = piece.gloss, piece.sharpness
                paint.skin[cells] = paint.soft[cells] = 0
                paint.bump[:, cells] = 0
            start = end


def _look_through(lenses: Lenses, layer: np.ndarray, depth: np.ndarray, view: View) -> None:
    """Tint the cells of `layer` [h, w, 5] (light, share, covered) behind lenses, where these are before `depth`."""
    size = layer.shape[0] // _FINER, layer.shape[1] // _FINER
    fragments = _draw(view.project(lenses.vertices), lenses.triangles, size, _FINER)
    seen = fragments.mask[0].numpy()
    seen &= fragments.depth[0].numpy() < depth
    face, bary = fragments.face_index[0].numpy()[seen], fragments.bary[0].numpy()[seen]
    shine = interpolate_cells(face, bary, lenses.triangles, lenses.shine[:, None].astype(np.float32), True)[:, 0]
    through = lenses.through.astype(np.float32)
    cells = layer[seen]
    # What no head is behind of shows the background: it is darkened as a whole.
    left = (1 - cells[:, 3]) * (1 - through.mean())
    cells[:, :3] = cells[:, :3] * through + shine[:, None]
    cells[:, 3] += left
    if lenses.dark:
        cells[:, 4] = 1
    layer[seen] = cells


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
