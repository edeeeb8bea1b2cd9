"""Deep3D as a model of facecli: photograph and five points to crop, crop to codes, codes to a coloured, lit face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facecli.assets.catalogue import Asset
from facecli.assets.store import require, require_all
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.detect.landmarks import convert
from facecli.errors import UsageError
from facecli.geometry.camera import crop_to_photo, place_in_front
from facecli.geometry.perspective import PerspectiveCamera
from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.morphable import bfm_assets, bfm_head
from facecli.morphable.bfm import Bfm, lit
from facecli.morphable.bfm_convert import read_vertices
from facecli.morphable.bfm_files import ALBEDOS, EXPRESSIONS, IDENTITIES, read_bfm
from facecli.morphable.bfm_head import read_whole_head
from facecli.morphable.flame_head import images_of, places_of
from facecli.morphable.tddfa_files import TOPOLOGY
from facecli.plugin import Crop, ExpressionBasis, Reconstruction, Rig
from facecli_deep3d import files
from facecli_deep3d.align import SIZE, Alignment, align, cut, whole
from facecli_deep3d.angles import angles_to_pose
from facecli_deep3d.detections import faces_beside
from facecli_deep3d.network import split
from facecli_deep3d.pictures import draw
from facecli_deep3d.weights import load_network

FAMILY = "deep3d"
MM = 100.0
"""Millimetres in the model's decimetre."""
CAMERA = PerspectiveCamera()
FACE_HEIGHT = 2.0
"""Decimetres, roughly."""
HEADS: dict[str, tuple[Asset, ...]] = {"face": (), "full": bfm_head.NEEDED}
"""Meshes, and the files that they need beside the face model's."""

_SIZES = {"identity": (IDENTITIES,), "expression": (EXPRESSIONS,), "texture": (ALBEDOS,), "pose": (3,), "camera": (3,),
          "light": (3, 9)}  # fmt: skip


@dataclass
class AlignedCrop(Crop):
    """Args:
    alignment: how it lies in the photograph.
    five: [5, 2] the points that it was aligned by, in pixels of the photograph; None for a whole picture.
    """

    alignment: Alignment
    five: np.ndarray | None


