"""Answers of methods against the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecli.benchmark.aflw2000 import alignment, head_pose
from facecli.benchmark.aflw2000.dataset import Aflw2000
from facecli.benchmark.aflw2000.methods import Answer, Case, FileMethod, Method
from facecli.benchmark.aflw2000.store import AnswerStore
from facecli.errors import FacecliError
from facecli.geometry.euler import label_angles, rotation_of_labels, synergynet_angles

THRESHOLD = 0.10
"""NME at which a face counts as a failure, and at which the area under the cumulative curve ends."""


@dataclass
class Answers:
    """All that a method said, in the data set's order; NaN where it said nothing.

    Args:
        landmarks: [N, 68, 2] pixels. rotations: [N, 3, 3] head -> camera.
        angles: [N, 3] degrees that the method gave by itself in place of rotations, else None.
        missing: picture -> why it has no answer, though it can be read.
        errors: of pictures and files that can't be read.
    """

    method: str
    settings: dict[str, Any]
    landmarks: np.ndarray
    rotations: np.ndarray
    angles: np.ndarray | None = None
    missing: dict[str, str] = field(default_factory=dict)
    errors: dict[str, FacecliError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def gives(self, what: np.ndarray) -> bool:
        """Whether the method has such a thing as `what` ([N, …], its landmarks or rotations) at all."""
        there = np.isfinite(what).all(tuple(range(1, what.ndim)))
        return bool(there.any()) or len(self.missing) + len(self.errors) == len(what)


@dataclass(frozen=True)
class Alignment:
    """Landmark errors of a method against one set of labels.

    Args:
        errors: [N] NME as fractions; NaN where there is no label, or no answer.
        listed: [N] images with a label; [N] `yaw` in degrees of all.
    """

    labels: str
    errors: np.ndarray
    listed: np.ndarray
    yaw: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """[N] which images have an error."""
        return np.isfinite(self.errors)

    @property
    def binned(self) -> alignment.BinnedNme:
        """Over the images found."""
        return alignment.by_yaw(self.errors, self.yaw)

    def binned_over(self, images: np.ndarray) -> alignment.BinnedNme:
        """Over those of `images` [N] bool that were found."""
        return alignment.by_yaw(np.where(images, self.errors, np.nan), self.yaw)

    @property
    def missing_by_bin(self) -> np.ndarray:
        """[3] labelled images without an answer."""
        return np.bincount(alignment.bin_of(self.yaw[self.listed & ~self.found]), minlength=len(alignment.BINS))

    @property
    def failure_rate(self) -> float:
        """Images above the threshold or without an answer, of all labelled ones."""
        return alignment.failure_rate(self.errors[self.listed], THRESHOLD)

    @property
    def auc(self) -> float:
        return alignment.area_under_curve(self.errors[self.listed], THRESHOLD)


@dataclass(frozen=True)
class Pose:
    """Head pose of a method.

    Args:
        published: of angles decoded as SynergyNet does it, or as the method gave them (`own_angles`).
        exact: of angles that mean what the labels mean.
        aligned: the same, after the method's constant turn is taken out.
        offset: degrees of that turn.
        geodesic, geodesic_aligned: mean degrees of the one turn between label and answer.
        differences: [N, 3] degrees, answer minus label as published; NaN where there is none.
        listed: images that are judged.
    """

    published: head_pose.PoseErrors
    exact: head_pose.PoseErrors
    aligned: head_pose.PoseErrors
    offset: float
    geodesic: float
    geodesic_aligned: float
    differences: np.ndarray
    listed: int
    own_angles: bool


@dataclass
class Result:
    """A method's scores. `alignments` is empty and `pose` None where it gives none, or that wasn't asked for."""

    answers: Answers
    alignments: list[Alignment]
    pose: Pose | None

    @property
    def method(self) -> str:
        return self.answers.method


def cases_of(data: Aflw2000) -> tuple[list[Case], dict[str, str]]:
    """The pictures that can be asked about, and why others can't: name -> reason."""
    cases, without = [], {}
    for name, image, box in zip(data.names, data.images, data.boxes, strict=True):
        if not image.is_file():
            without[name] = "no such picture"
        elif not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            without[name] = "no label"
        else:
            cases.append(Case(name, image, box))
    return cases, without


