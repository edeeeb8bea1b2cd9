"""Results of scan-to-mesh benchmarks as rows: for the terminal, text, JSON and CSV.

Numbers with predictions missing are not comparable, so how many are missing stands beside every number, marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from facecli.benchmark.published import SETS, PublishedResult
from facecli.benchmark.scores import SurfaceErrors

COLUMNS = ("method", "median", "mean", "std", "images", "missing", "failed", "remarks")
CHALLENGE_COLUMNS = ("method", "challenge", "median", "mean", "std", "images", "missing", "failed")
MISSING_MARK = " (!)"


def summary(result: SurfaceErrors) -> dict[str, Any]:
    """What `--json` prints of a method: numbers in millimetres, None where nothing was evaluated."""
    return {
        "method": result.method,
        "protocol": result.protocol,
        **{name: _finite(getattr(result, name)) for name in ("median", "mean", "std")},
        "images": result.images,
        "listed": result.listed,
        "missing": len(result.missing),
        "failed": len(result.failed),
        "warnings": len(result.warnings),
        "notes": list(result.notes),
    }


def cases(result: SurfaceErrors) -> list[dict[str, Any]]:
    """A row a case: those evaluated, then those missing and failed. `remarks`: what is odd, or what went wrong."""
    rows = [
        {"case": case, "status": "evaluated", **statistics(distances), "remarks": result.warnings.get(case, [])}
        for case, distances in result.distances.items()
    ]
    nothing = statistics(np.empty(0))
    rows += [
        {"case": case, "status": "missing", **nothing, "remarks": ["there is no prediction"]} for case in result.missing
    ]
    return rows + [
        {"case": case, "status": "failed", **nothing, "remarks": [reason]} for case, reason in result.failed.items()
    ]


def statistics(distances: np.ndarray) -> dict[str, Any]:
    """`points`, and their `median`, `mean` and (population) `std`; None of nothing, and where they aren't finite."""
    numbers = {"points": len(distances)}
    for name, function in (("median", np.median), ("mean", np.mean), ("std", np.std)):
        numbers[name] = _finite(function(distances)) if len(distances) else None
    return numbers


def by_challenge(result: SurfaceErrors) -> dict[str, SurfaceErrors]:
    """`result` in parts by NoW's challenge, where cases are named ``subject/challenge/file``; else empty."""
    everything = [*result.distances, *result.missing, *result.failed]
    if not everything or any(case.count("/") < 2 for case in everything):
        return {}
    parts = {
        name: SurfaceErrors(result.method, result.protocol, {}, notes=result.notes)
        for name in dict.fromkeys(map(_challenge, everything))
    }
    for case, distances in result.distances.items():
        parts[_challenge(case)].distances[case] = distances
    for case in result.missing:
        parts[_challenge(case)].missing.append(case)
    for case, reason in result.failed.items():
        parts[_challenge(case)].failed[case] = reason
    for case, words in result.warnings.items():
        parts[_challenge(case)].warnings[case] = words
    return parts


def table_rows(
    results: Sequence[SurfaceErrors],
    published: Sequence[PublishedResult] = (),
    settings: Mapping[str, Any] | None = None,
) -> list[tuple[str, ...]]:
    """Rows under :data:`COLUMNS`: measured ones, then published ones of the same protocol and set, marked as such."""
    rows = [_row(result) for result in results]
    for other in comparable(results, published, settings or {}):
        remarks = ", ".join(["published", *other.remarks(other.protocol, other.set)])
        rows.append((other.method, *_numbers(other.median, other.mean, other.std), "", "", "", remarks))
    return rows


def challenge_rows(results: Sequence[SurfaceErrors]) -> list[tuple[str, ...]]:
    """Rows under :data:`CHALLENGE_COLUMNS`; none unless at least two challenges are there."""
    rows = []
    for result in results:
        parts = by_challenge(result)
        if len(parts) > 1:
            rows += [(result.method, name, *_row(part)[1:-1]) for name, part in sorted(parts.items())]
    return rows


def footnotes(
    results: Sequence[SurfaceErrors],
    published: Sequence[PublishedResult] = (),
    settings: Mapping[str, Any] | None = None,
) -> list[str]:
    """What must be read with the table, the most important first."""
    settings = settings or {}
    notes = []
    for result in results:
        lacking = result.listed - result.images
        if lacking:
            notes.append(
                f"{result.method}: {lacking} of {result.listed} cases are not in its numbers "
                f"({_count(len(result.missing), 'without a prediction')}, {_count(len(result.failed), 'failed')}): "
                "they are not comparable with published ones, nor with other methods'"
            )
    for result in results:
        notes += [f"{result.method}: {note}" for note in result.notes]
    notes += mixing(published, results, settings)
    shown = comparable(results, published, settings)
    unverified = [other.method for other in shown if not other.verified]
    if unverified:
        notes.append(f"unverified, from memory and not re-read in the source: {', '.join(unverified)}")
    return notes


def mixing(
    published: Sequence[PublishedResult], results: Sequence[SurfaceErrors], settings: Mapping[str, Any]
) -> list[str]:
    """A warning where published results of another set or protocol are drawn beside the measured ones."""
    shown = comparable(results, published, settings)
    others = [result for result in published if result not in shown]
    kinds = dict.fromkeys(f"{SETS.get(other.set, other.set)}, {other.protocol}" for other in others)
    return [
        f"{_count(len(others), 'published result')} of another set or protocol ({'; '.join(kinds)}) in the curve only: "
        "not comparable, and so not in the table"
        for _ in others[:1]
    ]


def comparable(
    results: Sequence[SurfaceErrors], published: Sequence[PublishedResult], settings: Mapping[str, Any]
) -> list[PublishedResult]:
    """Those of `published` that may stand in a table with `results`: of their protocol, and of `settings`' set."""
    protocols = {result.protocol for result in results}
    protocol = protocols.pop() if len(protocols) == 1 else None
    return [other for other in published if other.comparable(protocol, settings.get("set"))]


def text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in plain characters, as wide as it needs to be; columns of numbers to the right."""
    lines = [list(columns), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    is_number = [all(line[i][:1].isdigit() or not line[i] for line in lines[1:]) for i in range(len(columns))]
    out = []
    for line in lines:
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, is_number, strict=True)
        ]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(out) + "\n"


def _row(result: SurfaceErrors) -> tuple[str, ...]:
    missing, failed = len(result.missing), len(result.failed)
    remarks = [*result.notes]
    if result.warnings:
        remarks.append(f"{_count(len(result.warnings), 'case')} with warnings")
    return (
        result.method,
        *_numbers(result.median, result.mean, result.std),
        str(result.images),
        f"{missing}{MISSING_MARK if missing else ''}",
        f"{failed}{MISSING_MARK if failed else ''}",
        "; ".join(remarks),
    )


def _numbers(*values: float) -> tuple[str, ...]:
    return tuple("–" if not math.isfinite(value) else f"{value:.2f}" for value in values)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _challenge(case: str) -> str:
    return case.split("/")[-2]


def _count(number: int, words: str) -> str:
    """``3 cases``, ``1 case``; adjectives stay as they are."""
    plural = "s" if number != 1 and not words.startswith(("without", "failed")) else ""
    return f"{number} {words}{plural}"
