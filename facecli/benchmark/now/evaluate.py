"""The check and the evaluation of many cases, one process a core; what is done already is not done again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from facecli.benchmark.landmark_files import read_landmarks
from facecli.benchmark.now.cases import CaseStore, Evaluated, Fingerprints
from facecli.benchmark.now.dataset import Case, NowFolder
from facecli.benchmark.now.predictions import Method, Prediction
from facecli.benchmark.now.validity import Findings, Scan, check_prediction, read_prediction, read_scan
from facecli.benchmark.scan_to_mesh import ScanToMesh, scan_to_mesh_error
from facecli.benchmark.scores import SurfaceErrors
from facecli.benchmark.workers import map_cases
from facecli.errors import InputError
from facecli.io.atomic import remove_leftovers
from facecli.pipeline import Outcome

CHECKS_WORTH_PROCESSES = 64
"""Checks take some hundredths of a second each; a process takes a second to start."""
EVALUATIONS_WORTH_PROCESSES = 4


@dataclass(frozen=True)
class ScanTask:
    """A subject's scan to be checked."""

    subject: str
    mesh: Path | None
    landmarks: Path | None
    where: tuple[Path, Path]

    @property
    def name(self) -> str:
        return str(self.mesh or self.where[0])


@dataclass(frozen=True)
class CaseTask:
    """One method's prediction of one case, to be checked and evaluated.

    Args:
        number: of the method.
        scan, scan_landmarks: None where the scan isn't here, or not whole.
        fingerprint, store: of the result, and where it is kept.
        remarks: what the check found odd.
    """

    number: int
    case: Case
    prediction: Prediction
    scan: Path | None
    scan_landmarks: Path | None
    protocol: str = "nonmetrical"
    unit: str = "m"
    fingerprint: str = ""
    store: Path | None = None
    remarks: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[int, Case]:
        return self.number, self.case

    @property
    def name(self) -> str:
        return str(self.prediction.mesh)


@dataclass
class Tasks:
    """What is to do with several methods' predictions.

    Args:
        done: (method's number, case) -> an earlier run's result, still valid.
        pending: the others that have a mesh, by subject.
        missing: (method's number, case) that have none.
    """

    done: dict[tuple[int, Case], Evaluated] = field(default_factory=dict)
    pending: list[CaseTask] = field(default_factory=list)
    missing: list[tuple[int, Case]] = field(default_factory=list)


@dataclass(frozen=True)
class Setup:
    """What is evaluated and how.

    Args:
        out: the folder of results.
        overwrite: earlier results don't count.
        workers: processes; 0 works in this one, None as pays.
        with_scans: False for a set whose scans are not public: predictions can be checked all the same.
    """

    data: NowFolder
    cases: Sequence[Case]
    methods: Sequence[Method]
    out: Path
    protocol: str = "nonmetrical"
    overwrite: bool = False
    workers: int | None = None
    with_scans: bool = True


# --- what is to do ---------------------------------------------------------------------------------------------------


def gather(setup: Setup) -> Tasks:
    """Look for each method's files, and for what earlier runs left."""
    tasks, store, fingerprints = Tasks(), CaseStore(setup.out), Fingerprints()
    scans = _scans(setup)
    for number, method in enumerate(setup.methods):
        for case in setup.cases:
            prediction = method.find(case)
            if prediction.mesh is None:
                tasks.missing.append((number, case))
                continue
            scan = scans[case.subject]
            task = CaseTask(
                number, case, prediction, scan.mesh, scan.landmarks, setup.protocol, method.unit,
                store=store.path(method.name, setup.protocol, case.name),
            )  # fmt: skip
            _sort_in(tasks, task, fingerprints, setup.overwrite)
    for folder in {task.store.parent for task in tasks.pending}:
        remove_leftovers(folder)
    order = {subject: place for place, subject in enumerate(scans)}
    tasks.pending.sort(key=lambda task: order[task.case.subject])  # a worker reads a scan once for all methods
    return tasks


def _scans(setup: Setup) -> dict[str, ScanTask]:
    found = {}
    for subject in dict.fromkeys(case.subject for case in setup.cases):
        where = setup.data.scans / subject, setup.data.landmarks / subject
        files = (setup.data.scan(subject), setup.data.scan_landmarks(subject)) if setup.with_scans else (None, None)
        found[subject] = ScanTask(subject, *files, where)
    return found


def _sort_in(tasks: Tasks, task: CaseTask, fingerprints: Fingerprints, overwrite: bool) -> None:
    if None not in (task.prediction.landmarks, task.scan, task.scan_landmarks):
        settings = [task.protocol, task.unit if task.protocol == "metrical" else ""]
        own, shared = (task.prediction.mesh, task.prediction.landmarks), (task.scan, task.scan_landmarks)
        try:
            fingerprint = fingerprints.of(own, shared, settings)
        except InputError:  # the check says what is the matter
            tasks.pending.append(task)
            return
        task = replace(task, fingerprint=fingerprint)
        earlier = None if overwrite else CaseStore.load(task.store, fingerprint)
        if earlier is not None:
            tasks.done[task.key] = earlier
            return
    tasks.pending.append(task)


