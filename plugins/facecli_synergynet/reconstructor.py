"""SynergyNet as a model of facecli: photograph and box to crop, crop to parameters, these to a face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facecli import roi
from facecli.assets.store import find, require, require_all
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.errors import InputError, MissingAssetError, UsageError
from facecli.geometry.euler import synergynet_angles
from facecli.morphable.tddfa import SYNERGYNET, Tddfa
from facecli.morphable.tddfa_files import (
    BFM_VERTICES,
    DATA_FILES,
    TddfaArrays,
    Whitening,
    checkpoint_model,
    read_3dmm_data,
    read_bfm_uv,
    read_cut,
    read_whitening,
    whitening_of,
)
from facecli.morphable.tddfa_head import System, TddfaCodes, TddfaHead, cropped, network_input
from facecli.nn.checkpoints import Checkpoint
from facecli.plugin import Crop, ExpressionBasis, Reconstruction
from facecli_synergynet import files
from facecli_synergynet.pictures import draw
from facecli_synergynet.uv_maps import UvMaps
from facecli_synergynet.weights import face_model, load_backbone, open_checkpoint

SYSTEM = System("3ddfa", SYNERGYNET, synergynet_angles)


class SynergyNetReconstructor(TddfaCodes):
    """SynergyNet's backbone, and the face model that its checkpoint holds.

    Args:
        crop_interpolation: how crops are scaled: "linear" (as its scripts) or "lanczos" (as its Python package).
        border: pixels of the crop's rim that are black: 5 in its training and its benchmark, none in its programs.
        uv_map: a UV map that textures all faces, or a folder of them, one a picture (``NAME_fake_B.png``).
        checkpoint: another file of weights than ``best.pth.tar``.

    Raises:
        MissingAssetError: files are missing.
        InputError: a file is damaged or something else.
        UsageError: an option can't have this value.
    """

    family = SYSTEM.family
    landmarker = "faceboxes"
    landmarker_options: dict = {}  # noqa: RUF012 - read-only, as the contract says
    constants = ("identity",)
    batch_size = 16

    def __init__(
        self,
        device: str = "cpu",
        *,
        crop_interpolation: str = "linear",
        border: int = 0,
        uv_map: str = "",
        checkpoint: str = "",
    ):
        if not 0 <= border < roi.SIZE // 2:
            raise UsageError(f"border is 0 to {roi.SIZE // 2 - 1} pixels, not {border}")
        if crop_interpolation not in roi.INTERPOLATIONS:
            raise UsageError(f"crop_interpolation is linear or lanczos, not {crop_interpolation!r}")
        self.device = torch.device(device)
        self._interpolation, self._border = crop_interpolation, border
        require_all([files.TRIANGLES] if checkpoint else [files.CHECKPOINT, files.TRIANGLES])
        weights = open_checkpoint(Path(checkpoint) if checkpoint else files.CHECKPOINT)
        self.network = load_backbone(weights, self.device)
        arrays = face_model(weights)
        self.whitening = _whitening(weights, arrays)
        uv_file = find(files.UV) or find(files.BFM_UV)
        model = _model(weights, arrays)
        self.head = TddfaHead(SYSTEM, Tddfa(model), _uv(uv_file, len(model.mean))).to(self.device)
        self.maps = UvMaps(uv_map, self.head) if uv_map else None

    # --- to codes ----------------------------------------------------------------------------------------------------

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """A square around the landmarks if there are any that count (as the training pictures were cut), else around
        the detector's box.

        Raises:
            ValueError: the face has no area, or lies outside of the picture.
        """
        return self._cut(image, face, roi.roi_of_face(face, roi.synergynet_roi))

    def crop_box(self, image: np.ndarray, box: np.ndarray) -> Crop:
        """A square around a detector's box [4]. Raises ValueError."""
        return self._cut(image, Face(np.asarray(box, np.float64)[:4], 1.0), roi.synergynet_roi(box))

    def whole_picture(self, image: np.ndarray, face: Face) -> Crop:
        """The photograph, scaled to the crop's size."""
        return self._cut(image, face, roi.whole_roi(image.shape[:2]))

    def _cut(self, image: np.ndarray, face: Face, region: np.ndarray) -> Crop:
        pixels = roi.with_border(roi.crop(image, region, self._interpolation), self._border)
        return cropped(face, image, pixels, roi.roi_warp(region))

    @torch.inference_mode()
    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces: identity [B, 40], expression [B, 10], camera [B, 12], and `warp` and `photo_size`."""
        numbers, _ = self.network(network_input(crops, self.device))
        return self.head.codes(numbers, self.whitening, crops, "synergynet")

    # --- from codes --------------------------------------------------------------------------------------------------

    def decode(self, codes: Codes) -> Reconstruction:
        """Faces in millimetres, see :meth:`facecli.morphable.tddfa_head.TddfaHead.decode`."""
        return self.head.decode(codes)

    def texture_beside(self, source: str) -> torch.Tensor | None:
        """The UV map [3, H, W] 0..1 of the input `source`; None where there are no UV maps.

        Raises:
            InputError: this input has none.
        """
        return None if self.maps is None else self.maps.texture_of(source)

    def expression_basis(self) -> ExpressionBasis:
        """The ten expressions, on all of the 53215 vertices.

        Raises:
            UsageError: the checkpoint's face model has others.
        """
        count = len(self.head.model.mean) // 3
        if count != BFM_VERTICES:
            raise UsageError(f"the checkpoint's face model has {count} vertices, not the Basel face's {BFM_VERTICES}")
        return self.head.expression_basis(self.whitening, np.arange(count))

    @torch.inference_mode()
    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """Pictures by the names in the description, see :mod:`facecli_synergynet.pictures`."""
        return draw(self, names, crops, codes, photos)


def visible_part(head: TddfaHead) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [K] and triangles [M, 3] of them (official winding) that the UV programs show; all where the files of
    the cut aren't there."""
    paths = find(files.KEPT), find(files.CUT_TRIANGLES)
    count = len(head.model.mean) // 3
    if None in paths:
        return np.arange(count), head.model.official_triangles.numpy(force=True)
    return read_cut(*paths, count)


def _whitening(weights: Checkpoint, arrays: dict[str, np.ndarray]) -> Whitening:
    if "param_mean" in arrays and "param_std" in arrays:
        return whitening_of(weights.path, arrays["param_mean"], arrays["param_std"])
    return read_whitening(require(files.WHITENING))


def _model(weights: Checkpoint, arrays: dict[str, np.ndarray]) -> TddfaArrays:
    """The face model of the checkpoint, else of `3dmm_data/`."""
    triangles = require(files.TRIANGLES)
    found = checkpoint_model(weights.path, arrays, triangles, find(files.FACE_MODEL[-1]))
    if found is not None:
        return found
    try:
        paths = require_all(files.FACE_MODEL)
    except MissingAssetError as error:
        raise MissingAssetError(f"{weights.path} holds no face model, and {error}") from error
    return read_3dmm_data(dict(zip(DATA_FILES, paths, strict=True)), triangles)


def _uv(path: Path | None, vertices: int) -> np.ndarray | None:
    """The UV layout; None where there is no file of it, or the face model is of another mesh than the files'."""
    if path is None:
        return None
    uv = read_bfm_uv(path)
    if len(uv) not in (vertices, BFM_VERTICES):
        raise InputError(path, f"has {len(uv)} places, not one for each of {vertices} vertices", "get it again")
    return uv if len(uv) == vertices else None
