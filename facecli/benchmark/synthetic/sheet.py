"""A picture of the best and the worst heads: what the model saw, and its errors on the true surface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from facecli.benchmark.synthetic.heads import scan_points
from facecli.benchmark.synthetic.score import EVALUATED, HeadScore
from facecli.data.head_set import HeadSet, draw
from facecli.geometry.mesh import TriangleMesh
from facecli.io.images import write_image
from facecli.render.pictures import render_textured_view

RED_AT_MM = 4.0
TILE = 256
_NEAR_MM = 6.0
_PLAIN = (120, 120, 120)


def write_sheet(path: Path, heads: HeadSet, scores: Sequence[HeadScore], count: int) -> None:
    """Rows of two heads each: the best `count` / 2 and then the worst, by the median.

    Raises:
        OutputError: the file can't be written.
    """
    ranked = sorted(
        (float(np.median(score.distances["nonmetrical"])), index)
        for index, score in enumerate(scores)
        if score.status == EVALUATED
    )
    half = max(count // 2, 1)
    chosen = ranked if len(ranked) <= 2 * half else [*ranked[:half], *ranked[-half:]]
    tiles = [_tile(heads, index, scores[index], median) for median, index in chosen]
    if len(tiles) % 2:
        tiles.append(np.full_like(tiles[0], 255))
    write_image(path, np.vstack([np.hstack(tiles[start : start + 2]) for start in range(0, len(tiles), 2)]))


def _tile(heads: HeadSet, index: int, score: HeadScore, median: float) -> np.ndarray:
    """[TILE, 3 TILE, 3]: the picture, and the resting head from the front and the side, coloured by its errors."""
    head = draw(heads, index)
    skin = np.asarray(head.model.triangles)[head.model.skin]
    mesh = TriangleMesh(head.neutral, skin, vertex_colors=_colors(heads, head.neutral, score))
    picture = cv2.resize(head.image, (TILE, TILE), interpolation=cv2.INTER_AREA)
    words = f"{heads.name(index)}  {median:.2f} mm"
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(picture, words, (6, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, thickness, cv2.LINE_AA)
    views = [render_textured_view(mesh, TILE, yaw, shading=0.6) for yaw in (0, 45)]
    return np.hstack([picture, *views])


def _colors(heads: HeadSet, neutral: np.ndarray, score: HeadScore) -> np.ndarray:
    """[V, 3] uint8: blue at 0, red at :data:`RED_AT_MM` and beyond; grey where nothing was measured."""
    from matplotlib import colormaps

    points = scan_points(heads).of(neutral)[score.crop_index]
    distance, nearest = cKDTree(points).query(neutral.astype(np.float64))
    share = np.clip(score.distances["nonmetrical"][nearest] / RED_AT_MM, 0, 1)
    colors = (colormaps["turbo"](share)[:, :3] * 255).round().astype(np.uint8)
    colors[distance > _NEAR_MM] = _PLAIN
    return colors
