"""The working object: an ellipsoid of a head's size where the landmarker found a face."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from facecli.codes import Codes
from facecli.crop import transform_points, warp_bilinear
from facecli.detect.face import Face
from facecli.plugin import Crop, Reconstruction
from tiny_face.landmarks import ibug68_on_mesh

CROP_SIZE = 64
MARGIN = 1.2  # side of the crop in units of the box's longer side
HEAD_WIDTH_MM = 150.0


class TinyReconstructor:
    """Keeps the protocol `facecli.plugin.Reconstructor`."""

    family = "tiny"
    landmarker = "mediapipe"
    landmarker_options: dict = {}  # noqa: RUF012
    constants = ("identity",)
    batch_size = 8

    def __init__(self, device: str = "cpu", margin: float = MARGIN, depth: str = "round"):
        self.device, self.margin, self.depth = torch.device(device), margin, 1.0 if depth == "round" else 0.5
        sphere, triangles, uv = _unit_sphere(24, 16)
        self._sphere, self._triangles, self._uv = (part.to(self.device) for part in (sphere, triangles, uv))
        corners, weights = ibug68_on_mesh(sphere.double().numpy(), triangles.numpy())
        self._corners = torch.from_numpy(corners).to(self.device)
        self._weights = torch.from_numpy(weights).float().to(self.device)

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """A square around the box; pixel centres are at integers, so the crop's outer edge is at -0.5."""
        x0, y0, x1, y1 = face.box
        scale = CROP_SIZE / (self.margin * max(x1 - x0, y1 - y0))
        middle = (CROP_SIZE - 1) / 2
        warp = np.array(
            [[scale, 0, middle - scale * (x0 + x1) / 2], [0, scale, middle - scale * (y0 + y1) / 2], [0, 0, 1]]
        )
        pixels = warp_bilinear(image, np.linalg.inv(warp), (CROP_SIZE, CROP_SIZE)).astype(np.float32) / 255
        return Crop(face, pixels.transpose(2, 0, 1), warp, image.shape[:2])

    def whole_picture(self, image: np.ndarray, face: Face) -> Crop:
        """`--no-crop`: the picture is scaled to the crop, whatever its shape. `face` may have no landmarks."""
        height, width = image.shape[:2]
        warp = np.diag([(CROP_SIZE - 1) / max(width - 1, 1), (CROP_SIZE - 1) / max(height - 1, 1), 1.0])
        pixels = warp_bilinear(image, np.linalg.inv(warp), (CROP_SIZE, CROP_SIZE)).astype(np.float32) / 255
        return Crop(face, pixels.transpose(2, 0, 1), warp, image.shape[:2])

    def encode(self, crops: Sequence[Crop]) -> Codes:
        """`identity` [B, 1]: height by width; `texture` [B, 3]: the skin's colour; `camera` [B, 3]: crop pixels a
        millimetre, and the centre's x and y in the crop."""
        boxes = np.stack([crop.face.box for crop in crops])
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        scale = np.array([crop.warp[0, 0] for crop in crops])
        middle = np.full(len(crops), (CROP_SIZE - 1) / 2)
        centre = slice(CROP_SIZE // 4, -CROP_SIZE // 4)
        values = {
            "identity": (height / width)[:, None],
            "texture": np.stack([crop.image[:, centre, centre].mean((1, 2)) for crop in crops]),
            "camera": np.stack([scale * width / HEAD_WIDTH_MM, middle, middle], 1),
            # Kept beside the codes, so that codes read from a file land on the photograph again.
            "warp": np.stack([crop.warp for crop in crops]),
            "photo_size": np.array([crop.photo_size for crop in crops]),
        }
        tensors = {name: torch.from_numpy(value).float().to(self.device) for name, value in values.items()}
        return Codes(tensors, model="tiny", family=self.family)

    def decode(self, codes: Codes) -> Reconstruction:
        """From codes alone: they may come from a file, or be mixed of several faces."""
        ratio, camera = codes["identity"], codes["camera"]
        half = HEAD_WIDTH_MM / 2 * torch.cat([torch.ones_like(ratio), ratio, self.depth * torch.ones_like(ratio)], 1)
        vertices = self._sphere * half[:, None]
        points = (vertices[:, self._corners] * self._weights[..., None]).sum(2)
        to_photo = torch.linalg.inv(codes["warp"])

        def in_photo(head: torch.Tensor) -> torch.Tensor:
            in_crop = head * camera[:, None, :1] * head.new_tensor([1.0, -1.0, -1.0])  # y down, depth away from us
            in_crop[..., :2] += camera[:, None, 1:]
            x, y = in_crop[..., 0], in_crop[..., 1]
            homogeneous = torch.stack([x, y, torch.ones_like(x)], -1)
            depth = in_crop[..., 2:] / camera[:, None, :1]  # millimetres
            return torch.cat([(homogeneous @ to_photo.transpose(1, 2))[..., :2], depth], -1)

        return Reconstruction(
            vertices=vertices,
            triangles=self._triangles,
            projected=in_photo(vertices),
            landmarks={"ibug68": in_photo(points)[..., :2]},
            landmarks_3d={"ibug68": points},
            camera={"kind": "weak perspective", "pixels_per_mm": camera[:, 0] * to_photo[:, 0, 0]},
            uv=self._uv,
            texture=codes["texture"][:, :, None, None].expand(-1, 3, 16, 16),
            metres_per_unit=0.001,
        )

    # --- what a model may have beside that --------------------------------------------------------------------------

    def crop_box(self, image: np.ndarray, box: np.ndarray) -> Crop:
        """The crop around a detector's box, as benchmarks give it."""
        return self.crop(image, Face(np.asarray(box, np.float64), 1.0))

    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """The pictures of the description, at the crop's size or that of the photographs."""
        sizes = [photo.shape[:2] for photo in photos] if photos else [(CROP_SIZE, CROP_SIZE)] * len(codes)
        to_crop = codes["warp"].double().numpy(force=True)
        points = reconstruction.projected[..., :2].double().numpy(force=True)
        colors = (codes["texture"] * 255).round().clamp(0, 255).numpy(force=True)
        outlines = [
            _outline(xy if photos else transform_points(warp, xy), color, size)
            for xy, warp, color, size in zip(points, to_crop, colors, sizes, strict=True)
        ]
        drawn = {"outline": outlines}
        if crops is not None:  # codes from a file have none
            seen = [(crop.image.transpose(1, 2, 0) * 255).round().astype(np.uint8) for crop in crops]
            pairs = zip(photos or seen, outlines, strict=True)
            drawn["beside"] = [np.concatenate(pair, axis=1) for pair in pairs]
        return {name: drawn[name] for name in names if name in drawn}

    @staticmethod
    def steady(codes: Codes) -> Codes:
        """The camera in pixels of the photograph: millimetres don't jump when the crop does."""
        to_photo = torch.linalg.inv(codes["warp"])
        scale, middle = codes["camera"][:, :1], codes["camera"][:, 1:]
        moved = (to_photo[:, :2, :2] @ middle[..., None])[..., 0] + to_photo[:, :2, 2]
        return codes.replace(camera=torch.cat([scale * to_photo[:, :1, 0], moved], 1))

    @staticmethod
    def unsteady(codes: Codes) -> Codes:
        """The way back."""
        warp = codes["warp"]
        moved = (warp[:, :2, :2] @ codes["camera"][:, 1:, None])[..., 0] + warp[:, :2, 2]
        return codes.replace(camera=torch.cat([codes["camera"][:, :1] * warp[:, :1, 0], moved], 1))


def _outline(points: np.ndarray, color: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The hull of `points` [V, 2] filled with `color`, on black."""
    picture = np.zeros((*size, 3), np.uint8)
    hull = cv2.convexHull(points.round().astype(np.int32))
    return cv2.fillConvexPoly(picture, hull, color.tolist())


def _unit_sphere(columns: int, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vertices [V, 3], triangles [F, 3] counter-clockwise from outside, UV [V, 2]; u = 0.5 looks at the viewer (+z)."""
    u, v = torch.meshgrid(torch.linspace(0, 1, columns + 1), torch.linspace(0, 1, rows + 1), indexing="ij")
    u, v = u.reshape(-1), v.reshape(-1)
    around, up = (u - 0.5) * 2 * math.pi, (v - 0.5) * math.pi
    vertices = torch.stack([up.cos() * around.sin(), up.sin(), up.cos() * around.cos()], -1)
    corner = (torch.arange(columns)[:, None] * (rows + 1) + torch.arange(rows)).reshape(-1)
    right, above = corner + rows + 1, corner + 1
    lower, upper = torch.stack([corner, right, right + 1], -1), torch.stack([corner, right + 1, above], -1)
    at_south, at_north = corner % (rows + 1) == 0, above % (rows + 1) == rows  # there one of the two has no area
    triangles = torch.cat([lower[~at_south], upper[~at_north]])
    return vertices, triangles, torch.stack([u, v], -1)
