"""The folder of the NoW data set: lists, photographs, face boxes, scans and their landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.errors import InputError, MissingAssetError, UsageError
from facecli.io.filetypes import input_error
from facecli.io.safe_pickle import load_object_npy

CHALLENGES = ("multiview_neutral", "multiview_expressions", "multiview_occlusions", "selfie")
LISTS = {"val": "imagepathsvalidation.txt", "test": "imagepathstest.txt"}
PICTURES, BOXES, SCANS, SCAN_LANDMARKS = "iphone_pictures", "detected_face", "scans", "scans_lmks_onlypp"
LEVELS = ("NoW_Dataset/final_release_version", "final_release_version", "NoW_Dataset")
"""Folders in which parts of the data set lie, below the one that the lists are in; or they lie in that one."""

HOMEPAGE = "https://now.is.tue.mpg.de"
_MEND = f"download it from {HOMEPAGE} after registration"


@dataclass(frozen=True)
class Case:
    """One image of the benchmark, a line of the list."""

    subject: str
    challenge: str
    file: str

    @property
    def stem(self) -> str:
        return Path(self.file).stem

    @property
    def name(self) -> str:
        """``subject/challenge/stem``: the path of its predictions without suffix, and its name in all results."""
        return f"{self.subject}/{self.challenge}/{self.stem}"

    @property
    def line(self) -> str:
        """``subject/challenge/file.jpg``, as the lists have it."""
        return f"{self.subject}/{self.challenge}/{self.file}"


def parse_case(line: str, source: str) -> Case:
    """The last three components of a path are subject, challenge and file.

    Raises:
        InputError: there are fewer, or one that is no name; `source` is where the line stands.
    """
    parts = line.replace("\\", "/").split("/")
    if len(parts) < 3 or any(part.strip() in ("", ".", "..") or "\0" in part for part in parts[-3:]):
        raise InputError(source, f"{line[:80]!r} names no image", "a line is <subject>/<challenge>/<file>.jpg")
    return Case(*parts[-3:])


@dataclass(frozen=True)
class NowFolder:
    """Where the parts of the data set are. Paths need not exist.

    Args:
        root: the folder as the official script takes it; one with only the lower levels will do, too.
        image_set: ``"val"`` or ``"test"``.
        list_path, scan_folder, landmark_folder: other places than the folder's own.
    """

    root: Path
    image_set: str = "val"
    list_path: Path | None = None
    scan_folder: Path | None = None
    landmark_folder: Path | None = None

    def __post_init__(self):
        if self.image_set not in LISTS:
            raise UsageError(f"--set is {' or '.join(LISTS)}, not {self.image_set!r}")
        if not self.root.is_dir():
            raise MissingAssetError(f"{self.root}: no such folder; --data is the one with the NoW data set ({_MEND})")

    # --- the list ----------------------------------------------------------------------------------------------------

    @property
    def listed_in(self) -> Path:
        """The list's file."""
        return self.list_path or self._part(LISTS[self.image_set])

    def cases(self, challenge: str | None = None) -> list[Case]:
        """The images in the order of the list, each once, of one challenge or of all.

        Raises:
            MissingAssetError: there is no list.
            InputError: it can't be read, or names no image where it should.
            UsageError: there is no such challenge, or no image of it.
        """
        if challenge is not None and challenge not in CHALLENGES:
            raise UsageError(f"--challenge is one of {', '.join(CHALLENGES)}, not {challenge!r}")
        path = self.listed_in
        try:
            lines = path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            raise MissingAssetError(f"{path}: no such file; it lists the images ({_MEND})") from None
        except (OSError, UnicodeDecodeError) as error:
            raise input_error(path, error) from error
        named = enumerate((line.strip() for line in lines), 1)
        cases = [parse_case(line, f"{path}: line {number}") for number, line in named if line]
        cases = [case for case in dict.fromkeys(cases) if challenge in (None, case.challenge)]
        if not cases:
            raise InputError(path, "lists no image" + (f" of {challenge}" if challenge else ""))
        _check_names(path, cases)
        return cases

    # --- what belongs to an image ------------------------------------------------------------------------------------

    def image(self, case: Case) -> Path:
        return self._part(PICTURES) / case.line

    def box_path(self, case: Case) -> Path:
        return self._part(BOXES) / case.subject / case.challenge / f"{case.stem}.npy"

    def box(self, case: Case) -> np.ndarray:
        """[4] left, top, right, bottom in pixels: the face as the benchmark's authors detected it.

        Raises:
            InputError: there is no such file, or something else in it.
        """
        path = self.box_path(case)
        content = load_object_npy(path)
        if isinstance(content, np.ndarray) and content.size == 1:
            content = content.item()
        sides = ("left", "top", "right", "bottom")
        try:
            box = np.array([np.asarray(content[side], np.float64).item() for side in sides])
        except (KeyError, IndexError, TypeError, ValueError):
            raise InputError(path, "holds no box", "a dictionary of left, top, right and bottom") from None
        if not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
            raise InputError(path, f"holds a box without an area: {', '.join(f'{side:g}' for side in box)}")
        return box

    def scan(self, subject: str) -> Path | None:
        """The first mesh in the subject's folder of scans, None if there is none."""
        return _first(self.scans / subject, "*.obj")

    def scan_landmarks(self, subject: str) -> Path | None:
        """The first file of picked points in the subject's folder of them, None if there is none."""
        return _first(self.landmarks / subject, "*.pp")

    @property
    def scans(self) -> Path:
        return self.scan_folder or self._part(SCANS)

    @property
    def landmarks(self) -> Path:
        return self.landmark_folder or self._part(SCAN_LANDMARKS)

    # --- what must be there ------------------------------------------------------------------------------------------

    def require_pictures(self) -> None:
        """Raises MissingAssetError that names what the reconstruction needs and isn't there."""
        wanted = {self._part(PICTURES): "the photographs", self._part(BOXES): "the faces' boxes"}
        self._require(wanted)

    def require_scans(self) -> None:
        """Raises MissingAssetError that names what the evaluation needs and isn't there."""
        self._require({self.scans: "the scans", self.landmarks: "the scans' landmarks (.pp)"})

    def has_scans(self, cases: list[Case]) -> bool:
        """Whether any of the cases' subjects was scanned: the test set's scans are not public."""
        return any(self.scan(subject) for subject in dict.fromkeys(case.subject for case in cases))

    def _require(self, wanted: Mapping[Path, str]) -> None:
        missing = [f"{path} ({words})" for path, words in wanted.items() if not path.is_dir()]
        if missing:
            raise MissingAssetError(f"the NoW data set is not whole; no such folder: {', '.join(missing)} ({_MEND})")

    def _part(self, name: str) -> Path:
        """Where the folder or file `name` is; if nowhere, where the official script would look for it."""
        for place in self._places():
            if (place / name).exists():
                return place / name
        deep = name in (PICTURES, BOXES)
        return self.root / LEVELS[0] / name if deep else self.root / name

    def _places(self) -> list[Path]:
        """The root, the levels below it, and the levels above where the root itself is one of the lower ones."""
        above = {"final_release_version": 2, "NoW_Dataset": 1}.get(self.root.resolve().name, 0)
        parents = list(self.root.resolve().parents)[:above]
        return [self.root, *(self.root / level for level in LEVELS), *parents]


def _first(folder: Path, pattern: str) -> Path | None:
    """The first of the sorted matches, so that every machine takes the same."""
    return min(folder.glob(pattern), default=None)


def _check_names(path: Path, cases: list[Case]) -> None:
    """Two images of one name would share their predictions."""
    lines: dict[str, str] = {}
    for case in cases:
        other = lines.setdefault(case.name, case.line)
        if other != case.line:
            raise InputError(path, f"lists both {other} and {case.line}, which would have the same prediction")
