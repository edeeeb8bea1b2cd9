"""Landmarks of a scan and a mesh, in whichever sets: what they have in common, and where the nose tip is."""

from __future__ import annotations

import numpy as np

from facecli.detect.landmarks import convert

SETS = {5: "five", 7: "now7", 51: "ibug68", 68: "ibug68"}
"""Number of points -> what they are; 51 are iBUG's without the jaw."""

_NOSE_TIP = 30  # of iBUG's
_JAW = 17


def in_common(scan: np.ndarray, mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' landmarks [K, 3] as the same points: NoW's seven if both have them, else five, else as they are.

    Raises:
        ValueError: their numbers differ and nothing is known to be in both.
    """
    for wanted in ("now7", "five"):
        found = as_set(scan, wanted), as_set(mesh, wanted)
        if found[0] is not None and found[1] is not None:
            return found
    if len(scan) != len(mesh):
        raise ValueError(f"has {len(mesh)} landmarks and its scan {len(scan)}: give both 5, 7, 51 or 68")
    return scan, mesh


def as_set(points: np.ndarray, wanted: str) -> np.ndarray | None:
    """`points` [K, 3] as the set ``"now7"`` or ``"five"``, in their dtype; None if they don't have these points."""
    own = SETS.get(len(points))
    if own == wanted:
        return points
    if own != "ibug68":
        return None
    return convert(_with_jaw(points), "ibug68", wanted)


def nose_tip(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """[3], by a scan's landmarks [K, 3] and, where those are NoW's seven, by its `vertices` [n, 3].

    NoW's seven have the nose's base only: then the tip is the foremost vertex near it, seen along the face.

    Raises:
        ValueError: the landmarks don't tell.
    """
    own = SETS.get(len(points))
    if own == "ibug68":
        return np.asarray(_with_jaw(points)[_NOSE_TIP], dtype=np.float64)
    if own == "five":
        return np.asarray(points[2], dtype=np.float64)
    if own != "now7":
        raise ValueError(f"{len(points)} landmarks of the scan don't tell where the nose tip is: give 5, 7, 51 or 68")
    points = points.astype(np.float64)
    across, base = points[3] - points[0], points[4]
    upwards = (points[1] + points[2]) / 2 - (points[5] + points[6]) / 2
    forwards = np.cross(across, upwards)
    near = vertices[np.linalg.norm(vertices - base, axis=1) < 0.4 * np.linalg.norm(across)]
    if not len(near) or not np.linalg.norm(forwards) > 0:
        raise ValueError("the scan has no vertices around its nose: are the landmarks its own?")
    return near[np.argmax(near @ forwards)]


def _with_jaw(points: np.ndarray) -> np.ndarray:
    """iBUG's inner 51 points as 68; nothing asks for the jaw's."""
    if len(points) == 68:
        return points
    return np.concatenate([np.full((_JAW, 3), np.nan, points.dtype), points])
