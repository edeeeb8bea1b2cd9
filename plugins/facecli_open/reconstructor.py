"""The open model: photograph and MediaPipe's points to a guess, the guess fitted to the points, ICT-FaceKit's head."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from facecli.assets.store import require
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.errors import UsageError
from facecli.export.arkit import from_ict
from facecli.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from facecli.morphable import ict_head
from facecli.morphable.ict import IctModel
from facecli.morphable.ict_files import read_ict
from facecli.morphable.ict_fit import Fitted, Guess, LandmarkFit
from facecli.morphable.ict_head import IctHead
from facecli.plugin import Crop, Reconstruction, Rig
from facecli_open.crop import crop_head
from facecli_open.files import ICT_FACEKIT
from facecli_open.regressor import Guess as Heads
from facecli_open.regressor import Regressor
from facecli_open.second_look import SecondLook
from facecli_open.weights import read_weights

SHARES = (0.2, 0.5, 0.1)
"""Of the spreads of the network's identity, expression and distance, what the points may change. The network has seen
them as well: where they mislead it, they would again (docs/open.md has the numbers)."""


class OpenReconstructor:
    """ICT-FaceKit's whole head, in millimetres, by a pinhole camera on the photograph.

    Args:
        refine: change shape and expression until the head lies on MediaPipe's points; without it they are the guess's,
            and only pose and camera are found.
        fov: vertical field of view of the photographs in degrees, for those who know it; 0: the distance is guessed.
        rig: give meshes in GLB the expressions as blend shapes.
        checkpoint: another file of the network's weights than the one that comes with facecli.

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

    def __init__(
        self, device: str = "cpu", *, refine: bool = True, fov: float = 0.0, rig: bool = True, checkpoint: str = ""
    ):
        if fov and not 1 <= fov <= 170:
            raise UsageError(f"--option fov is the vertical field of view, 1 to 170 degrees, not {fov:g}")
        path = require(ICT_FACEKIT)
        model = IctModel(read_ict(path), str(path))
        self.device = torch.device(device)
        self.head = IctHead(model, self.device)
        self.fitting = LandmarkFit(model)
        self.regressor = Regressor(read_weights(checkpoint or None), SecondLook(model, self.fitting))
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
        guess = self.regressor(crops, self._fov)
        fitted = [self._fit(crop, guess, number) for number, crop in enumerate(crops)]
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

    def _fit(self, crop: Crop, guess: Heads, number: int) -> Fitted:
        believed = self.believed(guess, number)
        return self.fitting.fit(crop.face.points, crop.photo_size, believed, self._fov, self._refine)

    def believed(self, guess: Heads, number: int, shares: tuple[float, float, float] = SHARES) -> Guess:
        """What the networks say of face `number`, and how much of it the points may change: `shares` of their spreads
        of identity, expression and distance."""
        identity, expression, distance = shares
        return Guess(
            guess.identity[number].astype(np.float64),
            guess.expression[number].astype(np.float64),
            identity * self.regressor.identity_spread,
            expression * self.regressor.expression_spread,
            float(guess.distance[number]),
            distance * self.regressor.distance_spread,
        )

    def follow(self, codes: Codes, before: Codes) -> Codes:
        """Pose, camera and expression of B faces fitted again around the identity of `codes`, so that the head lies
        where MediaPipe's points landed in the photograph with `before`. Focal length and looks stay."""
        identity = _array(self.head.complete(codes)["identity"])
        found = self.head.complete(before)
        known = (_array(found[name]) for name in ("identity", "expression", "pose", "camera", "photo_size"))
        faces = [self._followed(*face) for face in zip(identity, *known, strict=True)]
        followed = (np.stack(values) for values in zip(*faces, strict=True))
        told = dict(zip(("expression", "pose", "camera"), followed, strict=True))
        return codes.replace(
            **{
                name: torch.from_numpy(value[:, : before[name].shape[1]]).to(before[name])
                for name, value in told.items()
                if name in before
            }
        )

    def _followed(
        self,
        identity: np.ndarray,
        own: np.ndarray,
        expression: np.ndarray,
        pose: np.ndarray,
        camera: np.ndarray,
        photo_size: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expression, pose and camera around an `identity` [100] that isn't the face's `own`; what no camera has seen
        (a file's codes may be anything) stays."""
        if not (camera[:2] > 0).all():
            return expression, pose, camera
        size, (focal, scale) = tuple(photo_size), camera[:2]
        _, share, distance = SHARES
        believed = Guess(
            identity,
            expression,
            0.0,
            share * self.regressor.expression_spread,
            focal / scale,
            distance * self.regressor.distance_spread,
        )
        turn = axis_angle_to_matrix(torch.from_numpy(pose)[None])[0].numpy()
        fov = math.degrees(2 * math.atan(size[0] / 2 / focal))
        fit = self.fitting.follow if self._refine else self.fitting.place
        try:
            points = self.fitting.landed(own, expression, turn, camera, size)
            fitted = fit(points, size, believed, fov)
        except np.linalg.LinAlgError:
            return expression, pose, camera
        told = fitted.expression, matrix_to_axis_angle(torch.from_numpy(fitted.turn)[None])[0].numpy(), fitted.camera
        return told if all(np.isfinite(value).all() for value in told) else (expression, pose, camera)

    # --- from codes --------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Reconstruction:
        """Heads in millimetres, and where they land on the photograph, see :meth:`IctHead.decode`."""
        return self.head.decode(codes)

    @torch.inference_mode()
    def rig(self) -> Rig | None:
        """The 57 expressions as blend shapes, by their names."""
        return self.head.rig() if self._rigged else None

    def arkit(self, codes: Codes) -> torch.Tensor:
        """[B, 52] the expression in ARKit's words, see :func:`facecli.export.arkit.from_ict`."""
        weights = from_ict(self.head.complete(codes)["expression"].numpy(force=True), self.head.expression_names)
        return torch.from_numpy(weights).to(self.device)

    @staticmethod
    def certainty(codes: Codes) -> torch.Tensor:
        """[B] how much the identity is to be believed: the squared cosine of the angle by which the face looks away."""
        return axis_angle_to_matrix(codes["pose"])[:, 2, 2].clamp(0) ** 2

    # --- over time ---------------------------------------------------------------------------------------------------

    steady = staticmethod(ict_head.steady)
    unsteady = staticmethod(ict_head.unsteady)
    code_unit = staticmethod(ict_head.code_unit)


def _array(code: torch.Tensor) -> np.ndarray:
    return code.numpy(force=True).astype(np.float64)
