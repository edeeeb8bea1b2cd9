"""Landmarks that DECA's users lay beside their pictures: STEM.mat (AFLW2000-3D's and 300W-LP's) or STEM.txt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecli.detect.face import Face, box_of_points
from facecli.detect.formats import read_deca
from facecli.errors import InputError

_EXPECTED = "rows `x y` of landmarks in pixels are expected"


def faces_beside(picture: str | Path) -> list[Face] | None:
    """The face that a file beside `picture` tells of, in DECA's order of preference; None without such a file.

    Raises:
        InputError: the file is there, but holds no landmarks.
    """
    for suffix, read in ((".mat", read_deca), (".txt", _read_rows)):
        path = Path(picture).with_suffix(suffix)
        if path.is_file():
            points = read(path)
            point_set = "ibug68" if len(points) == 68 else ""
            return [Face(box_of_points(points), 1.0, points[:, :2].astype(np.float64), point_set)]
    return None


def _read_rows(path: Path) -> np.ndarray:
    """[N, 2] of any number of rows `x y …`."""
    try:
        lines = path.read_text("utf-8").splitlines()
        points = np.array([[float(word) for word in line.split()[:2]] for line in lines if line.strip()])
    except (ValueError, OSError) as error:  # UnicodeDecodeError and ragged rows are a ValueError
        raise InputError(path, "is no text with numbers", _EXPECTED) from error
    if len(points) < 2 or points.shape[1:] != (2,) or not np.isfinite(points).all():
        raise InputError(path, "holds no landmarks", _EXPECTED)
    return points