class Deep3DReconstructor:
    """Deep3D's regressor and the Basel Face Model.

    Args:
        detections: take the five points from ``detections/STEM.txt`` beside a photograph, where there is one.
        head: "face", Deep3D's own mesh, or "full", the whole head that it is part of.
        rig: give meshes in GLB the expressions as blend shapes.
        checkpoint: another file of weights than ``epoch_20.pth``.

    Raises:
        MissingAssetError: files are missing.
        InputError: a file is damaged or something else.
    """

    family = FAMILY
    landmarker = "mediapipe"
    landmarker_options: dict = {}  # noqa: RUF012 - read-only, as the contract says
    constants = ("identity", "texture")
    batch_size = 8

    def __init__(
        self,
        device: str = "cpu",
        *,
        detections: bool = True,
        head: str = "face",
        rig: bool = False,
        checkpoint: str = "",
    ):
        if head not in HEADS:
            raise UsageError(f"head is {' or '.join(HEADS)}, not {head!r}")
        needed = [*([] if checkpoint else [files.DEEP3D]), bfm_assets.BFM_FRONT, *HEADS[head]]
        paths = {asset.name: path for asset, path in zip(needed, require_all(needed), strict=True)}
        self.device = torch.device(device)
        arrays = read_bfm(paths[bfm_assets.BFM_FRONT.name])
        self.bfm = Bfm(read_whole_head(paths, arrays) if head == "full" else arrays).to(self.device)
        self.network = load_network(self.device, checkpoint or files.DEEP3D)
        self.epoch = Path(checkpoint or files.DEEP3D.filename).stem.rpartition("_")[2]
        self._detections, self._rigged, self._head = detections, rig, head

    # --- to codes ----------------------------------------------------------------------------------------------------

    def faces_beside(self, picture: str | Path) -> list[Face] | None:
        """The face that ``detections/STEM.txt`` beside the photograph tells of; None: detect."""
        return faces_beside(picture) if self._detections else None

    def crop(self, image: np.ndarray, face: Face) -> AlignedCrop:
        """Deep3D's alignment by five points.

        Raises:
            UsageError: the face's points can't be turned into these five.
            ValueError: they don't span a face.
        """
        five = five_points(face)
        return _crop(image, face, align(five, (image.shape[1], image.shape[0])), five)

    def whole_picture(self, image: np.ndarray, face: Face) -> AlignedCrop:
        """The photograph, scaled to the crop's size; padded with black if it isn't square."""
        return _crop(image, face, whole((image.shape[1], image.shape[0])), None)

    @torch.inference_mode()
    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces: identity [B, 80], expression [B, 64], texture [B, 80], pose [B, 3], light [B, 3, 9], camera
        [B, 3], and `warp` and `photo_size`."""
        values = rename(split(self.network(images_of(crops, self.device))))
        return Codes(values | places_of(crops, self.device), "deep3d", self.family)

    # --- from codes --------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Reconstruction:
        """Faces in millimetres, and where they land on the photograph.

        ``extras``: `posed` [B, V, 3], Deep3D's world in decimetres; `albedo` and `colors` [B, V, 3], without and with
        the light, 0..1 but not clamped; `lm68` [B, 68, 2], landmarks in pixels of the crop.
        """
        codes = self.complete(codes)
        shape = self.bfm.shape(codes["identity"], codes["expression"])
        albedo = self.bfm.albedo(codes["texture"])
        turn = axis_angle_to_matrix(codes["pose"])
        posed = shape @ turn.transpose(1, 2) + codes["camera"][:, None]
        colors = lit(albedo, self.bfm.normals(shape) @ turn.transpose(1, 2), codes["light"])
        seen, warp = CAMERA.to_camera(posed), codes["warp"]
        landmarks = CAMERA.landmarks(self.bfm.landmarks(seen))
        return Reconstruction(
            vertices=shape * MM,
            triangles=self.bfm.triangles,
            projected=torch.cat([crop_to_photo(CAMERA.pixels(seen), warp), seen[..., 2:] * MM], -1),
            head_pose=_head_pose(turn, codes),
            landmarks={"ibug68": crop_to_photo(landmarks, warp)},
            landmarks_3d={"ibug68": self.bfm.landmarks(shape) * MM},
            camera=_camera_record(codes),
            vertex_colors=colors,
            extras={"posed": posed, "albedo": albedo, "colors": colors, "lm68": landmarks},
        )

    def complete(self, codes: Codes) -> Codes:
        """`codes` on the model's device, with zeros for what is missing, and the crop for the photograph.

        Raises:
            UsageError: there is no identity, or a code has another shape than the model's.
        """
        if "identity" not in codes:
            raise UsageError(f"codes of {codes.model or 'this model'} hold no identity: Deep3D can't decode them")
        values = {name: value.to(self.bfm.mean) for name, value in codes.values.items()}
        like = values["identity"]
        for name, shape in _SIZES.items():
            values.setdefault(name, like.new_zeros(len(like), *shape))
            if values[name].shape[1:] != shape:
                found = list(values[name].shape[1:])
                raise UsageError(f"the code {name!r} is {found}, where Deep3D's is {list(shape)}")
        for name, value in (("warp", torch.eye(3)), ("photo_size", torch.tensor([SIZE, SIZE]))):
            values.setdefault(name, value.to(like).expand(len(like), *value.shape))
        return Codes(values, codes.model, codes.family)

    @torch.inference_mode()
    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """Pictures by the names in the description, see :func:`facecli_deep3d.pictures.draw`."""
        drawn: dict[str, list[np.ndarray]] = {}
        for number in range(len(codes)):
            one = reconstruction.select(slice(number, number + 1))
            crop = None if crops is None else crops[number]
            photo = None if photos is None else photos[number]
            for name, picture in draw(names, one, CAMERA, crop, photo).items():
                drawn.setdefault(name, []).append(picture)
        return drawn

    def rig(self) -> Rig | None:
        """With `rig`, the 64 expressions: they are blend shapes by themselves."""
        if not self._rigged:
            return None
        shapes = (self.bfm.basis[self.bfm.n_identity :] * MM).unflatten(1, (-1, 3)).numpy(force=True)
        numbers = range(len(shapes))
        return Rig(tuple(f"expression_{i:02d}" for i in numbers), tuple(("expression", i) for i in numbers), shapes)

    def expression_basis(self) -> ExpressionBasis:
        """The 64 expressions on those of the 53215 vertices that ``BFM_front_idx.mat`` names; of the whole head on all.

        Raises:
            MissingAssetError: this file is missing.
        """
        asset = bfm_assets.FRONT_VERTICES if self._head == "face" else bfm_assets.EXPRESSION_VERTICES
        found = read_vertices(asset, require(asset))
        # Of the whole head the file names the mesh's vertices, of the face the topology's.
        mine, vertices = (slice(None), found) if self._head == "face" else (found, np.arange(len(found)))
        directions = self.bfm.basis[self.bfm.n_identity :].unflatten(1, (-1, 3)).numpy(force=True)
        return ExpressionBasis(
            topology=TOPOLOGY,
            vertices=vertices,
            mean=self.bfm.mean.unflatten(0, (-1, 3)).numpy(force=True)[mine],
            directions=directions[:, mine],
            usual=np.zeros(len(directions)),
            spread=np.ones(len(directions)),
            metres_per_unit=1e-3 * MM,
        )

    # --- over time ---------------------------------------------------------------------------------------------------

    @staticmethod
    def steady(codes: Codes) -> Codes:
        """`codes` with the camera in terms of the photograph: pixels a decimetre and the pixel at the face's middle."""
        if not {"camera", "warp"} <= set(codes.values):
            return codes
        origin, pixels_per_unit = _place(codes)
        return codes.replace(camera=torch.cat([pixels_per_unit[:, None], origin], 1))

    @staticmethod
    def unsteady(codes: Codes) -> Codes:
        """The way back from :meth:`steady`."""
        if not {"camera", "warp"} <= set(codes.values):
            return codes
        pixels_per_unit, origin = codes["camera"][:, 0], codes["camera"][:, 1:]
        warp = codes["warp"]
        distance = CAMERA.focal / (pixels_per_unit * _scale(warp))
        pixel = (warp[:, :2, :2] @ origin[..., None])[..., 0] + warp[:, :2, 2]
        away = (pixel - (CAMERA.centre - 0.5)) * (distance / CAMERA.focal)[:, None]
        return codes.replace(camera=torch.stack([away[:, 0], -away[:, 1], CAMERA.distance - distance], 1))

    @staticmethod
    def code_unit(name: str, value: torch.Tensor) -> float | None:
        """Of a steady camera, a hundredth of the face's height in pixels."""
        return 0.01 * FACE_HEIGHT * float(value[0, 0]) if name == "camera" else None


