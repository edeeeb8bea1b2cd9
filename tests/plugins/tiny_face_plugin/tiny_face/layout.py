"""The files of an imagined tiny_demo.py, under its names: ``NAME_tiny.png`` and ``NAME/NAME_points.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from facecli.io.images import write_image
from facecli.plugin import FaceView


class TinyLayout:
    """Keeps the protocol `facecli.plugin.Layout`."""

    def __init__(self, model, save: tuple[str, ...], photo_size: bool = False):
        self.model, self.save, self.photo_size = model, save, photo_size

    def write_photograph(self, root: Path, views: Sequence[FaceView]) -> None:
        """The demo knows one face a picture, the largest."""
        view = views[0]
        if "picture" in self.save:
            write_image(root / f"{view.stem}_tiny.png", self._picture(view))
        if "points" in self.save:
            folder = root / view.stem
            folder.mkdir(exist_ok=True)
            np.savetxt(folder / f"{view.stem}_points.txt", view.reconstruction.projected[0].numpy(force=True))

    def write_frame(self, root: Path, views: Sequence[FaceView]) -> None:
        """The points of each frame; they may come in any order, and again after a run that was killed."""
        if "points" in self.save:
            folder = root / views[0].stem
            folder.mkdir(exist_ok=True)
            points = views[0].reconstruction.projected[0].numpy(force=True)
            np.savetxt(folder / f"{views[0].stem}_{views[0].frame:06d}_points.txt", points)

    def video_name(self, source: str) -> str | None:
        return f"{PurePath(source).stem}_tiny.mp4" if "picture" in self.save else None

    def video_frame(self, photo: np.ndarray, views: Sequence[FaceView]) -> np.ndarray:
        height, width = photo.shape[:2] if self.photo_size else (64, 64)
        return self._picture(views[0]) if views else np.zeros((height, width, 3), np.uint8)

    def _picture(self, view: FaceView) -> np.ndarray:
        photos = [view.photo] if self.photo_size else None
        crops = None if view.crop is None else [view.crop]
        return self.model.draw(("outline",), crops, view.codes, view.reconstruction, photos)["outline"][0]
