"""3DDFA_V2's pictures of a face, on the photograph or on its crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facecli.assets.catalogue import Asset
from facecli.assets.store import find, how_to_get
from facecli.codes import Codes
from facecli.errors import MissingAssetError
from facecli.morphable.tddfa_head import canvases
from facecli.plugin import Crop
from facecli.render import sim3dr
from facecli.render import tddfa_pictures as pictures
from facecli.render.pictures import draw_pose_axes
from facecli_tddfa_v2 import files

if TYPE_CHECKING:
    from facecli_tddfa_v2.reconstructor import TddfaV2Reconstructor

RENDERERS = {"sim3dr": sim3dr.paint_lit, "quick": sim3dr.paint_quick}
"""Option `renderer` -> what paints a lit face."""
OPACITY = 0.6
HEAD_MM = 70.0
"""Length of the axes, and half the side of the box's rear, where no landmarks tell the head's size."""


def draw(
    model: TddfaV2Reconstructor,
    names: Sequence[str],
    crops: Sequence[Crop] | None,
    codes: Codes,
    photos: Sequence[np.ndarray] | None,
) -> dict[str, list[np.ndarray]]:
    """Pictures by the names in the description: RGB uint8, one a face.

    Raises:
        MissingAssetError, UsageError: see :func:`check`.
    """
    check(model, names)
    canvas, codes = canvases(crops, codes, photos)
    found: dict[str, list[np.ndarray]] = {}
    for number, picture in enumerate(canvas):
        face = DrawnFace(model, codes.select(number))
        seen = photos is not None or crops is not None
        for name in names:
            if name == "uv_tex" and not seen:
                continue
            found.setdefault(name, []).append(face.uv_tex(picture) if name == "uv_tex" else face.on(name, picture))
    return found


def check(model: TddfaV2Reconstructor, names: Sequence[str]) -> None:
    """Raises MissingAssetError: a picture needs a file that isn't there; UsageError: nor is a mesh wanted."""
    if model.head.model is None and set(names) - {"pose"}:
        wanted = next(name for name in names if name != "pose")
        raise type(model.no_mesh)(f"{wanted} shows the face's surface: {model.no_mesh}")
    if model.ncc_code is None and "pncc" in names:
        raise _missing("pncc", [files.NCC_CODE])
    if model.head.uv is None and "uv_tex" in names:
        raise _missing("uv_tex", [files.BFM_UV, files.INDICES])


def _missing(picture: str, assets: Sequence[Asset]) -> MissingAssetError:
    """What to say of a `picture` without its files."""
    lacking = [asset for asset in assets if find(asset) is None] or assets
    ways = "; ".join(f"{asset.filename}: {how_to_get(asset)}" for asset in lacking)
    return MissingAssetError(f"{picture} needs {ways}")


class DrawnFace:
    """One face, in the pixels of the picture that its codes' warp comes from.

    Args:
        codes: [1, …] of it.
    """

    def __init__(self, model: TddfaV2Reconstructor, codes: Codes):
        self._model, self._head = model, model.head
        self.codes = self._head.complete(codes)
        if self._head.model is not None:
            self.vertices = self._head.image_points(codes)[0].numpy(force=True)
            self.landmarks = self._head.image_points(codes, landmarks=True)[0].numpy(force=True)
            self.triangles = self._head.model.official_triangles.numpy(force=True)

    def on(self, name: str, picture: np.ndarray) -> np.ndarray:
        """`picture` with this face on it."""
        if name == "sparse":
            return pictures.draw_points(pictures.draw_outlines(picture, self.landmarks), self.landmarks)
        if name == "dense":
            return pictures.draw_points(picture, self.vertices[::6], radius=0)
        if name == "shape":
            return cv2.addWeighted(picture, 1 - OPACITY, self.solid(picture), OPACITY, 0)
        if name == "nearness":
            return pictures.draw_nearness(self.vertices, self.triangles, picture)
        if name == "pncc":
            # The programs put x, y, z into blue, green, red.
            return pictures.draw_codes(self.vertices, self.triangles, self._model.ncc_code[:, ::-1], picture)
        if name == "box":
            return pictures.draw_pose_box(picture, self._box())
        origin, length = self._axes()
        boxed = pictures.draw_pose_box(picture, self._box())
        pose = self._head.decode_pose(self.codes)[0].numpy(force=True)
        return draw_pose_axes(boxed, pose, origin, length)

    def solid(self, picture: np.ndarray) -> np.ndarray:
        """`picture` with the lit face on it, opaque."""
        return self._model.paint(self.vertices, self.triangles, picture)

    def uv_tex(self, picture: np.ndarray) -> np.ndarray:
        """[256, 256, 3] the colours of `picture` in the UV layout."""
        return pictures.uv_texture(picture, self.vertices, self.triangles, self._head.uv.numpy(force=True))

    def _axes(self) -> tuple[np.ndarray, float]:
        """Where the axes start, and how long they are."""
        if self._head.model is None:
            origin, scale = self._place()
            return origin, HEAD_MM * scale
        width, height = np.ptp(self.landmarks[:, :2], axis=0)
        return self.landmarks[pictures.NOSE_TIP, :2], float(np.sqrt(width * height)) / 2

    def _box(self) -> np.ndarray:
        camera = self.codes["camera"][0].view(3, 4).numpy(force=True)
        if self._head.model is None:
            origin, scale = self._place()
            return pictures.projected_box(camera, HEAD_MM * scale, origin)
        return pictures.project_pose_box(camera, self.landmarks)

    def _place(self) -> tuple[np.ndarray, float]:
        """The pixel of the head's origin, and pixels a millimetre."""
        words = self._head.camera_words(self.codes)
        return words["origin_pixel"][0].numpy(force=True), float(words["pixels_per_mm"][0])
