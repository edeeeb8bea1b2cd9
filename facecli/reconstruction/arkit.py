"""ARKit weights of reconstructed faces: told by the model or the landmarker, or solved from how its points moved.

In this order: the model's own `arkit`; the landmarker's blend shapes; :mod:`facecli.morphable.arkit_solve` between the
face and the same face at rest, of models whose codes tell the two apart. (MediaPipe's surface doesn't, and a frame at
rest is no help: docs/arkit.md has the numbers.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facecli.benchmark.neutral import keeps_expression, neutral_codes
from facecli.codes import Codes
from facecli.detect import landmarks
from facecli.detect.face import Face
from facecli.detect.landmarks import convert, convertible_to
from facecli.errors import UsageError
from facecli.export.arkit import NAMES, ArkitTrack, eyes_of_weights, set_looks, weights_of, write_csv, write_json
from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.morphable.arkit_solve import POINT_SETS, solve_arkit
from facecli.plugin import Reconstruction, Reconstructor
from facecli.smoothing import CodesSmoother, savitzky_golay

MODEL, LANDMARKER, SOLVED = "model", "landmarker", "solved"
"""Where weights come from."""

BLENDSHAPE_NAMES = ("_neutral", *sorted(NAMES[:-1]))
"""The columns of blend shapes in chunks and codes.npz: MediaPipe's 52, in its order."""

_EXPRESSIONS = ("expression", "jaw", "eyelids")
_LANDMARKER_MEND = "--landmarker mediapipe-tasks tells weights whatever the model"


@dataclass
class Weights:
    """Of N faces.

    Args:
        weights: [N, 52] in the order of :data:`facecli.export.arkit.NAMES`.
        eyes: [N, 2, 2] radians, see :class:`facecli.export.arkit.ArkitTrack`.
        head_pose: [N, 4, 4] millimetres, or None.
        source: one of :data:`MODEL`, :data:`LANDMARKER`, :data:`SOLVED`.
    """

    weights: np.ndarray
    eyes: np.ndarray
    head_pose: np.ndarray | None
    source: str


def source_of(model: Reconstructor, name: str, codes: Codes, decoded: Reconstruction, *, told: bool) -> str:
    """Where the weights of such faces come from.

    Args:
        name: the model's. told: the landmarker gave blend shapes.

    Raises:
        NoWeights: from nowhere.
    """
    if hasattr(model, "arkit"):
        return MODEL
    if told:
        return LANDMARKER
    if _usable(decoded) is None:
        raise NoWeights(f"the model {name} gives no points that ARKit weights can be solved from", _LANDMARKER_MEND)
    if not _has_rest(model, codes):
        problem = f"the model {name} doesn't tell a face's expression from the face: no ARKit weights"
        raise NoWeights(problem, f"--model open does; {_LANDMARKER_MEND}")
    return SOLVED


class NoWeights(UsageError):
    """There are no ARKit weights of a face.

    Args:
        problem: why. mend: what helps.
    """

    def __init__(self, problem: str, mend: str):
        super().__init__(f"{problem} ({mend})")


Decode = Callable[[Codes], Reconstruction]


def read_weights(
    model: Reconstructor,
    decode: Decode,
    codes: Codes,
    decoded: Reconstruction,
    source: str,
    *,
    blendshapes: np.ndarray | None = None,
) -> Weights:
    """The weights of `decoded` faces, from `source`.

    Args:
        blendshapes: [N, 52] the landmarker's, in our order.
    """
    eyes = _eyes(codes, decoded)
    if source == MODEL:
        with torch.inference_mode():
            weights = model.arkit(codes).float().numpy(force=True)
        weights = np.nan_to_num(weights).clip(0, 1)
    elif source == LANDMARKER:
        weights, eyes = blendshapes, None
    else:
        rest = face_points(decode(neutral_codes(model, codes)))
        looks = None
        if eyes is not None:
            looks = np.zeros((len(codes), len(NAMES)), np.float32)
            set_looks(looks, eyes)
        weights = solve_arkit(face_points(decoded), rest, looks, points=_usable(decoded))
    pose = None
    if decoded.head_pose is not None:
        pose = decoded.head_pose.double().numpy(force=True).copy()
        pose[:, :3, 3] *= decoded.metres_per_unit * 1000
    return Weights(weights, eyes_of_weights(weights) if eyes is None else eyes, pose, source)


