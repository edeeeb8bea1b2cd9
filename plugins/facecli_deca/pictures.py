"""DECA's pictures of a face: on black at the crop's size, or on the photograph at the photograph's.

Colours become bytes as DECA's program does it: times 255, clamped, cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from facecli.crop import transform_points
from facecli.errors import UsageError
from facecli.render.head_view import HeadView, nearness, shape_picture
from facecli.render.landmark_pictures import draw_landmarks68
from facecli.render.rasterize import interpolate
from facecli.render.window import covered_rectangle
from facecli_deca.crop import SIZE
from facecli_deca.face import DecodedFace

MESH_PICTURES = ("shape", "shape_detail", "albedo", "rendered", "relative_depth")
"""Need no photograph."""
LANDMARK_PICTURES = ("landmarks2d", "landmarks3d")
MAPS = ("uv_texture", "detail_normals")

_BAND_PIXELS = 1 << 20
"""Pixels of a photograph that are drawn at once: a huge face would need GBs."""


def draw(face: DecodedFace, names: Sequence[str], photo: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Pictures of one face, RGB uint8 [h, w, 3].

    Args:
        names: among the constants above.
        photo: RGB uint8 [H, W, 3] to draw on; None for pictures of the crop's size.

    Pictures that need the crop are left out where there is none, and with a photograph those that aren't on it.

    Raises:
        UsageError: a picture needs what an option left out.
    """
    _check(face, names)
    mesh_names = [name for name in names if name in MESH_PICTURES]
    drawn = _mesh_pictures(face, mesh_names, photo)
    for name in names:
        if name in LANDMARK_PICTURES:
            picture = _landmark_picture(face, name, photo)
        elif name in MAPS and photo is None:
            picture = _map(face, name)
        else:
            continue
        if picture is not None:
            drawn[name] = picture
    return drawn


def _check(face: DecodedFace, names: Sequence[str]) -> None:
    if not face.has_detail and {"shape_detail", "detail_normals"} & set(names):
        raise UsageError("pictures of wrinkles need them: leave `--option detail=no` away")
    if face.albedo is None and "albedo" in names:
        raise UsageError("a picture of the albedo needs an albedo model: --option use_tex=bfm or use_tex=flame")


def to_bytes(picture: torch.Tensor) -> np.ndarray:
    """[1, 1 or 3, H, W] of 0..1 as RGB uint8 [H, W, 3]."""
    pixels = (picture[0] * 255).clamp(0, 255).byte().permute(1, 2, 0).expand(-1, -1, 3)
    return np.ascontiguousarray(pixels.numpy(force=True))


# --- meshes ----------------------------------------------------------------------------------------------------------


def _mesh_pictures(face: DecodedFace, names: Sequence[str], photo: np.ndarray | None) -> dict[str, np.ndarray]:
    if not names:
        return {}
    if photo is None:
        parts = {name: _part(face, name, face.view) for name in names}
        return {name: to_bytes(picture * alpha) for name, (picture, alpha) in parts.items()}
    drawn = {name: np.zeros_like(photo) if name == "relative_depth" else photo.copy() for name in names}
    for place, projected in _bands(face, photo.shape[:2]):
        size = (place[0].stop - place[0].start, place[1].stop - place[1].start)
        renderer = face.decoder.renderer
        view = renderer.view(face.verts, projected, size, seen_normals=face.seen_normals)
        for name, canvas in drawn.items():
            picture, alpha = _part(face, name, view)
            covered = alpha[0, 0].bool().numpy(force=True)
            canvas[place][covered] = to_bytes(picture)[covered]
    return drawn


def _bands(face: DecodedFace, photo_size: tuple[int, int]) -> Iterator[tuple[tuple[slice, slice], torch.Tensor]]:
    """Parts of the photograph that the head covers, as index, and the vertices in NDC of each part.

    DECA draws half a pixel up and left of where landmarks lie; here, too.
    """
    projected = face.reconstruction.projected
    triangles = face.decoder.head.triangles.numpy(force=True)
    rectangle = covered_rectangle(projected[0].numpy(force=True), triangles, photo_size, 2)
    if rectangle is None:
        return
    left, top, width, height = rectangle
    step = max(_BAND_PIXELS // width, 1)
    for first in range(top, top + height, step):
        rows = min(step, top + height - first)
        x = (projected[..., 0] - left) * (2 / width) - 1
        y = (projected[..., 1] - first) * (2 / rows) - 1
        place = slice(first, first + rows), slice(left, left + width)
        yield place, torch.stack([x, y, face.trans_verts[..., 2]], -1)


def _part(face: DecodedFace, name: str, view: HeadView) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture [1, C, h, w] and where it shows [1, 1, h, w]."""
    if name == "shape":
        return shape_picture(view), view.turned_to_viewer()
    if name == "shape_detail":
        return shape_picture(view, view.sample(face.uv_detail_normals)), view.turned_to_viewer()
    if name == "albedo":
        return view.sample(face.albedo), view.hit
    if name == "rendered":
        return view.sample(face.lit_texture), view.hit
    return interpolate(view.fragments, face.decoder.head.triangles, nearness(face.trans_verts)), view.hit


# --- landmarks and maps ----------------------------------------------------------------------------------------------


def _landmark_picture(face: DecodedFace, name: str, photo: np.ndarray | None) -> np.ndarray | None:
    if photo is None and face.crop is None:
        return None
    points = face.reconstruction.extras[name][0, :, :2]
    visible = face.landmarks3d[0, :, 3].numpy(force=True) > 0 if name == "landmarks3d" else None
    if photo is None:
        picture = face.crop.image.transpose(1, 2, 0) * 255
        return _cut(draw_landmarks68(picture, _in_crop(points).numpy(force=True), visible))
    back = np.linalg.inv(face.codes["warp"][0].numpy(force=True).astype(np.float64))
    return draw_landmarks68(photo, transform_points(back, _in_crop(points).numpy(force=True)), visible)


def _in_crop(points: torch.Tensor) -> torch.Tensor:
    """NDC as DECA draws landmarks at it: not as (x + 1) 112, which cut to integers may come out one less."""
    return points * (SIZE / 2) + SIZE / 2


def _cut(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture, 0, 255).astype(np.uint8)


def _map(face: DecodedFace, name: str) -> np.ndarray | None:
    if name == "detail_normals":
        return to_bytes(face.uv_detail_normals * 0.5 + 0.5)
    return None if face.crop is None else to_bytes(face.uv_texture_gt)
