"""From MediaPipe's 478 points to a metric face mesh and back.

MediaPipe's points are a weak-perspective surface: x, y in pixels and z in the same scale. `encode` takes them apart:

========== ============ ===============================================================================================
code       shape        meaning
========== ============ ===============================================================================================
surface    [B, 478, 3]  the points in the head frame, scaled so that they lie closest to the mean face: shape and
                        expression together (MediaPipe has no separate identity)
size       [B, 1]       millimetres a unit of `surface`: makes the irises 11.7 mm across
pose       [B, 3]       head frame -> camera, axis-angle
camera     [B, 3]       pixels a unit of `surface`, and the pixel (x, y) where the head frame's origin lies
========== ============ ===============================================================================================

`decode` puts them together again, so the mesh lands exactly on MediaPipe's points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.detect.landmarks import convert
from facecli.errors import UsageError
from facecli.geometry.camera import ASSUMED_VERTICAL_FOV, place_in_front
from facecli.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from facecli.plugin import Crop, Reconstruction
from facecli_mediapipe.carry import carry_surfaces, guess_rest, resting
from facecli_mediapipe.surface import ALL_POINTS, FACE_POINTS, load_surface, similarity_fit

IRIS_DIAMETER_MM = 11.7
"""Horizontal visible iris diameter: 11.7 ± 0.5 mm in nearly everybody (Google's MediaPipe Iris, 2020)."""
IRIS_AXES = (((469, 471), (470, 472)), ((474, 476), (475, 477)))

PLAUSIBLE_SIZES = (0.5, 2.0)
"""Of a face against the mean one; beyond them the irises were not seen."""

CROP_SIZE, CROP_MARGIN = 256, 1.4


class MediaPipeReconstructor:
    """The embedded default model: no network of its own, the landmarker's points are the face."""

    family = "mediapipe"
    landmarker = "mediapipe"
    landmarker_options: dict = {}  # noqa: RUF012 - read-only, as the contract says
    constants = ("size",)
    batch_size = 1
    neutral_note = "mediapipe keeps the expression: its surface doesn't tell identity and expression apart"

    def __init__(self, device: str = "cpu"):
        self.device = torch.device(device)
        surface = load_surface()
        self._mean = surface.mean
        self._weights = _rigid_weights(surface.mean)
        self._triangles = torch.from_numpy(surface.triangles).to(self.device)
        self._uv = torch.from_numpy(surface.uv).float().to(self.device)
        self._uv_mirror = self._uv[torch.from_numpy(surface.mirror[:FACE_POINTS]).to(self.device)]

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """An upright square around the face, for looking at: the model itself reads landmarks only."""
        x0, y0, x1, y1 = face.box
        side = max(CROP_MARGIN * max(x1 - x0, y1 - y0), 1.0)
        scale = CROP_SIZE / side
        # Pixel centres: the square's outer edge maps to the crop's outer edge at -0.5.
        shift = [CROP_SIZE / 2 - 0.5 - scale * (a + b) / 2 for a, b in ((x0, x1), (y0, y1))]
        warp = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
        crop = _warp(image, warp)
        return Crop(face, crop.transpose(2, 0, 1).astype(np.float32) / 255, warp, image.shape[:2])

    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces from their 478 points.

        Raises:
            UsageError: the faces come from a landmarker without MediaPipe's 478 points.
        """
        parts = [self._encode_one(crop) for crop in crops]
        names = ("surface", "size", "pose", "camera", "warp", "photo_size")
        stacked = {name: torch.from_numpy(np.stack([p[i] for p in parts])) for i, name in enumerate(names)}
        values = {name: value.float().to(self.device) for name, value in stacked.items()}
        return Codes(values, "mediapipe", self.family)

    def _encode_one(self, crop: Crop) -> tuple[np.ndarray, ...]:
        face = crop.face
        if face.point_set != "mediapipe478":
            raise UsageError(
                f"the model mediapipe needs MediaPipe's 478 points, not {face.point_set or 'boxes'}: "
                "leave --landmarker away"
            )
        points = face.points * (1, -1, -1)
        scale, rotation, shift = similarity_fit(self._mean[:FACE_POINTS], points[:FACE_POINTS], self._weights)
        surface = (points - shift) @ rotation / scale
        pose = matrix_to_axis_angle(torch.from_numpy(rotation)).numpy()
        camera = np.array([scale, shift[0], -shift[1]])
        size = np.clip([IRIS_DIAMETER_MM / iris_diameter(surface)], *PLAUSIBLE_SIZES)
        return surface, size, pose, camera, crop.warp, np.array(crop.photo_size)

    @staticmethod
    def code_unit(name: str, value: torch.Tensor) -> float | None:
        """Of the camera, a hundredth of the face's height in pixels."""
        return 1.5 * float(value[0, 0]) if name == "camera" else None

    def carry(self, source: Codes, target: Codes, neutral: Codes | None) -> Codes:
        """`source` with the deformation of the target's surface against `neutral`, see :mod:`facecli_mediapipe.carry`.

        Without a `neutral` the target's face at rest is guessed.
        """
        theirs = _surfaces(target)
        rest = np.stack([guess_rest(face) for face in theirs]) if neutral is None else _surfaces(neutral)
        moved = carry_surfaces(_surfaces(source), theirs, rest)
        return source.replace(surface=torch.from_numpy(moved).to(source["surface"]))

    def resting(self, codes: Codes) -> int:
        """The face of `codes`, all of one person, that is closest to rest."""
        return resting(_surfaces(codes), codes["pose"].double().numpy(force=True))

    def decode(self, codes: Codes) -> Reconstruction:
        """Meshes in millimetres, landing on the photograph's landmarks."""
        surface, size, camera = codes["surface"], codes["size"][:, None], codes["camera"]
        rotation = axis_angle_to_matrix(codes["pose"])
        turned = surface @ rotation.transpose(1, 2)
        scale, origin = camera[:, None, :1], camera[:, None, 1:]
        pixels_per_mm = camera[:, 0] / size[:, 0, 0]
        xy = turned[..., :2] * scale * turned.new_tensor([1.0, -1.0]) + origin
        projected = torch.cat([xy, -turned[..., 2:] * size], -1)
        vertices = (surface * size)[:, :FACE_POINTS]
        return Reconstruction(
            vertices=vertices,
            triangles=self._triangles,
            projected=projected[:, :FACE_POINTS],
            head_pose=place_in_front(rotation, pixels_per_mm, camera[:, 1:], codes["photo_size"]),
            landmarks=_landmarks(xy),
            landmarks_3d={"mediapipe468": vertices},
            camera={
                "kind": "weak perspective",
                "pixels_per_mm": pixels_per_mm,
                "origin_pixel": camera[:, 1:],
                "assumed_vertical_fov_degrees": ASSUMED_VERTICAL_FOV,
            },
            uv=self._uv,
            uv_mirror=self._uv_mirror,
            metres_per_unit=0.001,
            extras={"irises": (surface * size)[:, FACE_POINTS:]},
        )


def _surfaces(codes: Codes) -> np.ndarray:
    return codes["surface"].double().numpy(force=True)


def _rigid_weights(mean: np.ndarray) -> np.ndarray:
    """[468] weights of the pose fit: the parts that don't move with speech and expression count."""
    upper = mean[:FACE_POINTS, 1] > mean[2, 1]  # 2: below the nose
    return np.where(upper, 1.0, 0.03)


def iris_diameter(points: np.ndarray) -> float:
    """Diameter of the irises of `points` [478, 3], in their unit.

    A turned iris shows its true diameter only along one axis, and the far eye's is the less reliable: so the longer
    axis of each, and mostly the larger eye.
    """
    axes = np.array([[np.linalg.norm(points[a] - points[b]) for a, b in eye] for eye in IRIS_AXES])
    longest = np.maximum(axes.max(1), 1e-9)
    weights = longest**4
    return float(weights @ longest / weights.sum())


def _warp(image: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """[256, 256, 3] uint8; the photograph is shrunk first where the crop is much smaller, against aliasing."""
    scale = warp[0, 0]
    shrink = max(1, math.floor(0.5 / scale))
    if shrink > 1:
        x0, y0 = (-(warp[:2, 2] + 0.5) / scale).astype(int) - shrink
        x1, y1 = np.array([x0, y0]) + int(CROP_SIZE / scale) + 3 * shrink
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, image.shape[1]), min(y1, image.shape[0])
        width, height = (x1 - x0) // shrink, (y1 - y0) // shrink
        if width < 1 or height < 1:
            return np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
        part = image[y0 : y0 + height * shrink, x0 : x0 + width * shrink]
        image = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
        offset = (shrink - 1) / 2
        warp = warp @ np.array([[shrink, 0, x0 + offset], [0, shrink, y0 + offset], [0, 0, 1]])
    return cv2.warpAffine(image, warp[:2], (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)


def _landmarks(points: torch.Tensor) -> dict[str, torch.Tensor]:
    """MediaPipe's own set and iBUG's 68, [B, K, 2] pixels."""
    assert points.shape[1] == ALL_POINTS
    array = points.detach().cpu().numpy()
    ibug = np.stack([convert(face, "mediapipe478", "ibug68") for face in array]) if len(array) else array[:, :68]
    return {"mediapipe478": points, "ibug68": torch.from_numpy(ibug).to(points)}
