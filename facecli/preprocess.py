"""Faces found in pictures and videos, written as landmark files or as FFHQ-aligned pictures.

Pictures are decoded and landmarked in worker processes that keep one detector each; a video's frames are decoded once,
in a thread, and shared among the workers. Results come in the order of the inputs, and an error stays with its input.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecli import registry
from facecli.align import AlignError, align_face
from facecli.detect.face import Face, largest_first
from facecli.detect.formats import Landmarks, check_layout, layout, output_paths, write_layout
from facecli.detect.landmarks import convert, convertible_to
from facecli.detect.tracking import describe
from facecli.detect.video_landmarks import VideoLandmarks
from facecli.detect.within_boxes import landmarker_within
from facecli.errors import FacecliError, InputError, UsageError
from facecli.export.face_json import to_jsonable
from facecli.io.images import read_image, write_image
from facecli.io.journal import Entry, Journal
from facecli.io.sources import OutputNames, Source, expand_sources
from facecli.io.video import VideoReader
from facecli.pipeline import Outcome, cpu_count, parallel_map, prefetch
from facecli.plugin import Landmarker

FEW_INPUTS = 4
"""Up to so many pictures are done before worker processes have started (about 3 s each)."""

FRAMES_AHEAD = 4
"""Decoded frames that wait for a worker; more would only cost memory."""


_FIND_MORE = "try a lower --confidence or another --landmarker"


@dataclass(frozen=True)
class LandmarkerChoice:
    """Which landmarker to make, in each worker process.

    Args:
        name: as in the registry.
        confidence: least confidence of a face; None leaves the landmarker's own default.
        device: "cpu", "cuda", …
        track: follow faces through a video instead of detecting in every frame.
        options: the landmarker's own options.
        detector: says which faces there are, and `confidence` is its; the landmarker looks within its boxes.
    """

    name: str = "mediapipe"
    confidence: float | None = None
    device: str = "cpu"
    track: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    detector: str | None = None

    def make(self, *, track: bool = False) -> Landmarker:
        """A new landmarker.

        Raises:
            UsageError: it doesn't take one of the options. (And what the registry raises.)
        """
        if self.detector is not None:
            if self.track:
                raise UsageError("--track goes without --detector: who is followed is not detected again")
            return landmarker_within(
                self.detector, self.name, self.options, confidence=self.confidence, device=self.device
            )
        options = dict(self.options) | {"device": self.device}
        if self.confidence is not None:
            options["confidence"] = self.confidence
        if track:
            options["track"] = True
        return registry.landmarker(self.name, **options)

    def settings(self) -> dict[str, Any]:
        """What results depend on."""
        settings = {
            "landmarker": self.name,
            "confidence": self.confidence,
            "track": self.track,
            "options": dict(self.options),
        }
        return settings if self.detector is None else settings | {"detector": self.detector}


@dataclass
class Result:
    """What became of one input.

    Args:
        name: the input as the user named it.
        files: written files (existing ones, if `skipped`).
        faces: a JSON-ready dictionary for each face.
        skipped: its files were there already.
        error: what went wrong, if anything; a video that ends too early has files *and* an error.
    """

    name: str
    files: list[Path] = field(default_factory=list)
    faces: list[dict[str, Any]] = field(default_factory=list)
    skipped: bool = False
    error: FacecliError | None = None


# --- landmarks -------------------------------------------------------------------------------------------------------


def extract_landmarks(
    inputs: Sequence[str],
    output: str | Path,
    *,
    landmarker: LandmarkerChoice | None = None,
    layout_name: str = "npz",
    faces: str | int = "largest",
    recursive: bool = False,
    workers: int | None = 0,
    overwrite: bool = False,
    on_frame: Callable[[str, int, int | None], None] | None = None,
) -> Iterator[Result]:
    """Landmark files of pictures and videos, below the folder `output`, whose tree follows that of the inputs.

    Args:
        inputs: files, folders, globs, or "-" for a list on standard input.
        landmarker: default MediaPipe.
        layout_name: a key of :data:`facecli.detect.formats.LAYOUTS`.
        faces: "largest", "all", or the number of faces to keep of each picture, largest first.
        recursive: look into folders inside folders.
        workers: processes; 0 works in this one; None decides by the landmarker and the number of inputs.
        overwrite: do again what exists.
        on_frame: called for each frame of a video with the video's name, its number, and how many are expected.

    Yields:
        a :class:`Result` for each input, in order.

    Raises:
        UsageError, MissingAssetError: before any work, what makes all of it impossible.
        OutputError: the output folder can't be written to.
    """
    chosen = landmarker or LandmarkerChoice()
    made = chosen.make()
    journal = Journal(output)
    writer = _LandmarkWriter(journal, layout_name, made.point_set, faces)
    tasks = _Tasks(
        inputs,
        recursive,
        journal,
        writer.places,
        settings={**chosen.settings(), "layout": layout_name, "faces": str(faces)},
        overwrite=overwrite,
        no_videos="" if layout(layout_name).videos else f"--as {layout_name} has no place for videos",
    )
    with contextlib.closing(writer):
        for outcome in _run(_landmark, tasks, chosen, made, workers):
            if on_frame is not None and isinstance(outcome.item, _Frame):
                on_frame(outcome.item.name, outcome.item.index, outcome.item.expected)
            result = writer.take(outcome)
            if result is not None:
                yield result


class _LandmarkWriter:
    """Turns the outcomes of :func:`_landmark` into files, one input after the other.

    Raises:
        UsageError: the layout can't hold what is wanted.
    """

    def __init__(self, journal: Journal, layout_name: str, point_set: str, faces: str | int):
        self.journal, self.layout_name, self.point_set, self.faces = journal, layout_name, point_set, faces
        self.face_axis = _many(faces)
        self._video: VideoLandmarks | None = None
        self._video_error: FacecliError | None = None
        check_layout(layout_name, point_set, many_faces=self.face_axis)

    def places(self, name: Path, video: bool) -> list[Path]:
        """Where an input's files will be, below the output folder."""
        return output_paths(self.layout_name, self.point_set, name, video)

    def take(self, outcome: Outcome) -> Result | None:
        """The next outcome, in order; gives a result when an input is finished."""
        task = outcome.item
        if isinstance(task, _VideoStart):
            self._video, self._video_error = VideoLandmarks(task.size, task.fps), None
        elif isinstance(task, _Frame):
            self._add(task, outcome)
        elif isinstance(task, _VideoEnd):
            return self._finish_video(task)
        elif outcome.error is not None:
            return Result(task.name, error=outcome.error)
        elif isinstance(task, _Done):
            return task.result
        else:
            return self._picture(task, *outcome.value)
        return None

    def close(self) -> None:
        if self._video is not None:
            self._video.close()

    def _picture(self, task: _Picture, found: list[Face], size: tuple[int, int]) -> Result:
        kept = largest_first(found, self.faces)
        if not kept:
            return Result(task.name, error=_no_face(task.name))
        files = self._write(task.output, Landmarks.of_picture(kept, self.point_set, size))
        faces = [_face_record(task.name, number, face, landmarks=files) for number, face in enumerate(kept)]
        return _noted(self.journal, task.stamp, Result(task.name, files, faces))

    def _add(self, frame: _Frame, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._video_error = self._video_error or outcome.error
        else:
            self._video.add(frame.time, *outcome.value)

    def _finish_video(self, end: _VideoEnd) -> Result:
        with contextlib.closing(self._video) as video:
            if self._video_error is not None:
                return Result(end.name, error=self._video_error)
            if not video:
                problem = f"no face found in any of its {len(video.times)} frames"
                return Result(end.name, error=InputError(end.name, problem, _FIND_MORE))
            landmarks = video.landmarks(self.point_set, self.faces)
            files = self._write(end.output, landmarks)
        error = InputError(end.name, end.problem, "the landmarks up to there were written") if end.problem else None
        result = Result(end.name, files, _video_records(end.name, landmarks, files), error=error)
        return _noted(self.journal, end.stamp, result)

    def _write(self, name: Path, landmarks: Landmarks) -> list[Path]:
        self.journal.begin(self.places(name, landmarks.is_video))
        return write_layout(self.layout_name, self.journal.root, name, landmarks, face_axis=self.face_axis)


def _noted(journal: Journal, stamp: dict[str, Any], result: Result) -> Result:
    """Notes that an input is done, with what was said of it: the next run says it again."""
    error = result.error
    words = (error.problem, error.mend) if isinstance(error, InputError) else ("", "")
    files = [path.relative_to(journal.root).as_posix() for path in result.files]
    journal.done(Entry(files, stamp, result.faces, *words))
    return result


def _many(faces: str | int) -> bool:
    """May `faces` be more than one a picture?"""
    return faces == "all" or (faces != "largest" and int(faces) > 1)


def _face_record(name: str, number: int, face: Face, **files: Any) -> dict[str, Any]:
    """What ``--json`` says of one face of a picture."""
    record = {"input": name, "frame": None, "face": number, "set": face.point_set, "box": face.box, "score": face.score}
    return to_jsonable(record | files)


def _video_records(name: str, landmarks: Landmarks, files: list[Path]) -> list[dict[str, Any]]:
    """What ``--json`` says of each person of a video."""
    present = np.isfinite(landmarks.scores).sum(0)
    common = {"set": landmarks.point_set, "frames": len(landmarks.times), "fps": landmarks.fps, "landmarks": files}
    return [
        to_jsonable({"input": name, "face": number, "frames_with_face": found} | common)
        for number, found in enumerate(present)
    ]


def _no_face(name: str) -> InputError:
    return InputError(name, "no face found", _FIND_MORE)


# --- alignment -------------------------------------------------------------------------------------------------------


def align_pictures(
    inputs: Sequence[str],
    output: str | Path,
    *,
    size: int = 256,
    landmarker: LandmarkerChoice | None = None,
    faces: str | int = "largest",
    recursive: bool = False,
    workers: int | None = 0,
    overwrite: bool = False,
) -> Iterator[Result]:
    """FFHQ-aligned PNGs: `<name>.png` of the largest face, `<name>_1.png` … of the others that are wanted.

    Arguments as in :func:`extract_landmarks`; `size` is the side of the results in pixels.
    """
    chosen = landmarker or LandmarkerChoice()
    made = chosen.make()
    if "ibug68" not in convertible_to(made.point_set):
        raise UsageError(f"landmarker {chosen.name} gives {made.point_set} points; alignment needs 68 of a face")
    journal = Journal(output)
    tasks = _Tasks(
        inputs,
        recursive,
        journal,
        lambda name, video: [_aligned_path(Path(), name, 0)],
        settings={**chosen.settings(), "size": size, "faces": str(faces)},
        overwrite=overwrite,
        no_videos="FFHQ alignment is for pictures",
        extra={"size": size, "faces": faces, "root": journal.root},
    )
    for outcome in _run(_align, tasks, chosen, made, workers):
        task = outcome.item
        if outcome.error is not None:
            yield Result(task.name, error=outcome.error)
        elif isinstance(task, _Done):
            yield task.result
        else:
            result = outcome.value
            yield _noted(journal, task.stamp, result) if result.files else result


@functools.cache
def _own_journal(root: Path) -> Journal:
    """A worker process's view of the output folder's journal."""
    return Journal(root)


def _aligned_path(root: Path, name: Path, index: int) -> Path:
    return root / name.parent / f"{name.name}{f'_{index}' if index else ''}.png"


def _align(task: _Picture | _Done | _Failed) -> Result | None:
    """Worker: one picture's faces, aligned and written."""
    if not isinstance(task, _Picture):
        return _pass(task)
    image = read_image(task.path)
    size, root = task.extra["size"], task.extra["root"]
    faces = largest_first(_worker.detect(image), task.extra["faces"])
    if not faces:
        raise _no_face(task.name)
    result = Result(task.name)
    places = [_aligned_path(Path(), task.output, index) for index in range(len(faces))]
    # The first face comes last: where its file exists, a later run knows that all were done.
    for index in reversed(range(len(faces))):
        face = faces[index]
        path = root / places[index]
        try:
            aligned = align_face(image, convert(face.points, face.point_set, "ibug68"), size)
        except AlignError as error:
            who = f"face {index}: " if len(faces) > 1 else ""
            result.error = InputError(task.name, f"{who}{error}", "choose a smaller --size or a larger picture")
            continue
        if not result.files:
            _own_journal(root).begin(places)
        write_image(path, aligned)
        result.files.insert(0, path)
        result.faces.insert(0, _face_record(task.name, index, face, size=size, image=path))
    return result


# --- tasks: what goes through the pipeline ---------------------------------------------------------------------------


@dataclass
class _Picture:
    """A picture to read and detect in. `output`: its output name, a relative path without suffix."""

    name: str
    path: Path
    output: Path
    stamp: dict[str, Any]
    extra: dict[str, Any]


@dataclass
class _VideoStart:
    name: str
    size: tuple[int, int]
    fps: float


@dataclass
class _Frame:
    name: str
    index: int
    time: float
    image: np.ndarray
    expected: int | None


@dataclass
class _VideoEnd:
    name: str
    output: Path
    stamp: dict[str, Any]
    problem: str


@dataclass
class _Done:
    """An input that an earlier run finished."""

    name: str
    result: Result


@dataclass
class _Failed:
    """An input that failed before it could be worked on."""

    name: str
    error: FacecliError


@dataclass
class _Tasks:
    """Iterates over the tasks of all inputs; videos as a start, their frames, and an end.

    Args:
        journal: of the output folder; knows what is done.
        places: (output name, is it a video) → its files below the output folder.
        settings: what results depend on.
        overwrite: do again what is done, and replace what others made.
        no_videos: why videos aren't taken; "" takes them.
        extra: goes along with each picture.
    """

    inputs: Sequence[str]
    recursive: bool
    journal: Journal
    places: Callable[[Path, bool], list[Path]]
    settings: dict[str, Any]
    overwrite: bool = False
    no_videos: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[_Picture | _VideoStart | _Frame | _VideoEnd | _Done | _Failed]:
        names = OutputNames()
        for source in expand_sources(self.inputs, recursive=self.recursive, exclude=[self.journal.root]):
            if isinstance(source, FacecliError):
                yield _Failed(getattr(source, "source", ""), source)
            else:
                yield from self._of(source, names)

    def _of(self, source: Source, names: OutputNames) -> Iterator[Any]:
        video = source.kind == "video"
        refusal = self._refusal(source)
        if refusal is not None:
            yield _Failed(source.name, refusal)
            return
        output = names.claim(source)
        files = self.places(output, video)
        stamp = {"input": source.state(), "settings": self.settings}
        try:
            done = None if self.overwrite else self._done(source.name, files, stamp)
        except InputError as error:
            yield _Failed(source.name, error)
            return
        if done is not None:
            yield _Done(source.name, done)
            return
        if video:
            yield from _video_tasks(source, output, stamp)
        else:
            yield _Picture(source.name, source.path, output, stamp, self.extra)

    def _done(self, name: str, files: list[Path], stamp: dict[str, Any]) -> Result | None:
        """The result of an earlier run with the same input and settings, or None where there is work to do.

        Raises:
            InputError: the files are not ours, or were made of another input.
        """
        present = [file for file in files if (self.journal.root / file).exists()]
        if not present:
            return None
        mend = "choose another -o, or --overwrite"
        where = self.journal.root / present[0]
        if not all(self.journal.knows(file) for file in present):
            raise InputError(name, f"{where} is there already and is not of facecli's making", mend)
        entry = self.journal.find(files)
        if entry is None:  # begun, and not finished
            return None
        theirs, mine = entry.stamp["input"], stamp["input"]
        same = {**theirs, "path": ""} == {**mine, "path": ""}  # a file that was moved is the same
        if not same and theirs["path"] != mine["path"]:
            raise InputError(name, f"{where} was made of {theirs['path']}", mend)
        if not same or entry.stamp["settings"] != stamp["settings"]:
            return None
        error = InputError(name, entry.problem, entry.mend) if entry.problem else None
        written = [self.journal.root / file for file in entry.files]
        return Result(name, written, entry.records, skipped=True, error=error)

    def _refusal(self, source: Source) -> InputError | None:
        if source.kind == "codes":
            return InputError(source.name, "is a file of codes", "pictures and videos are wanted")
        if source.kind == "video" and self.no_videos:
            mend = "make pictures of it: ffmpeg -i VIDEO frames/%06d.png"
            return InputError(source.name, f"is a video, and {self.no_videos}", mend)
        return None


def _video_tasks(source: Source, output: Path, stamp: dict[str, Any]) -> Iterator[Any]:
    started = False
    try:
        with VideoReader(source.path) as reader:
            yield _VideoStart(source.name, reader.size, float(reader.average_rate))
            started = True
            for frame in reader:
                yield _Frame(source.name, frame.index, frame.time, frame.image, reader.frame_count_hint)
            problem = reader.problem or ""
    except Exception as error:  # whatever a broken file makes a decoder do, the other inputs go on
        if not isinstance(error, FacecliError):
            error = InputError(source.name, f"failed: {type(error).__name__}: {' '.join(str(error).split())}")
        if not started:
            yield _Failed(source.name, error)
            return
        problem = getattr(error, "problem", str(error))
    yield _VideoEnd(source.name, output, stamp, problem)


# --- workers ---------------------------------------------------------------------------------------------------------


class _Worker:
    """A process's landmarkers: `single` for single pictures, and one that tracks, renewed for each video."""

    def __init__(self, choice: LandmarkerChoice, single: Landmarker):
        self._choice, self._single = choice, single
        self._tracking: Landmarker | None = None

    def detect(self, image: np.ndarray) -> list[Face]:
        return self._single.detect([image])[0]

    def detect_frame(self, image: np.ndarray) -> list[Face]:
        return (self._tracking or self._single).detect([image])[0]

    def start_video(self) -> None:
        """Forget the last video: tracking depends on what came before."""
        if self._choice.track:
            if self._tracking is not None:
                self._tracking.close()
            self._tracking = self._choice.make(track=True)

    def close(self) -> None:
        self._single.close()
        if self._tracking is not None:
            self._tracking.close()


_worker: _Worker | None = None


def _start_worker(choice: LandmarkerChoice, made: Landmarker | None = None) -> None:
    global _worker
    _worker = _Worker(choice, made or choice.make())


def _landmark(task: Any) -> tuple[list[Face], Any] | None:
    """Worker: the faces of a picture and its size, or those of a frame and what they look like."""
    if isinstance(task, _Picture):
        image = read_image(task.path)
        return _worker.detect(image), (image.shape[1], image.shape[0])
    if isinstance(task, _Frame):
        faces = _worker.detect_frame(task.image)
        return faces, [describe(task.image, face) for face in faces]
    if isinstance(task, _VideoStart):
        _worker.start_video()
        return None
    return _pass(task)


def _pass(task: Any) -> None:
    """What isn't work goes through for the order's sake."""
    if isinstance(task, _Failed):
        raise task.error


def _run(
    function: Callable[[Any], Any], tasks: _Tasks, choice: LandmarkerChoice, made: Landmarker, workers: int | None
) -> Iterator[Outcome]:
    """All tasks through `function`, in order. `made`: a landmarker of `choice`, used here or closed."""
    global _worker
    if workers is None:
        workers = _worker_count(made.point_set, tasks.inputs) if choice.detector is None else 0
    if choice.track:
        workers = 0  # tracking needs every frame, one after the other
    _start_worker(choice, made)
    with contextlib.closing(prefetch(tasks, FRAMES_AHEAD)) as ahead:
        try:
            if workers == 0:
                yield from parallel_map(function, ahead, workers=0)
            else:
                yield from parallel_map(
                    function, ahead, workers=workers, kind="process", initializer=_start_worker, arguments=(choice,)
                )
        finally:
            _worker.close()
            _worker = None


def _worker_count(point_set: str, inputs: Sequence[str]) -> int:
    """Processes that pay: MediaPipe uses one core each; networks in torch use all cores, or a GPU, from one process."""
    cores = cpu_count()
    if cores == 1 or not point_set.startswith("mediapipe"):
        return 0
    kinds = {_kind(name) for name in inputs[: FEW_INPUTS + 1]}
    if kinds == {"image"} and len(inputs) <= FEW_INPUTS:
        return 0
    if kinds == {"video"}:
        return cores - 1 if cores > 2 else 0  # decoding takes the other one
    return cores


def _kind(name: str) -> str:
    """Of a file named by itself; "" for folders, lists and patterns."""
    source = next(iter(expand_sources([name])), None) if Path(name).is_file() else None
    return source.kind if isinstance(source, Source) else ""
