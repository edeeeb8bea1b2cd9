"""Predictions in the benchmark's layout: finding anybody's, and writing our models' so that a killed run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facecli.benchmark.choice import ModelChoice
from facecli.benchmark.now.dataset import Case, NowFolder
from facecli.errors import FacecliError, InputError, UsageError
from facecli.io.arrays import write_npy
from facecli.io.atomic import atomic_write, remove_leftovers

if TYPE_CHECKING:
    from facecli.benchmark.predict import Predicted, Predictor
    from facecli.plugin import Reconstruction

UNITS = ("mm", "cm", "m")
MESH_SUFFIXES = (".obj", ".ply")
LANDMARK_SUFFIXES = (".npy", ".txt")
"""In the official order of preference."""

SETTINGS_FILE = ".facecli-predictions.json"


@dataclass(frozen=True)
class Prediction:
    """The files of one image; None where there is none."""

    mesh: Path | None
    landmarks: Path | None


@dataclass(frozen=True)
class Method:
    """A folder of predictions to be evaluated.

    Args:
        name: in tables and file names.
        folder: with ``subject/challenge/stem.obj`` or ``.ply`` and ``.npy`` or ``.txt``.
        unit: of its meshes; only the metrical protocol asks.
        notes: what is to be known of all its predictions.
        reasons: case name -> why our model made no prediction.
    """

    name: str
    folder: Path
    unit: str = "m"
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    def find(self, case: Case) -> Prediction:
        """The files of a case: OBJ wins over PLY, NPY over TXT."""
        return Prediction(self._first(case, MESH_SUFFIXES), self._first(case, LANDMARK_SUFFIXES))

    def _first(self, case: Case, suffixes: tuple[str, ...]) -> Path | None:
        # Not with_suffix: stems may have dots.
        paths = (self.folder / case.subject / case.challenge / f"{case.stem}{suffix}" for suffix in suffixes)
        return next((path for path in paths if path.is_file()), None)


def parse_methods(words: Iterable[str], unit: str) -> list[Method]:
    """Methods of ``DIR`` or ``NAME=DIR``; a folder without a name is called as it is.

    Raises:
        UsageError: no such folder.
    """
    if unit not in UNITS:
        raise UsageError(f"--unit is {', '.join(UNITS)}, not {unit!r}")
    methods = []
    for word in words:
        name, equals, folder = ("", "", word) if Path(word).is_dir() else word.partition("=")
        path = Path(folder if equals else word)
        if not path.is_dir():
            raise UsageError(f"--predictions {word}: no such folder")
        methods.append(Method(check_name(name if equals else path.resolve().name), path, unit))
    return methods


def check_name(name: str) -> str:
    """A method's name becomes part of file names.

    Raises:
        UsageError: it can't.
    """
    if not name or name.startswith(".") or any(sign in name for sign in '/\\:*?"<>|\0') or not name.isprintable():
        raise UsageError(f"{name!r} can't be a method's name, since files are called by it: write NAME=FOLDER")
    return name


def check_methods(methods: Sequence[Method]) -> None:
    """Raises UsageError where two methods have one name (or differ in case alone, which some disks don't tell)."""
    seen: dict[str, Method] = {}
    for method in methods:
        other = seen.setdefault(method.name.casefold(), method)
        if other is not method:
            raise UsageError(
                f"two methods are called {method.name} ({other.folder} and {method.folder}): write NAME=FOLDER"
            )


# --- our models' -----------------------------------------------------------------------------------------------------


def stamp(choice: ModelChoice) -> dict[str, Any]:
    """What the predictions depend on: those made with another stamp are made again."""
    return {
        "model": choice.model,
        "options": sorted(choice.options),
        "landmarker": choice.landmarker,
        "expression": "none",
        "unit": "mm",
    }


class ModelFolder:
    """The predictions of one of our models, ``subject/challenge/stem.ply`` and ``.npy`` in millimetres.

    The landmarks are written last: where they are, the prediction is whole.
    """

    def __init__(self, folder: Path, choice: ModelChoice):
        self.folder, self.choice = folder, choice
        known = self._read()
        self.notes: tuple[str, ...] = tuple(known.get("notes", ()))
        self.is_stale = bool(known) and known.get("stamp") != stamp(choice)
        self.is_foreign = not known and folder.is_dir() and any(folder.iterdir())

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / SETTINGS_FILE).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def pending(self, cases: Sequence[Case], *, overwrite: bool = False) -> list[Case]:
        """The cases that have no prediction yet.

        Raises:
            UsageError: the folder holds files that are none of ours.
        """
        if self.is_foreign:
            raise UsageError(
                f"{self.folder} holds files that facecli didn't write: choose another place with -o, or evaluate them "
                f"with --predictions"
            )
        if overwrite or self.is_stale:
            return list(cases)
        return [case for case in cases if not self._landmarks(case).is_file()]

    def begin(self, notes: Iterable[str]) -> None:
        """Predictions are about to be written; those of another choice go."""
        if self.is_stale:
            for path in self.folder.glob("*/*/*"):
                if path.suffix in (".npy", ".ply"):
                    path.unlink()
            self.is_stale = False
        self.note(notes)
        for folder in self.folder.glob("*/*"):
            remove_leftovers(folder)

    def note(self, notes: Iterable[str]) -> None:
        """Write down how the predictions are made, and what is to be known of them."""
        self.notes = tuple(notes)
        content = json.dumps({"stamp": stamp(self.choice), "notes": self.notes}, indent=1) + "\n"
        with atomic_write(self.folder / SETTINGS_FILE) as temporary:
            temporary.write_text(content, "utf-8")

    def write(self, case: Case, reconstruction: Reconstruction) -> None:
        """Write one face ([1, ...], millimetres).

        Raises:
            InputError: the model's mesh or landmarks can't be scored.
            UsageError: the model gives no points that NoW's seven could be taken from.
            OutputError: the place can't be written to.
        """
        from facecli.benchmark.predict import now_landmarks
        from facecli.export.ply import write_ply
        from facecli.geometry.mesh import TriangleMesh

        vertices = reconstruction.vertices[0].detach().cpu().numpy()
        landmarks = np.asarray(now_landmarks(reconstruction), np.float32)
        if not (np.isfinite(vertices).all() and np.isfinite(landmarks).all()):
            raise InputError(case.line, f"{self.choice.model} gave a mesh with numbers that are not finite")
        self._landmarks(case).unlink(missing_ok=True)  # --overwrite: now the old mesh counts as unfinished
        write_ply(self._mesh(case), TriangleMesh(vertices, reconstruction.triangles.cpu().numpy()))
        write_npy(self._landmarks(case), landmarks)

    def forget(self, case: Case) -> None:
        """Remove the case's prediction of an earlier run, which this one couldn't make again."""
        self._landmarks(case).unlink(missing_ok=True)
        self._mesh(case).unlink(missing_ok=True)

    def _mesh(self, case: Case) -> Path:
        return self._landmarks(case).with_name(f"{case.stem}.ply")

    def _landmarks(self, case: Case) -> Path:
        return self.folder / case.subject / case.challenge / f"{case.stem}.npy"

    def method(self, reasons: Mapping[str, str]) -> Method:
        return Method(self.choice.model, self.folder, "mm", self.notes, dict(reasons))


