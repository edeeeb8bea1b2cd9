"""The folder of AFLW2000-3D: pictures, `.mat` files, and the `.npy` files that evaluation programs keep beside them.

The `.npy` files are used where they are found and rebuilt from the `.mat` files where not; the re-annotated landmarks
are in no `.mat`. Their rows go by the names of the pictures, sorted, unless `AFLW2000-3D_crop.list` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecli.benchmark.aflw2000 import alignment, head_pose
from facecli.errors import FacecliError, InputError, MissingAssetError, UsageError
from facecli.io.filetypes import check_file
from facecli.io.images import image_size

LIST = "AFLW2000-3D_crop.list"
LANDMARKS = {"original": "AFLW2000-3D.pts68.npy", "reannotated": "AFLW2000-3D-Reannotated.pts68.npy"}
YAW = "AFLW2000-3D.pose.npy"
POSE, SKIP = "ALFW2000-3D_pose_3ANG_excl.npy", "ALFW2000-3D_pose_3ANG_skip.npy"  # [sic]
ROI = "AFLW2000-3D_crop.roi_box.npy"

LABELS = tuple(LANDMARKS)
PICTURES = (".jpg", ".jpeg", ".png")

WHERE = "in aflw2000_data/eval of SynergyNet's download and in test.configs of github.com/cleardusk/3DDFA"
OTHER_ORDER = 0.25
"""Mean error of one set of labels against the other, above which their rows can't belong together."""


