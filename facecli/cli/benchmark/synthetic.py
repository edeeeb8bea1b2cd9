"""`facecli benchmark synthetic`: models on rendered heads, whose surfaces are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecli.cli import console, options
from facecli.cli.voice import Voice


def synthetic(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Models to reconstruct with, comma-separated.", show_default="mediapipe"),
    ] = None,
    heads: Annotated[int, typer.Option(help="How many.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Of the set: the same seed gives the same heads.", min=0)] = 0,
    faces: Annotated[
        str | None,
        typer.Option(
            help="Whose heads: ict (ICT-FaceKit), flame (your FLAME), or formula, which needs no file.",
            show_default="ict where it is found, else formula",
        ),
    ] = None,
    face_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The face model's file, e.g. ict_facekit.npz, or ICT-FaceKit's FaceXModel.",
            show_default=False,
        ),
    ] = None,
    scenes: Annotated[
        str,
        typer.Option(
            "--set",
            help="easy: near the front, little noise; full: up to 70° and all that wears pictures; wild: full with "
            "glasses, long hair and hands.",
        ),
    ] = "full",
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.", min=128, max=2048)] = 512,
    output: options.Output = Path("facecli-synthetic"),
    save_pictures: Annotated[
        bool, typer.Option("--save-pictures", help="Keep the pictures and their labels (PNG and .npz).")
    ] = False,
    sheet: Annotated[int, typer.Option(help="Heads in the picture of the best and the worst; 0: none.", min=0)] = 8,
    option: options.ModelsOption = None,
    landmarker: options.Landmarker = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that draw and score; 0 works in one.", min=0, show_default="one a core"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Predict and score again what is done.")] = False,
    json: options.MethodsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """NoW's error, landmarks and head pose on rendered heads: a benchmark without any data set.

    Each head has known identity, expression, pose, camera and light, all by the seed. Models reconstruct it at rest and
    are scored against its skin as NoW does it; the average head stands beside them. Rendered heads are no photographs.

    Example: facecli benchmark synthetic --model mediapipe,deca --heads 200
    """
    from facecli.benchmark.choice import choose_models
    from facecli.benchmark.synthetic.run import Request, run
    from facecli.benchmark.synthetic.summary import BIN_COLUMNS, COLUMNS, bin_rows, json_lines, table_rows
    from facecli.data.head_set import HeadSet
    from facecli.data.heads import choose_heads
    from facecli.data.scene import SETS
    from facecli.errors import EXIT_SOME_FAILED, UsageError
    from facecli.reconstruction.settings import split_words

    if scenes not in SETS:
        raise UsageError(f"--set is one of {', '.join(SETS)}, not {scenes!r}")
    models = choose_models(split_words(model or ["mediapipe"]), option or (), landmarker, device, batch_size)
    request = Request(
        heads=HeadSet(choose_heads(faces, face_model), scenes, seed, size),
        count=heads,
        out=output,
        models=models,
        workers=workers,
        overwrite=overwrite,
        save_pictures=save_pictures,
        sheet=sheet,
    )
    report = run(request, Voice(quiet))
    if json:
        for line in json_lines(request, report):
            console.emit_json(line)
    else:
        from facecli.cli.table import show

        show(COLUMNS, table_rows(report))
        show(BIN_COLUMNS, bin_rows(report))
    if not quiet:
        console.say("\n".join(str(path) for path in report.files))
    if report.some_failed:
        raise typer.Exit(EXIT_SOME_FAILED)
