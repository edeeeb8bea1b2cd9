"""`facecli benchmark synthetic` from beginning to end: draw, reconstruct, score, report."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecli.benchmark.choice import ModelChoice
from facecli.benchmark.points import head_rotation, ibug68_pixels, now_landmarks
from facecli.benchmark.predict import Portrait, Predicted, Predictor
from facecli.benchmark.scores import SurfaceErrors
from facecli.benchmark.synthetic import summary
from facecli.benchmark.synthetic.heads import Expression, truth
from facecli.benchmark.synthetic.score import (
    EVALUATION,
    FAILED,
    MISSING,
    PROTOCOLS,
    HeadScore,
    Mesh,
    ScoreTask,
    load,
    save,
    score,
)
from facecli.benchmark.workers import one_thread_each
from facecli.data.head_set import HeadSet, draw, renderer
from facecli.errors import InputError, UsageError
from facecli.io.atomic import atomic_write, remove_leftovers
from facecli.listener import Listener
from facecli.pipeline import Outcome, cpu_count, parallel_map

MEAN_HEAD = "mean head"
NOT_PHOTOGRAPHS = (
    "rendered heads are not photographs: no real skin, hair or lens, and only shapes that the face model knows. "
    "Compare models by these numbers with care, and not with NoW's"
)
WORTH_PROCESSES = 8
"""Fewer heads are drawn and scored sooner in one process than others have started."""
KEPT = ".heads"
"""Folder of single heads' results, below the output folder."""


@dataclass(frozen=True)
class Request:
    """What is to be done.

    Args:
        heads: the set; `count` of its heads, from the first.
        models: the rows, in this order; the average head comes last by itself.
        workers: processes that draw, and as many that score; 0 works in this one, None as pays.
        save_pictures: keep the pictures with their labels, too.
        sheet: heads in the contact sheet, half the best and half the worst; 0: none.
    """

    heads: HeadSet
    count: int
    out: Path
    models: Sequence[ModelChoice]
    workers: int | None = None
    overwrite: bool = False
    save_pictures: bool = False
    sheet: int = 8


