"""Measured speeds as tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facecli.benchmark.speed.inputs import Inputs
from facecli.benchmark.speed.machine import in_words
from facecli.benchmark.speed.request import Measured, NotMeasured
from facecli.benchmark.speed.run import Choice
from facecli.benchmark.tables import text
from facecli.io.atomic import atomic_write

_NUMBERS = (
    "start", "load", "first", "one", "pictures_per_second", "frames_per_second", "peak_memory", "gpu_memory",
    "pictures", "faces", "without_result", "frames",
)  # fmt: skip


def columns(rows: Sequence[Measured]) -> list[str]:
    """Heads of :func:`row`'s cells. The graphics card's memory is there where a model ran on one."""
    heads = ["model", "first picture", "of it loading", "one more", "pictures/s", "frames/s", "memory"]
    if _on_card(rows):
        heads.append("GPU memory")
    return [*heads, "batch", "landmarker", "written"]


def row(measured: Measured, rows: Sequence[Measured], choice: Choice) -> list[str]:
    """`measured`'s line among `rows`."""
    cells = [
        measured.model,
        f"{measured.start:.1f} s",
        f"{measured.load:.1f} s",
        f"{1000 * measured.one:.0f} ms",
        _rate(measured.pictures_per_second),
        _rate(measured.frames_per_second),
        _memory(measured.peak_memory),
    ]
    if _on_card(rows):
        cells.append(_memory(measured.gpu_memory))
    return [*cells, str(measured.batch_size), measured.landmarker, ", ".join(choice.save)]


def stage_columns(rows: Sequence[Measured]) -> list[str]:
    """Heads of :func:`stage_row`'s cells."""
    return ["ms a picture", *next((measured.stages for measured in rows if measured.stages), {})]


def stage_row(measured: Measured) -> list[str]:
    return [measured.model, *(f"{value:.1f}" for value in measured.stages.values())]


def notes(
    rows: Sequence[Measured], failed: Sequence[NotMeasured], facts: dict[str, Any], inputs: Inputs, choice: Choice
) -> list[str]:
    """What the numbers are of, for beneath the table."""
    devices = dict.fromkeys(f"{m.device_name}, {m.threads} threads of torch" for m in rows)
    video = f"; video: {inputs.about_video}" if inputs.about_video else ""
    found = [
        *in_words(facts).splitlines(),
        *(f"device: {device}" for device in devices),
        f"pictures: {inputs.about_pictures}{video}",
        f"the first picture once, in a new process; all else warm, medians of {choice.repeat}",
    ]
    for measured in rows:
        if measured.without_result:
            found.append(f"{measured.model}: {measured.without_result} of {measured.pictures} pictures gave nothing")
    return found + [f"{other.model}: not measured: {other.reason}" for other in failed]


def as_json(measured: Measured) -> dict[str, Any]:
    """What `--json` prints of a model: seconds, bytes, rates a second."""
    return asdict(measured)


def write_results(
    folder: Path,
    rows: Sequence[Measured],
    failed: Sequence[NotMeasured],
    facts: dict[str, Any],
    inputs: Inputs,
    choice: Choice,
) -> list[Path]:
    """Write ``speed.json``, ``speed.csv`` and ``speed.txt`` into `folder`.

    Raises:
        OutputError: the folder can't be written to.
    """
    value = {
        "machine": facts,
        "settings": {**asdict(choice), "pictures": inputs.about_pictures, "video": inputs.about_video or None},
        "models": [as_json(measured) for measured in rows],
        "not_measured": [asdict(other) for other in failed],
    }
    tables = text(columns(rows), [row(measured, rows, choice) for measured in rows])
    if any(measured.stages for measured in rows):
        tables += "\n" + text(stage_columns(rows), [stage_row(m) for m in rows if m.stages])
    lines = "".join(f"* {note}\n" for note in notes(rows, failed, facts, inputs, choice))
    files = {
        "speed.json": json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "speed.csv": _as_csv(rows),
        "speed.txt": f"{tables}\n{lines}",
    }
    for name, content in files.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")
    return [folder / name for name in files]


def _as_csv(rows: Sequence[Measured]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    words = ("model", "device", "device_name", "landmarker", "batch_size", "threads")
    stages = stage_columns(rows)[1:]
    writer.writerow([*words, *_NUMBERS, *(f"{stage}_ms" for stage in stages)])
    for measured in rows:
        known = asdict(measured)
        writer.writerow([*(known[name] for name in (*words, *_NUMBERS)), *(known["stages"].get(s) for s in stages)])
    return file.getvalue()


def _on_card(rows: Sequence[Measured]) -> bool:
    return any(measured.gpu_memory is not None for measured in rows)


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _memory(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**20:.0f} MiB"
