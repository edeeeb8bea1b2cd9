"""What a scan-to-mesh benchmark leaves on the disk: numbers as JSON and CSV, a table in plain text, and the curve."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from facecli.benchmark import tables
from facecli.benchmark.curves import cumulative
from facecli.benchmark.published import PublishedResult
from facecli.benchmark.scores import SurfaceErrors
from facecli.io.atomic import atomic_write

__all__ = ["cumulative", "write_report"]

_PACKAGES = ("facecli", "numpy", "scipy", "libigl", "torch")
_CASE_COLUMNS = ("method", "case", "status", "points", "median", "mean", "std", "remarks")


def write_report(
    folder: str | Path,
    results: Sequence[SurfaceErrors],
    *,
    title: str,
    settings: Mapping[str, Any],
    published: Sequence[PublishedResult] = (),
    curves: Mapping[str, np.ndarray] | None = None,
    limit_mm: float = 8.0,
) -> list[Path]:
    """Write ``results.json``, ``results.csv``, ``cases.csv``, ``table.txt``, ``curve.svg`` and ``curve.png``.

    Args:
        folder: is made where it isn't there.
        results: one a method.
        title: of the table and the plot.
        settings: what the numbers depend on, for the record; ``"set"`` (``"val"`` or ``"test"``) says which published
            results may stand in the table.
        published: those of another set or protocol are drawn, labelled, but don't stand in the table.
        curves: name -> [N] distances in millimetres of others, for the plot.
        limit_mm: right end of the plot.

    Returns:
        The files' paths, in that order.

    Raises:
        OutputError: the folder can't be written to, or the disk is full.
    """
    from facecli.benchmark.curve_picture import draw_curves, write_curves

    folder = Path(folder)
    written = [
        _write(folder / "results.json", _as_json(results, title, settings, published)),
        _write(folder / "results.csv", _as_csv(*_result_table(results))),
        _write(folder / "cases.csv", _as_csv(_CASE_COLUMNS, _case_rows(results))),
        _write(folder / "table.txt", table_text(results, title=title, settings=settings, published=published)),
    ]
    figure = draw_curves(
        results, title=title, published=published, curves=curves, set=settings.get("set"), limit_mm=limit_mm
    )
    return written + write_curves(folder, figure)


def table_text(
    results: Sequence[SurfaceErrors],
    *,
    title: str,
    settings: Mapping[str, Any],
    published: Sequence[PublishedResult] = (),
) -> str:
    """The tables and what must be read with them, in plain text. Millimetres."""
    parts = [f"{title} (mm)\n", tables.text(tables.COLUMNS, tables.table_rows(results, published, settings))]
    notes = tables.footnotes(results, published, settings)
    if notes:
        parts.append("".join(f"* {note}\n" for note in notes))
    challenges = tables.challenge_rows(results)
    if challenges:
        parts.append(tables.text(tables.CHALLENGE_COLUMNS, challenges))
    return "\n".join(parts)


def _write(path: Path, text: str) -> Path:
    with atomic_write(path) as temporary:
        # Bytes of file names that are no text come as JSON's escapes, as `--json` prints them.
        errors = "backslashreplace" if path.suffix == ".json" else "surrogateescape"
        temporary.write_text(text, encoding="utf-8", errors=errors, newline="\n")
    return path


def _as_json(
    results: Sequence[SurfaceErrors],
    title: str,
    settings: Mapping[str, Any],
    published: Sequence[PublishedResult],
) -> str:
    value = {
        "title": title,
        "unit": "mm",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dict(settings),
        "versions": _versions(),
        "notes": tables.footnotes(results, published, settings),
        "methods": [_method(result) for result in results],
        "published": [
            {**vars(other), "comparable": other in tables.comparable(results, published, settings)}
            for other in published
        ],
    }
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _method(result: SurfaceErrors) -> dict[str, Any]:
    challenges = {name: tables.summary(part) for name, part in tables.by_challenge(result).items()}
    return {
        **tables.summary(result),
        "points": len(result.pooled),
        "challenges": challenges,
        "missing_cases": result.missing,
        "failed_cases": result.failed,
        "warnings_of_cases": result.warnings,
        "cases": {row.pop("case"): row for row in tables.cases(result) if row["status"] == "evaluated"},
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    """`value` as JSON knows it: numpy's numbers and arrays, paths; None for numbers that aren't finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _result_table(results: Sequence[SurfaceErrors]) -> tuple[Sequence[str], list[list[Any]]]:
    rows = [tables.summary(result) for result in results]
    columns = list(tables.summary(SurfaceErrors("", "", {})))
    return columns, [[_cell(row[column]) for column in columns] for row in rows]


def _case_rows(results: Sequence[SurfaceErrors]) -> Iterable[list[Any]]:
    for result in results:
        for row in tables.cases(result):
            yield [result.method, *(_cell(row[column]) for column in _CASE_COLUMNS[1:])]


def _cell(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, list) else value


def _as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
