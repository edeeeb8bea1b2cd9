"""What looks at the pictures: models, landmarkers, and files that somebody else's program wrote."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facecli import registry
from facecli.benchmark.predict import Portrait, Predictor, head_rotation, ibug68_pixels
from facecli.detect.face import Face
from facecli.detect.landmarks import convert, convertible_to
from facecli.detect.near_box import best_match, face_near
from facecli.errors import FacecliError, InputError, UsageError
from facecli.io.images import read_image
from facecli.pipeline import cpu_count, parallel_map
from facecli.preprocess import LandmarkerChoice
from facecli.reconstruction.settings import choose_device, parse_options

DETECTED, LABELS = "detected", "labels"
"""Where faces come from: the method finds them in the photograph, or is told the box of the label's landmarks."""

NO_FACE = "no face found where the label is"


@dataclass(frozen=True)
class Case:
    """A picture and the box [4] of its label's landmarks."""

    name: str
    image: Path
    box: np.ndarray


@dataclass(frozen=True)
class Answer:
    """What a method says of a picture.

    Args:
        landmarks: [68, 2] pixels, or None.
        rotation: [3, 3] head -> camera (x right, y up, z to the viewer), or None.
        missing: why there is neither: "no face found".
        error: the picture can't be read: it isn't the method's fault.
    """

    name: str
    landmarks: np.ndarray | None = None
    rotation: np.ndarray | None = None
    missing: str = ""
    error: FacecliError | None = None


class Method(Protocol):
    """Something that answers."""

    name: str
    settings: dict[str, Any]
    """What its answers depend on, as JSON values."""

    def answers(self, cases: Sequence[Case]) -> Iterator[Answer]:
        """One a case, in order, as they come.

        Raises:
            UsageError, PluginError, MissingAssetError: it can't answer at all.
        """
        ...


@dataclass
class Choice:
    """How models and landmarkers are to work.

    Args:
        faces: :data:`DETECTED` or :data:`LABELS`.
        options: ``NAME=VALUE`` words for the models.
        landmarker, confidence: others than the model's own.
        workers: threads that detect; None: as pays.
    """

    faces: str = DETECTED
    device: str = "auto"
    options: tuple[str, ...] = ()
    landmarker: str | None = None
    confidence: float | None = None
    batch_size: int = 0
    workers: int | None = None


def method(name: str, choice: Choice) -> Method:
    """The model, else the landmarker, called `name`.

    Raises:
        UsageError: there is neither. PluginError: it is broken.
    """
    known = registry.plugins()
    if name in known and known[name].reconstructor:
        return ModelMethod(name, choice)
    landmarkers = sorted({key for plugin in known.values() for key in plugin.landmarkers})
    if name in landmarkers:
        return LandmarkerMethod(name, choice)
    if name in registry.broken_plugins():
        registry.plugin(name)  # says why
    models = sorted(key for key, plugin in known.items() if plugin.reconstructor)
    raise UsageError(
        f"unknown model or landmarker {name!r}. Models: {', '.join(models)}. Landmarkers: {', '.join(landmarkers)}"
    )


@dataclass
class ModelMethod:
    """A reconstructor: landmarks (those fixed on its mesh, where it has them) and the head's pose."""

    name: str
    choice: Choice

    @property
    def settings(self) -> dict[str, Any]:
        own = parse_options(self.choice.options)
        choice = self.choice
        return {"model": self.name, "options": own} | _detecting(choice.faces, choice.landmarker, choice.confidence)

    def answers(self, cases: Sequence[Case]) -> Iterator[Answer]:
        choice = self.choice
        portraits = [Portrait(case.name, case.image, case.box) for case in cases]
        with Predictor(
            self.name,
            device=choice.device,
            options=choice.options,
            batch_size=choice.batch_size,
            landmarker=choice.landmarker,
            confidence=choice.confidence,
            workers=choice.workers,
            boxes="crop" if choice.faces == LABELS else "choose",
        ) as predictor:
            for case, predicted in zip(cases, predictor.predict(portraits), strict=True):
                if predicted.error is not None:
                    yield _no_answer(case, predicted.error)
                else:
                    yield self._answer(case, predicted.face)

    @staticmethod
    def _answer(case: Case, face: Any) -> Answer:
        rotation = head_rotation(face)
        try:
            landmarks = ibug68_pixels(face)
        except UsageError:
            if rotation is None:
                raise
            landmarks = None
        return Answer(case.name, landmarks, rotation)


