"""`facecli benchmark scan` from beginning to end: pairs, what earlier runs left, all cores, results."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facecli.benchmark import tables
from facecli.benchmark.landmark_files import read_points
from facecli.benchmark.now.cases import CaseStore, Evaluated, Fingerprints
from facecli.benchmark.scan.heatmap import paths as heatmap_paths
from facecli.benchmark.scan.heatmap import write_heatmap
from facecli.benchmark.scan.pairs import Pair
from facecli.benchmark.scan.score import Surface, score
from facecli.benchmark.scan.settings import Recipe, ScanSettings
from facecli.benchmark.scores import SurfaceErrors
from facecli.benchmark.workers import map_cases
from facecli.errors import InputError
from facecli.io.meshes import read_mesh

HEATMAPS = "heatmaps"


@dataclass(frozen=True)
class Task:
    """One pair to be scored.

    Args:
        group: number of the method that it belongs to.
        store: where its result is kept for the next run; None keeps nothing.
        heatmaps: folder for coloured meshes, or None.
    """

    group: int
    pair: Pair
    settings: ScanSettings
    store: Path | None = None
    fingerprint: str = ""
    heatmaps: Path | None = None

    @property
    def name(self) -> str:
        return str(self.pair.predicted)


@dataclass
class ScanReport:
    """What came out.

    Args:
        results: one a group of pairs.
        facts: for each group, case -> scale, iterations, rms and the files' names.
        kept: cases that an earlier run had scored.
        files: that were written.
    """

    results: list[SurfaceErrors]
    facts: list[dict[str, dict[str, Any]]]
    kept: int = 0
    files: list[Path] = field(default_factory=list)

    @property
    def some_failed(self) -> bool:
        return any(result.failed or not result.images for result in self.results)


@dataclass(frozen=True)
class Request:
    """What is to be done.

    Args:
        groups: method's name -> its pairs.
        out: folder of results, or None.
        overwrite: earlier results don't count.
        workers: processes; 0 works in this one, None as pays.
    """

    groups: dict[str, list[Pair]]
    settings: ScanSettings
    recipe: Recipe = field(default_factory=lambda: Recipe(ScanSettings()))
    out: Path | None = None
    heatmap: bool = False
    overwrite: bool = False
    workers: int | None = None
    title: str = "Scan to mesh"


class Bar(Protocol):
    """Who is told of each pair that is done."""

    def input_done(self) -> None: ...


def run(
    request: Request, progress: Callable[[int], AbstractContextManager[Bar]], fail: Callable[[str], None]
) -> ScanReport:
    """Score all pairs; with a folder of results, each is on the disk as soon as it is done.

    Args:
        progress: number of pairs to be scored -> the bar.
        fail: told of each error at once.

    Raises:
        OutputError: the folder of results can't be written to.
    """
    report = ScanReport([_empty(request, name) for name in request.groups], [{} for _ in request.groups])
    outcomes: dict[tuple[int, str], Evaluated | str] = {}
    pending = []
    for task in _tasks(request):
        earlier = _earlier(task, request.overwrite)
        if earlier is None:
            pending.append(task)
        else:
            outcomes[task.group, task.pair.name] = earlier
    report.kept = len(outcomes)
    pending.sort(key=lambda task: str(task.pair.scan))  # a worker keeps the scan that it read last
    _read_scan_once.cache_clear()  # this process may have worked before, and files change
    with progress(len(pending)) as bar:
        for outcome in map_cases(_evaluate, pending, workers=request.workers):
            if outcome.error is not None:
                fail(str(outcome.error))
            outcomes[outcome.item.group, outcome.item.pair.name] = outcome.value or str(outcome.error)
            bar.input_done()
    for number, pairs in enumerate(request.groups.values()):
        for pair in pairs:
            _collect(report.results[number], report.facts[number], pair, outcomes.get((number, pair.name)))
        _add_notes(report.results[number], request.recipe)
    if request.out is not None:
        _write(report, request)
    return report


def case_means(result: SurfaceErrors) -> tuple[float, float]:
    """Mean of the cases' mean distances, and their standard deviation: how MICC and FaceWarehouse numbers are given."""
    means = [float(np.mean(distances)) for distances in result.distances.values()]
    return (float(np.mean(means)), float(np.std(means))) if means else (float("nan"), float("nan"))


def json_lines(report: ScanReport) -> Iterator[dict[str, Any]]:
    """An object a case, then one a method; millimetres."""
    for result, facts in zip(report.results, report.facts, strict=True):
        for row in tables.cases(result):
            yield {"method": result.method, **row, **facts.get(row["case"], {})}
    for result in report.results:
        mean, std = case_means(result)
        cases = {"mean_of_cases": mean, "std_of_cases": std} if result.images else {}
        yield {**tables.summary(result), **cases}


# --- one pair --------------------------------------------------------------------------------------------------------


def _evaluate(task: Task) -> Evaluated:
    pair, settings = task.pair, task.settings
    scan = _read_scan_once(pair.scan, pair.scan_landmarks)
    mesh = _read(pair.predicted, pair.landmarks if settings.start == "landmarks" else None)
    try:
        result = score(scan, mesh, settings)
    except ValueError as error:
        raise InputError(pair.predicted, _sentence(str(error)), _mend(pair, scan, mesh, settings)) from error
    if task.heatmaps is not None:
        write_heatmap(task.heatmaps, pair.name, result, scan.triangles, mesh.triangles, settings.direction)
    facts = {
        "scale": result.scale,
        "iterations": result.iterations,
        "rms": result.rms,
        "heatmap": float(task.heatmaps is not None),
    }
    evaluated = Evaluated(result.distances, result.warnings, facts)
    if task.store is not None:
        CaseStore.save(task.store, task.fingerprint, evaluated)
    return evaluated