# --- the check -------------------------------------------------------------------------------------------------------


@dataclass
class Checked:
    """The check's outcome.

    Args:
        scans: subject -> what is wrong or odd with the scan.
        predictions: (method's number, case) -> the same of its files.
    """

    scans: dict[str, Findings]
    predictions: dict[tuple[int, Case], Findings]

    def problems_of(self, task: CaseTask) -> list[str]:
        """All that keeps the case from being evaluated."""
        scan = self.scans.get(task.case.subject, Findings())
        return [*self.predictions[task.key].problems, *scan.problems]

    def with_remarks(self, task: CaseTask) -> CaseTask:
        return replace(task, remarks=tuple(self.predictions[task.key].warnings))


def check(setup: Setup, tasks: Tasks, told: Callable[[], None] = lambda: None) -> Checked:
    """Check what is pending, `told` of each. Raises nothing that belongs to one case."""
    pending_subjects = {task.case.subject for task in tasks.pending}
    scans = [scan for subject, scan in _scans(setup).items() if subject in pending_subjects and setup.with_scans]
    items: list[ScanTask | CaseTask] = [*scans, *tasks.pending]
    checked = Checked({}, {})
    workers = setup.workers if len(items) >= CHECKS_WORTH_PROCESSES else 0
    for outcome in map_cases(_check, items, workers=workers):
        item, findings = outcome.item, outcome.value
        if findings is None:
            findings = Findings([str(outcome.error)])
        if isinstance(item, ScanTask):
            checked.scans[item.subject] = findings
        else:
            checked.predictions[item.key] = findings
        told()
    return checked


def _check(item: ScanTask | CaseTask) -> Findings:
    if isinstance(item, ScanTask):
        return read_scan(item.mesh, item.landmarks, item.where).findings
    target = None
    if item.scan_landmarks is not None:
        with contextlib.suppress(InputError):  # said once, with the scan
            target = read_landmarks(item.scan_landmarks)
    return check_prediction(item.prediction, target).findings


# --- the evaluation --------------------------------------------------------------------------------------------------


def evaluate(tasks: Sequence[CaseTask], workers: int | None = None) -> Iterator[Outcome[CaseTask, Evaluated]]:
    """Evaluate `tasks`, in their order; each result is stored as soon as it is known."""
    _read_scan_once.cache_clear()  # files may have changed since this process' last run
    yield from map_cases(_evaluate, tasks, workers=workers, worth=EVALUATIONS_WORTH_PROCESSES)


def _evaluate(task: CaseTask) -> Evaluated:
    result = score(task)
    refinement = result.refinement
    facts = {
        "scale": float(result.alignment.scale),
        "iterations": int(refinement.iterations),
        "rms": float(result.rms),
    }
    evaluated = Evaluated(result.distances, [*task.remarks, *result.warnings], facts)
    CaseStore.save(task.store, task.fingerprint, evaluated)
    return evaluated


def score(task: CaseTask) -> ScanToMesh:
    """The error of one case, with the aligned mesh.

    Raises:
        InputError: a file of it can't be used.
    """
    scan = scan_of(task)
    mesh = read_prediction(task.prediction)
    if mesh.findings.problems:
        raise InputError(task.name, mesh.findings.problems[0])
    surface = mesh.vertices, mesh.triangles, mesh.landmarks
    try:
        return scan_to_mesh_error(scan.vertices, scan.landmarks, *surface, protocol=task.protocol, unit=task.unit)
    except ValueError as error:
        raise InputError(task.name, f"can't be scored: {error}") from error


def scan_of(task: CaseTask) -> Scan:
    return _read_scan_once(task.scan, task.scan_landmarks)


@functools.lru_cache(maxsize=1)
def _read_scan_once(mesh: Path, landmarks: Path) -> Scan:
    """The scan that a worker has in hand: tasks come by subject."""
    scan = read_scan(mesh, landmarks, (mesh.parent, landmarks.parent))
    if scan.findings.problems:
        raise InputError(mesh, scan.findings.problems[0])
    return scan


# --- results ---------------------------------------------------------------------------------------------------------


def collect(
    setup: Setup,
    evaluated: Mapping[tuple[int, Case], Evaluated],
    failed: Mapping[tuple[int, Case], Sequence[str]],
) -> list[SurfaceErrors]:
    """One result a method, its cases in the order of the list."""
    results = []
    for number, method in enumerate(setup.methods):
        errors = SurfaceErrors(method.name, setup.protocol, {}, notes=list(method.notes))
        for case in setup.cases:
            key = number, case
            if key in failed:
                errors.failed[case.name] = "; ".join(failed[key])
            elif key in evaluated:
                errors.distances[case.name] = evaluated[key].distances
                if evaluated[key].warnings:
                    errors.warnings[case.name] = evaluated[key].warnings
            else:
                errors.missing.append(case.name)
        results.append(errors)
    return results
