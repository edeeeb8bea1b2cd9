"""The five points that Deep3D's users have beside their pictures: ``detections/STEM.txt``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecli.detect.face import Face, box_of_points
from facecli.detect.landmarks import convert
from facecli.errors import InputError
from facecli_deep3d.align import spans_face

FOLDER = "detections"
_SETS = {10: "five", 136: "ibug68"}
_EXPECTED = "five lines `x y` are expected (eyes, nose tip, corners of the mouth), or 68"


def faces_beside(picture: str | Path) -> list[Face] | None:
    """The face that ``detections/STEM.txt`` beside `picture` tells of; None without such a file.

    Five rows ``x y`` in pixels, y down, or the ten numbers in a line; or iBUG's 68.

    Raises:
        InputError: the file is there, but holds something else.
    """
    picture = Path(picture)
    path = picture.parent / FOLDER / f"{picture.stem}.txt"
    if not path.is_file():
        return None
    points, point_set = read_points(path)
    return [Face(box_of_points(points), 1.0, points, point_set)]


def read_points(path: str | Path) -> tuple[np.ndarray, str]:
    """[5 or 68, 2] float64 and the name of the set.

    Raises:
        InputError: see :func:`faces_beside`.
    """
    try:
        numbers = np.array([float(word) for word in Path(path).read_text("utf-8").split()])
    except (ValueError, OSError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(path, "is no text with numbers", _EXPECTED) from error
    if len(numbers) not in _SETS:
        raise InputError(path, f"holds {len(numbers)} numbers", _EXPECTED)
    if not np.isfinite(numbers).all():
        raise InputError(path, "holds numbers that are not finite", _EXPECTED)
    points, point_set = numbers.reshape(-1, 2), _SETS[len(numbers)]
    if not spans_face(convert(points, point_set, "five")):
        raise InputError(path, "holds points that don't span a face", _EXPECTED)
    return points, point_set
