"""`facecli benchmark now`: NoW's scan-to-mesh error of models, or of anybody's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from typer.core import TyperCommand

from facecli.cli import console, options
from facecli.cli.voice import Voice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facecli.benchmark.now.request import Report, Request


class OfficialWords(TyperCommand):
    """Takes the flags of the official `compute_error.py`, too."""

    spellings: ClassVar[Mapping[str, str]] = {
        "--dataset_folder": "--data",
        "--predicted_mesh_folder": "--predictions",
        "--predicted_mesh_unit": "--unit",
        "--image_set": "--set",
        "--error_out_path": "--output",
        "--imgs_list": "--imgs-list",
        "--gt_mesh_folder": "--scans",
        "--gt_lmk_folder": "--scan-landmarks",
        "--nproc": "--workers",
        "--method_identifier": "--name",
        "--check_alignment_output_dir": "--output",
    }

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        words, left = [], list(args)
        while left:
            option, equals, value = left.pop(0).partition("=")
            if option == "--metrical_evaluation":  # takes a word, and any word means yes there
                value = value if equals else (left.pop(0) if left else "")
                words += _protocol(value)
            else:
                words.append(self.spellings.get(option, option) + equals + value)
        return super().parse_args(ctx, words)


def _protocol(word: str) -> list[str]:
    if word.lower() in ("false", "no", "0", ""):
        console.warn(f"--metrical_evaluation {word}: taken for no (the official program takes any word for yes)")
        return []
    return ["--protocol", "metrical"]


def now(
    data: Annotated[
        Path, typer.Option("--data", "-d", help="The NoW data set's folder, with the lists.", show_default=False)
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Models to reconstruct with, comma-separated.", show_default=False),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            "-p",
            metavar="[NAME=]FOLDER",
            help="Evaluate meshes that are there: SUBJECT/CHALLENGE/FILE.obj or .ply, and seven landmarks in FILE.npy "
            "or .txt. May be given several times.",
            show_default=False,
        ),
    ] = None,
    output: options.Output = Path("facecli-now"),
    image_set: Annotated[
        str, typer.Option("--set", help="val, or test, whose scans only the benchmark's authors have.")
    ] = "val",
    protocol: Annotated[
        str, typer.Option(help="nonmetrical: the meshes' scale is fitted; metrical: it counts.")
    ] = "nonmetrical",
    challenge: Annotated[
        str | None,
        typer.Option(
            help="Only multiview_neutral, multiview_expressions, multiview_occlusions or selfie.", show_default=False
        ),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="Of --predictions, for the metrical protocol: mm, cm or m. (facecli's own are mm.)")
    ] = "m",
    name: Annotated[
        str | None, typer.Option(help="What to call the one method of --predictions.", show_default=False)
    ] = None,
    option: options.ModelsOption = None,
    published: Annotated[
        list[str] | None,
        typer.Option(help="Published results to compare with: names, comma-separated, or all.", show_default=False),
    ] = None,
    curve: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE.npy", help="A further curve, of the official program's distances.", show_default=False
        ),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="CASE",
            help="Only export SUBJECT/CHALLENGE/FILE's aligned mesh, cropped scan and errors as colours.",
            show_default=False,
        ),
    ] = None,
    pack: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.zip", help="Of the test set: the archive to be mailed, if all is there.", show_default=False
        ),
    ] = None,
    official_npy: Annotated[
        bool,
        typer.Option("--official-npy", help="Also the official program's files, for its plots; distances shuffled."),
    ] = False,
    imgs_list: Annotated[
        Path | None, typer.Option(help="Another list of images than the set's.", show_default=False)
    ] = None,
    scans: Annotated[Path | None, typer.Option(help="Another folder of scans.", show_default=False)] = None,
    scan_landmarks: Annotated[
        Path | None, typer.Option(help="Another folder of the scans' .pp files.", show_default=False)
    ] = None,
    landmarker: options.Landmarker = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that evaluate; 0 works in one.", min=0, show_default="one a core"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Predict and evaluate again what is done.")] = False,
    json: options.MethodsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """NoW's error in millimetres: reconstruct at rest, check, evaluate on all cores, and compare.

    All distances of all images are pooled, as in the official evaluation, whose numbers these are. What is done is not
    done again by the next run. Predictions that are missing or broken are named and counted beside every number.

    Example: facecli benchmark now --data NoW --model deca,smirk
    """
    from facecli.benchmark.choice import choose_models
    from facecli.benchmark.now.request import Request
    from facecli.errors import EXIT_SOME_FAILED, UsageError
    from facecli.reconstruction.settings import split_words

    given = list(predictions or ())
    if name is not None:
        if len(given) != 1:
            raise UsageError("--name is for one --predictions; else write --predictions NAME=FOLDER")
        given = [f"{name}={given[0]}"]
    request = Request(
        data=data,
        out=output,
        models=choose_models(split_words(model or ()), option or (), landmarker, device, batch_size),
        predictions=given,
        unit=unit,
        image_set=image_set,
        protocol=protocol,
        challenge=challenge,
        image_list=imgs_list,
        scans=scans,
        scan_landmarks=scan_landmarks,
        check=check,
        pack=pack,
        official_npy=official_npy,
        published=split_words(published or ()),
        curves=curve or (),
        workers=workers,
        overwrite=overwrite,
    )
    report = _run(request, json, quiet)
    if report.some_failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _run(request: Request, json: bool, quiet: bool) -> Report:
    from facecli.benchmark.now.results import json_lines, table
    from facecli.benchmark.now.run import run

    report = run(request, Voice(quiet))
    if json:
        for line in json_lines(report, request):
            console.emit_json(line)
    elif report.is_scored:
        from facecli.cli.table import show

        show(*table(report, request))
    if report.files and not quiet:
        console.say("\n".join(str(path) for path in report.files))
    return report
