"""Results of AFLW2000-3D as records, tables and files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facecli import __version__
from facecli.benchmark.aflw2000 import alignment, head_pose
from facecli.benchmark.aflw2000.dataset import Aflw2000
from facecli.benchmark.aflw2000.evaluate import THRESHOLD, Alignment, Pose, Result, found_by_all
from facecli.benchmark.tables import text
from facecli.io.atomic import atomic_write

PUBLISHED_NME = (
    ("3DDFA", 3.79, 4.54, 7.93, 5.42),
    ("PRNet", 2.75, 3.51, 4.61, 3.62),
    ("3DDFA_V2", 2.63, 3.42, 4.48, 3.51),
    ("SynergyNet", 2.65, 3.30, 4.27, 3.41),
)
"""Percent, original labels: by bin, and their mean. As the papers of 3DDFA_V2 and SynergyNet have them, we believe."""
PUBLISHED_MAE = (("SynergyNet", 3.42, 4.09, 2.55, 3.35),)
"""Degrees: yaw, pitch, roll, mean."""
PUBLISHED_TITLE = "Published, from memory and unverified, on crops made with the labels' help"

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, columns, rows."""


# --- records ---------------------------------------------------------------------------------------------------------


def records(results: Sequence[Result], data: Aflw2000) -> list[dict[str, Any]]:
    """A JSON-ready dictionary a method and set of labels; NME in percent, angles in degrees, None where empty."""
    return [record for result in results for record in _records_of(result, results, len(data))]


def _records_of(result: Result, results: Sequence[Result], count: int) -> Iterable[dict[str, Any]]:
    common = {"benchmark": "aflw2000", "method": result.method}
    ends = {
        "pose": None if result.pose is None else _pose_record(result.pose),
        "failed": len(result.answers.errors),
        "settings": result.answers.settings,
        "notes": result.answers.notes,
    }
    mae = None if result.pose is None else _errors_record(result.pose.published)
    if not result.alignments:
        images = 0 if result.pose is None else result.pose.published.images
        listed = count if result.pose is None else result.pose.listed
        yield _no_nan({**common, "labels": None, "nme": None, "mae": mae, "images": images,
                       "missing": listed - images, **ends})  # fmt: skip
    for number, one in enumerate(result.alignments):
        everywhere = found_by_all(results, number)
        yield _no_nan(
            {
                **common,
                "labels": one.labels,
                "nme": binned_record(one.binned),
                "mae": mae,
                "images": int(one.found.sum()),
                "missing": int(one.missing_by_bin.sum()),
                "images_by_bin": dict(zip(alignment.BINS, one.binned.counts.tolist(), strict=True)),
                "missing_by_bin": dict(zip(alignment.BINS, one.missing_by_bin.tolist(), strict=True)),
                "nme_found_by_all": None if everywhere is None else binned_record(one.binned_over(everywhere)),
                "images_found_by_all": None if everywhere is None else int(everywhere.sum()),
                "nme_over_images": 100 * float(np.mean(one.errors[one.found])) if one.found.any() else None,
                "auc": one.auc,
                "failure_rate": one.failure_rate,
                **ends,
            }
        )


def binned_record(binned: alignment.BinnedNme) -> dict[str, float]:
    """In percent: the bins' means, their mean and its std."""
    values = dict(zip(alignment.BINS, (100 * binned.means).tolist(), strict=True))
    return {**values, "mean": 100 * binned.mean, "std": 100 * binned.std}


def _errors_record(errors: head_pose.PoseErrors) -> dict[str, float]:
    return {"yaw": errors.yaw, "pitch": errors.pitch, "roll": errors.roll, "mean": errors.mean}


def _pose_record(pose: Pose) -> dict[str, Any]:
    return {
        "images": pose.published.images,
        "missing": pose.listed - pose.published.images,
        "own_angles": pose.own_angles,
        "mae_exact": _errors_record(pose.exact),
        "mae_offset_removed": _errors_record(pose.aligned),
        "offset": pose.offset,
        "geodesic": pose.geodesic,
        "geodesic_offset_removed": pose.geodesic_aligned,
    }


def _no_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _no_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- tables ----------------------------------------------------------------------------------------------------------


def tables(results: Sequence[Result]) -> list[Table]:
    """What people read: landmarks by bin, head pose, and published numbers beside them."""
    made = []
    if any(result.alignments for result in results):
        made.append(_landmark_table(results))
    if any(result.pose for result in results):
        made.append(_pose_table(results))
    if any(one.labels == "original" for result in results for one in result.alignments):
        rows = [(name, *(f"{number:.2f}" for number in numbers)) for name, *numbers in PUBLISHED_NME]
        made.append((f"{PUBLISHED_TITLE}: NME, percent, original labels", ("method", *alignment.BINS, "mean"), rows))
    if any(result.pose for result in results):
        rows = [(name, *(f"{number:.2f}" for number in numbers)) for name, *numbers in PUBLISHED_MAE]
        made.append((f"{PUBLISHED_TITLE}: MAE, degrees", ("method", "yaw", "pitch", "roll", "mean"), rows))
    return made


def _landmark_table(results: Sequence[Result]) -> Table:
    columns = (
        "method", "labels", *alignment.BINS, "mean", "std", f"AUC {THRESHOLD:.0%}", f"beyond {THRESHOLD:.0%}",
        "images", "MISSING",
    )  # fmt: skip
    rows = []
    for result in results:
        for number, one in enumerate(result.alignments):
            rows.append(_landmark_row(result.method, one, one.binned, one.found, one.missing_by_bin))
            everywhere = found_by_all(results, number)
            if everywhere is not None:
                row = _landmark_row(
                    f"  {result.method}, images found by all", one, one.binned_over(everywhere), everywhere
                )
                rows.append(row)
    return "Landmarks: NME, percent of the label box's size; mean and std are of the three bins", columns, rows