@dataclass
class Aflw2000:
    """N images in the order of the `.npy` files; NaN where a label is not known.

    Args:
        folder: as the user named it.
        names: [N] ``"image00002"``, …
        images: [N] paths; a picture may not be there.
        landmarks: set of labels (``"original"``, ``"reannotated"``) -> [N, 68, 2] pixels, y down.
        yaw: [N] degrees, for the bins.
        angles: [N, 3] degrees (yaw, pitch, roll); NaN for images that are not judged.
        roi: [N, 4] boxes of 3DDFA's crops, or None without their file.
        sources: what was read from where, for people: ``{"landmarks, original": "AFLW2000-3D.pts68.npy", …}``.
        problems: of single files; what they hold was left out.
        notes: what else is to be known.
    """

    folder: Path
    names: list[str]
    images: list[Path]
    landmarks: dict[str, np.ndarray]
    yaw: np.ndarray
    angles: np.ndarray
    roi: np.ndarray | None = None
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[FacecliError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def boxes(self) -> np.ndarray:
        """[N, 4] (x0, y0, x1, y1) around the landmarks of the first set of labels that knows an image."""
        found = np.full((len(self), 4), np.nan)
        for points in self.landmarks.values():
            unknown = np.isnan(found).any(1)
            found[unknown] = alignment.boxes(points[unknown])
        return found


def read(
    folder: Path, *, labels: Sequence[str] = LABELS, eval_files: Path | None = None, limit: int | None = None
) -> Aflw2000:
    """The data set in `folder`.

    Args:
        labels: wanted sets of landmarks. The re-annotated ones are left out with a note where their file is missing,
            unless they are all that is wanted.
        eval_files: where the `.npy` files are, if not in `folder`, or in `eval` in it or beside it.
        limit: the first so many images.

    Raises:
        UsageError: there is no such folder, or no picture in it.
        MissingAssetError: only re-annotated landmarks are wanted, and their file isn't there.
        InputError: the pictures are not those that the labels belong to.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: no such folder (--data takes the folder with AFLW2000-3D's pictures and .mat files)"
        )
    return _Reader(folder, eval_files).read(labels, limit)


class _Reader:
    """One pass over the folder; collects problems on its way."""

    def __init__(self, folder: Path, eval_files: Path | None):
        self.folder = folder
        if eval_files is not None and not eval_files.is_dir():
            raise UsageError(f"{eval_files}: no such folder (--eval-files takes the folder with the .npy files)")
        self.places = [eval_files] if eval_files else [folder, folder / "eval", folder.parent / "eval"]
        self.sources: dict[str, str] = {}
        self.problems: list[FacecliError] = []
        self.notes: list[str] = []

    def read(self, labels: Sequence[str], limit: int | None) -> Aflw2000:
        names, images = self._cases()
        self.count, self.kept = len(names), slice(limit)
        mats = _MatFiles(self.folder, names[self.kept], self.problems)
        landmarks = {name: points for name in labels if (points := self._landmarks(name, mats)) is not None}
        if not landmarks:
            where = self.places[0]
            raise MissingAssetError(
                f"{where}: the re-annotated landmarks are in no .mat: put {LANDMARKS['reannotated']} there ({WHERE})"
            )
        found = Aflw2000(
            self.folder, names[self.kept], images[self.kept], landmarks, self._yaw(mats), self._angles(mats),
            self._roi(), self.sources, self.problems, self.notes,
        )  # fmt: skip
        self._check_order(landmarks)
        _check_pictures(found)
        return found

    def _cases(self) -> tuple[list[str], list[Path]]:
        """Names and pictures, as the list says, else sorted; a picture or a `.mat` alone is a case, too."""
        pictures = {path.stem: path for path in sorted(self.folder.iterdir()) if path.suffix.lower() in PICTURES}
        if not pictures:
            raise UsageError(f"{self.folder}: holds no pictures (image00002.jpg, …)")
        path = self._find(LIST)
        if path is None:
            names = sorted(pictures.keys() | {path.stem for path in self.folder.glob("*.mat")})
        else:
            self.sources["order"] = LIST
            words = path.read_text(encoding="utf-8", errors="replace").split()
            names = [Path(word).stem for word in words]
        return names, [pictures.get(name, self.folder / f"{name}.jpg") for name in names]

    def _landmarks(self, name: str, mats: _MatFiles) -> np.ndarray | None:
        """[N, 68, 2], or None where the re-annotated ones are not there."""
        array = self._array(LANDMARKS[name], [(3, 68), (2, 68), (68, 3), (68, 2)])
        if array is not None:
            self.sources[f"landmarks, {name}"] = LANDMARKS[name]
            points = array if array.shape[1] == 68 else array.transpose(0, 2, 1)
            return points[self.kept, :, :2]
        if name == "reannotated":
            self.notes.append(f"no re-annotated landmarks: they are in no .mat, but in {LANDMARKS[name]} ({WHERE})")
            return None
        self.sources[f"landmarks, {name}"] = ".mat files, pt3d_68"
        return mats.landmarks()[..., :2]

    def _yaw(self, mats: _MatFiles) -> np.ndarray:
        array = self._array(YAW, [()])
        if array is not None:
            self.sources["yaw of the bins"] = YAW
            return array[self.kept]
        self.sources["yaw of the bins"] = ".mat files, Pose_Para"
        self.notes.append(
            f"yaw bins by the .mat files; the programs of 3DDFA_V2 and SynergyNet take {YAW} ({WHERE}), which puts "
            "some images elsewhere (1312, 383, 305 images)"
        )
        return mats.angles()[:, 0]

    def _angles(self, mats: _MatFiles) -> np.ndarray:
        """[N, 3] yaw, pitch, roll of the images that count."""
        skip = self._array(SKIP, [()], rows=None)
        rest = None if skip is None else self._array(POSE, [(3,)], rows=self.count - len(skip))
        if rest is not None:
            self.sources["head pose"] = POSE
            angles = np.full((self.count, 3), np.nan)
            angles[np.setdiff1d(np.arange(self.count), skip.astype(int))] = rest[:, [1, 0, 2]]
            return angles[self.kept]
        self.sources["head pose"] = ".mat files, Pose_Para"
        angles = mats.angles()
        return np.where(head_pose.judged(angles)[:, None], angles, np.nan)

    def _roi(self) -> np.ndarray | None:
        roi = self._array(ROI, [(4,)])
        return None if roi is None else roi[self.kept]

    def _array(self, name: str, shapes: Iterable[tuple[int, ...]], rows: int | None = -1) -> np.ndarray | None:
        """The float64 array in the file `name`, one row a picture (or as many as `rows` says; None: any).

        None where it isn't there, or holds something else: that is a problem, and told.
        """
        path = self._find(name)
        if path is None:
            return None
        rows = self.count if rows == -1 else rows
        try:
            return _checked_npy(path, shapes, rows)
        except InputError as error:
            self.problems.append(error)
            return None

    def _find(self, name: str) -> Path | None:
        return next((path for place in self.places if (path := place / name).exists()), None)

    def _check_order(self, landmarks: dict[str, np.ndarray]) -> None:
        if len(landmarks) < 2:
            return
        difference = np.nanmean(alignment.nme(landmarks["reannotated"], landmarks["original"]))
        if difference > OTHER_ORDER:
            self.problems.append(
                InputError(
                    self._find(LANDMARKS["reannotated"]),
                    f"lies {100 * difference:.0f} % off the original landmarks on average",
                    f"are its rows in another order than the pictures? {LIST} would tell",
                )
            )
            del landmarks["reannotated"]


class _MatFiles:
    """What the `.mat` files of the cases say; read once, when first asked for."""

    def __init__(self, folder: Path, names: Sequence[str], problems: list[FacecliError]):
        self.folder, self.names, self.problems = folder, names, problems
        self._read: tuple[np.ndarray, np.ndarray] | None = None

    def landmarks(self) -> np.ndarray:
        """[N, 68, 3] pixels."""
        return self._all()[0]

    def angles(self) -> np.ndarray:
        """[N, 3] degrees (yaw, pitch, roll)."""
        return self._all()[1]

    def _all(self) -> tuple[np.ndarray, np.ndarray]:
        if self._read is None:
            landmarks, angles = np.full((len(self.names), 68, 3), np.nan), np.full((len(self.names), 3), np.nan)
            for row, name in enumerate(self.names):
                try:
                    landmarks[row], angles[row] = read_mat(self.folder / f"{name}.mat")
                except InputError as error:
                    self.problems.append(error)
            self._read = landmarks, angles
        return self._read


def read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A `.mat` file's landmarks [68, 3] in pixels (y down) and angles [3] in degrees (yaw, pitch, roll).

    Raises:
        InputError: missing, no MATLAB 5 file, or without `pt3d_68` [3, 68] and `Pose_Para` [1, 7].
    """
    from scipy.io import loadmat

    check_file(path)
    try:
        content = loadmat(path, variable_names=["pt3d_68", "Pose_Para"])
    except NotImplementedError:
        raise InputError(path, "is a MATLAB 7.3 file", "save it again with -v7") from None
    except Exception as error:  # scipy raises whatever the broken bytes lead to
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(path, f"can't be read as a MATLAB file: {words}", "copy or unpack it again") from error
    points = _checked(path, "pt3d_68", content.get("pt3d_68"), (3, 68))
    pitch, yaw, roll = _checked(path, "Pose_Para", content.get("Pose_Para"), (1, 7))[0, :3]
    return points.T, np.degrees([yaw, pitch, roll])


def _checked(path: Path, name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    if value is None:
        raise InputError(path, f"has no {name}", "the .mat files of AFLW2000-3D do")
    value = np.asarray(value)
    if value.shape != shape or not np.issubdtype(value.dtype, np.number):
        raise InputError(path, f"{name} has the shape {list(value.shape)}, not {list(shape)}")
    if not np.isfinite(value).all():
        raise InputError(path, f"{name} is not finite")
    return value.astype(np.float64)


def _checked_npy(path: Path, shapes: Iterable[tuple[int, ...]], rows: int | None) -> np.ndarray:
    """float64 [rows, *one of `shapes`].

    Raises:
        InputError: it is something else.
    """
    check_file(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        words = " ".join(str(error).split())
        raise InputError(path, f"can't be read as an array: {words}", "copy or download it again") from error
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.number):
        raise InputError(path, "holds no numbers")
    shapes = list(shapes)
    if array.shape[1:] not in shapes:
        wanted = " or ".join(str(["N", *shape]).replace("'", "") for shape in shapes)
        raise InputError(path, f"has the shape {list(array.shape)}, not {wanted}")
    if rows is not None and len(array) != rows:
        raise InputError(
            path, f"has {len(array)} rows, not {rows}", f"one a picture; {LIST} beside it would tell which"
        )
    return array.astype(np.float64)


def _check_pictures(data: Aflw2000) -> None:
    """Do the labels lie in the pictures? The 120×120 crops of the evaluation programs have the same names."""
    for path, box in zip(data.images, data.boxes, strict=True):
        if not path.exists() or not np.isfinite(box).all():
            continue
        try:
            width, height = image_size(path)
        except InputError:
            continue
        x, y = (box[:2] + box[2:]) / 2
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(
                path,
                f"its label's middle ({x:.0f}, {y:.0f}) lies outside its {width}×{height} pixels",
                "--data takes AFLW2000-3D's own pictures of 450×450 pixels, not the programs' crops",
            )
        return
