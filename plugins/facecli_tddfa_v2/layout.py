"""The files of 3DDFA_V2's demo.py and demo_video.py, under their names and in their formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from facecli.io.atomic import atomic_write
from facecli.io.images import write_image
from facecli.plugin import FaceView
from facecli.render.tddfa_pictures import nearest_colors
from facecli_tddfa_v2.pictures import OPACITY, DrawnFace, check
from facecli_tddfa_v2.reconstructor import TddfaV2Reconstructor

PICTURES = {
    "2d_sparse": "sparse",
    "2d_dense": "dense",
    "3d": "shape",
    "depth": "nearness",
    "pncc": "pncc",
    "pose": "box",
}
"""V2's name of each picture -> ours."""
IN_VIDEOS = ("2d_sparse", "2d_dense", "3d", "pose")
"""What a video can be made of; V2's programs know the first three."""
VIDEO_OPACITY = 0.7


class TddfaV2Layout:
    """``NAME_OPTION.jpg``, ``.ply`` and ``.obj`` of a photograph, all faces in one file; ``NAME_OPTION.mp4`` of a
    video.

    Args:
        save: words of the description in ``facecli_tddfa_v2``.
        photo_size: not used: all pictures are at that size.
    """

    def __init__(self, model: TddfaV2Reconstructor, save: Sequence[str] = ("2d_sparse",), photo_size: bool = False):
        self._model, self._save = model, tuple(save)
        if model.head.model is None and set(save) - {"pose"}:
            wanted = ", ".join(word for word in save if word != "pose")
            no_mesh = model.no_mesh
            raise type(no_mesh)(f"{wanted} of the layout 3ddfa_v2 needs a mesh (pose doesn't): {no_mesh}")
        check(model, [word for word in ("pncc", "uv_tex") if word in save])

    def write_photograph(self, root: Path, views: Sequence[FaceView]) -> None:
        """All faces, largest first."""
        faces, photo, stem = self._drawn(views), views[0].photo, views[0].stem
        for word in self._save:
            path = root / f"{stem}_{word}"
            if word in PICTURES:
                write_image(path.with_name(f"{path.name}.jpg"), self._picture(word, photo, faces))
            elif word == "uv_tex":
                textures = np.concatenate([face.uv_tex(photo) for face in faces], 1)
                write_image(path.with_name(f"{path.name}.jpg"), textures)
            elif word == "ply":
                write_ply(path.with_name(f"{path.name}.ply"), faces, photo.shape[0])
            else:
                write_obj(path.with_name(f"{path.name}.obj"), faces, photo)

    def write_frame(self, root: Path, views: Sequence[FaceView]) -> None:
        """Nothing: V2's program makes a video."""

    def video_name(self, source: str) -> str | None:
        """The video of the first word that V2's programs make one of."""
        word = self._video_word()
        return None if word is None else f"{Path(source).stem}_{word}.mp4"

    @torch.inference_mode()
    def video_frame(self, photo: np.ndarray, views: Sequence[FaceView]) -> np.ndarray:
        """One frame with all people on it."""
        word = self._video_word()
        return photo if word is None or not views else self._picture(word, photo, self._drawn(views), VIDEO_OPACITY)

    def _video_word(self) -> str | None:
        return next((word for word in self._save if word in IN_VIDEOS), None)

    def _drawn(self, views: Sequence[FaceView]) -> list[DrawnFace]:
        return [DrawnFace(self._model, view.codes) for view in views]

    @staticmethod
    def _picture(word: str, photo: np.ndarray, faces: Sequence[DrawnFace], opacity: float = OPACITY) -> np.ndarray:
        if word == "3d":
            return overlay_of_all(photo, faces, opacity)
        picture = photo
        for face in faces:
            picture = face.on(PICTURES[word], picture)
        return picture


def overlay_of_all(photo: np.ndarray, faces: Sequence[DrawnFace], opacity: float) -> np.ndarray:
    """All lit faces, one after the other, over the photograph."""
    solid = photo
    for face in faces:
        solid = face.solid(solid)
    return cv2.addWeighted(photo, 1 - opacity, solid, opacity, 0)


def write_ply(path: Path, faces: Sequence[DrawnFace], height: int) -> None:
    """All faces' vertices in pixels, y up; triangles counter-clockwise from outside."""
    corners = [_upright(face.vertices, height) for face in faces]
    triangles = [triangles[:, ::-1] for triangles in _numbered(faces)]
    counts = sum(map(len, corners)), sum(map(len, triangles))
    lines = [
        "ply",
        "format ascii 1.0",
        f"element vertex {counts[0]}",
        "property float x",
        "property float y",
        "property float z",
        f"element face {counts[1]}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    lines += [f"{x:.2f} {y:.2f} {z:.2f}" for part in corners for x, y, z in part.tolist()]
    lines += [f"3 {a} {b} {c}" for part in triangles for a, b, c in part.tolist()]
    _write(path, lines)


def write_obj(path: Path, faces: Sequence[DrawnFace], photo: np.ndarray) -> None:
    """The same with the colours of the nearest pixels, 0..1.

    V2 flattens what sticks out of the photograph; here it keeps its shape and has the border's colour.
    """
    lines = []
    for face in faces:
        rows = zip(_upright(face.vertices, photo.shape[0]).tolist(), _colors(photo, face), strict=True)
        lines += [f"v {x:.2f} {y:.2f} {z:.2f} {r:.2f} {g:.2f} {b:.2f}" for (x, y, z), (r, g, b) in rows]
    for part in _numbered(faces):
        lines += [f"f {a} {b} {c}" for a, b, c in (part[:, ::-1] + 1).tolist()]
    _write(path, lines)


def _colors(photo: np.ndarray, face: DrawnFace) -> list[list[float]]:
    return (nearest_colors(photo, face.vertices) / 255).tolist()


def _upright(vertices: np.ndarray, height: int) -> np.ndarray:
    return np.asarray(vertices, np.float64) * (1, -1, 1) + (0, height, 0)


def _numbered(faces: Sequence[DrawnFace]) -> list[np.ndarray]:
    """Triangles [F, 3] of each face in a file that holds all of them."""
    start, found = 0, []
    for face in faces:
        found.append(face.triangles + start)
        start += len(face.vertices)
    return found


def _write(path: Path, lines: Sequence[str]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