@dataclass
class LandmarkerMethod:
    """A landmarker: 68 points, its own or made of them."""

    name: str
    choice: Choice

    @property
    def settings(self) -> dict[str, Any]:
        return {"landmarker": self.name} | _detecting(self.choice.faces, None, self.choice.confidence)

    def answers(self, cases: Sequence[Case]) -> Iterator[Answer]:
        choice = LandmarkerChoice(self.name, self.choice.confidence, choose_device(self.choice.device))
        with _Landmarkers(choice) as landmarkers:
            if "ibug68" not in convertible_to(landmarkers.point_set):
                raise UsageError(f"{self.name} gives {landmarkers.point_set or 'no'} points, which 68 can't be made of")
            workers = self.choice.workers
            if workers is None:  # networks in torch use all cores by themselves
                workers = cpu_count() if landmarkers.point_set.startswith("mediapipe") else 1

            def look(case: Case) -> Face | None:
                image = read_image(case.image)
                if self.choice.faces == LABELS:
                    return face_near(landmarkers.detect, image, case.box)
                return best_match(landmarkers.detect(image), case.box)

            for outcome in parallel_map(look, cases, workers=workers):
                if outcome.error is not None:
                    yield _no_answer(outcome.item, outcome.error)
                elif outcome.value is None:
                    yield Answer(outcome.item.name, missing=NO_FACE)
                else:
                    points = convert(outcome.value.points, outcome.value.point_set, "ibug68")
                    yield Answer(outcome.item.name, points[:, :2])


def _detecting(faces: str, landmarker: str | None, confidence: float | None) -> dict[str, Any]:
    return {"faces": faces, "other_landmarker": landmarker, "confidence": confidence}


def _no_answer(case: Case, error: FacecliError) -> Answer:
    """Is it the picture that can't be read, or was no face found in it (or failed the method)?"""
    try:
        read_image(case.image)
    except InputError as broken:
        return Answer(case.name, error=broken)
    return Answer(case.name, missing=error.problem if isinstance(error, InputError) else str(error))


class _Landmarkers:
    """One landmarker a thread: each is used by one at a time."""

    def __init__(self, choice: LandmarkerChoice):
        self._choice, self._local, self._lock = choice, threading.local(), threading.Lock()
        self._made = [choice.make()]
        self._spare = list(self._made)
        self.point_set = self._made[0].point_set

    def __enter__(self) -> _Landmarkers:
        return self

    def __exit__(self, *_: object) -> None:
        for made in self._made:
            made.close()

    def detect(self, image: np.ndarray) -> list[Face]:
        if not hasattr(self._local, "landmarker"):
            with self._lock:
                if not self._spare:
                    self._made.append(self._choice.make())
                    self._spare.append(self._made[-1])
                self._local.landmarker = self._spare.pop()
        return self._local.landmarker.detect([image])[0]


# --- predictions in files --------------------------------------------------------------------------------------------