def _landmark_row(
    name: str,
    one: Alignment,
    binned: alignment.BinnedNme,
    images: np.ndarray,
    missing: np.ndarray | None = None,
) -> tuple[str, ...]:
    """Without `missing` it is a row over a part of the images."""
    percents = [_percent(value) for value in (*binned.means, binned.mean, binned.std)]
    if missing is None:
        return name, one.labels, *percents, "", "", str(int(images.sum())), ""
    lost = int(missing.sum())
    lost_text = f"{lost} ({'/'.join(map(str, missing))})" if lost else "0"
    whole = (f"{one.auc:.3f}", f"{one.failure_rate:.1%}")
    return name, one.labels, *percents, *whole, str(int(images.sum())), lost_text


def _percent(value: float) -> str:
    return f"{100 * value:.3f}" if math.isfinite(value) else "–"


def _pose_table(results: Sequence[Result]) -> Table:
    columns = ("method", "angles", "yaw", "pitch", "roll", "mean", "images", "MISSING")
    rows = []
    for result in results:
        pose = result.pose
        if pose is None:
            continue
        ways = [
            ("as given" if pose.own_angles else "as published", pose.published),
            ("as labels mean them", pose.exact),
            (f"… constant turn of {_degrees(pose.offset)}° removed", pose.aligned),
        ]
        if pose.own_angles:
            del ways[1]
        for number, (way, errors) in enumerate(ways):
            values = [_degrees(value) for value in (errors.yaw, errors.pitch, errors.roll, errors.mean)]
            counts = (str(errors.images), str(pose.listed - errors.images))
            rows.append(("" if number else result.method, way, *values, *counts))
    return "Head pose: MAE, degrees; the published way is each method's first row", columns, rows


def _degrees(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def text_of(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """`table.txt`."""
    parts = [f"{title}\n\n{text(columns, rows)}" for title, columns, rows in tables]
    return "\n".join([*parts, *(f"* {note}\n" for note in notes)])


def official_text(result: Result) -> str:
    """What SynergyNet's `benchmark.py` would print of the method."""
    parts = []
    for one in result.alignments:
        name = "AFLW2000-3D" if one.labels == "original" else "AFLW2000-3D Reannotated"
        parts.append(alignment.official_text(one.binned, name))
    if result.pose is not None:
        parts.append(head_pose.official_text(result.pose.published))
    return "\n".join(parts)


# --- files -----------------------------------------------------------------------------------------------------------


def write(
    folder: Path, results: Sequence[Result], data: Aflw2000, settings: Mapping[str, Any], notes: Sequence[str]
) -> list[Path]:
    """All files of a run; their paths."""
    from facecli.benchmark.aflw2000 import plots

    made = records(results, data)
    whole = {"facecli": __version__, "settings": dict(settings), "sources": data.sources, "notes": list(notes)}
    written = [
        _write(folder / "results.json", json.dumps({**whole, "results": made}, indent=2, ensure_ascii=False) + "\n"),
        _write(folder / "results.csv", _summary_csv(made)),
        _write(folder / "images.csv", _images_csv(results, data)),
        _write(folder / "table.txt", text_of(tables(results), notes)),
    ]
    for result in results:
        if result.alignments or result.pose:
            written.append(_write(folder / f"official_{_file_name(result.method)}.txt", official_text(result) + "\n"))
    if any(result.alignments for result in results):
        written += plots.write(folder / "nme", results)
    return written


def _file_name(method: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in method)


def _write(path: Path, content: str) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path


def _summary_csv(made: Sequence[dict[str, Any]]) -> str:
    angles = ("yaw", "pitch", "roll", "mean")
    columns = (
        "method", "labels", *(f"nme {name}" for name in (*alignment.BINS, "mean", "std")), "auc", "failure_rate",
        "images", "missing", "failed", *(f"mae {name}" for name in angles),
        *(f"{way} {name}" for way in ("mae_exact", "mae_offset_removed") for name in angles), "pose images",
        "pose missing",
    )  # fmt: skip

    def value(record: dict[str, Any], column: str) -> Any:
        group, _, key = column.partition(" ")
        if group == "pose":
            return (record["pose"] or {}).get(key)
        if group in ("mae_exact", "mae_offset_removed"):
            return ((record["pose"] or {}).get(group) or {}).get(key)
        return (record.get(group) or {}).get(key) if key else record.get(group)

    return _csv(columns, ([value(record, column) for column in columns] for record in made))


def _images_csv(results: Sequence[Result], data: Aflw2000) -> str:
    """A row an image and method: its errors, or why there are none."""
    labels = list(data.landmarks)
    columns = ("image", "yaw", "method", *(f"nme {name}" for name in labels), "yaw error", "pitch error",
               "roll error", "problem")  # fmt: skip

    def rows() -> Iterable[Sequence[Any]]:
        for result in results:
            errors = {one.labels: 100 * one.errors for one in result.alignments}
            empty = np.full((len(data), 3), np.nan)
            turns = empty if result.pose is None else result.pose.differences
            for row, name in enumerate(data.names):
                problem = result.answers.missing.get(name) or str(result.answers.errors.get(name, ""))
                numbers = [errors[label][row] if label in errors else np.nan for label in labels]
                yield name, data.yaw[row], result.method, *numbers, *turns[row], problem

    return _csv(columns, rows())


def _csv(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return "" if value is None else value
