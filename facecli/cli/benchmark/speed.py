"""`facecli benchmark speed`: how fast each installed model is on this machine, and how much memory it takes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console, options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facecli.benchmark.speed.inputs import Inputs
    from facecli.benchmark.speed.request import Measured, NotMeasured
    from facecli.benchmark.speed.run import Choice, Told


def speed(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Models, comma-separated. (default: all that are installed and have their files)",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(help="Files or folders. (default: the sample photograph)", show_default=False),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(help="A video. (default: one that moves over the first picture)", show_default=False),
    ] = None,
    recursive: options.Recursive = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for speed.json, speed.csv and speed.txt.", show_default=False),
    ] = None,
    save: Annotated[
        str, typer.Option(help="What is written of each face, words of `facecli reconstruct --save`.")
    ] = "codes,json",
    count: Annotated[int, typer.Option(help="Pictures in a pass at least; fewer are taken again.", min=1)] = 24,
    frames: Annotated[int, typer.Option(help="Frames of the video that is made; 0: no video.", min=0)] = 50,
    repeat: Annotated[int, typer.Option(help="Passes; the median is told.", min=1)] = 3,
    stages: Annotated[
        bool, typer.Option("--stages", help="A second table: detecting, encoding, decoding, writing.")
    ] = False,
    landmarker: options.Landmarker = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-O", metavar="NAME=VALUE", help="An option of the models' own."),
    ] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 0,
    threads: Annotated[
        int, typer.Option(help="Threads of torch and of detection; 0: as `facecli reconstruct`.", min=0)
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a model on standard output.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Pictures and frames a second, the wait for the first picture, and peak memory of each model.

    Each model works in a process of its own, as `facecli reconstruct` would. "First picture" is from the start of the
    process to the results on disk; all else is measured when everything is warm.

    Example: facecli benchmark speed --model mediapipe,deca --stages -o speed
    """
    from facecli.benchmark.speed.run import Choice
    from facecli.reconstruction.settings import parse_options, split_words

    choice = Choice(
        save=split_words([save]),
        repeat=repeat,
        device=device,
        batch_size=batch_size,
        threads=threads,
        landmarker=landmarker,
        options=parse_options(option or []),
        stages=stages,
    )
    named = split_words(model or [])
    models, absent = _models(named, choice)
    with _prepared(pictures or [], video, count, frames, recursive) as inputs:
        rows, failed = _measure(models, inputs, choice, quiet)
    _tell(rows, failed, absent, inputs, choice, output, as_json, quiet)
    if failed:
        raise typer.Exit(_exit_code(rows, failed))


def _models(named: Sequence[str], choice: Choice) -> tuple[list[str], list[NotMeasured]]:
    """The models to measure; of those that nobody named, the others whose files are missing.

    Raises:
        UsageError, PluginError: a name is unknown, or settings are that the model doesn't have.
    """
    from facecli import registry
    from facecli.benchmark.speed.request import NotMeasured
    from facecli.errors import UsageError
    from facecli.reconstruction.settings import Settings

    def check(name: str) -> None:
        plugin = registry.plugin(name)
        if not plugin.reconstructor:
            registry.reconstructor(name)  # says which do
        Settings(save=choice.save, options=choice.options, device=choice.device).of_model(plugin)

    _check_shared(choice)
    for name in named:
        check(name)
    if named:
        return list(named), []
    ready, absent = [], []
    for plugin in registry.plugins().values():
        if not plugin.reconstructor:
            continue
        reason = _lacking(plugin.name)
        if reason is None:
            try:
                check(plugin.name)
            except UsageError as error:
                reason = str(error)
        if reason is None:
            ready.append(plugin.name)
        else:
            absent.append(NotMeasured(plugin.name, reason, missing=True))
    if not ready:
        reasons = "; ".join(f"{other.model}: {other.reason}" for other in absent)
        raise UsageError(f"there is no model to measure: {reasons or 'none is installed'}")
    return ready, absent


