"""`facecli benchmark scan`: how far any predicted mesh lies from any scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console, options
from facecli.cli.progress import Progress

if TYPE_CHECKING:
    from facecli.benchmark.scan.pairs import Pair
    from facecli.benchmark.scan.run import Request, ScanReport
    from facecli.benchmark.scan.settings import Recipe, ScanSettings

_NAMED_AT_MOST = 20  # warnings; the reports have all


def scan(
    predicted: Annotated[
        Path | None,
        typer.Argument(metavar="[PREDICTED]", help="A mesh, or a folder of meshes.", show_default=False),
    ] = None,
    scan: Annotated[
        Path | None, typer.Argument(metavar="[SCAN]", help="Its scan, or a folder of scans.", show_default=False)
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            "-p",
            help="Folder of meshes, matched with --scans by path, by the folder they are in (the subject), or by name.",
            show_default=False,
        ),
    ] = None,
    scans: Annotated[Path | None, typer.Option("--scans", "-s", help="Folder of scans.", show_default=False)] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV of predicted,scan[,landmarks,scan_landmarks] instead of folders.", show_default=False),
    ] = None,
    image_list: Annotated[
        Path | None,
        typer.Option(
            "--list", help="Text file of SUBJECT/IMAGE.jpg that must all be in --predictions.", show_default=False
        ),
    ] = None,
    landmarks: Annotated[
        Path | None,
        typer.Option(
            help="Landmarks on the mesh (or a folder of them): 7 as NoW has them, 5, 51 or 68; .npy, .txt, .pp or "
            ".json. Else NAME.npy, .txt or .pp beside it.",
            show_default=False,
        ),
    ] = None,
    scan_landmarks: Annotated[Path | None, typer.Option(help="The same of the scan.", show_default="beside it")] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="now; stirling: NoW's evaluator over the sets HQ and LQ; micc, facewarehouse: as Deep3D's paper, but "
            "regions and ICP settings are recalled from papers and not published, so numbers are near, not equal."
        ),
    ] = "now",
    align: Annotated[
        str | None,
        typer.Option(help="What is fitted: similarity (scale, too), rigid, none.", show_default="the recipe's"),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Where it starts: landmarks, or placed: where the mesh is.", show_default="landmarks"),
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option(
            help="What follows: now (its optimizer), icp-plane, icp-point, none.", show_default="the recipe's"
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            help="Points that count: now (its ball around the face), none (all), or millimetres around the nose tip.",
            show_default="the recipe's",
        ),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(
            help="surface: to the closest point; plane: along the closest triangle's normal.",
            show_default="the recipe's",
        ),
    ] = None,
    direction: Annotated[
        str, typer.Option(help="scan-to-mesh, or mesh-to-scan: from the mesh's vertices.")
    ] = "scan-to-mesh",
    trim: Annotated[
        float, typer.Option(help="Part of the pairs, the farthest, that ICP leaves out.", min=0, max=1)
    ] = 0.0,
    unit: Annotated[str, typer.Option(help="Of the meshes, where scale is not fitted: mm, cm, m.")] = "mm",
    scan_unit: Annotated[str, typer.Option(help="Of the scans: mm, cm, m.")] = "mm",
    name: Annotated[str | None, typer.Option(help="What to call the method.", show_default="the folder's name")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
    ] = None,
    heatmap: Annotated[
        bool, typer.Option("--heatmap", help="Also PLYs of scan and aligned mesh, errors as colours (0 to 5 mm).")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes; 0 works in one.", min=0, show_default="one a core")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Score again what is scored.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a case and one a method on standard output.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Millimetres between predicted meshes and scans, with NoW's engine or ICP.

    The mesh is laid on the scan by landmarks, refined, and measured. All distances are pooled; --json also has the
    mean of the cases' means. With -o, what is done is not done again by the next run.

    Example: facecli benchmark scan -p predicted -s scans -o results --heatmap
    """
    from facecli.benchmark.scan.run import Request
    from facecli.errors import EXIT_SOME_FAILED, UsageError

    words = {"align": align, "start": start, "refine": refine, "crop": crop, "error": error}
    chosen, settings = _settings(recipe, words, direction=direction, trim=trim, unit=unit, scan_unit=scan_unit)
    if heatmap and output is None:
        raise UsageError("--heatmap needs -o, a folder to write to")
    if sum((predicted is not None, predictions is not None, pairs is not None)) != 1 or (
        (scan is None) != (predicted is None) or (scans is None) != (predictions is None)
    ):
        raise UsageError("give PREDICTED and SCAN, or --predictions and --scans, or --pairs")
    meshes, truths = predicted or predictions, scan or scans
    found = _pairs(meshes, truths, pairs, image_list, landmarks, scan_landmarks, chosen, output)
    request = Request(
        groups=_groups(found, chosen, name or (pairs or meshes).resolve().stem),
        settings=settings,
        recipe=chosen,
        out=output,
        heatmap=heatmap,
        overwrite=overwrite,
        workers=workers,
        title="Scan to mesh" if recipe == "now" else f"Scan to mesh, {recipe}",
    )
    if _run(request, json, quiet).some_failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _settings(recipe: str, words: dict[str, str | None], **others) -> tuple[Recipe, ScanSettings]:
    """The recipe, and its settings with what the user says otherwise."""
    from dataclasses import replace

    from facecli.benchmark.scan.settings import RECIPES, parse_crop
    from facecli.errors import UsageError

    if recipe not in RECIPES:
        raise UsageError(f"--recipe is one of {', '.join(RECIPES)}, not {recipe!r}")
    given: dict = {name: word for name, word in words.items() if word is not None}
    if "crop" in given:
        given["crop"] = parse_crop(given["crop"])
    if given.get("align") == "none":
        given = {"start": "placed", "refine": "none", **given}
    return RECIPES[recipe], replace(RECIPES[recipe].settings, **given, **others)


