"""What is said of one face in numbers: `face.json` and the lines of ``--json`` are the same dictionary."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facecli.io.atomic import atomic_write

_SIGNIFICANT = 7
"""Digits kept of a number: a micrometre in a face, a thousandth of a pixel in a photograph."""


def face_record(
    *,
    input: str | Path,
    face: int,
    model: str,
    box: np.ndarray,
    score: float,
    frame: int | None = None,
    time: float | None = None,
    photo_size: tuple[int, int] | None = None,
    head_pose: np.ndarray | None = None,
    landmarks: Mapping[str, np.ndarray] | None = None,
    camera: Mapping[str, Any] | None = None,
    files: Mapping[str, str | Path | None] | None = None,
    **further: Any,
) -> dict[str, Any]:
    """The record of one face, ready for strict JSON; what is None is null, and so is NaN.

    Args:
        input: the photograph or video as the user named it.
        face: number of the face in it, from 0, largest first; a person's number in a video.
        box: [4] x0, y0, x1, y1 in pixels of the photograph.
        frame, time: number and seconds of a video's frame, None for a photograph.
        photo_size: (height, width).
        head_pose: [4, 4] head frame -> camera frame; angles in degrees are added (see :func:`head_angles`).
        landmarks: point-set name -> [K, 2 or 3] pixels of the photograph.
        files: name -> path of each file written; ``mesh``, ``overlay`` and ``codes`` are always in the record.
        further: a model's own words.
    """
    files = {"mesh": None, "overlay": None, "codes": None, **(files or {})}
    record = {"input": input, "frame": frame, "time": time, "face": face, "model": model, "box": box, "score": score}
    record |= files
    record |= {
        "photo_size": photo_size,
        "head_pose": head_pose,
        "head_angles": None if head_pose is None else head_angles(head_pose),
        "landmarks": dict(landmarks or {}),
        "camera": dict(camera or {}),
    }
    return to_jsonable(record | further)


def error_record(input: str | Path, error: str | Exception) -> dict[str, Any]:
    """The record of an input that failed."""
    return {"input": str(input), "error": str(error)}


def head_angles(pose: np.ndarray) -> dict[str, float]:
    """Yaw, pitch and roll in degrees of `pose` [4, 4] (or [3, 3]), zero for a face that looks into the camera.

    Yaw grows as the face turns to the right side of the picture, pitch as it looks up, roll as the head tilts
    counter-clockwise in the picture. Rotation = Ry(yaw) Rx(-pitch) Rz(roll).
    """
    rotation = _plain(pose).astype(np.float64)[:3, :3]
    if not np.isfinite(rotation).all():
        return dict.fromkeys(("yaw", "pitch", "roll"), math.nan)
    rotation = rotation / np.cbrt(np.linalg.det(rotation))
    yaw = math.atan2(rotation[0, 2], rotation[2, 2])
    pitch = math.asin(np.clip(rotation[1, 2], -1, 1))
    roll = math.atan2(rotation[1, 0], rotation[1, 1])
    return {name: math.degrees(angle) for name, angle in (("yaw", yaw), ("pitch", pitch), ("roll", roll))}


def write_json(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write `record` as a readable UTF-8 file: a key a line, arrays of numbers not spread over lines."""
    lines = (f"  {_dump(key)}: {_dump(value)}" for key, value in to_jsonable(record).items())
    with atomic_write(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def to_jsonable(value: Any) -> Any:
    """`value` with arrays and tensors as lists, paths as words, numbers rounded, and NaN and infinities as None."""
    if hasattr(value, "detach") or isinstance(value, np.ndarray | np.generic):
        value = _plain(value).tolist()
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT}g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str | Path):
        return str(value).encode("utf-8", "replace").decode()  # file names may hold bytes that are no text
    raise TypeError(f"no JSON for a {type(value).__name__}")


def _plain(value: Any) -> np.ndarray:
    """An array of an array or a torch tensor, on whichever device, without importing torch."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
