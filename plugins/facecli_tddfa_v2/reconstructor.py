"""3DDFA_V2 as a model of facecli: photograph and box to crop, crop to parameters, these to a face, or to a head pose
alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facecli import roi
from facecli.assets.catalogue import Asset
from facecli.assets.store import find, how_to_get, require, require_all, state
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.errors import FacecliError, InputError, MissingAssetError, UsageError
from facecli.geometry.euler import tddfa_v2_angles
from facecli.morphable.tddfa import TDDFA_V2, Tddfa
from facecli.morphable.tddfa_files import (
    BFM_VERTICES,
    Whitening,
    read_bfm_noneck,
    read_bfm_uv,
    read_indices,
    read_ncc_code,
    read_whitening,
)
from facecli.morphable.tddfa_head import System, TddfaCodes, TddfaHead, cropped, network_input
from facecli.plugin import Crop, ExpressionBasis, Reconstruction
from facecli_tddfa_v2 import files
from facecli_tddfa_v2.network import CODES
from facecli_tddfa_v2.pictures import RENDERERS, draw
from facecli_tddfa_v2.weights import load_network

SYSTEM = System("3ddfa_v2", TDDFA_V2, tddfa_v2_angles)
GEOMETRY = ("auto", "yes", "no")


class TddfaV2Reconstructor(TddfaCodes):
    """3DDFA_V2's network and its face model.

    Args:
        network: a key of :data:`facecli_tddfa_v2.files.NETWORKS`; "auto": the first whose file is there.
        geometry: "no": head poses alone; "auto": also where the face model's file is missing, with a line that says so.
        renderer: a key of :data:`facecli_tddfa_v2.pictures.RENDERERS`.
        checkpoint: other weights, in the official files' format.
        whitening: another whitening, for weights of your own.

    Attributes:
        no_mesh: why there are no meshes, None if there are.

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
        network: str = "auto",
        geometry: str = "auto",
        renderer: str = "sim3dr",
        checkpoint: str = "",
        whitening: str = "",
    ):
        if network not in ("auto", *files.NETWORKS):
            raise UsageError(f"network is auto, {', '.join(files.NETWORKS)}, not {network!r}")
        if geometry not in GEOMETRY:
            raise UsageError(f"geometry is {', '.join(GEOMETRY)}, not {geometry!r}")
        if renderer not in RENDERERS:
            raise UsageError(f"renderer is {', '.join(RENDERERS)}, not {renderer!r}")
        self.paint = RENDERERS[renderer]
        self.device = torch.device(device)
        weights = Path(checkpoint) if checkpoint else _weights(network)
        self.no_mesh = _no_mesh(geometry)
        needed = [asset for asset in (weights, None if whitening else files.WHITENING) if isinstance(asset, Asset)]
        needed += [] if self.no_mesh else [files.BFM]
        require_all(needed)  # all that is missing is told at once
        self.whitening = read_whitening(whitening or require(files.WHITENING))
        self.network = load_network(weights, self.device)
        _check_whitening(self.network, self.whitening, whitening or files.WHITENING.filename)
        self.head = TddfaHead(SYSTEM, None if self.no_mesh else _face_model(), None).to(self.device)
        self.head.uv = None if self.no_mesh else _uv(self.head.model, self.device)
        self.ncc_code = None if self.no_mesh else _ncc_code(self.head.model)

    # --- to codes ----------------------------------------------------------------------------------------------------

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """A square around the landmarks if there are any that count, else around the detector's box.

        Raises:
            ValueError: the face has no area, or lies outside of the picture.
        """
        return self._cut(image, face, roi.roi_of_face(face, roi.tddfa_v2_roi))

    def crop_box(self, image: np.ndarray, box: np.ndarray) -> Crop:
        """A square around a detector's box [4]. Raises ValueError."""
        return self._cut(image, Face(np.asarray(box, np.float64)[:4], 1.0), roi.tddfa_v2_roi(box))

    def whole_picture(self, image: np.ndarray, face: Face) -> Crop:
        """The photograph, scaled to the crop's size."""
        return self._cut(image, face, roi.whole_roi(image.shape[:2]))

    def _cut(self, image: np.ndarray, face: Face, region: np.ndarray) -> Crop:
        return cropped(face, image, roi.crop(image, region), roi.roi_warp(region))

    @torch.inference_mode()
    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces: identity [B, 40], expression [B, 10], camera [B, 12], and `warp` and `photo_size`."""
        numbers = self.network(network_input(crops, self.device))
        identities, _ = CODES[numbers.shape[1]]
        return self.head.codes(numbers, self.whitening, crops, "3ddfa_v2", identities)

    # --- from codes --------------------------------------------------------------------------------------------------

    def decode(self, codes: Codes) -> Reconstruction:
        """Faces in millimetres, see :meth:`facecli.morphable.tddfa_head.TddfaHead.decode`."""
        return self.head.decode(codes)

    def expression_basis(self) -> ExpressionBasis:
        """The network's expressions, on those of the 53215 vertices that ``indices.npy`` names.

        Raises:
            FacecliError: there is no face model (`no_mesh`), or ``indices.npy`` is missing.
        """
        if self.no_mesh:
            raise self.no_mesh
        vertices = read_indices(require(files.INDICES), len(self.head.model.mean) // 3)
        return self.head.expression_basis(self.whitening, vertices, *CODES[self.network.numbers])

    @torch.inference_mode()
    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """Pictures by the names in the description, see :mod:`facecli_tddfa_v2.pictures`."""
        return draw(self, names, crops, codes, photos)


def _weights(network: str) -> Asset:
    if network != "auto":
        return files.NETWORKS[network]
    return next((asset for asset in files.NETWORKS.values() if find(asset)), files.MB1)


def _check_whitening(network: torch.nn.Module, whitening: Whitening, name: str) -> None:
    if network.numbers > len(whitening.mean):
        problem = f"has {len(whitening.mean)} numbers, and the network gives {network.numbers}"
        raise InputError(name, problem, "give the network's own: --option whitening=FILE")


def _no_mesh(geometry: str) -> FacecliError | None:
    if geometry == "no":
        return UsageError("geometry=no gives head poses alone")
    if geometry == "yes" or state(files.BFM).status != "missing":
        return None
    return MissingAssetError(f"{files.BFM.filename} is missing: {how_to_get(files.BFM)}")


def _face_model() -> Tddfa:
    path = require(files.BFM)
    # V2 takes the rebuilt triangles with this file only; the others have them inside.
    rebuilt = find(files.TRIANGLES) if path.name == files.BFM.filename else None
    return Tddfa(read_bfm_noneck(path, rebuilt))


def _uv(model: Tddfa, device: torch.device) -> torch.Tensor | None:
    """[V, 2], where both files are there."""
    paths = [find(files.BFM_UV), find(files.INDICES)]
    if None in paths:
        return None
    vertices = len(model.mean) // 3
    uv, indices = read_bfm_uv(paths[0]), read_indices(paths[1], vertices)
    if indices.max() >= len(uv):
        problem = f"has {len(uv)} places, and {paths[1].name} names the vertex {indices.max()}"
        raise InputError(paths[0], problem, f"get both again: there are {BFM_VERTICES} vertices")
    return torch.from_numpy(uv[indices]).to(device)


def _ncc_code(model: Tddfa) -> np.ndarray | None:
    path = find(files.NCC_CODE)
    return None if path is None else read_ncc_code(path, len(model.mean) // 3)
