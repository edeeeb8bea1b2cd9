"""The detector `faceboxes`: pictures in, boxes out, as the official program finds them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from facecli.detect.face import Face
from facecli.nn import checkpoints
from facecli.nn.fuse import fuse
from facecli_faceboxes import boxes, files
from facecli_faceboxes.network import FaceBoxes

MEAN_BGR = (104.0, 117.0, 123.0)
TALLEST, WIDEST = 720, 1080
"""Pixels that larger pictures are shrunk to."""


class FaceBoxesDetector:
    """Boxes of the faces in photographs. They may reach beyond the picture.

    Args:
        confidence: a face's score lies above this.
        max_faces: of more, only the largest.
        device: where the network runs.

    Raises:
        MissingAssetError: the weights are missing, or aren't the official ones.
        InputError: the weights can't be read.
    """

    def __init__(self, confidence: float = 0.5, max_faces: int | None = None, device: str = "cpu"):
        self.confidence, self.max_faces = confidence, max_faces
        self.net = fuse(checkpoints.load_module(files.WEIGHTS, FaceBoxes, device))

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture (RGB uint8 [H, W, 3]), best first."""
        return [self._faces(image) for image in images]

    def close(self) -> None:
        """Frees the network."""
        self.net = None

    def _faces(self, image: np.ndarray) -> list[Face]:
        found = _in_picture(detect(self.net, image, self.confidence), image)
        if self.max_faces is not None and len(found) > self.max_faces:
            areas = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
            found = found[np.sort(np.argsort(-areas, kind="stable")[: self.max_faces])]
        return [Face(row[:4].astype(np.float64), float(row[4])) for row in found]


def _in_picture(found: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Those of the boxes [N, 5] that touch the picture: no model could cut the others out."""
    return found[(found[:, 2:4] > 0).all(1) & (found[:, :2] < image.shape[1::-1]).all(1)]


@np.errstate(over="ignore", invalid="ignore")  # numbers that are none are left out below
def detect(net: FaceBoxes, image: np.ndarray, confidence: float = 0.5) -> np.ndarray:
    """Boxes and scores [N, 5] float32 (x0, y0, x1, y1, score) of the picture `image` (RGB uint8 [H, W, 3]), best
    first, in its pixels, not cut at its border."""
    smaller, scale = shrink(image)
    height, width = smaller.shape[:2]
    offsets, scores = run(net, smaller)
    # A worse box never suppresses a better one, so those that aren't wanted may go first.
    good = np.flatnonzero(scores > confidence)
    good = good[np.argsort(-scores[good], kind="stable")[: boxes.MOST_CANDIDATES]]
    corners = boxes.decode(offsets[good], boxes.make_priors(height, width)[good])
    # By `scale`, not by the true ratio of the rounded sides: so does the official program.
    corners = corners * np.array([width, height, width, height], np.float32) / np.float32(scale)
    found = np.concatenate([corners, scores[good, None]], 1)
    found = found[np.isfinite(found).all(1)]
    return found[boxes.suppress(found[:, :4], found[:, 4])]


def shrink(image: np.ndarray) -> tuple[np.ndarray, float]:
    """`image` at the size that the network sees, and the factor to it, 1 at most."""
    height, width = image.shape[:2]
    scale = min(1.0, TALLEST / height)
    if width * scale > WIDEST:
        scale *= WIDEST / (width * scale)
    if scale == 1:
        return image, scale
    size = max(int(scale * width), 1), max(int(scale * height), 1)  # a strip of a picture keeps a pixel
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), scale


@torch.inference_mode()
def run(net: FaceBoxes, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees in `image` (RGB uint8 [H, W, 3]) at each prior: offsets [P, 4] and face scores [P]."""
    device = next(net.parameters()).device
    pixels = torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)).to(device).float()
    pixels -= torch.tensor(MEAN_BGR, device=device)
    offsets, scores = net(pixels.permute(2, 0, 1)[None])
    return offsets[0].cpu().numpy(), scores[0, :, 1].cpu().numpy()
