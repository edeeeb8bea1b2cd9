"""What many heads' scores say: pooled errors, landmarks, rotation, by yaw and distance; tables and files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facecli.benchmark import tables
from facecli.benchmark.report import write_report
from facecli.benchmark.scores import SurfaceErrors
from facecli.benchmark.synthetic.score import EVALUATED, FAILED, MISSING, HeadScore
from facecli.data.head_set import HeadSet
from facecli.io.atomic import atomic_write

if TYPE_CHECKING:
    from facecli.benchmark.synthetic.run import Report, Request

YAW_BINS = ((0, 30), (30, 60), (60, 91))
DISTANCE_BINS = ((0, 600), (600, 1200), (1200, 10_000))
COLUMNS = (
    "method", "median", "mean", "std", "metrical", "images", "missing", "failed", "NME68 %", "NME51 %", "pixels",
    "turn °", "weights", "gaze °", "remarks",
)  # fmt: skip
BIN_COLUMNS = ("method", "bin", "median", "NME51 %", "turn °", "weights", "gaze °", "images", "missing")
_MEANS = ("pixels68", "nme68", "nme51", "turn", "expression", "gaze")
_PER_HEAD = ("yaw", "pitch", "roll", "distance", *_MEANS)


def surface_errors(
    method: str, protocol: str, heads: HeadSet, scores: Sequence[HeadScore], notes: Sequence[str]
) -> SurfaceErrors:
    """The scores of all heads as what every scan-to-mesh benchmark gives."""
    result = SurfaceErrors(method, protocol, {}, notes=list(notes))
    for index, score in enumerate(scores):
        name = heads.name(index)
        if score.status == EVALUATED:
            result.distances[name] = score.distances[protocol].astype(np.float64)
            if score.warnings.get(protocol):
                result.warnings[name] = list(score.warnings[protocol])
        elif score.status == MISSING:
            result.missing.append(name)
        else:
            result.failed[name] = score.reason
    return result


def numbers(scores: Sequence[HeadScore]) -> dict[str, Any]:
    """What heads have in common, beside the pooled distances: means over heads (of `turn` the median, too)."""
    found: dict[str, Any] = {}
    for name in _MEANS:
        values = [score.facts[name] for score in scores if name in score.facts]
        found[name] = float(np.mean(values)) if values else None
        if name == "turn":
            found["turn_median"] = float(np.median(values)) if values else None
    return found


def bins(scores: Sequence[HeadScore]) -> dict[str, dict[str, Any]]:
    """The same by |yaw| and by distance: ``"yaw 0-30"`` -> numbers, the pooled nonmetrical median first."""
    found = {}
    for fact, edges, unit in (("yaw", YAW_BINS, "°"), ("distance", DISTANCE_BINS, " mm")):
        for low, high in edges:
            part = [score for score in scores if low <= abs(score.facts.get(fact, math.nan)) < high]
            if part:
                last = high == edges[-1][1]
                words = f"from {low}{unit}" if last else f"{low}-{high}{unit}"
                found[f"{fact} {words}"] = _bin(part)
    return found


def _bin(part: Sequence[HeadScore]) -> dict[str, Any]:
    pooled = [score.distances["nonmetrical"] for score in part if score.status == EVALUATED]
    return {
        "median": float(np.median(np.concatenate(pooled))) if pooled else None,
        "images": len(pooled),
        "missing": sum(score.status == MISSING for score in part),
        "failed": sum(score.status == FAILED for score in part),
        **numbers(part),
    }


# --- rows ------------------------------------------------------------------------------------------------------------


def table_rows(report: Report) -> list[tuple[str, ...]]:
    """Rows under :data:`COLUMNS`: millimetres, nonmetrical but for the one column."""
    rows = []
    plain = tables.table_rows(report.results["nonmetrical"])
    for row, metrical, scores in zip(plain, report.results["metrical"], report.scores.values(), strict=True):
        more = numbers(scores)
        rows.append((
            *row[:4], _cell(metrical.median), *row[4:7], _cell(more["nme68"]), _cell(more["nme51"]),
            _cell(more["pixels68"], 1), _cell(more["turn_median"], 1), _cell(more["expression"], 3),
            _cell(more["gaze"], 1), row[7],
        ))  # fmt: skip
    return rows


def bin_rows(report: Report) -> list[tuple[str, ...]]:
    """Rows under :data:`BIN_COLUMNS`."""
    return [
        (
            method,
            name,
            _cell(part["median"]),
            _cell(part["nme51"]),
            _cell(part["turn_median"], 1),
            _cell(part["expression"], 3),
            _cell(part["gaze"], 1),
            str(part["images"]),
            str(part["missing"]),
        )
        for method, scores in report.scores.items()
        for name, part in bins(scores).items()
    ]


def json_lines(request: Request, report: Report) -> list[dict[str, Any]]:
    """One object a method."""
    from facecli.benchmark.synthetic.run import NOT_PHOTOGRAPHS

    lines = []
    for plain, metrical in zip(report.results["nonmetrical"], report.results["metrical"], strict=True):
        scores = report.scores[plain.method]
        line = tables.summary(plain)
        line["metrical"] = {name: tables.summary(metrical)[name] for name in ("median", "mean", "std")}
        lines.append({
            "benchmark": "synthetic", **line, **numbers(scores), "bins": bins(scores),
            "set": _settings(request), "caution": NOT_PHOTOGRAPHS,
        })  # fmt: skip
    return lines


def _settings(request: Request) -> dict[str, Any]:
    heads = request.heads
    return {
        "faces": heads.choice.faces,
        "scenes": heads.scenes,
        "seed": heads.seed,
        "heads": request.count,
        "size": heads.size,
        "fingerprint": heads.fingerprint,
    }


def _cell(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


# --- files -----------------------------------------------------------------------------------------------------------


def write(request: Request, report: Report) -> list[Path]:
    """The reports of both protocols, ``heads.csv``, ``bins.csv``, ``summary.txt`` and a sheet a method.

    Raises:
        OutputError: the folder can't be written to.
    """
    from facecli.benchmark.synthetic.run import NOT_PHOTOGRAPHS
    from facecli.benchmark.synthetic.sheet import write_sheet

    files = []
    for protocol, results in report.results.items():
        title = f"Rendered heads (not photographs), {protocol}"
        settings = {**_settings(request), "protocol": protocol, "caution": NOT_PHOTOGRAPHS}
        files += write_report(request.out / protocol, results, title=title, settings=settings)
    text = "\n".join([
        tables.text(COLUMNS, table_rows(report)),
        f"* {NOT_PHOTOGRAPHS}\n",
        tables.text(BIN_COLUMNS, bin_rows(report)),
    ])  # fmt: skip
    files.append(_write(request.out / "summary.txt", text))
    files.append(_write(request.out / "heads.csv", _csv(_head_columns(), _head_rows(request, report))))
    columns = ("method", "bin", *_bin([]))
    rows = [
        (method, name, *part.values())
        for method, scores in report.scores.items()
        for name, part in bins(scores).items()
    ]
    files.append(_write(request.out / "bins.csv", _csv(columns, rows)))
    if request.sheet:
        for method, scores in report.scores.items():
            if any(score.status == EVALUATED for score in scores):
                path = request.out / f"sheet_{method.replace(' ', '_')}.png"
                write_sheet(path, request.heads, scores, request.sheet)
                files.append(path)
    return files


def _head_columns() -> tuple[str, ...]:
    return ("method", "head", "status", *_PER_HEAD, "nonmetrical_median", "nonmetrical_mean", "metrical_median",
            "metrical_mean", "remarks")  # fmt: skip


def _head_rows(request: Request, report: Report) -> Iterable[list[Any]]:
    for method, scores in report.scores.items():
        for index, score in enumerate(scores):
            errors = [
                function(score.distances[protocol]) if protocol in score.distances else None
                for protocol in ("nonmetrical", "metrical")
                for function in (np.median, np.mean)
            ]
            remarks = [score.reason, *(word for words in score.warnings.values() for word in words)]
            facts = [score.facts.get(name) for name in _PER_HEAD]
            yield [method, request.heads.name(index), score.status, *facts, *errors, "; ".join(filter(None, remarks))]


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{value:.6g}" if isinstance(value, float | np.floating) else value for value in row])
    return text.getvalue()


def _write(path: Path, text: str) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_text(text, "utf-8", newline="\n")
    return path
