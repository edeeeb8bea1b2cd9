"""SMIRK's own files: a strip of input, rendering and the generator's picture, under the names of its demos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import cv2
import numpy as np

from facecli.io.images import write_image
from facecli.plugin import FaceView
from facecli_smirk.reconstructor import SmirkReconstructor
from facecli_smirk.renderer import SIZE


class SmirkLayout:
    """``demo.py``'s ``NAME.png``, ``demo_video.py``'s ``NAME.mp4``.

    The demos know one face. Here the largest has the official name and the next is ``NAME_1.png``; a video shows the
    person of the lowest number that is in the frame.

    Args:
        save: with ``"generator"`` among the words the strip has a third panel.
        photo_size: panels as large as the photograph, the first one the photograph itself; else the crop's.
    """

    def __init__(self, model: SmirkReconstructor, save: Sequence[str] = ("strip",), photo_size: bool = False):
        self._model, self._photo_size = model, photo_size
        self._pictures = ("rendering", "generator") if "generator" in save else ("rendering",)

    def write_photograph(self, root: Path, views: Sequence[FaceView]) -> None:
        """A strip a face."""
        for place, view in enumerate(views):
            panels = [panel for panel in self._panels(view) if panel is not None]
            write_image(root / picture_name(view.source, place), np.hstack(panels))

    def write_frame(self, root: Path, views: Sequence[FaceView]) -> None:
        """Nothing: the demo writes no pictures of single frames."""

    def video_name(self, source: str) -> str:
        """All up to the first dot, as the demo has it."""
        return f"{PurePath(source).name.lstrip('.').split('.')[0]}.mp4"

    def video_frame(self, photo: np.ndarray, views: Sequence[FaceView]) -> np.ndarray:
        """The strip; black where there is no face, or a file of codes instead of a picture."""
        height, width = photo.shape[:2] if self._photo_size else (SIZE, SIZE)
        black = np.zeros((height, width, 3), np.uint8)
        if views:
            panels = self._panels(min(views, key=lambda view: view.number))
        else:
            panels = [photo if self._photo_size else None] + [None] * len(self._pictures)
        return np.hstack([black if panel is None else panel for panel in panels])

    def _panels(self, view: FaceView) -> list[np.ndarray | None]:
        """Input, rendering and perhaps generator; None is what there is no photograph for."""
        crops = None if view.crop is None else [view.crop]
        photos = [view.photo] if self._photo_size else None
        drawn = self._model.draw(self._pictures, crops, view.codes, view.reconstruction, photos)
        return [self._input(view), *(drawn[name][0] if name in drawn else None for name in self._pictures)]

    def _input(self, view: FaceView) -> np.ndarray | None:
        if self._photo_size:
            return view.photo
        return None if view.crop is None else np.rint(view.crop.image.transpose(1, 2, 0) * 255).astype(np.uint8)


def picture_name(source: str, place: int) -> str:
    """The strip's file name: the input's, numbered from the second face on; PNG where we can't write its format."""
    path = PurePath(PurePath(source).name)
    number = f"_{place}" if place else ""
    if not cv2.haveImageWriter(f"x{path.suffix}"):
        return f"{path.stem}{number}.png"
    return f"{path.stem}{number}{path.suffix}"
