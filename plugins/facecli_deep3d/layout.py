"""The files of Deep3D's test.py, under its names and in its formats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecli.io.atomic import atomic_write
from facecli.io.images import write_image
from facecli.plugin import FaceView
from facecli.reconstruction.still_layouts import FaceLayout
from facecli_deep3d.angles import pose_to_angles
from facecli_deep3d.pictures import draw
from facecli_deep3d.reconstructor import CAMERA, Deep3DReconstructor

TOP = 255


class Deep3DLayout(FaceLayout):
    """``epoch_20_000000/NAME.png``, ``.obj`` and ``.mat``.

    Args:
        save: words of the description in ``facecli_deep3d``.
        photo_size: not used: the program has no pictures at that size.
    """

    def __init__(
        self, model: Deep3DReconstructor, save: Sequence[str] = ("png", "obj", "mat"), photo_size: bool = False
    ):
        self._folder = f"epoch_{model.epoch}_000000"
        self._save = set(save)

    def write_face(self, root: Path, view: FaceView, name: str) -> None:
        """One face's files."""
        folder = root / self._folder
        if "png" in self._save and view.crop is not None:
            strip = draw(["strip"], view.reconstruction, CAMERA, view.crop)["strip"]
            write_image(folder / f"{name}.png", strip)
        if "obj" in self._save:
            write_obj(folder / f"{name}.obj", view)
        if "mat" in self._save:
            write_mat(folder / f"{name}.mat", view)
        if "crop" in self._save and view.crop is not None:
            write_crop(folder / f"{name}_crop.json", view)


def write_obj(path: Path, view: FaceView) -> None:
    """The posed mesh in decimetres with lit colours, as trimesh writes it for the program."""
    face = view.reconstruction
    # There and back through the camera, as the program has it: the last bits differ.
    vertices = CAMERA.to_camera(CAMERA.to_camera(face.extras["posed"][0])).double().numpy(force=True)
    colors = np.clip(face.extras["colors"][0].numpy(force=True) * np.float32(TOP), 0, TOP).astype(np.uint8) / TOP
    rows = np.concatenate([vertices, colors], 1)
    triangles = face.triangles.numpy(force=True) + 1
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file,
    ):
        file.write("# decimetres; x right, y up, z to the viewer\n")
        file.write(("v" + " %.8f" * 6 + "\n") * len(rows) % tuple(rows.ravel().tolist()))
        file.write("f %d %d %d\n" * len(triangles) % tuple(triangles.ravel().tolist()))


def coefficients(view: FaceView) -> dict[str, np.ndarray]:
    """Deep3D's coefficients and landmarks, [1, …] float32 each, by its names."""
    codes = view.codes
    found = {
        "id": codes["identity"],
        "exp": codes["expression"],
        "tex": codes["texture"],
        "angle": pose_to_angles(codes["pose"]),
        "gamma": codes["light"].flatten(1),
        "trans": codes["camera"],
        "lm68": view.reconstruction.extras["lm68"],
    }
    return {name: value.float().numpy(force=True) for name, value in found.items()}


def write_mat(path: Path, view: FaceView) -> None:
    """:func:`coefficients` as a MATLAB file."""
    import scipy.io

    with atomic_write(path) as temporary:
        scipy.io.savemat(str(temporary), coefficients(view), appendmat=False)


def write_crop(path: Path, view: FaceView) -> None:
    """How the crop lies in the photograph: Deep3D's `trans_params`, and the integers that it resizes and cuts by."""
    alignment = view.crop.alignment
    record = {
        "trans_params": alignment.record.tolist(),
        "resized": list(alignment.scaled_size),
        "left_up": list(alignment.corner),
        "photo_to_crop": alignment.warp.tolist(),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
