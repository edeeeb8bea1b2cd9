"""The whole head of the Basel Face Model of 2009 with Deep3D's coefficients: ears, neck and all.

Deep3D's own mesh is a part of it, so the same coefficients give the same face, in the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from facecli.errors import InputError
from facecli.geometry.normals import vertex_normals
from facecli.morphable import bfm_assets as files
from facecli.morphable.bfm_convert import HEAD_VERTICES, PER_DECIMETRE, Sources, read_sources
from facecli.morphable.bfm_files import ALBEDOS, EXPRESSIONS, IDENTITIES, MEND, BfmArrays
from facecli.morphable.mat_files import zero_based

NEEDED = (
    files.BFM09,
    files.EXPRESSIONS,
    files.EXPRESSION_SPREAD,
    files.EXPRESSION_VERTICES,
    files.FRONT_VERTICES,
)


def read_whole_head(parts: Mapping[str, Path], front: BfmArrays) -> BfmArrays:
    """The head [53490 vertices] of the files `parts` (:data:`NEEDED` by name), where `front` is its face.

    Raises:
        InputError: one of them is damaged or something else, or `front` was made of another model.
    """
    path = parts[files.BFM09.name]
    sources = read_sources(parts, ("tl",))
    triangles = zero_based(path, "tl", sources.head["tl"], HEAD_VERTICES, MEND)
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise InputError(path, f"its triangles (tl) have the shape {list(triangles.shape)}", MEND)
    try:
        return whole_head(sources, triangles, front)
    except ValueError as error:
        raise InputError(path, str(error), "make BFM_model_front.mat of it: `facecli assets convert bfm`") from error


def whole_head(sources: Sources, triangles: np.ndarray, front: BfmArrays) -> BfmArrays:
    """The head's arrays: those of `front`, of more vertices.

    The 275 vertices inside of mouth and nose that the expression basis leaves out keep still.

    Args:
        triangles: [F, 3] from 0, of either orientation.

    Raises:
        ValueError: `front` isn't part of this head.
    """
    head, vertex = sources.head, sources.expression_vertices[sources.front]
    mean = (head["shapeMU"].reshape(-1, 3) / PER_DECIMETRE).astype(np.float32)
    shift = mean[vertex] - front.mean
    centre = shift.mean(0)
    if np.abs(shift - centre).max() > 1e-3:
        raise ValueError("its face isn't that of BFM_model_front.mat")
    mean = mean - centre
    rows = (3 * sources.expression_vertices[:, None] + np.arange(3)).ravel()
    expression = np.zeros((mean.size, EXPRESSIONS), np.float32)
    expression[rows] = sources.expressions[:EXPRESSIONS].T * (sources.spread[:EXPRESSIONS] / PER_DECIMETRE)
    triangles = _outward(mean, triangles)
    skin = np.zeros(len(mean), bool)
    skin[vertex] = front.skin
    return replace(
        front,
        mean=mean,
        identity=_scaled(head["shapePC"], head["shapeEV"], IDENTITIES) / np.float32(PER_DECIMETRE),
        expression=expression,
        albedo=head["texMU"].reshape(-1, 3).astype(np.float32),
        albedo_basis=_scaled(head["texPC"], head["texEV"], ALBEDOS),
        triangles=triangles,
        around=_around(triangles, len(mean)),
        keypoints=vertex[front.keypoints],
        front=vertex[front.front],
        skin=skin,
    )


def _scaled(components: np.ndarray, spread: np.ndarray, count: int) -> np.ndarray:
    """[3 H, count] float32: each component times its standard deviation."""
    return (components[:, :count] * spread.ravel()[:count]).astype(np.float32)


def _outward(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The triangles counter-clockwise from outside; MATLAB's may be either."""
    normals = vertex_normals(vertices.astype(np.float64), triangles)
    away = vertices - vertices.mean(0)
    return triangles if (normals * away).sum() >= 0 else triangles[:, [0, 2, 1]]


def _around(triangles: np.ndarray, count: int) -> np.ndarray:
    """[count, W] triangles at each vertex, filled up with their number."""
    corners = triangles.ravel()
    order = np.argsort(corners, kind="stable")
    vertex, triangle = corners[order], order // 3
    column = np.arange(len(vertex)) - np.searchsorted(vertex, np.arange(count))[vertex]
    around = np.full((count, int(column.max(initial=0)) + 1), len(triangles), np.int64)
    around[vertex, column] = triangle
    return around
