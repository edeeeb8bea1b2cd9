"""Pictures as SynergyNet's and 3DDFA_V2's programs draw them, besides Sim3DR's overlays.

Pictures are RGB here, BGR in the programs. Points are in pixels of the picture, with z that grows to the viewer.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecli.geometry.euler import split_affine
from facecli.render import sim3dr
from facecli.roi import landmark_roi

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
BOX_COLOR = (0, 255, 40)
UV_SIZE = 256
NOSE_TIP = 30
_MOST = 1 << 14  # OpenCV's drawing overflows beyond 2^15


# --- landmarks and vertices ------------------------------------------------------------------------------------------


def draw_points(picture: np.ndarray, points: np.ndarray, *, color=GREEN, radius: int | None = None) -> np.ndarray:
    """`points` [N, >= 2] as dots on a copy of `picture`; single pixels where `radius` is 0.

    By itself the radius goes by the points' spread.
    """
    drawn = picture.copy()
    if radius is None:
        radius = max(round(float(np.ptp(points[:, :2], axis=0).max()) / 120), 1)
    for x, y in np.rint(_within(points)).astype(int).tolist():
        cv2.circle(drawn, (x, y), radius, color, -1, cv2.LINE_AA if radius else cv2.LINE_8)
    return drawn


_OUTLINES = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60), (60, 68))
_CLOSED = (36, 42, 48, 60)


def draw_outlines(picture: np.ndarray, points: np.ndarray, *, color=GREEN, thickness: int = 1) -> np.ndarray:
    """The outlines between iBUG's 68 `points` on a copy of `picture`."""
    drawn = picture.copy()
    places = np.rint(_within(points) * 16).astype(np.int32)
    for first, last in _OUTLINES:
        cv2.polylines(drawn, [places[first:last]], first in _CLOSED, color, thickness, cv2.LINE_AA, 4)
    return drawn


# --- poses -----------------------------------------------------------------------------------------------------------


def draw_axes(picture: np.ndarray, landmarks: np.ndarray, angles: np.ndarray, *, thickness: int = 4) -> np.ndarray:
    """SynergyNet's axes from the tip of the nose: x red, y green (downwards), z blue (where the face looks to).

    Args:
        landmarks: [68, >= 2]. angles: [3] degrees (yaw, pitch, roll) by SynergyNet's decoder.
    """
    width, height = np.ptp(np.asarray(landmarks, np.float64)[:, :2], axis=0)
    length = 0.5 * np.sqrt(width * height)
    return draw_axes_at(picture, landmarks[NOSE_TIP, :2], angles, length, thickness=thickness)


def draw_axes_at(
    picture: np.ndarray, origin: np.ndarray, angles: np.ndarray, length: float, *, thickness: int = 4
) -> np.ndarray:
    """The same axes from any point [2], of any length."""
    a, p, r = np.radians(np.asarray(angles, np.float64)) * (-1, 1, 1)
    ends = (
        ((np.cos(a) * np.cos(r), np.cos(p) * np.sin(r) + np.cos(r) * np.sin(p) * np.sin(a)), RED),
        ((-np.cos(a) * np.sin(r), np.cos(p) * np.cos(r) - np.sin(p) * np.sin(a) * np.sin(r)), GREEN),
        ((np.sin(a), -np.cos(a) * np.sin(p)), BLUE),
    )
    drawn = picture.copy()
    start = np.asarray(origin, np.float64)
    for direction, color in ends:
        end = start + length * np.array(direction)
        cv2.line(drawn, *(tuple(np.trunc(_within(point[None]))[0].astype(int).tolist()) for point in (start, end)),
                 color, thickness)  # fmt: skip
    return drawn


def box_size(landmarks: np.ndarray) -> float:
    """Half the side of the pose box's rear square, in pixels: a third of the diagonal of the square around landmarks
    [68, >= 2]."""
    roi = landmark_roi(landmarks)
    return float(roi[2] - roi[0]) / 3


def pose_box(rear: float) -> np.ndarray:
    """[10, 3] the corners of 3DDFA_V2's box, the rear square's and then the front's, each with its first one again."""
    front = int(4 / 3 * rear)
    square = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)], np.float64)
    corners = np.zeros((10, 3))
    corners[:5, :2], corners[5:, :2], corners[5:, 2] = square * rear, square * front, front
    return corners


