"""What the network is told of a face: where MediaPipe's points are, and what the picture looks like around them.

MediaPipe's points alone say little of a person: they lie where an average face of that pose and expression would have
them. How light changes around each of them (histograms of oriented gradients, Dalal and Triggs 2005, sampled at
landmarks as Xiong and De la Torre's supervised descent does, 2013) says where the face really is, and how it is bent.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecli.plugin import Crop
from facecli_mediapipe.surface import ALL_POINTS, FACE_POINTS, load_surface, similarity_fit
from facecli_open.crop import SIZE

SIDE = 128
"""The crop is shrunk to this side before gradients are taken: 2.3 mm a pixel."""
ORIENTATIONS = 8
SPREADS = (3, 7)
"""Pixels of the square that gradients are averaged over, twice: about the points themselves, and around them."""
SAMPLED = 180
"""Of MediaPipe's face points, spread evenly."""
RINGS = (1.12, 1.3)
"""The face's outline moved outwards by these factors: hair, ears, neck and what is behind them."""
OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""MediaPipe's points around the face."""
_BRIGHTNESS_SPREAD = 1.3
_FAINT = 0.05
"""Added to a histogram's length before it is made 1: what is as weak as noise stays weak."""


def sampled_points() -> np.ndarray:
    """[180] numbers of MediaPipe's face points, each as far from those before it as can be; the nose's tip first."""
    mean = load_surface().mean[:FACE_POINTS]
    chosen, distance = [1], np.linalg.norm(mean - mean[1], axis=1)
    while len(chosen) < SAMPLED:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(mean - mean[chosen[-1]], axis=1))
    return np.array(chosen)


_CHOSEN = sampled_points()
PLACES = SAMPLED + len(RINGS) * len(OUTLINE)
INPUTS = 3 * ALL_POINTS + 9 + PLACES * (len(SPREADS) * ORIENTATIONS + 1)


def inputs_of(crop: Crop) -> np.ndarray:
    """[INPUTS] float32 of one face: the points in the head's frame, its turn, the picture around the points."""
    return _inputs(crop.face.points, _in_crop(crop), _grey(crop))


def mirrored_inputs_of(crop: Crop) -> np.ndarray:
    """[INPUTS] float32 of the mirrored face."""
    twins = load_surface().mirror
    points, in_crop = crop.face.points[twins] * (-1, 1, 1), _in_crop(crop)[twins]
    in_crop[:, 0] = SIZE - 1 - in_crop[:, 0]
    return _inputs(points, in_crop, np.ascontiguousarray(_grey(crop)[:, ::-1]))


def _inputs(points: np.ndarray, in_crop: np.ndarray, grey: np.ndarray) -> np.ndarray:
    mean = load_surface().mean
    scale, turn, shift = similarity_fit(mean[:FACE_POINTS], points[:FACE_POINTS] * (1, -1, -1))
    straight = (points * (1, -1, -1) - shift) @ turn / scale - mean
    return np.concatenate([straight.ravel(), turn.ravel(), describe(grey, _places(in_crop))]).astype(np.float32)


def _in_crop(crop: Crop) -> np.ndarray:
    """[478, 2] the points in pixels of the crop."""
    return crop.face.points[:, :2] @ crop.warp[:2, :2].T + crop.warp[:2, 2]


def _grey(crop: Crop) -> np.ndarray:
    """[192, 192] float32, 0..1."""
    return cv2.cvtColor(np.ascontiguousarray(crop.image.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)


def _places(points: np.ndarray) -> np.ndarray:
    """[PLACES, 2] where the crop is looked at, of the points [478, 2] in it."""
    middle = points[:FACE_POINTS].mean(0)
    rings = [middle + (points[list(OUTLINE)] - middle) * factor for factor in RINGS]
    return np.concatenate([points[_CHOSEN], *rings])


def describe(grey: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[PLACES * 17] what `grey` [192, 192] is like at `places` [PLACES, 2], whatever its light and contrast."""
    shrunk = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    shrunk = (shrunk - shrunk.mean()) / (shrunk.std() + 0.02)
    where = ((places + 0.5) * (SIDE / SIZE) - 0.5).astype(np.float32)[None]
    maps = _oriented(shrunk)
    found = [_histograms(maps, where, spread) for spread in SPREADS]
    smooth = cv2.GaussianBlur(shrunk, (0, 0), _BRIGHTNESS_SPREAD)
    found.append(0.5 * _sampled(smooth, where)[:, None])
    return np.concatenate(found, 1).ravel()


def _oriented(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strength of the gradients along each orientation and against it, two times [H, W, 4]."""
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3, scale=0.11) for order in ((1, 0), (0, 1)))
    strength = cv2.magnitude(across, down) + np.float32(1e-6)
    along = np.empty((*grey.shape, ORIENTATIONS // 2), np.float32)
    for number in range(ORIENTATIONS // 2):
        angle = 2 * np.pi * number / ORIENTATIONS
        along[..., number] = np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down
    share = (along / strength[..., None]) ** 2
    share *= share * np.sqrt(strength)[..., None]
    forward = along > 0
    return share * forward, share * ~forward


def _histograms(maps: tuple[np.ndarray, np.ndarray], where: np.ndarray, spread: int) -> np.ndarray:
    """[PLACES, 8] of about unit length."""
    square = (spread, spread)
    found = np.concatenate([_sampled(cv2.blur(cv2.blur(part, square), square), where) for part in maps], 1)
    return found / (np.linalg.norm(found, axis=1, keepdims=True) + _FAINT)


def _sampled(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`values` [H, W] or [H, W, 4] at `where` [1, N, 2]: [N] or [N, 4]."""
    return cv2.remap(values, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
