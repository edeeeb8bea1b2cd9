"""What SMIRK, DECA and EMOCA share when they decode: codes of the family ``flame`` to a head on the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from facecli.assets.store import require_all
from facecli.codes import Codes
from facecli.errors import UsageError
from facecli.geometry.camera import crop_camera, crop_to_photo, ndc_to_crop, photo_camera, place_in_front
from facecli.geometry.camera import scaled_orthographic as project
from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.morphable import files
from facecli.morphable.flame import Flame
from facecli.morphable.flame_files import (
    FlameArrays,
    read_eyelids,
    read_flame,
    read_landmark_embedding,
    read_mediapipe_embedding,
    read_template,
)
from facecli.morphable.flame_landmarks import FlameLandmarks
from facecli.plugin import Crop, Reconstruction, Rig

FAMILY = "flame"
EDITIONS = {"2020": files.FLAME, "2023": files.FLAME_2023, "2023-open": files.FLAME_2023_OPEN}
"""The networks were trained with 2020's basis: with another one the same numbers mean another face."""

MM = 1000.0
CROP_SIZE = 224
HEAD_HEIGHT = 0.25
"""Metres, roughly."""
DEFAULT_CAMERA = (8.0, 0.0, 0.0)
"""Fills the crop with a frontal head, for codes that have no camera."""

_SIZES = {"expression": 50, "pose": 3, "jaw": 3, "neck": 3, "eyes": 6, "eyelids": 2}
_JAW_SECANT = 0.2
"""Radians at which the jaw's rotation is taken for a blend shape: half of a wide-open mouth."""


