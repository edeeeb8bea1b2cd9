"""ibug's FAN (hhj1897/face_alignment), natively: SMIRK's training data were made with it, and it has no package.

Its points are sub-pixel. Its pixel grid is the official one: heat-map cell centres lie at half cells, so that points
are in units where the picture's left edge, not the centre of its first pixel, is 0.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from facecli.assets.store import require_all
from facecli.detect.face import Face
from facecli.errors import UsageError
from facecli.nn import checkpoints
from facecli.nn.fan import FAN
from facecli_fan import boxes as box_finders
from facecli_fan import files

CROP_SIZE = 256
FACE_FRACTION = 0.55  # the face box's part of the crop
RETINAFACE_THRESHOLD = 0.8
DECODE_RADIUS = 0.1  # of the heat map's side
MODELS = {
    "2dfan2_alt": (files.IBUG_2DFAN2_ALT, functools.partial(FAN, stacks=2, pooling="max")),
    "2dfan2": (files.IBUG_2DFAN2, functools.partial(FAN, stacks=2, pooling="max")),
    "2dfan4": (files.IBUG_2DFAN4, functools.partial(FAN, stacks=4, pooling="average")),
}


def crop_boxes(boxes: np.ndarray) -> np.ndarray:
    """Face boxes [N, 4+] (x0, y0, x1, y1) -> the squares to cut [N, 4] int64, right and bottom exclusive."""
    centres = (boxes[:, :2] + boxes[:, 2:4]) / 2
    sides = (boxes[:, 2:4] - boxes[:, :2]).mean(1, keepdims=True) / FACE_FRACTION
    corners = np.round(centres - sides / 2)
    return np.concatenate([corners, np.round(corners + sides) + 1], 1).astype(np.int64)


def cut(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The square `box` of `image`, black where it leaves the picture, resized to [256, 256, 3] uint8."""
    left, top, right, bottom = (int(side) for side in box)
    height, width = image.shape[:2]
    inner = image[
        np.clip(top, 0, height) : np.clip(bottom, 0, height), np.clip(left, 0, width) : np.clip(right, 0, width)
    ]
    margins = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    padded = cv2.copyMakeBorder(inner, *margins, cv2.BORDER_CONSTANT)
    return cv2.resize(padded, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)


def decode(heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Heat maps [N, K, H, W] -> points [N, K, 2] in cells and their scores [N, K].

    A point is the centroid of what is positive around the peak; its score is the peak. A map without anything positive
    gives (0, 0) and its negative score.
    """
    height, width = heatmaps.shape[2:]
    scores, peaks = heatmaps.flatten(2).max(2)
    x = torch.arange(width, device=heatmaps.device)
    y = torch.arange(height, device=heatmaps.device)
    dx = x - (peaks % width)[..., None]
    dy = y - (peaks // width)[..., None]
    near = dx[..., None, :] ** 2 + dy[..., :, None] ** 2 <= DECODE_RADIUS**2 * height * width
    mass = heatmaps.clamp_min(0) * near
    total = mass.sum((2, 3)).clamp_min(torch.finfo(mass.dtype).eps)
    centroid_x = (mass.sum(2) * (x + 0.5)).sum(2) / total
    centroid_y = (mass.sum(3) * (y + 0.5)).sum(2) / total
    return torch.stack([centroid_x, centroid_y], 2), scores


class Ibug:
    """68 sub-pixel landmarks.

    Args:
        confidence: least score of a face; by default 0.8 for RetinaFace, as the original and SMIRK have it, and 0.5 for
            other detectors.
        max_faces: landmark the largest ones only.
        device: where the networks run.
        detector: ``"retinaface"``, or any other installed landmarker whose boxes to take, e.g. ``"mediapipe"``.
        model: ``"2dfan2_alt"``, ``"2dfan2"`` or ``"2dfan4"``.
        batch_size: faces that go through the network at once.

    Raises:
        MissingAssetError: weights are missing.
    """

    point_set = "ibug68"

    def __init__(
        self,
        confidence: float | None = None,
        max_faces: int | None = None,
        device: str = "cpu",
        *,
        detector: str = "retinaface",
        model: str = "2dfan2_alt",
        batch_size: int = 8,
    ):
        if model not in MODELS:
            raise UsageError(f"unknown ibug model {model!r}; there are {', '.join(MODELS)}")
        asset, architecture = MODELS[model]
        require_all([asset, files.RETINAFACE] if detector == "retinaface" else [asset])
        self._net = checkpoints.load_module(asset, architecture, str(device))
        self._boxes = _box_finder(detector, confidence, max_faces, str(device))
        self._device, self._max_faces, self._batch_size = str(device), max_faces, batch_size

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture (RGB uint8 [H, W, 3]), in the detector's order."""
        return [self._detect_one(image) for image in images]

    def close(self) -> None:
        self._net = None
        self._boxes.close()

    def _detect_one(self, image: np.ndarray) -> list[Face]:
        boxes = box_finders.keep_usable(self._boxes.find(image), image, self._max_faces)
        points, scores = self.landmarks(image, boxes)
        return [
            Face(
                box=box[:4].astype(np.float64),
                score=float(box[4]),
                points=points[i].astype(np.float64),
                point_set=self.point_set,
                point_scores=scores[i],
            )
            for i, box in enumerate(boxes)
        ]

    @torch.no_grad()
    def landmarks(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks [N, 68, 2] float32 and their scores [N, 68] for face boxes [N, 4+] in `image`."""
        squares = crop_boxes(boxes)
        points, scores = [np.zeros((0, 68, 2), np.float32)], [np.zeros((0, 68), np.float32)]
        for start in range(0, len(squares), self._batch_size):
            batch = squares[start : start + self._batch_size]
            crops = torch.from_numpy(np.stack([cut(image, square) for square in batch])).to(self._device)
            heatmaps = self._net(crops.permute(0, 3, 1, 2).float() / 255)[-1]
            cells, peaks = decode(heatmaps)
            sides = (batch[:, 2:] - batch[:, :2]) / np.array(heatmaps.shape[:1:-1])
            placed = cells.cpu().numpy() * sides[:, None] + batch[:, None, :2]
            points.append(placed.astype(np.float32))
            scores.append(peaks.cpu().numpy())
        return np.concatenate(points), np.concatenate(scores)


def _box_finder(detector: str, confidence: float | None, max_faces: int | None, device: str) -> box_finders.BoxFinder:
    if detector == "retinaface":
        return box_finders.RetinaFaceBoxes(RETINAFACE_THRESHOLD if confidence is None else confidence, device)
    options = {"confidence": 0.5 if confidence is None else confidence, "max_faces": max_faces, "device": device}
    return box_finders.landmarker_boxes(detector, ("retinaface",), **options)
