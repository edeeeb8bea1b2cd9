"""The files of EMOCA's demos for photographs and videos, under their names and in their formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import torch

from facecli.io.arrays import write_npy
from facecli.io.images import write_image
from facecli.plugin import FaceView
from facecli_deca.layout import write_detail_obj, write_obj
from facecli_emoca.face import EmocaFace, draw
from facecli_emoca.overlay import drawn_head
from facecli_emoca.reconstructor import EmocaReconstructor

PHOTOGRAPH = ("inputs", "geometry_coarse", "geometry_detail", "out_im_coarse", "out_im_detail")
FRAME = PHOTOGRAPH[1:]

CODES = {
    "shape": ("identity",),
    "exp": ("expression",),
    "tex": ("texture",),
    "pose": ("pose", "jaw"),
    "detail": ("detail",),
}
"""EMOCA's name of each file of codes -> ours of what is in it."""


class EmocaLayout:
    """``MODEL/NAME00/`` of a photograph's first face, ``01`` of the next.

    A video's are in ``MODEL/NAME/results/MODEL/``: ``000001_000/`` of the first frame's person 0, and the overlay.

    Args:
        save: words of the description in ``facecli_emoca``.
        photo_size: not used: the program has no pictures at that size but the video.
    """

    def __init__(self, model: EmocaReconstructor, save: Sequence[str] = ("images",), photo_size: bool = False):
        self._model, self._save = model, set(save)
        kind = model.panels.image_type
        self._image_type = kind if model.detailed else kind.replace("_detail", "_coarse")

    def write_photograph(self, root: Path, views: Sequence[FaceView]) -> None:
        """All faces, largest first."""
        for view in views:
            self._write(root / self._model.name / f"{view.stem}{view.number:02d}", view, PHOTOGRAPH)

    def write_frame(self, root: Path, views: Sequence[FaceView]) -> None:
        """All people of one video frame; frames count from 1, as ffmpeg numbers them."""
        for view in views:
            self._write(root / self._video_folder(view.stem) / f"{view.frame + 1:06d}_{view.number:03d}", view, FRAME)

    def video_name(self, source: str) -> str:
        return str(self._video_folder(PurePath(source).stem) / f"video_{self._image_type}.mp4")

    @torch.inference_mode()
    def video_frame(self, photo: np.ndarray, views: Sequence[FaceView]) -> np.ndarray:
        """The frame, with the faces on it, and with them a little transparent."""
        pictures = [draw(self._face(view), (self._image_type, "geometry_coarse")) for view in views]
        return self._model.panels.frame(
            photo,
            [found[self._image_type] for found in pictures],
            [drawn_head(found["geometry_coarse"]) for found in pictures],
            [view.codes["warp"][0].double().numpy(force=True) for view in views],
        )

    def _video_folder(self, stem: str) -> PurePath:
        return PurePath(self._model.name, stem, "results", self._model.name)

    def _face(self, view: FaceView) -> EmocaFace:
        return self._model.decoded(view.codes, view.reconstruction, view.crop)

    @torch.inference_mode()
    def _write(self, folder: Path, view: FaceView, pictures: Sequence[str]) -> None:
        """What can't be made (of coarse models, of codes without a photograph) is left out."""
        face = self._face(view)
        if "images" in self._save:
            for name, picture in draw(face, pictures).items():
                write_image(folder / f"{name}.png", picture)
        if "mesh" in self._save:
            write_obj(folder / "mesh_coarse.obj", face)
            if face.has_detail:
                write_detail_obj(folder / "mesh_coarse_detail.obj", face)
        if "codes" in self._save:
            for name, parts in CODES.items():
                if all(part in view.codes for part in parts):
                    numbers = torch.cat([view.codes[part][0].flatten() for part in parts])
                    write_npy(folder / f"{name}.npy", numbers.float().numpy(force=True))
