"""What a run leaves in its folder, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facecli.benchmark import tables
from facecli.benchmark.now.evaluate import Setup
from facecli.benchmark.now.official import read_distances, write_official
from facecli.benchmark.now.predictions import stamp
from facecli.benchmark.now.request import Report, Request
from facecli.benchmark.report import write_report
from facecli.benchmark.scores import SurfaceErrors
from facecli.errors import UsageError
from facecli.io.arrays import write_npz
from facecli.io.atomic import atomic_write

PROBLEMS_FILE = "problems.txt"


def read_curves(words: Sequence[str]) -> dict[str, np.ndarray]:
    """``NAME=FILE.npy`` -> name and distances [N] mm of official result files.

    Raises:
        UsageError: a word without a name, or one name twice.
        InputError: a file can't be read.
    """

    found: dict[str, np.ndarray] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not name.strip() or name in found:
            raise UsageError(f"--curve is NAME=FILE, each name once, not {word!r}")
        found[name] = read_distances(path)
    return found


def write_results(
    report: Report, setup: Setup, request: Request, folder: Path, curves: Mapping[str, np.ndarray]
) -> None:
    """Write the reports, the distances and what else is requested to `folder`; `report` lists the files.

    Raises:
        OutputError: they can't be written.
    """
    settings = _settings(setup, request)
    report.files += write_report(
        folder, report.results, title=_title(request), settings=settings, published=report.published, curves=curves
    )
    for result in report.results:
        report.files.append(write_distances(folder, result))
        if request.official_npy:
            report.files += write_official(folder, result, request.challenge)


def write_distances(folder: Path, result: SurfaceErrors) -> Path:
    """Write ``METHOD_distances.npz``: `distances` [N] float64 mm of all cases one after the other, `offsets` [cases+1]
    where each begins, and their `names`."""
    ends = np.cumsum([len(distances) for distances in result.distances.values()], dtype=np.int64)
    arrays = {
        "distances": result.pooled,
        "offsets": np.append(np.zeros(1, np.int64), ends),
        "names": np.array(list(result.distances), dtype=np.str_),
    }
    path = folder / f"{result.method}_distances.npz"
    write_npz(path, arrays)
    return path


def _title(request: Request) -> str:
    words = ["NoW", "validation set" if request.image_set == "val" else "test set", request.protocol]
    return ", ".join(words + ([request.challenge] if request.challenge else []))


def _settings(setup: Setup, request: Request) -> dict[str, Any]:
    """What the numbers depend on, for the reports."""
    models = {choice.model: stamp(choice) for choice in request.models}
    return {
        "benchmark": "now",
        "set": request.measured_set,
        "protocol": request.protocol,
        "challenge": request.challenge,
        "images": len(setup.cases),
        "list": str(setup.data.listed_in),
        "methods": [
            {"name": method.name, "predictions": str(method.folder), "unit": method.unit, **models.get(method.name, {})}
            for method in setup.methods
        ],
    }


def write_problems(report: Report, setup: Setup, folder: Path) -> None:
    """All that could not be scored, one a line; no file where there is nothing to say."""
    lines = []
    for method, result in zip(setup.methods, report.results, strict=True):
        words = dict.fromkeys(result.missing, "no prediction") | dict(method.reasons) | result.failed
        lines += [f"{method.name}: {name}: {text}" for name, text in words.items()]
        lines += [
            f"{method.name}: {name}: warning: {text}" for name, texts in result.warnings.items() for text in texts
        ]
    path = folder / PROBLEMS_FILE
    if not lines:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8", "surrogateescape")
    report.files.append(path)


# --- what is shown ---------------------------------------------------------------------------------------------------


def json_lines(report: Report, request: Request) -> list[dict[str, Any]]:
    """One object a method, for `--json`. Numbers that there are none of are null."""
    of_run = {"benchmark": "now", "set": request.image_set, "challenge": request.challenge}
    rows = [{**of_run, **tables.summary(result), "listed": report.listed} for result in report.results]
    return rows + [{**of_run, **look} for look in report.looks]


def table(report: Report, request: Request) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows for people."""
    return tables.COLUMNS, tables.table_rows(report.results, report.published, {"set": request.measured_set})