class FlameHead(nn.Module):
    """FLAME, its landmarks and its UV layout, loaded from the user's files.

    Codes of the family: ``identity`` [B, <= 300], ``expression`` [B, <= 100], ``pose``, ``jaw``, ``neck`` [B, 3],
    ``eyes`` [B, 6], ``eyelids`` [B, 2], ``camera`` [B, 3] = (s, tx, ty) in NDC of the crop, ``warp`` [B, 3, 3],
    ``photo_size`` [B, 2]. All but `identity` may be missing.

    Args:
        edition: a key of :data:`EDITIONS`.
        eyelids: load SMIRK's eyelids, too; without them codes' eyelids are ignored.
        mediapipe: load the 105 MediaPipe points, too.
        arrays: FLAME itself where it came from elsewhere than the edition's file.

    Raises:
        MissingAssetError: files are missing; all of them are named.
        InputError: a file is damaged or something else.
    """

    def __init__(self, device: str | torch.device = "cpu", *, edition: str = "2020", eyelids: bool = False,
                 mediapipe: bool = False, arrays: FlameArrays | None = None):  # fmt: skip
        super().__init__()
        assets = needed_files(edition, eyelids=eyelids, mediapipe=mediapipe)
        if arrays is not None:
            assets = [asset for asset in assets if asset != EDITIONS[edition]]
        paths = dict(zip(assets, require_all(assets), strict=True))
        if arrays is None:
            arrays = read_flame(paths[EDITIONS[edition]])
        if eyelids:
            arrays = replace(arrays, eyelids=read_eyelids(paths[files.LEFT_EYELID], paths[files.RIGHT_EYELID]))
        self.flame = Flame(arrays)
        self.landmarks = FlameLandmarks(
            arrays.triangles,
            read_landmark_embedding(paths[files.LANDMARK_EMBEDDING]),
            read_mediapipe_embedding(paths[files.MEDIAPIPE_EMBEDDING]) if mediapipe else None,
        )
        uv, uv_triangles = read_template(paths[files.HEAD_TEMPLATE])
        self.register_buffer("uv", torch.from_numpy(uv))
        self.register_buffer("uv_triangles", torch.from_numpy(uv_triangles))
        # The layout is symmetric about its middle.
        self.register_buffer("uv_mirror", torch.stack([1 - self.uv[:, 0], self.uv[:, 1]], 1))
        self.requires_grad_(False)
        self.to(device)

    @property
    def triangles(self) -> torch.Tensor:
        """[F, 3] int64."""
        return self.flame.triangles

    @property
    def has_eyelids(self) -> bool:
        return self.flame.eyelids is not None

    def decode(self, codes: Codes) -> Reconstruction:
        """Heads in millimetres, and where they land on the photograph.

        ``extras``: ``verts`` [B, V, 3], the programs' own posed vertices in metres; in NDC of the crop ``trans_verts``
        [B, V, 3], ``landmarks2d`` [B, 68, 2] (contour as seen), ``landmarks3d`` [B, 68, 3] (fixed on the mesh) and,
        with MediaPipe's points, ``landmarks_mediapipe`` [B, 105, 2]. ``ibug68_fixed`` [B, 68, 2] are those that are
        fixed on the mesh in the photograph, where `landmarks`' have the contour as seen.
        """
        codes = self.complete(codes)
        shape = {name: codes[name] for name in ("identity", "expression", "jaw", "neck", "eyes")}
        eyelids = codes["eyelids"] if self.has_eyelids else None
        head, root = self.flame.head_frame(**shape)
        turn = axis_angle_to_matrix(codes["pose"])
        posed = (head - root[:, None]) @ turn.transpose(1, 2) + root[:, None]
        if eyelids is not None:
            # The programs add the lids to the turned head, unturned; what is exported keeps them on the eyes.
            lids = self.flame.eyelid_offsets(eyelids)
            head, posed = head + lids, posed + lids
        extras, points = self._points(posed, codes)
        camera = photo_camera(codes["camera"], codes["warp"])

        def to_photo(ndc: torch.Tensor) -> torch.Tensor:
            return crop_to_photo(ndc_to_crop(ndc[..., :2], CROP_SIZE), codes["warp"])

        extras["ibug68_fixed"] = to_photo(extras["landmarks3d"])
        return Reconstruction(
            vertices=head * MM,
            triangles=self.triangles,
            projected=torch.cat([to_photo(extras["trans_verts"]), -posed[..., 2:] * MM], -1),
            head_pose=_head_pose(turn, root * MM, camera, codes["photo_size"]),
            landmarks={name: to_photo(ndc) for name, ndc in points.items()},
            landmarks_3d=self.landmarks.on_mesh(head * MM),
            camera={
                "kind": "scaled orthographic",
                "pixels_per_mm": camera[:, 0] / MM,
                "origin_pixel": camera[:, 1:],
                "crop_scale_and_shift": codes["camera"],
            },
            uv=self.uv,
            uv_triangles=self.uv_triangles,
            uv_mirror=self.uv_mirror,
            extras=extras,
        )

    def _points(self, posed: torch.Tensor, codes: Codes) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Vertices and landmarks in NDC: the programs' own by their names, and by our point sets'."""
        camera = codes["camera"]
        contour = project(self.landmarks.contour68(posed, codes["pose"], codes["neck"]), camera)
        fixed = self.landmarks.full68(posed)
        extras = {
            "verts": posed,
            "trans_verts": project(posed, camera),
            "landmarks2d": contour[..., :2],
            "landmarks3d": project(fixed, camera),
            "landmarks3d_world": fixed,
        }
        points = {"ibug68": contour}
        if self.landmarks.has_mediapipe:
            points["mediapipe105"] = project(self.landmarks.mediapipe105(posed), camera)
            extras["landmarks_mediapipe"] = points["mediapipe105"][..., :2]
        return extras, points

    def complete(self, codes: Codes) -> Codes:
        """`codes` on the model's device, with zeros (and a default camera and place) for what is missing.

        Raises:
            UsageError: there is no identity, or a code has more numbers than FLAME.
        """
        if "identity" not in codes:
            raise UsageError(f"codes of {codes.model or 'this model'} hold no identity: FLAME can't decode them")
        values = {name: value.to(self.uv) for name, value in codes.values.items()}
        identity = values["identity"]
        for name, most in (("identity", self.flame.n_shape), ("expression", self.flame.n_exp)):
            if name in values and values[name].shape[1] > most:
                raise UsageError(f"{values[name].shape[1]} numbers of {name}, FLAME has {most}")
        for name, size in _SIZES.items():
            values.setdefault(name, identity.new_zeros(len(identity), size))
        defaults = {
            "camera": identity.new_tensor(DEFAULT_CAMERA),
            "warp": torch.eye(3).to(identity),
            "photo_size": identity.new_tensor([CROP_SIZE, CROP_SIZE]),
        }
        for name, value in defaults.items():
            values.setdefault(name, value.expand(len(identity), *value.shape))
        return Codes(values, codes.model, codes.family)

    def rig(self, names: Sequence[str] = ("expression", "jaw"), n_exp: int = 50) -> Rig:
        """FLAME's expressions (and SMIRK's eyelids) as blend shapes, on the mean head.

        They are exact while the jaw is shut. The jaw is a rotation; its shapes are secants of it.

        Args:
            names: among ``expression``, ``jaw`` and ``eyelids``.
            n_exp: how many expressions.
        """
        parts: list[tuple[str, tuple[str, int], torch.Tensor]] = []
        zero = self.uv.new_zeros(1, 1)
        rest, _ = self.flame.head_frame(zero)

        def add(title: str, code: str, index: int, size: int, at: float = 1.0) -> None:
            numbers = self.uv.new_zeros(1, size)
            numbers[0, index] = at
            moved, _ = self.flame.head_frame(zero, **{code: numbers})
            parts.append((title, (code, index), (moved - rest)[0] * (MM / at)))

        if "expression" in names:
            for i in range(n_exp):
                add(f"expression_{i:02d}", "expression", i, n_exp)
        if "jaw" in names:
            for i, title in enumerate(("jaw_open", "jaw_turn", "jaw_tilt")):
                add(title, "jaw", i, 3, _JAW_SECANT)
        if "eyelids" in names and self.has_eyelids:
            for i, title in enumerate(("eyelid_left", "eyelid_right")):
                add(title, "eyelids", i, 2)
        titles, codes, shapes = zip(*parts, strict=True)
        return Rig(titles, codes, np.stack([shape.numpy(force=True) for shape in shapes]))


def needed_files(edition: str = "2020", *, eyelids: bool = False, mediapipe: bool = False) -> tuple:
    """The assets that a :class:`FlameHead` loads."""
    if edition not in EDITIONS:
        raise UsageError(f"no FLAME edition {edition!r}; choose from {', '.join(EDITIONS)}")
    needed = [EDITIONS[edition], files.HEAD_TEMPLATE, files.LANDMARK_EMBEDDING]
    needed += [files.MEDIAPIPE_EMBEDDING] if mediapipe else []
    needed += [files.LEFT_EYELID, files.RIGHT_EYELID] if eyelids else []
    return tuple(needed)


def images_of(crops: Sequence[Crop], device: str | torch.device) -> torch.Tensor:
    """The networks' input [B, 3, 224, 224], RGB 0..1."""
    return torch.from_numpy(np.stack([crop.image for crop in crops])).to(device)


