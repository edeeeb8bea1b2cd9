"""Expressions in Apple's words: 52 weights a frame, as a table in Live Link Face's layout and as JSON.

Names, columns, signs of the angles and what stands in rows without a face are what we know of Live Link Face by memory:
docs/arkit.md says of each how sure that is.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from facecli.errors import InputError
from facecli.export.face_json import head_angles, to_jsonable
from facecli.io.atomic import atomic_write

NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""As ARKit spells them, in the order of Live Link Face's columns. Left and right are the subject's."""

ANGLES = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
    "RightEyeRoll",
)  # fmt: skip
"""Live Link Face's columns behind the weights, radians."""

COLUMNS = ("Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in NAMES), *ANGLES)
COUNT = len(NAMES) + len(ANGLES)
"""What `BlendShapeCount` says in rows with a face."""

SIDES = ("Left", "Right")
LOOK_DEGREES = {"Out": 30.0, "In": 30.0, "Up": 25.0, "Down": 30.0}
"""How far an eye turns at ``eyeLook…`` 1, as :data:`facecli.morphable.ict.LOOK_DEGREES`."""

STILL_RATE = 30.0
"""Frames a second of a photograph's timecode, which is zero."""
_SNAP_SECONDS = 0.0006
"""Times of some containers are whole milliseconds: a frame so close to a whole number of frames is meant there."""


@dataclass
class ArkitTrack:
    """The weights of one face over T frames (1 of a photograph).

    Args:
        times: [T] seconds, rising.
        weights: [T, 52] 0..1 in the order of :data:`NAMES`, NaN in frames without the face.
        rate: frames a second, for timecodes.
        head_pose: [T, 4, 4] head frame -> camera frame, millimetres, NaN without the face; None where the model tells
            none.
        eyes: [T, 2, 2] yaw (to +x, the subject's left) and pitch (up) of the left and the right eye in the head
            frame, radians; None: by the weights (:func:`eyes_of_weights`).
        still: a photograph's.
    """

    times: np.ndarray
    weights: np.ndarray
    rate: float = STILL_RATE
    head_pose: np.ndarray | None = None
    eyes: np.ndarray | None = None
    still: bool = False

    def __len__(self) -> int:
        return len(self.times)

    @property
    def visible(self) -> np.ndarray:
        """[T] which frames show the face."""
        return np.isfinite(self.weights).all(1)

    def angles(self) -> np.ndarray:
        """[T, 9] radians by :data:`ANGLES`; what isn't known is 0, NaN in frames without the face."""
        found = np.zeros((len(self), len(ANGLES)))
        if self.head_pose is not None:
            for row, pose in zip(found, self.head_pose, strict=True):
                row[:3] = np.radians(list(head_angles(pose).values()))
        eyes = eyes_of_weights(self.weights) if self.eyes is None else self.eyes
        found[:, 3:5], found[:, 6:8] = eyes[:, 0], eyes[:, 1]
        found[~self.visible] = np.nan
        return found


# --- names -----------------------------------------------------------------------------------------------------------


def weights_of(blendshapes: Mapping[str, float]) -> np.ndarray:
    """[52] of weights by name (MediaPipe's have ``_neutral`` more and ``tongueOut`` less); 0 where there is none."""
    weights = np.array([blendshapes.get(name, 0.0) for name in NAMES], np.float32)
    return weights.clip(0, 1)


def ict_parts(name: str) -> tuple[str, ...]:
    """ICT-FaceKit's shapes that make the ARKit shape `name` when all are at 1; none for ``tongueOut``.

    ICT-FaceKit splits ``browInnerUp`` and ``cheekPuff`` into halves, and ends its names in ``_L`` and ``_R``.
    """
    if name in ("browInnerUp", "cheekPuff"):
        return f"{name}_L", f"{name}_R"
    if name == "tongueOut":
        return ()
    for side, word in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(word) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            return (name.removesuffix(word) + side,)
    return (name,)


def from_ict(weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """[B, 52] of ICT-FaceKit's weights [B, E], `names` [E] of them.

    Halves count by their mean, ``cheekRaiser`` (the same muscle, nine tenths the same motion) adds to ``cheekSquint``,
    ``PupilDilate`` has no counterpart, and ``tongueOut`` is 0.
    """
    found = dict(zip(names, np.moveaxis(np.asarray(weights, np.float32), -1, 0), strict=True))
    none = np.zeros(np.shape(weights)[:-1], np.float32)
    columns = []
    for name in NAMES:
        parts = ict_parts(name)
        column = sum((found.get(part, none) for part in parts), none) / max(len(parts), 1)
        if name.startswith("cheekSquint"):
            column = column + found.get(parts[0].replace("Squint", "Raiser"), none)
        columns.append(column)
    return np.stack(columns, -1).clip(0, 1)


def to_ict(weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """[B, E] of ICT-FaceKit's shapes `names` [E] from ARKit weights [B, 52]; 0 for shapes that ARKit hasn't."""
    weights = np.asarray(weights, np.float32)
    place = {part: number for number, name in enumerate(NAMES) for part in ict_parts(name)}
    found = np.zeros((*weights.shape[:-1], len(names)), np.float32)
    for number, name in enumerate(names):
        if name in place:
            found[..., number] = weights[..., place[name]]
    return found


# --- where the eyes look ---------------------------------------------------------------------------------------------


def eyes_of_weights(weights: np.ndarray) -> np.ndarray:
    """[T, 2, 2] yaw and pitch of the left and the right eye, radians, from weights [T, 52]."""
    weights = np.asarray(weights, np.float64)
    eyes = np.zeros((len(weights), 2, 2))
    for number, side in enumerate(SIDES):
        way = {way: weights[:, NAMES.index(f"eyeLook{way}{side}")] * LOOK_DEGREES[way] for way in LOOK_DEGREES}
        outwards = way["Out"] - way["In"]
        eyes[:, number, 0] = outwards if side == "Left" else -outwards
        eyes[:, number, 1] = way["Up"] - way["Down"]
    return np.radians(eyes)


def set_looks(weights: np.ndarray, eyes: np.ndarray) -> None:
    """Write the eight ``eyeLook…`` of `eyes` [T, 2, 2] (radians) into `weights` [T, 52]."""
    degrees = np.degrees(eyes)
    for number, side in enumerate(SIDES):
        outwards = degrees[:, number, 0] * (1 if side == "Left" else -1)
        up = degrees[:, number, 1]
        for way, amount in (("Out", outwards), ("In", -outwards), ("Up", up), ("Down", -up)):
            weights[:, NAMES.index(f"eyeLook{way}{side}")] = (amount / LOOK_DEGREES[way]).clip(0, 1)


# --- Live Link Face's table ------------------------------------------------------------------------------------------


def timecode(seconds: float, rate: float) -> str:
    """``HH:MM:SS:FF.mmm``: the time of day, and how many frames (and thousandths of one) go beyond the second.

    It keeps true time at any rate: at 29.97 a second's frames need not begin at .000.
    """
    if seconds < 0:
        return timecode(0.0, rate)
    whole = math.floor(seconds)
    beyond = (seconds - whole) * rate
    if abs(beyond - round(beyond)) <= _SNAP_SECONDS * rate:
        beyond = float(round(beyond))
    thousandths = round(beyond * 1000)
    if thousandths >= rate * 1000 - 0.5:
        whole, thousandths = whole + 1, 0
    frame, thousandths = divmod(thousandths, 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{frame:02d}.{thousandths:03d}"


def seconds_of(code: str, rate: float) -> float:
    """The way back from :func:`timecode`. Live Link Face's codes may lack the ``.mmm``.

    Raises:
        ValueError: it is none.
    """
    hours, minutes, seconds, frames = code.strip().replace(";", ":").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(frames) / rate


def write_csv(path: str | Path, track: ArkitTrack) -> None:
    """Write `track` as Live Link Face does: a row a frame.

    Rows of frames without the face say 0 for `BlendShapeCount` and hold the numbers of the last frame that had one (of
    the first, before it): programs that look at the count skip them, others see the face stand still.
    """
    visible, numbers = track.visible, np.concatenate([track.weights, track.angles()], 1)
    held = _held(visible)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for row, time in enumerate(track.times.tolist()):
            values = np.nan_to_num(numbers[held[row]])
            count = COUNT if visible[row] else 0
            words = ",".join(f"{value + 0.0:.6f}" for value in values.tolist())
            file.write(f"{timecode(time, track.rate)},{count},{words}\n")


def _held(visible: np.ndarray) -> np.ndarray:
    """[T] for each frame the last visible one, before the first that one."""
    index = np.where(visible, np.arange(len(visible)), -1)
    return np.maximum(np.maximum.accumulate(index), int(visible.argmax()))


def read_csv(path: str | Path, rate: float | None = None) -> ArkitTrack:
    """A table of Live Link Face's, ours or the app's. Head poses have no place in it, only turn.

    Args:
        rate: frames a second of its timecodes; None guesses 24, 25, 30, 50 or 60 by the largest frame number.

    Raises:
        InputError: it is something else.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"can't be read: {' '.join(str(error).split())}") from error
    lacking = [name for name in COLUMNS[: -len(ANGLES)] if not rows or name not in rows[0]]
    if lacking:
        raise InputError(path, f"is no table of Live Link Face's: it lacks {lacking[0]}")
    try:
        codes = [row["Timecode"] for row in rows]
        rate = rate or _likely_rate(codes)
        times = np.array([seconds_of(code, rate) for code in codes])
        seen = [int(row["BlendShapeCount"] or 0) > 0 for row in rows]
        blank = [math.nan] * len(NAMES)
        names = COLUMNS[2 : -len(ANGLES)]
        weights = [[float(row[n]) for n in names] if s else blank for row, s in zip(rows, seen, strict=True)]
        eyes = [
            [[float(row.get(f"{side}Eye{way}") or 0) if s else math.nan for way in ("Yaw", "Pitch")] for side in SIDES]
            for row, s in zip(rows, seen, strict=True)
        ]
    except (ValueError, TypeError) as error:
        raise InputError(path, f"is a damaged table of Live Link Face's: {error}") from error
    return ArkitTrack(times, np.array(weights, np.float32), rate, None, np.array(eyes))


def _likely_rate(codes: Sequence[str]) -> float:
    most = max((float(code.rsplit(":", 1)[-1]) for code in codes), default=0.0)
    return next((rate for rate in (24.0, 25.0, 30.0, 50.0, 60.0) if most < rate), math.floor(most) + 1.0)


# --- JSON ------------------------------------------------------------------------------------------------------------


def write_json(path: str | Path, track: ArkitTrack, **further: Any) -> None:
    """Write `track` as strict JSON, a frame a line; `further` words stand on top."""
    head = {**further, "names": list(NAMES), "rate": None if track.still else track.rate}
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("{\n")
        for key, value in to_jsonable(head).items():
            file.write(f"  {_dump(key)}: {_dump(value)},\n")
        _write_frames(file, track)
        file.write("}\n")


def _write_frames(file: TextIO, track: ArkitTrack) -> None:
    file.write('  "frames": [')
    separator = "\n"
    for record in _frames(track):
        file.write(f"{separator}    {_dump(record)}")
        separator = ",\n"
    file.write("\n  ]\n")


def _frames(track: ArkitTrack) -> Iterator[dict[str, Any]]:
    eyes = np.degrees(eyes_of_weights(track.weights) if track.eyes is None else track.eyes)
    for number, (time, seen) in enumerate(zip(track.times.tolist(), track.visible.tolist(), strict=True)):
        pose = None if track.head_pose is None else to_jsonable(track.head_pose[number])
        yield {
            "frame": number,
            "time": None if track.still else round(time, 6),
            "weights": [round(float(weight), 5) for weight in track.weights[number]] if seen else None,
            "head_pose": pose if seen else None,
            "eyes": [[round(float(a), 3) + 0.0 for a in eye] for eye in eyes[number]] if seen else None,
        }


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read_json(path: str | Path) -> ArkitTrack:
    """What :func:`write_json` wrote.

    Raises:
        InputError: it is something else.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text("utf-8"))
        order = [content["names"].index(name) for name in NAMES]
        frames = content["frames"]
        still = content["rate"] is None
        weights = np.array([frame["weights"] or [math.nan] * len(order) for frame in frames], np.float32)[:, order]
        poses = None
        if any(frame["head_pose"] for frame in frames):
            poses = np.array([frame["head_pose"] or np.full((4, 4), math.nan) for frame in frames], np.float64)
        eyes = np.array([frame["eyes"] or np.full((2, 2), math.nan) for frame in frames], np.float64)
        times = np.array([frame["time"] or 0.0 for frame in frames])
        rate = STILL_RATE if still else float(content["rate"])
    except OSError as error:
        raise InputError(path, f"can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(path, f"is no arkit.json of facecli's: {' '.join(str(error).split())}") from error
    return ArkitTrack(times, weights, rate, poses, np.radians(eyes), still)