def five_points(face: Face) -> np.ndarray:
    """[5, 2] of a face of any landmarks that hold them.

    Raises:
        UsageError: they don't.
    """
    if not len(face.points):
        raise UsageError("Deep3D needs five points of a face, and this one is a box alone: choose a --landmarker")
    point_set = face.point_set or {5: "five", 68: "ibug68"}.get(len(face.points), "")
    return convert(face.points[:, :2], point_set, "five")


def rename(official: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Deep3D's coefficients by facecli's names; the angles become axis-angle."""
    return {
        "identity": official["id"],
        "expression": official["exp"],
        "texture": official["tex"],
        "pose": angles_to_pose(official["angle"]),
        "light": official["gamma"].unflatten(1, (3, 9)),
        "camera": official["trans"],
    }


def _crop(image: np.ndarray, face: Face, alignment: Alignment, five: np.ndarray | None) -> AlignedCrop:
    pixels = cut(image, alignment).transpose(2, 0, 1).astype(np.float32) / 255
    return AlignedCrop(
        face, np.ascontiguousarray(pixels), alignment.warp, (image.shape[0], image.shape[1]), alignment, five
    )


def _scale(warp: torch.Tensor) -> torch.Tensor:
    """[B] pixels of the crop in one of the photograph."""
    return torch.linalg.det(warp[:, :2, :2].double()).abs().sqrt().to(warp.dtype)


def _place(codes: Codes) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the face's middle is in the photograph: its pixel [B, 2], and pixels a decimetre there [B]."""
    seen = CAMERA.to_camera(codes["camera"])[:, None]
    origin = crop_to_photo(CAMERA.pixels(seen), codes["warp"])[:, 0]
    return origin, CAMERA.focal / seen[:, 0, 2] / _scale(codes["warp"])


def _head_pose(turn: torch.Tensor, codes: Codes) -> torch.Tensor:
    """[B, 4, 4] head frame -> camera frame of the whole photograph, as facecli assumes it: millimetres."""
    origin, pixels_per_unit = _place(codes)
    return place_in_front(turn, pixels_per_unit / MM, origin, codes["photo_size"])


def _camera_record(codes: Codes) -> dict:
    """How vertices project, in words: x = cx + fx X / −Z, y = cy − fy Y / −Z of (X, Y, Z) = R vertex + translation."""
    across = codes["warp"].diagonal(dim1=1, dim2=2)[:, :2]
    centre = codes["warp"].new_full((len(codes), 1, 2), CAMERA.centre - 0.5)
    return {
        "kind": "perspective",
        "focal_pixels": CAMERA.focal / across,
        "principal_point": crop_to_photo(centre, codes["warp"])[:, 0],
        "translation_mm": (codes["camera"] - codes["camera"].new_tensor([0, 0, CAMERA.distance])) * MM,
    }
