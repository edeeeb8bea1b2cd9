"""Landmarks drawn on pictures as the DECA family draws them: white outlines, a dot at each point."""

from __future__ import annotations

import cv2
import numpy as np

_LAST = (16, 21, 26, 30, 35, 41, 47, 67)
"""Last points of the 68's outlines. DECA draws nothing from them, not even their own dot."""
WHITE, GREEN, RED = (255, 255, 255), (0, 255, 0), (255, 0, 0)


def draw_landmarks68(picture: np.ndarray, points: np.ndarray, visible: np.ndarray | None = None) -> np.ndarray:
    """iBUG's 68 points on a copy of a picture.

    Args:
        picture: RGB [H, W, 3], values 0..255 of any type, which the copy keeps.
        points: [68, >= 2] pixels, cut to integers.
        visible: bool [68]: points that aren't come in red, the others in green.
    """
    drawn = np.array(picture, order="C")
    thick = max(min(drawn.shape[:2]) // 200, 1)
    # Points far outside would overflow OpenCV's integers.
    reach = 4 * max(drawn.shape[:2])
    places = np.clip(np.trunc(np.nan_to_num(points[:, :2])), -reach, reach).astype(int).tolist()
    for index, place in enumerate(places):
        if index in _LAST:
            continue
        color = GREEN if visible is None or visible[index] else RED
        cv2.line(drawn, place, places[index + 1], WHITE, thick)
        cv2.circle(drawn, place, thick, color, 2 * thick)
    return drawn