def ask(
    method: Method | FileMethod,
    cases: Sequence[Case],
    data: Aflw2000,
    folder: Path,
    *,
    overwrite: bool = False,
    done: Callable[[], None] = lambda: None,
) -> Answers:
    """The method's answers, those kept below `folder` by an earlier run included.

    Args:
        done: called after each case.

    Raises:
        UsageError, PluginError, MissingAssetError, InputError: the method can't answer at all.
        OutputError: answers can't be kept.
    """
    count = len(data)
    answers = Answers(method.name, method.settings, np.full((count, 68, 2), np.nan), np.full((count, 3, 3), np.nan))
    rows = {name: row for row, name in enumerate(data.names)}
    if isinstance(method, FileMethod):
        for answer, angles in method.given(cases):
            _take(answers, rows[answer.name], answer)
            if angles is not None and np.isfinite(angles).all():
                if answers.angles is None:
                    answers.angles = np.full((count, 3), np.nan)
                answers.angles[rows[answer.name]] = angles
                answers.rotations[rows[answer.name]] = rotation_of_labels(angles)
                answers.missing.pop(answer.name, None)
            done()
    else:
        for answer in _kept_or_asked(method, cases, folder, overwrite):
            _take(answers, rows[answer.name], answer)
            done()
    return answers


def _kept_or_asked(method: Method, cases: Sequence[Case], folder: Path, overwrite: bool):
    store = AnswerStore(folder, method.name, method.settings)
    if overwrite:
        store.clear()
    known = store.known(cases)
    yield from known.values()
    new = [case for case in cases if case.name not in known]
    if not new:
        return
    try:
        for case, answer in zip(new, method.answers(new), strict=True):
            store.keep(case, answer)
            yield answer
    finally:  # also where somebody has pressed Ctrl-C
        store.flush()


def _take(answers: Answers, row: int, answer: Answer) -> None:
    if answer.error is not None:
        answers.errors[answer.name] = answer.error
    elif answer.missing:
        answers.missing[answer.name] = answer.missing
    if answer.landmarks is not None:
        answers.landmarks[row] = answer.landmarks
    if answer.rotation is not None:
        answers.rotations[row] = answer.rotation


def score(answers: Answers, data: Aflw2000, *, landmarks: bool = True, pose: bool = True) -> Result:
    """What the answers are worth; `landmarks` and `pose` as far as they are asked for."""
    alignments = []
    for what, wanted, values in (("landmarks", landmarks, answers.landmarks), ("head pose", pose, answers.rotations)):
        if wanted and not answers.gives(values):
            answers.notes.append(f"{answers.method} gives no {what}: left out")
    if landmarks and answers.gives(answers.landmarks):
        for labels, truth in data.landmarks.items():
            listed = np.isfinite(truth).all((1, 2)) & np.isfinite(data.yaw)
            errors = np.where(listed, alignment.nme(answers.landmarks, truth), np.nan)
            alignments.append(Alignment(labels, errors, listed, data.yaw))
    scored = _pose(answers, data.angles) if pose and answers.gives(answers.rotations) else None
    return Result(answers, alignments, scored)


def _pose(answers: Answers, truth: np.ndarray) -> Pose:
    rotations, own = answers.rotations, answers.angles is not None
    published = answers.angles if own else synergynet_angles(rotations)
    offset = head_pose.mean_offset(rotations, truth)
    aligned = rotations @ offset.T
    return Pose(
        head_pose.pose_errors(published, truth),
        head_pose.pose_errors(answers.angles if own else label_angles(rotations), truth),
        head_pose.pose_errors(label_angles(aligned), truth),
        float(head_pose.geodesic(offset, np.zeros(3))),
        _mean(head_pose.geodesic(rotations, truth)),
        _mean(head_pose.geodesic(aligned, truth)),
        published - truth,
        int(np.isfinite(truth).all(1).sum()),
        own,
    )


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def found_by_all(results: Sequence[Result], number: int) -> np.ndarray | None:
    """[N] images that all methods have landmarks for, by their set of labels `number`; None if that is no news."""
    found = [result.alignments[number].found for result in results if result.alignments]
    everywhere = np.all(found, axis=0)
    return None if all(np.array_equal(own, everywhere) for own in found) else everywhere
