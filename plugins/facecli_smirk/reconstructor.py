"""SMIRK as a model of facecli: face to crop, crop to FLAME's codes, codes to a head, and SMIRK's own pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from facecli.assets.store import require_all
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.morphable import flame_head
from facecli.morphable.flame_head import FlameHead, needed_files
from facecli.plugin import Crop, Reconstruction, Rig
from facecli_smirk import files
from facecli_smirk.crops import detected_crop, face_crop, whole_crop
from facecli_smirk.pictures import SmirkPictures
from facecli_smirk.weights import load_encoder

CODE_NAMES = {
    "identity": "shape_params",
    "expression": "expression_params",
    "pose": "pose_params",
    "jaw": "jaw_params",
    "eyelids": "eyelid_params",
    "camera": "cam",
}
"""facecli's name of each code -> SMIRK's."""


class SmirkReconstructor:
    """SMIRK's encoder, FLAME's decoder, and, when they are asked for, the pictures of SMIRK's renderer and generator.

    Args:
        full_head: draw the whole head in "rendering", not the face alone.
        flame: edition of FLAME, a key of :data:`facecli.morphable.flame_head.EDITIONS`.
        checkpoint: another file of weights than ``SMIRK_em1.pt``.
        mask_ratio, seed: see :class:`facecli_smirk.pictures.SmirkPictures`.

    Raises:
        MissingAssetError: files are missing.
        InputError: a file is damaged or something else.
        UsageError: there is no such edition, or `mask_ratio` is no share.
    """

    family = flame_head.FAMILY
    landmarker = "mediapipe"
    landmarker_options: dict = {"confidence": 0.1, "further_confidence": 0.5}  # noqa: RUF012 - read-only, as the contract says
    constants = ("identity",)
    batch_size = 8

    def __init__(
        self,
        device: str = "cpu",
        *,
        full_head: bool = False,
        flame: str = "2020",
        checkpoint: str = "",
        mask_ratio: float = 0.05,
        seed: int = 0,
    ):
        own = () if checkpoint else (files.SMIRK,)
        require_all((*own, *needed_files(flame, eyelids=True, mediapipe=True)))  # all that is missing is told at once
        self.device = torch.device(device)
        self.head = FlameHead(self.device, edition=flame, eyelids=True, mediapipe=True)
        self.encoder = load_encoder(self.device, path=checkpoint)
        self.pictures = SmirkPictures(
            self.head.triangles, full_head=full_head, checkpoint=checkpoint, mask_ratio=mask_ratio, seed=seed
        )

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """A square around `face`, see :func:`facecli_smirk.crops.face_crop`."""
        return face_crop(image, face)

    def crop_box(self, image: np.ndarray, box: np.ndarray) -> Crop:
        """A square around a detector's box, see :func:`facecli_smirk.crops.detected_crop`."""
        return detected_crop(image, box)

    def whole_picture(self, image: np.ndarray, face: Face) -> Crop:
        """All of `image`, stretched to a square: what the demos do without ``--crop``."""
        return whole_crop(image, face)

    @torch.inference_mode()
    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces, see :data:`CODE_NAMES`, with `warp` and `photo_size`."""
        found = self.encoder(flame_head.images_of(crops, self.device))
        values = {name: found[theirs] for name, theirs in CODE_NAMES.items()}
        values |= flame_head.places_of(crops, self.device)
        return Codes(values, "smirk", self.family)

    def decode(self, codes: Codes) -> Reconstruction:
        """Heads in millimetres, see :meth:`facecli.morphable.flame_head.FlameHead.decode`."""
        return self.head.decode(codes)

    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """SMIRK's own pictures, see :meth:`facecli_smirk.pictures.SmirkPictures.draw`."""
        return self.pictures.draw(names, crops, codes, reconstruction, photos)

    def rig(self) -> Rig:
        """FLAME's expressions, its jaw and SMIRK's eyelids as blend shapes."""
        return self.head.rig(("expression", "jaw", "eyelids"))

    code_unit = staticmethod(flame_head.code_unit)
    steady = staticmethod(flame_head.steady)
    unsteady = staticmethod(flame_head.unsteady)