def _pairs(
    meshes: Path | None,
    scans: Path | None,
    csv: Path | None,
    image_list: Path | None,
    landmarks: Path | None,
    scan_landmarks: Path | None,
    recipe: Recipe,
    output: Path | None,
) -> list[Pair]:
    from facecli.benchmark.scan.pairs import match_folders, read_list, read_pairs, single_pair
    from facecli.errors import UsageError

    if csv is not None:
        if landmarks or scan_landmarks or image_list:
            raise UsageError("--pairs has landmarks and cases in its columns: leave the other options out")
        return read_pairs(csv)
    if not meshes.is_dir() and not scans.is_dir():
        if image_list:
            raise UsageError("--list is for folders")
        return [single_pair(meshes, scans, landmarks, scan_landmarks)]
    listed = None
    if image_list is not None:
        inside = [group for group in recipe.groups if (meshes / group).is_dir()]
        listed = read_list(image_list, recipe.groups if inside else ())
    return match_folders(
        meshes, scans, landmarks=landmarks, scan_landmarks=scan_landmarks, listed=listed, without=output
    )


def _groups(pairs: list[Pair], recipe: Recipe, name: str) -> dict[str, list[Pair]]:
    """The pairs by method: one, or one a set of the recipe."""
    from facecli.benchmark.scan.pairs import split_groups

    if not recipe.groups:
        return {name: pairs}
    return {f"{name} {group}".strip(): members for group, members in split_groups(pairs, recipe.groups).items()}


def _run(request: Request, json: bool, quiet: bool) -> ScanReport:
    from facecli.benchmark.scan.run import json_lines, run, table
    from facecli.cli.table import show

    report = run(request, lambda total: Progress("pairs", total, quiet), console.fail)
    _tell(report, quiet)
    if json:
        for line in json_lines(report):
            console.emit_json(line)
    else:
        show(*table(report.results))
    if report.files and not quiet:
        console.say("\n".join(str(path) for path in report.files))
    return report


def _tell(report: ScanReport, quiet: bool) -> None:
    """Pairs that could not even be tried, what is missing, and what is odd."""
    if report.kept and not quiet:
        console.say(f"{report.kept} were scored in earlier runs")
    for result, facts in zip(report.results, report.facts, strict=True):
        for case, reason in result.failed.items():
            if facts[case]["scan"] is None:
                console.fail(reason)
        if result.missing:
            some = ", ".join(result.missing[:3]) + (", …" if len(result.missing) > 3 else "")
            console.warn(
                f"{result.method}: {len(result.missing)} OF {result.listed} PREDICTIONS ARE MISSING ({some}): its "
                "numbers are not comparable with others'"
            )
        odd = [f"{result.method}: {case}: {text}" for case, texts in result.warnings.items() for text in texts]
        for text in odd[:_NAMED_AT_MOST]:
            console.warn(text)
        if len(odd) > _NAMED_AT_MOST:
            console.warn(f"{result.method}: and {len(odd) - _NAMED_AT_MOST} more such")
