"""Landmark files: facecli's own `.npz`, and the layouts that SMIRK, DECA, EMOCA and Deep3D read, in both directions.

A *layout* says where below an output folder a picture's or video's landmarks go, and how they are written. Readers
take one file; they never unpickle freely. docs/landmarks.md shows the layouts to users.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecli.detect.face import Face
from facecli.detect.landmarks import POINT_SETS, convert, convertible_to
from facecli.errors import InputError, UsageError
from facecli.io import arrays as array_files
from facecli.io.atomic import atomic_write
from facecli.io.safe_pickle import load_object_npy, load_pickle, load_pickles


@dataclass
class Landmarks:
    """Landmarks of one picture or one video.

    Args:
        points: [T, F, K, D] pixels of T frames (1 for a picture) and F faces; NaN where a face isn't in a frame.
        scores: [T, F] the detector's confidence; NaN likewise.
        boxes: [T, F, 4] x0, y0, x1, y1; NaN likewise.
        point_set: name of the set of the K points.
        size: (width, height) of the picture.
        times: [T] seconds of the frames; [0] for a picture.
        fps: average frame rate of a video; None for a picture.
        extras: further arrays by name, [T, F, …] (or any shape, for names ending in `_names`).
    """

    points: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    point_set: str
    size: tuple[int, int]
    times: np.ndarray = field(default_factory=lambda: np.zeros(1))
    fps: float | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def is_video(self) -> bool:
        return self.fps is not None

    def as_set(self, name: str) -> np.ndarray:
        """`points` converted to another set, [T, F, K', D]."""
        return convert(self.points, self.point_set, name)

    @staticmethod
    def of_picture(faces: Sequence[Face], point_set: str, size: tuple[int, int]) -> Landmarks:
        """The faces of one picture, in their order."""
        points = np.stack([face.points for face in faces])[None]
        scores = np.array([[face.score for face in faces]], np.float64)
        boxes = np.stack([face.box for face in faces])[None].astype(np.float64)
        extras = {name: value[None] for name, value in face_extras(faces).items()}
        if faces[0].blendshapes:
            extras["blendshape_names"] = np.array(list(faces[0].blendshapes))
        return Landmarks(points, scores, boxes, point_set, size, extras=extras)


def face_extras(faces: Sequence[Face]) -> dict[str, np.ndarray]:
    """What some landmarkers give beyond points, [F, …] each; only what all `faces` have."""
    extras: dict[str, np.ndarray] = {}
    if all(face.point_scores is not None for face in faces):
        extras["point_scores"] = np.stack([face.point_scores for face in faces])
    if all(face.blendshapes for face in faces):
        extras["blendshapes"] = np.array([list(face.blendshapes.values()) for face in faces], np.float32)
    if all(face.matrix is not None for face in faces):
        extras["matrix"] = np.stack([face.matrix for face in faces])
    return extras


# --- facecli's own ---------------------------------------------------------------------------------------------------


def write_npz(path: str | Path, landmarks: Landmarks, *, face_axis: bool = False) -> None:
    """The native file: `points` [T, K, D] float32, `score` [T], `box` [T, 4], `set`, `size`, `fps`, `times`.

    `face_axis`: keep an axis for faces after that of the frames; without it only the first face is written.
    """

    def faces(values: np.ndarray) -> np.ndarray:
        return values if face_axis else values[:, 0]

    arrays = {
        "points": faces(landmarks.points).astype(np.float32, copy=False),
        "score": faces(landmarks.scores).astype(np.float32),
        "box": faces(landmarks.boxes).astype(np.float32),
        "set": np.array(landmarks.point_set),
        "size": np.array(landmarks.size, np.int64),
        "fps": np.array(landmarks.fps or 0.0),
        "times": np.asarray(landmarks.times, np.float64),
    }
    for name, value in landmarks.extras.items():
        arrays[name] = value if name.endswith("_names") else faces(value)
    array_files.write_npz(path, arrays)


def read_npz(path: str | Path) -> Landmarks:
    """A file that :func:`write_npz` wrote, with or without its axis for faces."""
    arrays = _load_arrays(path)
    missing = {"points", "score", "box", "set", "size", "fps", "times"} - arrays.keys()
    if missing:
        raise InputError(
            path,
            f"holds no landmarks: {', '.join(sorted(missing))} missing",
            "these files are written by `facecli preprocess landmarks`",
        )
    points, fps, name = arrays.pop("points"), float(arrays.pop("fps")), str(arrays.pop("set"))
    face_axis = points.ndim == 4

    def faces(values: np.ndarray) -> np.ndarray:
        return values if face_axis else values[:, None]

    scores, boxes = faces(arrays.pop("score")), faces(arrays.pop("box"))
    size, times = arrays.pop("size"), arrays.pop("times")
    points = faces(points)
    _check_points(path, points, name, ndim=4)
    extras = {key: value if key.endswith("_names") else faces(value) for key, value in arrays.items()}
    return Landmarks(points, scores, boxes, name, (int(size[0]), int(size[1])), times, fps or None, extras)


def _load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except Exception as error:
        raise InputError(path, f"not a readable .npz file: {_one_line(error)}") from error


# --- SMIRK -----------------------------------------------------------------------------------------------------------


def write_smirk_mediapipe(path: str | Path, landmarks: Landmarks) -> None:
    """[478, 3] float64 of a picture's first face, or [T, 478, 3] of a video: x·W, y·H, and z/W as MediaPipe gives it.

    SMIRK's own script drops a video's frames without a face, which shifts all later ones; we write NaN rows.
    """
    points = landmarks.as_set("mediapipe478")[:, 0].astype(np.float64)
    points[..., 2] /= landmarks.size[0]
    array_files.write_npy(path, points if landmarks.is_video else points[0])


def read_smirk_mediapipe(path: str | Path) -> np.ndarray:
    """[478, 3] or [T, 478, 3] float64, z unscaled as SMIRK has it."""
    points = _read_npy(path)
    _check_points(path, points, "mediapipe478")
    return points


def write_smirk_fan(path: str | Path, landmarks: Landmarks) -> None:
    """A picture: `.npy` [F, 68, 2] float32. A video: `.pkl`, a list with one [68, 2] array or None a frame."""
    points = landmarks.as_set("ibug68")[..., :2].astype(np.float32)
    if landmarks.is_video:
        _write_pickles(path, [_none_if_nan(frame[0]) for frame in points])
    else:
        array_files.write_npy(path, points[0])


def read_smirk_fan(path: str | Path) -> np.ndarray | list[np.ndarray | None]:
    """What :func:`write_smirk_fan` wrote: [F, 68, 2] (F = 0 for SMIRK's `None`: no face), or a video's list."""
    if Path(path).suffix == ".pkl":
        return _checked_frames(path, load_pickle(path), "ibug68")
    points = _read_npy(path)
    if points is None or np.size(points) <= 1:
        return np.zeros((0, 68, 2), np.float32)
    _check_points(path, points, "ibug68", ndim=3)
    return points.astype(np.float32)


# --- DECA ------------------------------------------------------------------------------------------------------------


def write_deca(path: str | Path, landmarks: Landmarks) -> None:
    """68 lines `x y` of the first face."""
    _write_rows(path, landmarks.as_set("ibug68")[0, 0, :, :2])


def read_deca(path: str | Path) -> np.ndarray:
    """[68, 2] of a `.txt`, or [68, 3] of an AFLW2000-3D or 300W-LP `.mat` (`pt3d_68`)."""
    if Path(path).suffix != ".mat":
        return _read_rows(path, 68)
    import scipy.io

    try:
        content = scipy.io.loadmat(str(path), variable_names=["pt3d_68"])
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except Exception as error:
        raise InputError(path, f"not a readable .mat file: {_one_line(error)}") from error
    points = content.get("pt3d_68")
    if points is None or points.shape != (3, 68):
        raise InputError(path, "holds no pt3d_68 [3, 68]", "AFLW2000-3D's and 300W-LP's files do")
    return points.T.astype(np.float64)


# --- EMOCA -----------------------------------------------------------------------------------------------------------

EMOCA_TYPES = {"kpt68": "ibug68", "mediapipe": "mediapipe478"}
"""EMOCA's names for sets that it reads."""


def write_emoca(path: str | Path, landmarks: Landmarks, *, version: int = 1) -> None:
    """Consecutive pickles of the first face: type and points; with `version` 2 type, confidence and points.

    A video becomes one list file: a pickled list with the points or None of each frame.
    """
    type_name, points = _emoca_points(landmarks)
    if landmarks.is_video:
        _write_pickles(path, [_none_if_nan(frame[0]) for frame in points])
    elif version == 2:
        _write_pickles(path, type_name, float(landmarks.scores[0, 0]), points[0, 0])
    else:
        _write_pickles(path, type_name, points[0, 0])


def _emoca_points(landmarks: Landmarks) -> tuple[str, np.ndarray]:
    if landmarks.point_set == "mediapipe478":
        return "mediapipe", np.asarray(landmarks.points)
    return "kpt68", landmarks.as_set("ibug68")[..., :2]


@dataclass
class EmocaLandmarks:
    """One EMOCA file: `points` [K, D] of the type `type_name` (`kpt68`, `mediapipe`, …), `confidence` in v2 files."""

    type_name: str
    points: np.ndarray
    confidence: Any = None


def read_emoca(path: str | Path) -> EmocaLandmarks:
    """A landmark file of EMOCA v1 (two pickles) or v2 (three)."""
    parts = load_pickles(path)
    if len(parts) not in (2, 3) or not isinstance(parts[0], str):
        raise InputError(path, "is no EMOCA landmark file: two or three pickles, the first a type, are expected")
    points = np.asarray(parts[-1])
    if parts[0] in EMOCA_TYPES:
        _check_points(path, points, EMOCA_TYPES[parts[0]], ndim=2)
    return EmocaLandmarks(parts[0], points, parts[1] if len(parts) == 3 else None)


def read_emoca_list(path: str | Path) -> list[np.ndarray | None]:
    """A list file: one array or None a frame."""
    frames = load_pickle(path)
    if not isinstance(frames, list):
        raise InputError(path, "is no EMOCA list file: a pickled list is expected")
    return [None if frame is None else np.asarray(frame) for frame in frames]


# --- Deep3D ----------------------------------------------------------------------------------------------------------


def write_deep3d_detection(path: str | Path, landmarks: Landmarks) -> None:
    """For test.py, `detections/`: 5 lines `x y`, y down."""
    _write_rows(path, landmarks.as_set("five")[0, 0, :, :2])


def read_deep3d_detection(path: str | Path) -> np.ndarray:
    """[5, 2], y down."""
    return _read_rows(path, 5)


def write_deep3d_landmarks(path: str | Path, landmarks: Landmarks) -> None:
    """For training, `landmarks/`: 68 lines `x y` with **y up** (H − 1 − y), unlike `detections`."""
    points = landmarks.as_set("ibug68")[0, 0, :, :2].astype(np.float64)
    points[:, 1] = landmarks.size[1] - 1 - points[:, 1]
    _write_rows(path, points)


def read_deep3d_landmarks(path: str | Path, height: int) -> np.ndarray:
    """[68, 2] with y down again. `height`: of the picture in pixels."""
    points = _read_rows(path, 68)
    points[:, 1] = height - 1 - points[:, 1]
    return points


# --- layouts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayoutFile:
    """One file that a layout writes for each picture or video.

    Args:
        place: (output name without suffix, is it a video) → path below the output folder.
        write: writes it.
        needs: the set that it's written in; None takes any.
    """

    place: Callable[[Path, bool], Path]
    write: Callable[[Path, Landmarks], None]
    needs: str | None = None


@dataclass(frozen=True)
class Layout:
    """Where and how one system wants its landmarks.

    Args:
        files: point set of the landmarker → files to write; the key "" serves the rest.
        many_faces: does it have a place for more than one face?
        videos: does it have one for videos?
    """

    files: dict[str, tuple[LayoutFile, ...]]
    many_faces: bool = False
    videos: bool = True

    def files_for(self, point_set: str) -> tuple[LayoutFile, ...]:
        return self.files.get(point_set) or self.files[""]


def _with_suffix(suffix: str, folder: str = "", video_suffix: str = "") -> Callable[[Path, bool], Path]:
    """`folder/<name><suffix>`; names may contain dots, so nothing is cut off."""

    def place(name: Path, video: bool) -> Path:
        return Path(folder, name.parent, name.name + (video_suffix if video and video_suffix else suffix))

    return place


def _beside(folder: str) -> Callable[[Path, bool], Path]:
    """`<parent>/folder/<stem>.txt`: Deep3D looks in folders inside that of the pictures."""
    return lambda name, video: name.parent / folder / f"{name.name}.txt"


def _write_emoca_v2(path: Path, landmarks: Landmarks) -> None:
    write_emoca(path, landmarks, version=2)


def _emoca_layout(write: Callable[[Path, Landmarks], None]) -> Layout:
    place = _with_suffix(".pkl", "landmarks")
    files = {"mediapipe478": (LayoutFile(place, write),), "": (LayoutFile(place, write, "ibug68"),)}
    return Layout(files)


_SMIRK_MEDIAPIPE = LayoutFile(_with_suffix(".npy", "mediapipe_landmarks"), write_smirk_mediapipe, "mediapipe478")
_SMIRK_FAN = LayoutFile(_with_suffix(".npy", "fan_landmarks", ".pkl"), write_smirk_fan, "ibug68")
_DEEP3D = (
    LayoutFile(_beside("detections"), write_deep3d_detection, "five"),
    LayoutFile(_beside("landmarks"), write_deep3d_landmarks, "ibug68"),
)

LAYOUTS: dict[str, Layout] = {
    "npz": Layout({"": (LayoutFile(_with_suffix(".npz"), write_npz),)}, many_faces=True),
    # SMIRK keeps both kinds apart, and trains with both: what FAN found doesn't go where MediaPipe's is looked for.
    "smirk": Layout({"ibug68": (_SMIRK_FAN,), "": (_SMIRK_MEDIAPIPE,)}, many_faces=True),
    "deca": Layout({"": (LayoutFile(_with_suffix(".txt"), write_deca, "ibug68"),)}, videos=False),
    "emoca": _emoca_layout(write_emoca),
    "emoca-v2": _emoca_layout(_write_emoca_v2),
    "deep3d": Layout({"five": _DEEP3D[:1], "": _DEEP3D}, videos=False),
}


def layout(name: str) -> Layout:
    """The layout called `name`.

    Raises:
        UsageError: there is none.
    """
    try:
        return LAYOUTS[name]
    except KeyError:
        raise UsageError(f"unknown layout {name!r}; known: {', '.join(LAYOUTS)}") from None


def check_layout(name: str, point_set: str, *, many_faces: bool) -> None:
    """Refuse, before any work is done, what the layout has no place for.

    Raises:
        UsageError: unknown layout; the landmarker's points can't be turned into its; it holds one face only.
    """
    chosen = layout(name)
    if many_faces and not chosen.many_faces:
        raise UsageError(f"--as {name} has room for one face a picture: leave out --faces, or use --as npz")
    for file in chosen.files_for(point_set):
        if file.needs is not None and file.needs not in convertible_to(point_set):
            convert(np.zeros((POINT_SETS[point_set].count, 2)), point_set, file.needs)  # raises the reason


def output_paths(name: str, point_set: str, relative: Path, video: bool) -> list[Path]:
    """The files of one input below the output folder. `relative`: the input's output name, without suffix."""
    return [file.place(relative, video) for file in layout(name).files_for(point_set)]


def write_layout(name: str, root: Path, relative: Path, landmarks: Landmarks, *, face_axis: bool = False) -> list[Path]:
    """Write one input's landmarks below `root`; returns the files.

    Raises:
        UsageError: a video in a layout that has no place for videos.
    """
    chosen = layout(name)
    if landmarks.is_video and not chosen.videos:
        raise UsageError(f"--as {name} has no place for videos; use --as npz or smirk")
    written = []
    for file in chosen.files_for(landmarks.point_set):
        path = root / file.place(relative, landmarks.is_video)
        if file.write is write_npz:
            write_npz(path, landmarks, face_axis=face_axis)
        else:
            file.write(path, landmarks)
        written.append(path)
    return written


# --- plain files -----------------------------------------------------------------------------------------------------


def _read_npy(path: str | Path) -> Any:
    """An array, or what an object `.npy` holds, read without free unpickling."""
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except Exception:  # pickled, or broken: the safe reader knows
        return load_object_npy(path)


def _write_pickles(path: str | Path, *values: Any) -> None:
    """`values` one after the other, readable by the old Pythons and numpys of the systems that take them."""
    buffer = io.BytesIO()
    for value in values:
        pickle.dump(value, buffer, protocol=3)
    # numpy 2 names a module that numpy 1 doesn't have; under protocol 3 names are plain text that ends with a newline.
    content = buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _write_rows(path: str | Path, points: np.ndarray) -> None:
    """A line a point; numbers are as short as they can be and read back the same."""
    text = "".join(" ".join(repr(float(value)) for value in row) + "\n" for row in points)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def _read_rows(path: str | Path, count: int) -> np.ndarray:
    """[count, 2] float64 of a text with `x y` a line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        points = np.array([[float(word) for word in line.split()] for line in lines if line.strip()])
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except (OSError, ValueError):  # rows of different lengths are a ValueError, too
        raise InputError(path, "is no text with numbers", f"{count} lines `x y` are expected") from None
    if points.shape != (count, 2):
        found = f"{len(points)} lines" if points.ndim < 2 else f"{points.shape[0]} lines of {points.shape[1]} numbers"
        raise InputError(path, f"holds {found}", f"{count} lines `x y` are expected")
    return points


def _none_if_nan(points: np.ndarray) -> np.ndarray | None:
    return None if np.isnan(points).any() else np.array(points)


def _checked_frames(path: str | Path, frames: Any, name: str) -> list[np.ndarray | None]:
    if not isinstance(frames, list):
        raise InputError(path, f"holds a {type(frames).__name__}, not a list with one entry a frame")
    for frame in frames:
        if frame is not None:
            _check_points(path, np.asarray(frame), name, ndim=2)
    return frames


def _check_points(path: str | Path, points: Any, name: str, ndim: int | None = None) -> None:
    """Are these points [..., K, 2 or 3] of the set `name`?"""
    if name not in POINT_SETS:
        raise InputError(path, f"has points of an unknown set {name!r}", f"known: {', '.join(POINT_SETS)}")
    shape = list(np.shape(points))
    count = POINT_SETS[name].count
    numeric = isinstance(points, np.ndarray) and np.issubdtype(points.dtype, np.number)
    if (
        not numeric
        or len(shape) < 2
        or shape[-2] != count
        or shape[-1] not in (2, 3)
        or len(shape) != (ndim or len(shape))
    ):
        raise InputError(path, f"has an array of shape {shape}", f"{name} points, [..., {count}, 2 or 3], are expected")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
