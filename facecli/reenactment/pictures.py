"""The row of pictures that shows a transfer: source, its reconstruction, target, the result's mesh and its look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from facecli.geometry.mesh import TriangleMesh
from facecli.plugin import Reconstruction
from facecli.reconstruction.picture import projection, scale_of
from facecli.reconstruction.stream import Frame
from facecli.render.pictures import draw_overlay, draw_textured

TILE = 320
MARGIN = 1.5
"""Side of a tile against the face's box: room for a jaw that drops."""


@dataclass(frozen=True)
class Region:
    """The square of a picture that a tile shows: its outer corner is at pixel (left, top), it is `side` pixels wide."""

    left: float
    top: float
    side: float

    @staticmethod
    def around(boxes: np.ndarray, size: tuple[int, int]) -> Region:
        """The square around the boxes [N, 4] of somebody's face, nearly all of them; of a picture of (height, width)
        `size` the middle, if they aren't known."""
        boxes = np.asarray(boxes, np.float64)
        boxes = boxes[np.isfinite(boxes).all(1)]
        if not len(boxes):
            side = float(min(size))
            return Region((size[1] - side) / 2 - 0.5, (size[0] - side) / 2 - 0.5, side)
        low, high = np.quantile(boxes[:, :2], 0.05, axis=0), np.quantile(boxes[:, 2:], 0.95, axis=0)
        side = min(MARGIN * max(float((high - low).max()), 8.0), float(min(size)))
        most = np.array([size[1], size[0]]) - 0.5 - side  # all of it in the picture
        left, top = np.clip((low + high) / 2 - side / 2, -0.5, most)
        return Region(float(left), float(top), side)

    @property
    def scale(self) -> float:
        """Pixels of the tile in one of the picture."""
        return TILE / self.side

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The tile [TILE, TILE, 3] of `image`, black outside of it."""
        left, top = int(np.floor(self.left)), int(np.floor(self.top))
        side = int(np.ceil(self.side)) + 1
        height, width = image.shape[:2]
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
        if x0 >= x1 or y0 >= y1:
            return np.zeros((TILE, TILE, 3), np.uint8)
        part, scale = image[y0:y1, x0:x1], self.scale
        if scale < 1:  # averaged first: warping alone would leave pixels out
            shrunk = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
            part = cv2.resize(part, shrunk, interpolation=cv2.INTER_AREA)
        step = (x1 - x0) / part.shape[1], (y1 - y0) / part.shape[0]  # pixels of the picture in one of the part
        warp = np.array(
            [
                [step[0] * scale, 0, (x0 + (step[0] - 1) / 2 - self.left) * scale - 0.5],
                [0, step[1] * scale, (y0 + (step[1] - 1) / 2 - self.top) * scale - 0.5],
            ]
        )
        return cv2.warpAffine(part, warp, (TILE, TILE), flags=cv2.INTER_LINEAR)

    def place(self, projected: np.ndarray) -> np.ndarray:
        """`projected` [V, 3] in pixels of the tile."""
        xy = (projected[:, :2] - (self.left, self.top)) * self.scale - 0.5
        return np.concatenate([xy, projected[:, 2:]], 1)


def clay(tile: np.ndarray, projected: np.ndarray, triangles: np.ndarray, scale: float, backend: str) -> np.ndarray:
    """`tile` with the mesh on it; `projected` and `scale` (pixels a unit) of the tile."""
    return draw_overlay(tile, projected, triangles, pixels_per_unit=scale, opacity=0.85, backend=backend)


@dataclass(frozen=True)
class Row:
    """One face of the source and its tiles.

    Args:
        person: number of the face; region: of the source's picture. still: which is a photograph.
    """

    person: int
    region: Region
    backend: str = "auto"
    still: bool = False
    _kept: dict[str, np.ndarray] = field(default_factory=dict)

    def draw(
        self, frame: Frame, target: np.ndarray, texture: np.ndarray | None = None, *, look: bool = True
    ) -> np.ndarray:
        """[TILE, 5 TILE, 3], or 4 tiles without the last one, the `look`. Where the face isn't seen, its tiles show
        the picture alone.

        Args:
            frame: decoded, with `own`; target: the target's tile.
            texture: [S, S, 3] of the face, for heads that turn: what was hidden in the photograph comes to light.
                Without it the photograph's pixels are moved.
        """
        plain = self._once("plain", lambda: self.region.cut(frame.image))
        numbers = [n for n, person in enumerate(_people(frame)) if person == self.person]
        if not numbers:
            return np.concatenate([plain, plain, target, plain] + ([plain] if look else []), 1)
        number = numbers[0]
        tiles = [
            plain,
            self._once("own", lambda: self._clay(plain, frame.own, number)),
            target,
            self._clay(plain, frame.reconstruction, number),
        ]
        if look:
            own, triangles = projection(frame.own, number)
            own, moved = (self.region.place(place) for place in (own, projection(frame.reconstruction, number)[0]))
            if texture is None:
                mesh = _photographed(plain, own, triangles)
            else:
                mesh = frame.reconstruction.mesh(number, texture)
            tiles.append(draw_textured(plain, moved, mesh, backend=self.backend))
        return np.concatenate(tiles, 1)

    def _once(self, name: str, draw: Callable[[], np.ndarray]) -> np.ndarray:
        """The same in all frames, if the source is a photograph."""
        if not self.still:
            return draw()
        if name not in self._kept:
            self._kept[name] = draw()
        return self._kept[name]

    def _clay(self, tile: np.ndarray, faces: Reconstruction, number: int) -> np.ndarray:
        place, triangles = projection(faces, number)
        scale = scale_of(faces, number) * self.region.scale
        return clay(tile, self.region.place(place), triangles, scale, self.backend)


def _people(frame: Frame) -> list[int]:
    return frame.people or list(range(len(frame.faces)))


def _photographed(tile: np.ndarray, own: np.ndarray, triangles: np.ndarray) -> TriangleMesh:
    """A mesh whose texture is the tile: each vertex has the colour that it has in the photograph."""
    uv = (own[:, :2] + 0.5) / TILE * (1, -1) + (0, 1)
    return TriangleMesh(vertices=own, triangles=triangles, uv=uv, texture=tile)
