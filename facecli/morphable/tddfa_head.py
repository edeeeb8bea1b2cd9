"""What SynergyNet and 3DDFA_V2 share when they decode: codes to faces on the photograph, or, where the face model's
licensed file is missing, to head poses alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from facecli.codes import Codes
from facecli.errors import UsageError
from facecli.geometry.camera import place_in_front
from facecli.geometry.euler import split_affine
from facecli.morphable.tddfa import (
    SIZE,
    Convention,
    Tddfa,
    dewhiten,
    posed,
    split,
    to_crop,
    to_photo,
)
from facecli.morphable.tddfa_files import (
    CAMERA,
    EXPRESSIONS,
    IDENTITIES,
    MOST_EXPRESSIONS,
    MOST_IDENTITIES,
    TOPOLOGY,
    Whitening,
)
from facecli.plugin import Crop, ExpressionBasis, Reconstruction, Rig

MM = 1e-3
"""Millimetres in a micrometre."""
REACH = 1e5
"""Micrometres from the origin, about those of the face's outline, at which a steady camera's entries are pixels."""
DEFAULT_CAMERA = (4e-4, 0, 0, SIZE / 2, 0, 4e-4, 0, SIZE / 2, 0, 0, 4e-4, 0)
"""A frontal face that fills the crop, for codes that have no camera."""


@dataclass(frozen=True)
class System:
    """Whose numbers these are.

    Args:
        family: of its codes.
        convention: how it counts pixels.
        angles: rotations [..., 3, 3] -> degrees [..., 3] (yaw, pitch, roll) by its own decoder.
    """

    family: str
    convention: Convention
    angles: Callable[[np.ndarray], np.ndarray]


class TddfaHead(nn.Module):
    """Decodes codes ``identity`` [B, 40], ``expression`` [B, 10], ``camera`` [B, 12], ``warp`` [B, 3, 3] and
    ``photo_size`` [B, 2].

    Args:
        model: the face model; None: head poses alone.
        uv: [V, 2] its UV layout, origin bottom-left, or None.
    """

    def __init__(self, system: System, model: Tddfa | None, uv: np.ndarray | None = None):
        super().__init__()
        self.system, self.model = system, model
        self.register_buffer("uv", None if uv is None or model is None else torch.from_numpy(uv))
        self.requires_grad_(False)

    # --- to codes ----------------------------------------------------------------------------------------------------

    def codes(
        self,
        numbers: torch.Tensor,
        whitening: Whitening,
        crops: Sequence[Crop],
        name: str,
        identities: int = IDENTITIES,
    ) -> Codes:
        """Codes of what a network gave: [B, P] whitened numbers of B crops, `identities` of them of identity."""
        places = {
            "warp": np.stack([crop.warp for crop in crops]),
            "photo_size": np.array([crop.photo_size for crop in crops]),
        }
        values = split(dewhiten(numbers, whitening), identities)
        values |= {key: torch.from_numpy(place).to(numbers) for key, place in places.items()}
        return Codes(values, name, self.system.family)

    # --- from codes --------------------------------------------------------------------------------------------------

    def decode(self, codes: Codes) -> Reconstruction:
        """Faces in millimetres, and where they land on the photograph.

        `head_pose` has the programs' rotation: rows of length 1, not quite perpendicular. Without a face model there
        are no vertices.
        """
        codes = self.complete(codes)
        camera = self.camera_words(codes)
        pose = self.decode_pose(codes)
        if self.model is None:
            empty = codes["camera"].new_zeros(len(codes), 0, 3)
            triangles = torch.zeros(0, 3, dtype=torch.int64, device=empty.device)
            return Reconstruction(empty, triangles, empty, head_pose=pose, camera=camera)
        surface = self.model(codes["identity"], codes["expression"])
        image = to_photo(to_crop(posed(surface, codes["camera"]), self.system.convention), codes["warp"], _PLAIN)
        vertices = surface * MM
        # The camera's own z is another scale's where it is no rotation; depth is the pose's, away from the camera.
        towards = torch.nn.functional.normalize(pose[:, 2, :3], dim=1)
        away = -vertices @ towards[..., None]
        index = self.model.landmarks
        return Reconstruction(
            vertices=vertices,
            triangles=self.model.triangles,
            projected=torch.cat([image[..., :2], away], -1),
            head_pose=pose,
            landmarks={"ibug68": image[:, index, :2]},
            landmarks_3d={"ibug68": vertices[:, index]},
            camera=camera,
            uv=self.uv,
        )

    def image_points(self, codes: Codes, *, landmarks: bool = False) -> torch.Tensor:
        """Vertices [B, V, 3] (or 68 landmarks) as the programs have them on the photograph: z grows to the viewer, in
        pixels."""
        codes = self.complete(codes)
        surface = self.model(codes["identity"], codes["expression"], landmarks=landmarks)
        convention = self.system.convention
        return to_photo(to_crop(posed(surface, codes["camera"]), convention), codes["warp"], convention)

    def complete(self, codes: Codes) -> Codes:
        """`codes` on the model's device, with a default for all that is missing but the identity.

        Raises:
            UsageError: there is no identity, or codes are of other sizes.
        """
        if "identity" not in codes:
            raise UsageError(f"codes of {codes.model or 'this model'} hold no identity")
        device = codes["identity"].device if self.model is None else self.model.mean.device
        values = {name: value.to(device, torch.float32) for name, value in codes.values.items()}
        identity = values["identity"]
        defaults = {
            "expression": identity.new_zeros(EXPRESSIONS),
            "camera": identity.new_tensor(DEFAULT_CAMERA),
            "warp": torch.eye(3).to(identity),
            "photo_size": identity.new_tensor([SIZE, SIZE]),
        }
        for name, value in defaults.items():
            values.setdefault(name, value.expand(len(identity), *value.shape))
        self._check(codes.model, values)
        return Codes(values, codes.model, codes.family)

    def _check(self, whose: str, values: dict[str, torch.Tensor]) -> None:
        model = self.model
        most = (MOST_IDENTITIES, MOST_EXPRESSIONS) if model is None else (len(model.identity), len(model.expression))
        for name, limit in zip(("identity", "expression"), most, strict=True):
            if values[name].ndim != 2 or values[name].shape[1] > limit:
                count = " × ".join(map(str, values[name].shape[1:]))
                raise UsageError(f"{name} of {whose or 'these codes'} is {count} numbers, the face model has {limit}")
        for name, shape in (("camera", (CAMERA,)), ("warp", (3, 3)), ("photo_size", (2,))):
            if values[name].shape[1:] != shape:
                found = list(values[name].shape[1:])
                raise UsageError(f"{name} of {whose or 'these codes'} has the shape {found}, not {list(shape)}")

    def decode_pose(self, codes: Codes) -> torch.Tensor:
        """Head poses [B, 4, 4]: the programs' rotation, at the distance where the assumed lens sees heads so large."""
        codes = self.complete(codes)
        rotation, _, _ = split_affine(_matrix(codes["camera"]))
        scale, origin = self._place(codes)
        return place_in_front(torch.from_numpy(rotation).to(scale), scale, origin, codes["photo_size"])

    def camera_words(self, codes: Codes) -> dict:
        """What face.json says of the camera; `codes` are complete."""
        camera = codes["camera"]
        rotation, _, translation = split_affine(_matrix(camera))
        scale, origin = self._place(codes)

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(camera)

        return {
            "kind": "affine",
            "pixels_per_mm": scale,
            "origin_pixel": origin,
            "pose_degrees": tensor(self.system.angles(rotation)),
            "pose_order": "yaw, pitch, roll",
            "translation": tensor(self._translation(translation, codes["warp"])),
            "affine_to_crop": camera.view(-1, 3, 4),
        }

    def _place(self, codes: Codes) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels of the photograph in a millimetre [B], and the head frame's origin [B, 2] in them."""
        steady = steady_camera(codes["camera"], codes["warp"], self.system.convention).view(-1, 3, 4)
        return torch.linalg.norm(steady[:, :2, :3], dim=2).mean(1) / (REACH * MM), steady[:, :2, 3]

    @staticmethod
    def _translation(translation: np.ndarray, warp: torch.Tensor) -> np.ndarray:
        """[B, 3] as SynergyNet's API gives it: x and y as if they were pixels of the crop (y isn't turned over), z of
        the crop."""
        warp = warp.double().numpy(force=True)
        xy = (translation[:, :2] - warp[:, :2, 2]) / np.stack([warp[:, 0, 0], warp[:, 1, 1]], 1)
        return np.concatenate([xy, translation[:, 2:]], 1)

    # --- further hooks of the contract -------------------------------------------------------------------------------

    def steady(self, codes: Codes) -> Codes:
        """`codes` with the camera in terms of the photograph, for smoothing: crops jump about, cameras with them."""
        if not {"camera", "warp"} <= set(codes.values):
            return codes
        return codes.replace(camera=steady_camera(codes["camera"], codes["warp"], self.system.convention))

    def unsteady(self, codes: Codes) -> Codes:
        """The way back from :meth:`steady`."""
        if not {"camera", "warp"} <= set(codes.values):
            return codes
        return codes.replace(camera=unsteady_camera(codes["camera"], codes["warp"], self.system.convention))

    def expression_basis(
        self, whitening: Whitening, vertices: np.ndarray, identities: int = IDENTITIES, count: int = EXPRESSIONS
    ) -> ExpressionBasis:
        """The first `count` expressions on the 53215 vertices.

        Args:
            whitening: of a network that gives `identities` and then expressions.
            vertices: [V] which of the 53215 the face model's are.
        """
        first, count = CAMERA + identities, min(count, len(self.model.expression))
        return ExpressionBasis(
            topology=TOPOLOGY,
            vertices=vertices,
            mean=self.model.mean.view(-1, 3).numpy(force=True),
            directions=self.model.expression[:count].view(count, -1, 3).numpy(force=True),
            usual=whitening.mean[first : first + count],
            spread=whitening.deviation[first : first + count],
            metres_per_unit=1e-3 * MM,
        )

    def rig(self) -> Rig | None:
        """The ten expressions as blend shapes, which they are exactly."""
        if self.model is None:
            return None
        shapes = self.model.expression[:EXPRESSIONS].view(EXPRESSIONS, -1, 3) * MM
        return Rig(
            tuple(f"expression_{index:02d}" for index in range(EXPRESSIONS)),
            tuple(("expression", index) for index in range(EXPRESSIONS)),
            shapes.numpy(force=True),
        )


