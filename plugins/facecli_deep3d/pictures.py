"""Deep3D's pictures of a face: on black or on the crop, or on the photograph at its size.

Colours become bytes as its program does it: clamped, times 255, cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from facecli.geometry.perspective import PerspectiveCamera
from facecli.plugin import Crop, Reconstruction
from facecli.render.perspective import paint, raster_perspective
from facecli.render.rasterize import pixels_to_image_ndc, rasterize
from facecli.render.window import covered_rectangle

RED, BLUE = (255, 0, 0), (0, 0, 255)


def draw(
    names: Sequence[str],
    face: Reconstruction,
    camera: PerspectiveCamera,
    crop: Crop | None = None,
    photo: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Pictures of one face, RGB uint8 [h, w, 3], by the names in the plugin's description.

    Args:
        crop: what the model saw; without it what shows the crop is left out.
        photo: RGB uint8 [H, W, 3] to draw the face on, for `rendered` and `albedo`; the others are of the crop: they
            are left out then.
    """
    colors = {"rendered": "colors", "albedo": "albedo"}
    if photo is not None:
        return {name: on_photo(face, face.extras[key], photo) for name, key in colors.items() if name in names}
    drawn = {}
    if {"rendered", "pasted", "landmarks2d", "strip"} & set(names):
        picture, mask = rendering(face, face.extras["colors"], camera)
        drawn["rendered"] = to_bytes(picture)
        if crop is not None:
            drawn |= _on_crop(face, camera, crop, picture, mask)
    if "albedo" in names:
        drawn["albedo"] = to_bytes(rendering(face, face.extras["albedo"], camera)[0])
    return {name: drawn[name] for name in names if name in drawn}


def rendering(face: Reconstruction, colors: torch.Tensor, camera: PerspectiveCamera) -> tuple[np.ndarray, np.ndarray]:
    """The face alone in the crop: [224, 224, 3] float32, 0..1 but not clamped, and where it is, bool [224, 224, 1]."""
    fragments = raster_perspective(camera.to_camera(face.extras["posed"]), face.triangles, camera)
    picture = paint(fragments, face.triangles, colors)[0].permute(1, 2, 0)
    return picture.numpy(force=True), fragments.mask[0, ..., None].numpy(force=True)


def _on_crop(
    face: Reconstruction, camera: PerspectiveCamera, crop: Crop, picture: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    image = crop.image.transpose(1, 2, 0)
    pasted = np.where(mask, picture, image)
    marked = pasted * np.float32(255)
    if crop.five is not None:
        marked = draw_landmarks(marked, crop.alignment.points(crop.five), BLUE)
    y_up = face.extras["lm68"][0].numpy(force=True) * [1, -1] + [0, camera.size - 1]
    marked = draw_landmarks(marked, y_up, RED) / np.float32(255)
    return {
        "pasted": to_bytes(pasted),
        "landmarks2d": to_bytes(marked),
        "strip": np.concatenate([to_bytes(part) for part in (image, pasted, marked)], 1),
    }


def on_photo(face: Reconstruction, colors: torch.Tensor, photo: np.ndarray) -> np.ndarray:
    """The face with `colors` [1, V, 3] on a copy of the photograph [H, W, 3]."""
    drawn, triangles = photo.copy(), face.triangles
    rectangle = covered_rectangle(face.projected[0].numpy(force=True), triangles.numpy(force=True), photo.shape[:2], 2)
    if rectangle is None:
        return drawn
    left, top, width, height = rectangle
    shift = face.projected.new_tensor([left, top, 0])
    points = pixels_to_image_ndc(face.projected - shift, (height, width), shift_depth=False)
    fragments = rasterize(points, triangles, (height, width), perspective=True)
    picture = to_bytes(paint(fragments, triangles, colors)[0].permute(1, 2, 0).numpy(force=True))
    part = drawn[top : top + height, left : left + width]
    part[:] = np.where(fragments.mask[0, ..., None].numpy(force=True), picture, part)
    return drawn


def draw_landmarks(picture: np.ndarray, points: np.ndarray, color: Sequence[int], reach: int = 2) -> np.ndarray:
    """Squares at `points` on a copy of a picture, as Deep3D draws them.

    Args:
        picture: [H, W, 3] of any type.
        points: [N, 2], y **up**; rounded to even.
        reach: half a square's side; it lies a pixel further left and up than right and down.
    """
    drawn = picture.copy()
    height, width = picture.shape[:2]
    columns, rows = np.round(points[:, 0]).astype(int), np.round(height - 1 - points[:, 1]).astype(int)
    steps = range(-reach, reach)
    for down in steps:
        for across in steps:
            drawn[np.clip(rows + down, 0, height - 1), np.clip(columns + across, 0, width - 1)] = color
    return drawn


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """[H, W, 3] of 0..1 as uint8."""
    return (np.clip(picture, 0, 1) * np.float32(255)).astype(np.uint8)