@dataclass(frozen=True)
class Made:
    """What became of one image: `error` says why there is no prediction."""

    case: Case
    error: FacecliError | None = None


def predict(data: NowFolder, cases: Sequence[Case], folder: ModelFolder, predictor: Predictor) -> Iterator[Made]:
    """Reconstruct the cases at rest, from the authors' face boxes, and write them; as they are done."""
    from facecli.benchmark.predict import Portrait

    by_name = {case.name: case for case in cases}
    without_box: list[Made] = []

    def portraits() -> Iterator[Portrait]:
        for case in cases:
            try:
                box = data.box(case)
            except InputError as error:
                without_box.append(Made(case, error))
                continue
            yield Portrait(case.name, data.image(case), box)

    for predicted in predictor.predict(portraits(), neutral=True):
        while without_box:
            yield _kept_or_forgotten(folder, without_box.pop(0))
        yield _kept_or_forgotten(folder, _made(folder, by_name[predicted.portrait.name], predicted))
    for made in without_box:
        yield _kept_or_forgotten(folder, made)


def _kept_or_forgotten(folder: ModelFolder, made: Made) -> Made:
    if made.error is not None:
        folder.forget(made.case)
    return made


def _made(folder: ModelFolder, case: Case, predicted: Predicted) -> Made:
    if predicted.error is not None:
        return Made(case, predicted.error)
    try:
        folder.write(case, predicted.neutral)
    except InputError as error:
        return Made(case, error)
    return Made(case)