_PLAIN = Convention(0.0, 0.0)


def code_unit(name: str, value: torch.Tensor) -> float | None:
    """Of a steady camera, a hundredth of the head's height in pixels."""
    return 0.02 * float(value.view(3, 4)[:2, :3].norm(dim=1).mean()) if name == "camera" else None


class TddfaCodes:
    """What reconstructors of both systems say of their codes: a mixin of those that have a `head`."""

    head: TddfaHead
    code_unit = staticmethod(code_unit)

    def rig(self) -> Rig | None:
        """The ten expressions."""
        return self.head.rig()

    def steady(self, codes: Codes) -> Codes:
        """The camera in terms of the photograph."""
        return self.head.steady(codes)

    def unsteady(self, codes: Codes) -> Codes:
        """The way back."""
        return self.head.unsteady(codes)


def steady_camera(camera: torch.Tensor, warp: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Cameras [B, 12] in terms of the photograph: the last column is where the origin lies, in its pixels (y down), the
    others say how far from it a point :data:`REACH` along an axis lies (y up)."""
    matrix, scale, start = camera.view(-1, 3, 4), *_places(warp)
    x, y, z = matrix[:, :, 3].unbind(1)
    origin = torch.stack([x - convention.shift, convention.height - y, z - convention.shift], 1) * scale + start
    return torch.cat([matrix[..., :3] * scale[..., None] * REACH, origin[..., None]], 2).flatten(1)


def unsteady_camera(camera: torch.Tensor, warp: torch.Tensor, convention: Convention) -> torch.Tensor:
    """The way back from :func:`steady_camera`."""
    matrix, scale, start = camera.view(-1, 3, 4), *_places(warp)
    x, y, z = ((matrix[:, :, 3] - start) / scale).unbind(1)
    shift = torch.stack([x + convention.shift, convention.height - y, z + convention.shift], 1)
    return torch.cat([matrix[..., :3] / scale[..., None] / REACH, shift[..., None]], 2).flatten(1)


def _places(warp: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Photograph's pixels in one of the crop [B, 3] on each axis, and the crop's corner [B, 3]."""
    scale = 1 / warp.diagonal(dim1=1, dim2=2)[:, :2]
    start = -warp[:, :2, 2] * scale
    zero = torch.zeros_like(start[:, :1])
    return torch.cat([scale, scale.mean(1, keepdim=True)], 1), torch.cat([start, zero], 1)


def _matrix(camera: torch.Tensor) -> np.ndarray:
    return camera.view(-1, 3, 4).double().numpy(force=True)


def network_input(crops: Sequence[Crop], device: str | torch.device) -> torch.Tensor:
    """The networks' input [B, 3, 120, 120]: BGR, (x − 127.5) / 128."""
    images = np.stack([crop.image[::-1] for crop in crops])
    return (torch.from_numpy(np.ascontiguousarray(images)).to(device) * 255).round().sub(127.5).div(128)


ENLARGED = 4
"""Times that pictures on a crop are larger than the crop."""


def canvases(
    crops: Sequence[Crop] | None, codes: Codes, photos: Sequence[np.ndarray] | None
) -> tuple[list[np.ndarray], Codes]:
    """What a model's pictures are drawn on, RGB uint8, and `codes` that lie on it: the photographs, else the crops,
    enlarged, or black where there are none."""
    if photos is not None:
        return list(photos), codes
    side = SIZE * ENLARGED
    if crops is None:
        pictures = [np.zeros((side, side, 3), np.uint8) for _ in range(len(codes))]
    else:
        pixels = [np.rint(crop.image.transpose(1, 2, 0) * 255).astype(np.uint8) for crop in crops]
        pictures = [cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC) for picture in pixels]
    warp = torch.diag(torch.tensor([1 / ENLARGED, 1 / ENLARGED, 1.0])).to(codes["camera"])
    size = codes["camera"].new_tensor([side, side])
    return pictures, codes.replace(warp=warp.expand(len(codes), 3, 3), photo_size=size.expand(len(codes), 2))


def cropped(face, image: np.ndarray, pixels: np.ndarray, warp: np.ndarray) -> Crop:
    """The :class:`Crop` of RGB `pixels` uint8 [120, 120, 3]."""
    as_floats = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
    return Crop(face, as_floats, warp, (image.shape[0], image.shape[1]))
