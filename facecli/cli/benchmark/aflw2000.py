"""`facecli benchmark aflw2000`: 68 landmarks by yaw and head pose, on AFLW2000-3D."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console, options, table
from facecli.cli.progress import Progress
from facecli.errors import EXIT_SOME_FAILED, FacecliError, InputError, OutputError, UsageError

if TYPE_CHECKING:
    from facecli.benchmark.aflw2000.dataset import Aflw2000
    from facecli.benchmark.aflw2000.evaluate import Answers, Result

SHOWN = 5
"""Pictures that are named when no face was found in them; images.csv names all."""


def aflw2000(
    data: Annotated[
        Path, typer.Option(help="Folder with image00002.jpg, image00002.mat, …", show_default=False, metavar="FOLDER")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Models and landmarkers, comma-separated. (default: mediapipe)"),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Somebody else's predictions: an .npz with names [N] and landmarks [N,68,2], rotation [N,3,3] or "
            "angles [N,3] (yaw, pitch, roll in degrees), or a folder with a file an image (.npz, .npy, .txt).",
            metavar="FILE|FOLDER",
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(help="original, reannotated, or both (re-annotated ones as far as their .npy file is there)."),
    ] = "both",
    what: Annotated[str, typer.Option(help="landmarks, pose, or both.")] = "both",
    faces: Annotated[
        str,
        typer.Option(
            help="detected: each method finds the face in the photograph; labels: it is told the box of the label's "
            "landmarks, as published numbers are made."
        ),
    ] = "detected",
    eval_files: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the .npy files of the evaluation programs. (default: --data, or eval in it or beside it)",
            show_default=False,
        ),
    ] = None,
    output: options.Output = Path("facecli-aflw2000"),
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-O", metavar="NAME=VALUE", help="An option of the model's own, if it is one model."),
    ] = None,
    landmarker: options.Landmarker = None,
    confidence: options.Confidence = None,
    limit: Annotated[int | None, typer.Option(help="The first so many images.", min=1, show_default=False)] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 0,
    workers: options.Workers = None,
    official_text: Annotated[
        bool, typer.Option("--official-text", help="Print what SynergyNet's benchmark.py would, in place of tables.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a method and set of labels on stdout.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Ask models again what they were asked before.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Landmark error by yaw (NME) and head pose (MAE) on AFLW2000-3D, from its pictures and .mat files alone.

    NME is the mean distance of the 68 points over the size of the label's box; its headline is the mean of the three
    yaw bins' means, in percent. A picture without a face found is missing: numbers are over the others, and only AUC
    and failures count it.

    The published way for head pose is a method's first row: SynergyNet's decoder of angles, which in yaw is not quite
    what the labels mean. The second row is. Models differ in what they call a frontal head: the third row is what is
    left when a model's mean turn against the labels is taken out.

    Example: facecli benchmark aflw2000 --data AFLW2000-3D --model mediapipe,fan3d -o out
    """
    from facecli.benchmark.aflw2000 import dataset, evaluate, report

    wanted = dataset.LABELS if labels == "both" else (_one_of("--labels", labels, dataset.LABELS, "both"),)
    landmarks, pose = what != "pose", what != "landmarks"
    _one_of("--what", what, ("landmarks", "pose"), "both")
    _one_of("--faces", faces, ("detected", "labels"))
    methods = _methods(
        model, predictions, faces, tuple(option or ()), landmarker, confidence, device, batch_size, workers
    )
    found = dataset.read(data, labels=wanted, eval_files=eval_files, limit=limit)
    problems = list(found.problems)
    cases, without = evaluate.cases_of(found)
    problems += [
        InputError(image, "no such picture", "unpack the data set again")
        for name, image in zip(found.names, found.images, strict=True)
        if without.get(name) == "no such picture"
    ]
    for problem in problems:
        console.fail(str(problem))
    notes = found.notes if landmarks else []
    if not quiet:
        for note in notes:
            console.say(note)
    results, exits = [], [EXIT_SOME_FAILED] if problems else []
    with Progress("pictures", len(cases) * len(methods), quiet) as progress:
        for method in methods:
            if hasattr(method, "names"):
                method.names = found.names
            try:
                answers = evaluate.ask(
                    method, cases, found, output / "predictions", overwrite=overwrite, done=progress.input_done
                )
            except OutputError:
                raise
            except FacecliError as error:  # the other methods go on
                console.fail(f"{method.name}: {error}")
                exits.append(error.exit_code)
                continue
            results.append(evaluate.score(answers, found, landmarks=landmarks, pose=pose))
            _tell(answers, found, quiet)
            exits += [EXIT_SOME_FAILED] if answers.errors else []
    settings = {"data": str(data), "labels": list(found.landmarks), "what": what, "faces": faces, "limit": limit}
    if results:
        report.write(output, results, found, settings, notes)
        _show(results, found, json, official_text)
        if not quiet:
            console.say(f"results in {output}")
    if exits:
        raise typer.Exit(max(exits))


def _methods(model, predictions, faces, words, landmarker, confidence, device, batch_size, workers) -> list:
    from facecli.benchmark.aflw2000.methods import Choice, FileMethod, ModelMethod, method

    choice = Choice(faces, device, words, landmarker, confidence, batch_size, workers)
    names = [name.strip() for word in model or () for name in word.split(",") if name.strip()]
    if not names and not predictions:
        names = ["mediapipe"]
    made = [method(name, choice) for name in dict.fromkeys(names)]
    if words and len(made) != 1:
        raise UsageError("--option is for one model: name one with --model")
    if (words or landmarker) and any(not isinstance(one, ModelMethod) for one in made):
        raise UsageError("--option and --landmarker are for models, not for landmarkers")
    made += [FileMethod(path) for path in predictions or ()]
    twice = {one.name for one in made if [other.name for other in made].count(one.name) > 1}
    if twice:
        raise UsageError(f"two methods are called {', '.join(sorted(twice))}: rename the file or folder")
    return made


def _one_of(option: str, word: str, choices: tuple[str, ...], *more: str) -> str:
    if word not in (*choices, *more):
        raise UsageError(f"{option} is one of {', '.join((*choices, *more))}, not {word!r}")
    return word


def _tell(answers: Answers, data: Aflw2000, quiet: bool) -> None:
    """What was odd about a method's answers."""
    for error in answers.errors.values():
        console.fail(str(error))
    if answers.missing:
        few = [f"{name} ({why})" for name, why in list(answers.missing.items())[:SHOWN]]
        more = ", … (all in images.csv)" if len(answers.missing) > SHOWN else ""
        console.warn(
            f"{answers.method}: {len(answers.missing)} of {len(data)} images MISSING, its numbers are over the others: "
            + ", ".join(few)
            + more
        )
    if not quiet:
        for note in answers.notes:
            console.say(note)


def _show(results: list[Result], data: Aflw2000, json: bool, official_text: bool) -> None:
    from facecli.benchmark.aflw2000 import report

    if json:
        for record in report.records(results, data):
            console.emit_json(record)
        return
    if official_text:
        for result in results:
            typer.echo(f"{result.method}\n{report.official_text(result)}")
        return
    for title, columns, rows in report.tables(results):
        typer.echo(title)
        table.show(columns, rows)
        typer.echo()