@dataclass
class FileMethod:
    """Predictions of somebody else's program: one `.npz` of all pictures, or a folder with a file a picture.

    An `.npz` of N pictures has any of ``landmarks`` [N, 68, 2 or 3] (or [N, 2 or 3, 68]) in pixels of the photograph,
    ``rotation`` [N, 3, 3], ``angles`` [N, 3] degrees (yaw, pitch, roll) with the labels' signs; and ``names`` [N] of
    the pictures, unless N is their number and they are in order. A folder has ``image00002.npz`` with the same arrays
    of one picture (or as `facecli preprocess landmarks` writes it), or ``image00002.npy`` or ``.txt`` (68 lines `x y`)
    with the landmarks alone.
    """

    path: Path
    names: Sequence[str] = ()

    @property
    def name(self) -> str:
        return self.path.stem if self.path.is_file() else self.path.name

    @property
    def settings(self) -> dict[str, Any]:
        return {"predictions": str(self.path)}

    def given(self, cases: Sequence[Case]) -> Iterator[tuple[Answer, np.ndarray | None]]:
        """Each case's answer, and angles [3] where the file gives these in place of a rotation.

        Raises:
            InputError: the file can't be used at all.
        """
        if not self.path.exists():
            raise InputError(self.path, "no such file or folder", "--predictions takes an .npz or a folder")
        read = self._from_folder if self.path.is_dir() else self._from_archive()
        for case in cases:
            try:
                found = read(case.name)
            except InputError as error:
                yield Answer(case.name, error=error), None
                continue
            if found is None:
                yield Answer(case.name, missing="no prediction in the file" if self.path.is_file() else "no file"), None
            else:
                yield _answer_of_arrays(case.name, found), found.get("angles")

    def _from_archive(self):
        arrays = _npz(self.path)
        arrays = {name: _checked(self.path, name, arrays[name], batch=True) for name in _SHAPES if name in arrays} | {
            "names": arrays.get("names")
        }
        counts = {len(value) for value in arrays.values() if value is not None}
        if set(arrays) == {"names"}:
            raise InputError(self.path, f"has none of {', '.join(_SHAPES)}", "see `facecli benchmark aflw2000 --help`")
        if len(counts) != 1:
            raise InputError(self.path, f"its arrays have different lengths: {sorted(counts)}")
        names = arrays.pop("names")
        if names is None:
            if counts != {len(self.names)}:
                problem = f"has {counts.pop()} rows, but the data set {len(self.names)} pictures"
                raise InputError(self.path, problem, "add `names`, one a row")
            names = self.names
        rows = {Path(str(name)).stem: row for row, name in enumerate(names)}

        def read(name: str) -> dict[str, np.ndarray] | None:
            return None if name not in rows else {key: value[rows[name]] for key, value in arrays.items()}

        return read

    def _from_folder(self, name: str) -> dict[str, np.ndarray] | None:
        path = self.path / f"{name}.npz"
        if path.exists():
            arrays = _npz(path)
            if {"points", "set"} <= arrays.keys():  # facecli's own
                from facecli.detect.formats import read_npz

                points = read_npz(path).as_set("ibug68")[0, 0]
                return None if np.isnan(points).any() else {"landmarks": points}
            found = {key: _checked(path, key, arrays[key], batch=False) for key in _SHAPES if key in arrays}
            if not found:
                raise InputError(path, f"has none of {', '.join(_SHAPES)}")
            return found
        if (path := path.with_suffix(".npy")).exists():
            return {"landmarks": _checked(path, "landmarks", _npy(path), batch=False)}
        if (path := path.with_suffix(".txt")).exists():
            from facecli.detect.formats import read_deca

            return {"landmarks": read_deca(path)}
        return None


_SHAPES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "landmarks": ((68, 2), (68, 3), (2, 68), (3, 68)),
    "rotation": ((3, 3),),
    "angles": ((3,),),
}


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile and numpy raise whatever the bytes lead to
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(path, f"can't be read as an .npz of arrays: {words}") from error


def _npy(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(path, f"can't be read as an array: {' '.join(str(error).split())}") from error


def _checked(path: Path, name: str, value: np.ndarray, *, batch: bool) -> np.ndarray:
    """Float64, landmarks as […, 68, 2]."""
    shape = value.shape[1:] if batch else value.shape
    if shape not in _SHAPES[name] or not np.issubdtype(value.dtype, np.number):
        lead = ["N"] if batch else []
        wanted = " or ".join("[" + ", ".join(map(str, [*lead, *shape])) + "]" for shape in _SHAPES[name])
        raise InputError(path, f"{name} has the shape {list(value.shape)}, not {wanted}")
    value = value.astype(np.float64)
    if name != "landmarks":
        return value
    return (value.swapaxes(-1, -2) if shape[-1] == 68 else value)[..., :2]


def _answer_of_arrays(name: str, found: Mapping[str, np.ndarray]) -> Answer:
    """Rows of NaN are what a program writes where it found no face."""
    there = {key: value for key, value in found.items() if np.isfinite(value).all()}
    if not there:
        return Answer(name, missing="NaN in the file")
    return Answer(name, there.get("landmarks"), there.get("rotation"))