def _check_shared(choice: Choice) -> None:
    """What would fail for each model is told once, before anything is measured.

    Raises:
        UsageError: there is no such device or landmarker.
    """
    from facecli import registry
    from facecli.reconstruction.settings import choose_device

    if choice.device != "auto":
        choose_device(choice.device)
    offered = {name for plugin in registry.plugins().values() for name in plugin.landmarkers}
    if choice.landmarker is not None and choice.landmarker not in offered:
        registry.landmarker(choice.landmarker)  # says what there is


def _lacking(model: str) -> str | None:
    """What `model` needs and isn't here, with what mends it; None where all is here."""
    from facecli import registry
    from facecli.cli.models import describe

    facts = describe(registry.plugin(model))
    if facts["packages_missing"]:
        return f"Python packages missing: pip install {' '.join(facts['packages_missing'])}"
    if facts["files_missing"]:
        return f"files missing: facecli assets get --model {model}"
    return None


@contextlib.contextmanager
def _prepared(
    pictures: Sequence[str], video: Path | None, count: int, frames: int, recursive: bool
) -> Iterator[Inputs]:
    import tempfile

    from facecli.benchmark.speed.inputs import prepare

    with tempfile.TemporaryDirectory(prefix="facecli-speed-", ignore_cleanup_errors=True) as folder:
        yield prepare(Path(folder), pictures, None if video is None else str(video), count, frames, recursive)


def _measure(
    models: Sequence[str], inputs: Inputs, choice: Choice, quiet: bool
) -> tuple[list[Measured], list[NotMeasured]]:
    from facecli.benchmark.speed.request import Measured
    from facecli.benchmark.speed.run import measure_models

    rows, failed = [], []
    with _Status(models, quiet) as status:
        for outcome in measure_models(models, inputs, choice, status.of_model):
            if isinstance(outcome, Measured):
                rows.append(outcome)
            else:
                failed.append(outcome)
                console.fail(f"{outcome.model}: {outcome.reason}")
    return rows, failed


class _Status:
    """Says which model is being measured: on a terminal what of it just now, too."""

    def __init__(self, models: Sequence[str], quiet: bool):
        self._models, self._quiet, self._number = models, quiet, 0
        self._terminal = not quiet and console.stderr_console().is_terminal
        self._line = console.stderr_console().status("") if self._terminal else None

    def __enter__(self) -> _Status:
        if self._line is not None:
            self._line.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.stop()

    def of_model(self, model: str) -> Told:
        self._number += 1
        name = f"measuring {model} ({self._number} of {len(self._models)})"
        if not self._quiet and not self._terminal:
            console.say(name)

        def told(stage: str, done: int, of: int | None) -> None:
            if self._line is not None:
                self._line.update(f"{name}: {stage}, {done} of {of or '?'}")

        return told


def _tell(
    rows: Sequence[Measured],
    failed: Sequence[NotMeasured],
    absent: Sequence[NotMeasured],
    inputs: Inputs,
    choice: Choice,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from facecli.benchmark.speed import tables
    from facecli.benchmark.speed.machine import machine_facts
    from facecli.cli import table

    facts = machine_facts()
    if as_json:
        for measured in rows:
            console.emit_json({**tables.as_json(measured), "save": list(choice.save), "machine": facts})
    elif rows:
        table.show(tables.columns(rows), [tables.row(measured, rows, choice) for measured in rows])
        if choice.stages:
            console.stdout_console().print()
            table.show(tables.stage_columns(rows), [tables.stage_row(measured) for measured in rows])
    if not quiet:
        for note in tables.notes(rows, absent, facts, inputs, choice):  # failures are told already
            console.say(note)
    if output is not None:
        written = tables.write_results(output, rows, [*failed, *absent], facts, inputs, choice)
        if not quiet:
            console.say("\n".join(str(path) for path in written))


def _exit_code(rows: Sequence[Measured], failed: Sequence[NotMeasured]) -> int:
    from facecli.errors import EXIT_MISSING_FILE, EXIT_SOME_FAILED

    only_missing = not rows and all(other.missing for other in failed)
    return EXIT_MISSING_FILE if only_missing else EXIT_SOME_FAILED
