"""`facecli benchmark speed`: how fast each installed model is on this machine, and how much memory it takes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console, options
from facecli.cli.progress import Progress

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
    _tell(rows, [*failed, *absent], inputs, choice, output, as_json, quiet)
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
    with Progress("models", len(models), quiet) as progress:

        def told(model: str) -> Told:
            return lambda stage, done, of: progress.frame_done(model, done - 1, of, stage)

        for outcome in measure_models(models, inputs, choice, told):
            if isinstance(outcome, Measured):
                rows.append(outcome)
            else:
                failed.append(outcome)
                console.fail(f"{outcome.model}: {outcome.reason}")
            progress.input_done()
    return rows, failed


def _tell(
    rows: Sequence[Measured],
    others: Sequence[NotMeasured],
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
        table.show(tables.columns(rows), [tables.row(measured, rows) for measured in rows])
        if choice.stages:
            console.stdout_console().print()
            table.show(tables.stage_columns(rows), [tables.stage_row(measured) for measured in rows])
    if not quiet:
        for note in tables.notes(rows, others, facts, inputs, choice):
            console.say(note)
    if output is not None:
        written = tables.write_results(output, rows, others, facts, inputs, choice)
        if not quiet:
            console.say("\n".join(str(path) for path in written))


def _exit_code(rows: Sequence[Measured], failed: Sequence[NotMeasured]) -> int:
    from facecli.errors import EXIT_MISSING_FILE, EXIT_SOME_FAILED

    only_missing = not rows and all(other.missing for other in failed)
    return EXIT_MISSING_FILE if only_missing else EXIT_SOME_FAILED
