"""SynergyNet's pictures of a face, on the photograph or on its crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facecli.codes import Codes
from facecli.morphable.tddfa_head import canvases
from facecli.plugin import Crop
from facecli.render import sim3dr
from facecli.render import tddfa_pictures as pictures

if TYPE_CHECKING:
    from facecli_synergynet.reconstructor import SynergyNetReconstructor

PROGRAM = "synergynet"
LIGHT = sim3dr.LIGHTS[PROGRAM]
OPACITY = 0.6


def draw(
    model: SynergyNetReconstructor,
    names: Sequence[str],
    crops: Sequence[Crop] | None,
    codes: Codes,
    photos: Sequence[np.ndarray] | None,
) -> dict[str, list[np.ndarray]]:
    """Pictures by the names in the description: RGB uint8, one a face."""
    canvas, codes = canvases(crops, codes, photos)
    found: dict[str, list[np.ndarray]] = {}
    for number, picture in enumerate(canvas):
        face = DrawnFace(model, codes.select(number))
        for name in names:
            found.setdefault(name, []).append(face.on(name, picture))
    return found


class DrawnFace:
    """One face, in the pixels of the picture that its codes' warp comes from.

    Args:
        codes: [1, …] of it.
    """

    def __init__(self, model: SynergyNetReconstructor, codes: Codes):
        head = model.head
        codes = head.complete(codes)
        self.vertices = head.image_points(codes)[0].numpy(force=True)
        self.landmarks = head.image_points(codes, landmarks=True)[0].numpy(force=True)
        self.triangles = head.model.official_triangles.numpy(force=True)
        self.angles = head.camera_words(codes)["pose_degrees"][0].numpy(force=True)

    def on(self, name: str, picture: np.ndarray) -> np.ndarray:
        """`picture` with this face on it."""
        if name == "sparse":
            return pictures.draw_points(picture, self.landmarks)
        if name == "pose":
            return pictures.draw_axes(picture, self.landmarks, self.angles)
        solid = self.solid(picture)
        return solid if name == "solid" else overlay(picture, solid)

    def solid(self, picture: np.ndarray) -> np.ndarray:
        """`picture` with the lit face on it, opaque."""
        return sim3dr.paint_lit(self.vertices, self.triangles, picture, program=PROGRAM, parts=LIGHT)

    def textured(self, picture: np.ndarray, kept: np.ndarray, triangles: np.ndarray, colors: np.ndarray) -> np.ndarray:
        """`picture` with the part `kept` [K] of the face on it, lit, in `colors` uint8 [K, 3] of the vertices."""
        lit = colors / np.float32(255)
        return sim3dr.paint_lit(self.vertices[kept], triangles, picture, program=PROGRAM, parts=LIGHT, colors=lit)


def overlay(picture: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """`solid` over `picture` as the program mixes them."""
    return cv2.addWeighted(picture, 1 - OPACITY, solid, OPACITY, 0)