def face_points(decoded: Reconstruction) -> np.ndarray:
    """[N, K, 3] float64 the points of `decoded` that weights are solved from, in its unit."""
    parts = []
    for wanted in _usable(decoded):
        name = _giving(decoded, wanted)
        parts.append(convert(decoded.landmarks_3d[name].double().numpy(force=True), name, wanted))
    return np.concatenate(parts, 1)


def _usable(decoded: Reconstruction) -> tuple[str, ...] | None:
    """The best key of :data:`facecli.morphable.arkit_solve.POINT_SETS` that the model gives."""
    return next((sets for sets in POINT_SETS if all(_giving(decoded, name) for name in sets)), None)


def _giving(decoded: Reconstruction, wanted: str) -> str | None:
    """The set of `decoded` that is `wanted`, or can be turned into it."""
    known = [name for name in decoded.landmarks_3d if name in landmarks.POINT_SETS]
    return next((name for name in (wanted, *known) if name in known and wanted in convertible_to(name)), None)


def _has_rest(model: Reconstructor, codes: Codes) -> bool:
    if keeps_expression(model, codes):
        return False
    return hasattr(model, "neutral") or any(name in codes for name in _EXPRESSIONS)


def _eyes(codes: Codes, decoded: Reconstruction) -> np.ndarray | None:
    """[N, 2, 2] radians, by the model's joints, or by the code `eyes` (axis-angle of the left eye, then the right)."""
    joints = [decoded.joints.get(name) for name in ("eye_left", "eye_right")]
    if all(joint is not None for joint in joints):
        turns = torch.stack([joint.rotation for joint in joints], 1)
    elif "eyes" in codes and codes["eyes"].shape[1:] == (6,) and bool(codes["eyes"].any()):
        turns = axis_angle_to_matrix(codes["eyes"].unflatten(1, (2, 3)))
    else:
        return None
    ahead = turns.double().numpy(force=True)[..., 2]
    return np.stack([np.arctan2(ahead[..., 0], ahead[..., 2]), np.arcsin(ahead[..., 1].clip(-1, 1))], -1)


# --- blend shapes of the landmarker ----------------------------------------------------------------------------------


def blendshape_row(blendshapes: Mapping[str, float]) -> np.ndarray:
    """[52] float32 by :data:`BLENDSHAPE_NAMES`, as chunks keep them."""
    return np.array([blendshapes.get(name, 0.0) for name in BLENDSHAPE_NAMES], np.float32)


def blendshapes_of(row: np.ndarray) -> dict[str, float] | None:
    """The way back from :func:`blendshape_row`; None for NaN, and for rows of another length."""
    if len(row) != len(BLENDSHAPE_NAMES) or not np.isfinite(row).all():
        return None
    return dict(zip(BLENDSHAPE_NAMES, row.tolist(), strict=True))


def told_of_rows(rows: np.ndarray | None) -> np.ndarray | None:
    """[T, 52] in our order of chunks' rows [T, 52]; None where they hold none. NaN stays."""
    if rows is None or rows.shape[1:] != (len(BLENDSHAPE_NAMES),):
        return None
    order = [BLENDSHAPE_NAMES.index(name) for name in NAMES[:-1]]
    return np.pad(np.asarray(rows, np.float32)[:, order], ((0, 0), (0, 1)))


# --- faces of a photograph -------------------------------------------------------------------------------------------