def places_of(crops: Sequence[Crop], device: str | torch.device) -> dict[str, torch.Tensor]:
    """Where crops lie in their photographs: ``warp`` [B, 3, 3] and ``photo_size`` [B, 2], to be kept with the codes."""
    places = {
        "warp": np.stack([crop.warp for crop in crops]),
        "photo_size": np.array([crop.photo_size for crop in crops]),
    }
    return {name: torch.from_numpy(place).to(device, torch.float32) for name, place in places.items()}


def steady(codes: Codes) -> Codes:
    """`codes` with the camera in terms of the photograph, for smoothing: crops jump about, and cameras with them."""
    if not {"camera", "warp"} <= set(codes.values):
        return codes
    return codes.replace(camera=photo_camera(codes["camera"], codes["warp"], CROP_SIZE))


def unsteady(codes: Codes) -> Codes:
    """The way back from :func:`steady`."""
    if not {"camera", "warp"} <= set(codes.values):
        return codes
    return codes.replace(camera=crop_camera(codes["camera"], codes["warp"], CROP_SIZE))


def code_unit(name: str, value: torch.Tensor) -> float | None:
    """Of a steady camera (pixels a metre, x, y), a hundredth of the head's height in pixels."""
    return 0.01 * HEAD_HEIGHT * float(value[0, 0]) if name == "camera" else None


def _head_pose(turn: torch.Tensor, root: torch.Tensor, camera: torch.Tensor, photo_size: torch.Tensor) -> torch.Tensor:
    """[B, 4, 4] head frame -> camera frame, millimetres; the head turns about its root joint."""
    pose = place_in_front(turn, camera[:, 0] / MM, camera[:, 1:], photo_size)
    pose[:, :3, 3] += root - (turn @ root[..., None])[..., 0]
    return pose