def project_pose_box(camera: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[10, 2] its corners in the picture, around the landmarks [68, >= 2] of a face with the affine camera [3, 4]."""
    centre = np.asarray(landmarks, np.float64)[:27, :2].mean(0)
    return projected_box(camera, box_size(landmarks), centre)


def projected_box(camera: np.ndarray, size: float, centre: np.ndarray) -> np.ndarray:
    """[10, 2] the corners of a box of `size` whose rear square lies around the pixel `centre` [2]."""
    rotation, _, translation = split_affine(np.asarray(camera, np.float64))
    corners = (pose_box(size) @ rotation.T + translation)[:, :2] * (1, -1)
    return corners - corners[:4].mean(0) + centre


def draw_pose_box(picture: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """3DDFA_V2's box, by its corners [10, 2], on a copy of `picture`."""
    drawn = picture.copy()
    places = np.trunc(_within(corners)).astype(np.int32)
    cv2.polylines(drawn, [places], True, BOX_COLOR, 2, cv2.LINE_AA)
    for first, second in ((1, 6), (2, 7), (3, 8)):
        cv2.line(drawn, places[first].tolist(), places[second].tolist(), BOX_COLOR, 2, cv2.LINE_AA)
    return drawn


# --- meshes ----------------------------------------------------------------------------------------------------------


def draw_nearness(vertices: np.ndarray, triangles: np.ndarray, background: np.ndarray) -> np.ndarray:
    """3DDFA_V2's depth picture: white at the nearest of `vertices` [V, 3], black at the farthest."""
    z = np.asarray(vertices, np.float32)[:, 2]
    grey = (z - z.min()) / max(float(z.max() - z.min()), 1e-12)
    return sim3dr.paint(vertices, triangles, np.repeat(grey[:, None], 3, 1), background)[0]


def draw_codes(vertices: np.ndarray, triangles: np.ndarray, colors: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Vertex `colors` [V, 3] (0..1) without light: PNCC with coordinate codes."""
    return sim3dr.paint(vertices, triangles, colors, background)[0]


# --- textures --------------------------------------------------------------------------------------------------------


def uv_places(uv: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[V, 3] float32: where `uv` [V, 2] lies in a texture of `size` (H, W), in pixels; z is 0."""
    height, width = size
    uv = np.asarray(uv, np.float32)
    places = np.zeros((len(uv), 3), np.float32)
    places[:, 0] = uv[:, 0] * (width - 1)
    places[:, 1] = height - uv[:, 1] * (height - 1) - 1
    return places


def sample_clipped(photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V, 3] colours 0..255 of `photo` uint8 [H, W, 3] at `points` [V, >= 2], bilinear as in 3DDFA_V2: black outside,
    and on the last row and column."""
    height, width = photo.shape[:2]
    x, y = np.asarray(points, np.float32).T[:2]
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1 = (x0 + 1).clip(0, width - 1), (y0 + 1).clip(0, height - 1)
    x0, y0 = x0.clip(0, width - 1), y0.clip(0, height - 1)
    weights = ((x1 - x) * (y1 - y), (x1 - x) * (y - y0), (x - x0) * (y1 - y), (x - x0) * (y - y0))
    corners = ((y0, x0), (y1, x0), (y0, x1), (y1, x1))
    return sum(weight[:, None] * photo[corner] for weight, corner in zip(weights, corners, strict=True))


def uv_texture(
    photo: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, uv: np.ndarray, size: int = UV_SIZE
) -> np.ndarray:
    """uint8 [size, size, 3]: the photograph's colours in the UV layout, as 3DDFA_V2 makes it. What is hidden has the
    colour of what hides it."""
    colors = sample_clipped(photo, vertices) / 255
    black = np.zeros((size, size, 3), np.uint8)
    return sim3dr.paint(uv_places(uv, (size, size)), triangles, colors, black)[0]


def nearest_colors(photo: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """[V, 3] uint8: the pixel of `photo` nearest to each of `vertices` [V, >= 2], at the border those of the border."""
    height, width = photo.shape[:2]
    x, y = np.rint(np.asarray(vertices)[:, :2]).astype(np.int64).T
    return photo[y.clip(0, height - 1), x.clip(0, width - 1)]


def texture_colors(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """[V, 3] uint8: a UV map's colours at the vertices as SynergyNet takes them, nearest by truncation.

    Args:
        texture: uint8 [H, W, 3], row 0 at v = 1. uv: [V, 2], origin bottom-left.
    """
    height, width = texture.shape[:2]
    column, row = np.trunc(np.asarray(uv, np.float64).T * [[width - 1], [height - 1]]).astype(np.int64)
    return texture[::-1][row.clip(0, height - 1), column.clip(0, width - 1)]


def _within(points: np.ndarray) -> np.ndarray:
    """[N, 2] float64, finite and small enough for OpenCV."""
    return np.clip(np.nan_to_num(np.asarray(points, np.float64)[:, :2]), -_MOST, _MOST)