@dataclass
class Report:
    """Results a protocol, in the order of the rows; `scores`: method -> a score a head."""

    results: dict[str, list[SurfaceErrors]] = field(default_factory=dict)
    scores: dict[str, list[HeadScore]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    @property
    def some_failed(self) -> bool:
        """Whether a prediction failed; a face that isn't found is a result."""
        return any(score.status == FAILED for scores in self.scores.values() for score in scores)


def run(request: Request, told: Listener) -> Report:
    """Do what is requested.

    Raises:
        FacecliError: nothing can be done: no such model, a file that isn't there.
    """
    names = [choice.model for choice in request.models]
    if len(set(names)) < len(names):
        raise UsageError(f"--model names one twice: {', '.join(names)}")
    told.warn(NOT_PHOTOGRAPHS)
    renderer(request.heads)  # a file that isn't there is told of at once, and not by each process
    report, notes = Report(), {}
    for choice in request.models:
        scores, notes[choice.model] = _model_scores(request, choice, told)
        report.scores[choice.model] = scores
    report.scores[MEAN_HEAD] = _mean_scores(request, told)
    average = f"everybody gets the average of {request.heads.choice.faces}'s heads: what knowing nothing gives"
    notes[MEAN_HEAD] = [average]
    report.results = {
        protocol: [
            summary.surface_errors(method, protocol, request.heads, scores, notes[method])
            for method, scores in report.scores.items()
        ]
        for protocol in PROTOCOLS
    }
    if request.save_pictures:
        report.files.append(_save_pictures(request, told))
    report.files += summary.write(request, report)
    return report


# --- models ----------------------------------------------------------------------------------------------------------


def _model_scores(request: Request, choice: ModelChoice, told: Listener) -> tuple[list[HeadScore], list[str]]:
    """One model's scores of all heads, and what is to be known of it."""
    kept = _Kept(request, choice.model, _words(choice))
    done = kept.load()
    pending = [index for index in range(request.count) if index not in done]
    if not pending:
        told.say(f"{choice.model}: all {request.count} heads are scored already")
        return [done[index] for index in range(request.count)], kept.notes
    with _predictor(choice) as predictor, told.progress(f"heads, {choice.model}", len(pending)) as progress:
        tasks = _predicted(request, kept, predictor, pending, done, told, progress.input_done)
        for outcome in _mapped(score, tasks, request, len(pending)):
            done[outcome.item.index] = _scored(outcome, kept, told)
            progress.input_done()
        kept.notes = predictor.notes
        return [done[index] for index in range(request.count)], predictor.notes


def _predictor(choice: ModelChoice) -> Predictor:
    return Predictor(
        choice.model,
        device=choice.device,
        options=choice.options,
        batch_size=choice.batch_size,
        landmarker=choice.landmarker,
    )


def _predicted(
    request: Request,
    kept: _Kept,
    predictor: Predictor,
    pending: Sequence[int],
    done: dict[int, HeadScore],
    told: Listener,
    counted: Callable[[], None],
) -> Iterator[ScoreTask]:
    """What is to be scored, in order. Heads that the model gives nothing for go into `done` at once."""
    pictures = _mapped(_picture, [_Drawing(request.heads, index) for index in pending], request, len(pending))

    def portraits() -> Iterator[Portrait]:
        for outcome in pictures:
            if outcome.error is not None:
                raise outcome.error  # ours, not the model's
            yield Portrait(outcome.item.name, outcome.value)

    with contextlib.closing(pictures):
        for index, predicted in zip(pending, predictor.predict(portraits(), neutral=True, arkit=True), strict=True):
            task = _task(request, kept, index, predicted)
            if isinstance(task, HeadScore):
                save(kept.path(index), kept.fingerprint, task)
                done[index] = task
                told.fail(f"{predictor.plugin.name}: {request.heads.name(index)}: {task.reason}")
                counted()
            else:
                yield task


def _task(request: Request, kept: _Kept, index: int, predicted: Predicted) -> ScoreTask | HeadScore:
    """What is to be scored of a prediction, or the score of none."""
    if predicted.error is None:
        try:
            at_rest, face = predicted.neutral, predicted.face
            mesh = Mesh(
                at_rest.vertices[0].numpy(force=True), at_rest.triangles.numpy(force=True), now_landmarks(at_rest)
            )
            weights = predicted.weights
            return ScoreTask(
                request.heads,
                index,
                mesh,
                _pixels(face),
                head_rotation(face),
                kept.path(index),
                kept.fingerprint,
                None if weights is None else Expression(weights.weights[0], weights.eyes[0]),
            )
        except InputError as error:
            return HeadScore(FAILED, facts=truth(request.heads, index).facts, reason=error.problem)
    problem = getattr(predicted.error, "problem", str(predicted.error))
    status = MISSING if problem.startswith("no face") else FAILED
    return HeadScore(status, facts=truth(request.heads, index).facts, reason=problem)


def _pixels(face) -> np.ndarray | None:
    try:
        return ibug68_pixels(face)
    except UsageError:  # the model has no points that iBUG's can be taken from
        return None


def _scored(outcome: Outcome[ScoreTask, HeadScore], kept: _Kept, told: Listener) -> HeadScore:
    result = outcome.value if outcome.error is None else HeadScore(FAILED, reason=str(outcome.error))
    if result.status == FAILED:
        told.fail(f"{kept.method}: {outcome.item.name}: {result.reason}")
    return result


def _mean_scores(request: Request, told: Listener) -> list[HeadScore]:
    """The scores of the model's average head, with its own landmarks."""
    kept = _Kept(request, MEAN_HEAD, "")
    done = kept.load()
    pending = [index for index in range(request.count) if index not in done]
    tasks = [ScoreTask(request.heads, index, None, None, None, kept.path(index), kept.fingerprint) for index in pending]
    with told.progress(f"heads, {MEAN_HEAD}", len(pending)) as progress:
        for outcome in _mapped(score, tasks, request, len(pending)):
            done[outcome.item.index] = _scored(outcome, kept, told)
            progress.input_done()
    return [done[index] for index in range(request.count)]


_NOTES = "notes.json"


def _words(choice: ModelChoice) -> str:
    """What a model's results depend on."""
    return f"{choice.model} {choice.landmarker} {' '.join(sorted(choice.options))}"


class _Kept:
    """Where one method's scores of single heads are kept, so that a killed run goes on."""

    def __init__(self, request: Request, method: str, choice: str):
        self.method, self._request = method, request
        text = f"evaluation {EVALUATION} {request.heads.fingerprint} {choice}"
        self.fingerprint = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        self._folder = request.out / KEPT / method.replace(" ", "_") / self.fingerprint[:12]
        remove_leftovers(self._folder)

    def path(self, index: int) -> Path:
        return self._folder / f"{self._request.heads.name(index)}.npz"

    @property
    def notes(self) -> list[str]:
        """What is to be known of the method, as it was said when heads were predicted."""
        with contextlib.suppress(OSError, ValueError):
            return [str(note) for note in json.loads((self._folder / _NOTES).read_text("utf-8"))]
        return []

    @notes.setter
    def notes(self, notes: Sequence[str]) -> None:
        with atomic_write(self._folder / _NOTES) as temporary:
            temporary.write_text(json.dumps(list(notes)), "utf-8")

    def load(self) -> dict[int, HeadScore]:
        if self._request.overwrite:
            return {}
        found = {index: load(self.path(index), self.fingerprint) for index in range(self._request.count)}
        return {index: result for index, result in found.items() if result is not None}


# --- work in processes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Drawing:
    heads: HeadSet
    index: int
    folder: Path | None = None

    @property
    def name(self) -> str:
        return self.heads.name(self.index)


def _picture(drawing: _Drawing) -> np.ndarray:
    return draw(drawing.heads, drawing.index).image


def _save_picture(drawing: _Drawing) -> None:
    """The picture as PNG and its labels as `.npz`, the labels last."""
    from facecli.io.arrays import write_npz
    from facecli.io.images import write_image

    head = draw(drawing.heads, drawing.index)
    write_image(drawing.folder / f"{drawing.name}.png", head.image)
    labels = head.labels
    arrays: dict[str, Any] = {
        "identity": head.identity,
        "expression": head.expression,
        "head_pose": head.view.head_pose,
        "focal": np.float64(head.view.camera.focal),
        "principal": np.array(head.view.camera.principal),
        "landmarks": head.landmarks,
        "landmarks_3d": head.landmarks_3d,
        "vertices": head.vertices,
        "neutral": head.neutral,
        "depth": labels.depth,
        "normals": labels.normals.astype(np.float16),
        **{name: getattr(labels, name) for name in ("head", "skin", "face", "visible")},
    }
    if head.landmarks478 is not None:
        arrays["landmarks478"] = head.landmarks478
    write_npz(drawing.folder / f"{drawing.name}.npz", arrays)


def _save_pictures(request: Request, told: Listener) -> Path:
    folder = request.out / "pictures"
    fingerprint = request.heads.fingerprint
    note = folder / "set.txt"
    same = note.is_file() and note.read_text("utf-8") == fingerprint
    drawings = [_Drawing(request.heads, index, folder) for index in range(request.count)]
    if same and not request.overwrite:
        drawings = [drawing for drawing in drawings if not (folder / f"{drawing.name}.npz").is_file()]
    with atomic_write(note) as temporary:
        temporary.write_text(fingerprint, "utf-8")
    with told.progress("pictures", len(drawings)) as progress:
        for outcome in _mapped(_save_picture, drawings, request, len(drawings)):
            if outcome.error is not None:
                raise outcome.error
            progress.input_done()
    return folder


def _mapped(function: Callable, items, request: Request, count: int) -> Iterator[Outcome]:
    """`function` of each item in processes, in order, where they are worth it."""
    workers = request.workers
    if workers is None:
        workers = cpu_count() if count >= WORTH_PROCESSES and cpu_count() > 1 else 0
    workers = min(workers, count)
    with one_thread_each():
        start = {"initializer": _quiet, "arguments": (request.heads,)} if workers else {}
        yield from parallel_map(function, items, workers=workers, kind="process", **start)


def _quiet(heads: HeadSet) -> None:
    """In each new process: one thread, and the face model at hand."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    renderer(heads)
