"""The open model: photograph and MediaPipe's points to a guess, the guess fitted to the points, ICT-FaceKit's head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from facecli.assets.store import require
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.errors import UsageError
from facecli.geometry.rotations import matrix_to_axis_angle
from facecli.morphable import ict_head
from facecli.morphable.ict import IctModel
from facecli.morphable.ict_files import read_ict
from facecli.morphable.ict_fit import Fitted, Guess, LandmarkFit
from facecli.morphable.ict_head import IctHead
from facecli.plugin import Crop, Reconstruction, Rig
from facecli_open.crop import crop_head
from facecli_open.files import ICT_FACEKIT
from facecli_open.mean_head import MeanHead


class OpenReconstructor:
    """ICT-FaceKit's whole head, in millimetres, by a pinhole camera on the photograph.

    Args:
        refine: change shape and expression until the head lies on MediaPipe's points; without it they are the guess's,
            and only pose and camera are found.
        fov: vertical field of view of the photographs in degrees, for those who know it; 0: the distance is guessed.
        rig: give meshes in GLB the expressions as blend shapes.

    Raises:
        MissingAssetError: ICT-FaceKit's file is missing.
        InputError: it is damaged or something else.
        UsageError: no camera has such a field of view.
    """

    family = ict_head.FAMILY
    landmarker = "mediapipe"
    landmarker_options: dict = {}  # noqa: RUF012 - read-only, as the contract says
    constants = ("identity",)
    batch_size = 8

    def __init__(self, device: str = "cpu", *, refine: bool = True, fov: float = 0.0, rig: bool = True):
        if fov and not 1 <= fov <= 170:
            raise UsageError(f"--option fov is the vertical field of view, 1 to 170 degrees, not {fov:g}")
        path = require(ICT_FACEKIT)
        model = IctModel(read_ict(path), str(path))
        self.device = torch.device(device)
        self.head = IctHead(model, self.device)
        self.fitting = LandmarkFit(model)
        self.regressor = MeanHead.load()
        self._refine, self._fov, self._rigged = refine, fov, rig

    # --- to codes ----------------------------------------------------------------------------------------------------

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """The upright square around the head.

        Raises:
            UsageError: the face hasn't MediaPipe's 478 points.
        """
        return crop_head(image, face)

    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces: identity [B, 100], expression [B, 57], pose [B, 3], camera [B, 4], `warp`, `photo_size`."""
        guess = self.regressor(crops)
        fitted = [self._fit(crop, guess.identity[i], guess.expression[i]) for i, crop in enumerate(crops)]
        values = {
            "identity": np.stack([face.identity for face in fitted]),
            "expression": np.stack([face.expression for face in fitted]),
            "pose": matrix_to_axis_angle(torch.from_numpy(np.stack([face.turn for face in fitted]))).numpy(),
            "camera": np.stack([face.camera for face in fitted]),
            "warp": np.stack([crop.warp for crop in crops]),
            "photo_size": np.array([crop.photo_size for crop in crops]),
        }
        tensors = {name: torch.from_numpy(value).to(self.device, torch.float32) for name, value in values.items()}
        return Codes(tensors, "open", self.family)

    def _fit(self, crop: Crop, identity: np.ndarray, expression: np.ndarray) -> Fitted:
        spreads = self.regressor.identity_spread, self.regressor.expression_spread
        guess = Guess(np.asarray(identity, np.float64), np.asarray(expression, np.float64), *spreads)
        return self.fitting.fit(crop.face.points, crop.photo_size, guess, self._fov, self._refine)

    # --- from codes --------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Reconstruction:
        """Heads in millimetres, and where they land on the photograph, see :meth:`IctHead.decode`."""
        return self.head.decode(codes)

    @torch.inference_mode()
    def rig(self) -> Rig | None:
        """The 57 expressions as blend shapes, by their names."""
        return self.head.rig() if self._rigged else None

    # --- over time ---------------------------------------------------------------------------------------------------

    steady = staticmethod(ict_head.steady)
    unsteady = staticmethod(ict_head.unsteady)
    code_unit = staticmethod(ict_head.code_unit)
