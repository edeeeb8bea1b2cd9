"""Bases of layouts (:class:`facecli.plugin.Layout`) of programs that know photographs and make no videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecli.plugin import FaceView


class StillLayout:
    """A layout that writes nothing of videos."""

    def write_frame(self, root: Path, views: Sequence[FaceView]) -> None:
        """Nothing: the program knows no videos."""

    def video_name(self, source: str) -> str | None:
        """None: the program makes no videos."""
        return None

    def video_frame(self, photo: np.ndarray, views: Sequence[FaceView]) -> np.ndarray:
        """Never asked for."""
        return photo


class FaceLayout(StillLayout):
    """A layout with files a face, of a program that knows one face of a picture.

    The largest has the program's names; further ones are ``NAME_1``, …; a video's frames are ``NAME_frame0000``, ….
    """

    def write_face(self, root: Path, view: FaceView, name: str) -> None:
        """The files of one face, whose names begin with `name`, below `root`."""
        raise NotImplementedError

    def write_photograph(self, root: Path, views: Sequence[FaceView]) -> None:
        """All faces, largest first."""
        for view in views:
            self.write_face(root, view, _numbered(view.stem, view))

    def write_frame(self, root: Path, views: Sequence[FaceView]) -> None:
        """All people of one video frame."""
        for view in views:
            self.write_face(root, view, _numbered(f"{view.stem}_frame{view.frame:04d}", view))


def _numbered(stem: str, view: FaceView) -> str:
    return f"{stem}_{view.number}" if view.number else stem
