"""The files of SynergyNet's singleImage.py (and of artistic.py and uv_texture_realFaces.py), under their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecli.errors import UsageError
from facecli.io.atomic import atomic_write
from facecli.io.images import write_image
from facecli.plugin import FaceView
from facecli.reconstruction.still_layouts import StillLayout
from facecli.render.tddfa_pictures import texture_colors
from facecli_synergynet.pictures import DrawnFace, overlay
from facecli_synergynet.reconstructor import SynergyNetReconstructor, visible_part


class SynergyNetLayout(StillLayout):
    """Below ``rendering_overlay/``, ``landmarks/``, ``poses/`` and ``obj/``, all faces of a photograph in one picture.

    Args:
        save: words of the description in ``facecli_synergynet``.
        photo_size: not used: all pictures are at that size.
    """

    def __init__(self, model: SynergyNetReconstructor, save: Sequence[str] = (), photo_size: bool = False):
        self._model, self._save = model, set(save)
        if "textured" in self._save and model.maps is None:
            raise UsageError("the layout's word textured needs a UV map: --option uv_map=FILE or FOLDER")
        if model.maps is not None:
            self._part = visible_part(model.head)

    def write_photograph(self, root: Path, views: Sequence[FaceView]) -> None:
        """All faces, largest first."""
        faces, photo, stem = [DrawnFace(self._model, view.codes) for view in views], views[0].photo, views[0].stem
        textured = self._model.maps is not None and {"textured", "obj"} & self._save
        colors = self._colors(stem) if textured else None
        if "overlay" in self._save:
            solid = photo
            for face in faces:
                solid = face.solid(solid)
            write_image(root / "rendering_overlay" / f"{stem}.jpg", overlay(photo, solid))
            write_image(root / "rendering_overlay" / f"{stem}_solid.png", solid)
        for word, name in (("landmarks", "sparse"), ("poses", "pose")):
            if word in self._save:
                picture = photo
                for face in faces:
                    picture = face.on(name, picture)
                write_image(root / word / f"{stem}.jpg", picture)
        if "textured" in self._save:
            picture = photo
            for face in faces:
                picture = face.textured(picture, *self._part, colors)
            write_image(root / "rendering_overlay" / f"{stem}_textured.jpg", picture)
        if "obj" in self._save:
            self._write_objs(root / "obj", stem, faces, colors)

    def _colors(self, stem: str) -> np.ndarray:
        """uint8 [K, 3] of the vertices that are shown."""
        uv = self._model.head.uv.numpy(force=True)
        return texture_colors(self._model.maps.of(stem), uv[self._part[0]])

    def _write_objs(self, folder: Path, stem: str, faces: Sequence[DrawnFace], colors: np.ndarray | None) -> None:
        """``STEM.obj``, of further faces ``STEM_1.obj``, …: the program keeps one."""
        for number, face in enumerate(faces):
            path = folder / (f"{stem}_{number}.obj" if number else f"{stem}.obj")
            if colors is None:
                write_plain_obj(path, face.vertices, face.triangles)
            else:
                write_coloured_obj(path, face.vertices[self._part[0]], self._part[1], colors)


def write_plain_obj(path: Path, vertices: np.ndarray, triangles: np.ndarray) -> None:
    """SynergyNet's OBJ: the photograph's pixels, y down, so that viewers show it standing on its head."""
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertices.tolist()]
    lines += [f"f {c} {b} {a}" for a, b, c in (triangles + 1).tolist()]
    _write(path, lines)


def write_coloured_obj(path: Path, vertices: np.ndarray, triangles: np.ndarray, colors: np.ndarray) -> None:
    """The same with the vertices' `colors` [V, 3], 0..255, red first; triangles as they are."""
    rows = zip(vertices.tolist(), colors.astype(float).tolist(), strict=True)
    lines = [f"v {x:.4f} {y:.4f} {z:.4f} {r} {g} {b}" for (x, y, z), (r, g, b) in rows]
    lines += [f"f {a} {b} {c}" for a, b, c in (triangles + 1).tolist()]
    _write(path, lines)


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