def _read(mesh: Path, landmarks: Path | None) -> Surface:
    vertices, triangles = read_mesh(mesh)
    return Surface(vertices, triangles, None if landmarks is None else read_points(landmarks))


@functools.lru_cache(maxsize=1)
def _read_scan_once(mesh: Path, landmarks: Path | None) -> Surface:
    return _read(mesh, landmarks)


def _sentence(text: str) -> str:
    """What is wrong, to go after a file's name."""
    return text if text.startswith(("has ", "it has ")) else f"can't be scored: {text}"


def _mend(pair: Pair, scan: Surface, mesh: Surface, settings: ScanSettings) -> str:
    """Where landmarks that are missing are looked for."""
    lacking = []
    if settings.start == "landmarks" and mesh.landmarks is None:
        lacking.append(pair.predicted)
    if scan.landmarks is None and (settings.start == "landmarks" or settings.crop != "none"):
        lacking.append(pair.scan)
    names = [str(file.with_suffix(".npy")) for file in lacking]
    return f"put {' and '.join(names)} there, or .txt or .pp, or give --landmarks, --scan-landmarks" if names else ""


# --- many ------------------------------------------------------------------------------------------------------------


def _empty(request: Request, method: str) -> SurfaceErrors:
    return SurfaceErrors(method, request.settings.protocol, {})


def _tasks(request: Request) -> Iterator[Task]:
    """Those that have a mesh and a scan."""
    store = None if request.out is None else CaseStore(request.out)
    heatmaps = request.out / HEATMAPS if request.heatmap and request.out is not None else None
    several = len(request.groups) > 1
    fingerprints = Fingerprints()
    for number, (method, pairs) in enumerate(request.groups.items()):
        below = heatmaps / method if heatmaps is not None and several else heatmaps
        for pair in pairs:
            if pair.predicted is None or pair.scan is None or pair.problem:
                continue
            if store is None:
                yield Task(number, pair, request.settings)
                continue
            path = store.path(method, request.settings.slug, pair.name)
            yield Task(number, pair, request.settings, path, _fingerprint(pair, request, fingerprints), below)


def _fingerprint(pair: Pair, request: Request, fingerprints: Fingerprints) -> str:
    """ "" where a file can't be read: the evaluation will say so."""
    own = [path for path in (pair.predicted, pair.landmarks) if path is not None]
    shared = [path for path in (pair.scan, pair.scan_landmarks) if path is not None]
    settings = [f"{name}={value}" for name, value in asdict(request.settings).items()]
    try:
        return fingerprints.of(own, shared, [*settings, f"{len(own)} {len(shared)}"])
    except InputError:
        return ""


def _earlier(task: Task, overwrite: bool) -> Evaluated | None:
    if overwrite or task.store is None or not task.fingerprint:
        return None
    found = CaseStore.load(task.store, task.fingerprint)
    if found is None or task.heatmaps is None:
        return found
    drawn = found.facts.get("heatmap") and all(path.exists() for path in heatmap_paths(task.heatmaps, task.pair.name))
    return found if drawn else None


def _collect(
    result: SurfaceErrors, facts: dict[str, dict[str, Any]], pair: Pair, outcome: Evaluated | str | None
) -> None:
    if pair.predicted is None:
        result.missing.append(pair.name)
        return
    facts[pair.name] = {
        "predicted": str(pair.predicted),
        "scan": None if pair.scan is None else str(pair.scan),
        "landmarks": None if pair.landmarks is None else str(pair.landmarks),
        "scan_landmarks": None if pair.scan_landmarks is None else str(pair.scan_landmarks),
    }
    if not isinstance(outcome, Evaluated):
        result.failed[pair.name] = outcome or str(InputError(pair.predicted, pair.problem or "has no scan"))
        return
    result.distances[pair.name] = outcome.distances
    if outcome.warnings:
        result.warnings[pair.name] = list(outcome.warnings)
    own = {name: value for name, value in outcome.facts.items() if name != "heatmap"}
    facts[pair.name] |= own | {"iterations": int(own["iterations"])}


def _add_notes(result: SurfaceErrors, recipe: Recipe) -> None:
    if recipe.note:
        result.notes.append(recipe.note)
    if recipe.by_case and result.images:
        mean, std = case_means(result)
        result.notes.append(f"mean of the cases' means, as published: {mean:.2f} ± {std:.2f}")


def _write(report: ScanReport, request: Request) -> None:
    from facecli.benchmark.report import write_report

    settings = {"benchmark": "scan", "protocol": request.settings.protocol, **asdict(request.settings)}
    report.files += write_report(request.out, report.results, title=request.title, settings=settings)
    if request.heatmap:
        report.files.append(request.out / HEATMAPS)


def table(results: Sequence[SurfaceErrors], most_cases: int = 30) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Columns and rows for the terminal: methods and, where they are few, their cases."""
    rows: list[Sequence[str]] = list(tables.table_rows(results))
    for result in results:
        if 1 < result.listed <= most_cases:
            for row in tables.cases(result):
                numbers = ["" if row[name] is None else f"{row[name]:.2f}" for name in ("median", "mean", "std")]
                remarks = "; ".join(row["remarks"]) if row["status"] == "evaluated" else row["status"]
                rows.append((f"  {row['case']}", *numbers, "", "", "", remarks))
    return tables.COLUMNS, rows