def weights_of_faces(
    model: Reconstructor, name: str, decode: Decode, codes: Codes, decoded: Reconstruction, faces: Sequence[Face]
) -> list[Weights]:
    """Of each face of a picture.

    Raises:
        NoWeights: there are none.
    """
    told = all(face.blendshapes for face in faces)
    source = source_of(model, name, codes, decoded, told=told)
    blendshapes = np.stack([weights_of(face.blendshapes) for face in faces]) if told else None
    found = read_weights(model, decode, codes, decoded, source, blendshapes=blendshapes)
    pose = found.head_pose
    return [
        Weights(found.weights[n : n + 1], found.eyes[n : n + 1], None if pose is None else pose[n : n + 1], source)
        for n in range(len(codes))
    ]


def write_still(folder: Path, found: Weights, words: Mapping[str, object]) -> None:
    """``arkit.csv`` (of one row) and ``arkit.json`` of a face in a photograph."""
    track = ArkitTrack(np.zeros(1), found.weights, head_pose=found.head_pose, eyes=found.eyes, still=True)
    write_track(folder, track, {**words, "source": found.source})


def write_track(folder: Path, track: ArkitTrack, words: Mapping[str, object]) -> None:
    """``arkit.csv`` and ``arkit.json``, with `words` on top of the latter."""
    write_csv(folder / "arkit.csv", track)
    write_json(folder / "arkit.json", track, **words)


# --- a person of a video ---------------------------------------------------------------------------------------------


def track_of(
    model: Reconstructor,
    name: str,
    decode: Decode,
    codes_at: Callable[[np.ndarray], Codes],
    visible: np.ndarray,
    times: np.ndarray,
    rate: float,
    *,
    step: int,
    blendshapes: np.ndarray | None = None,
    smoother: str | None = None,
    smooth_window: float = 0.3,
) -> tuple[ArkitTrack, str]:
    """The weights of one person over T frames, and where they come from.

    Args:
        codes_at: the codes of frames by their numbers. visible: [T]. times: [T] seconds.
        step: frames decoded at once.
        blendshapes: [T, 52] the landmarker's as chunks keep them; they are smoothed here.
        smoother, smooth_window: as in :class:`facecli.reconstruction.settings.Settings`.

    Raises:
        NoWeights: there are none.
    """
    index = np.flatnonzero(visible)
    told = told_of_rows(blendshapes)
    if told is not None and not np.isfinite(told[index]).all():
        told = None
    first = codes_at(index[:1])
    source = source_of(model, name, first, decode(first), told=told is not None)
    if source == LANDMARKER and smoother is not None:
        told = told.copy()
        told[index] = _smoothed(told[index], times[index], smoother, smooth_window)
    weights, eyes = np.full((len(times), len(NAMES)), np.nan, np.float32), np.full((len(times), 2, 2), np.nan)
    poses = np.full((len(times), 4, 4), np.nan)
    for start in range(0, len(index), step):
        part = index[start : start + step]
        codes = codes_at(part)
        blend = None if told is None else told[part]
        found = read_weights(model, decode, codes, decode(codes), source, blendshapes=blend)
        weights[part], eyes[part] = found.weights, found.eyes
        poses = None if found.head_pose is None or poses is None else _put(poses, part, found.head_pose)
    return ArkitTrack(times, weights, rate, poses, eyes), source


def _put(array: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    array[rows] = values
    return array


def _smoothed(values: np.ndarray, times: np.ndarray, smoother: str, window: float) -> np.ndarray:
    """`values` [N, 52] as codes would be."""
    if smoother == "savgol":
        return savitzky_golay(values, times, window=window).clip(0, 1)
    smooth = CodesSmoother()
    rows = [
        smooth(Codes({"blendshapes": torch.from_numpy(row[None])}), time)["blendshapes"][0].numpy()
        for row, time in zip(values, times.tolist(), strict=True)
    ]
    return np.stack(rows).clip(0, 1)
