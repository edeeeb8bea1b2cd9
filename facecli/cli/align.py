"""`facecli align`: faces upright, centred and at one size, as FFHQ has them and DiffusionRig expects them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import options
from facecli.cli.preprocess import choose_landmarker, gather_inputs, parse_faces, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facecli.preprocess import Result


def align(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            "--output-dir",
            help="Folder for the PNGs; it gets the tree of the inputs.",
            show_default=False,
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT…", help="Pictures, folders, globs, or - for a list on standard input.", show_default=False
        ),
    ] = None,
    more_inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", "--input-dir", help="The same as INPUT.", show_default=False),
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the aligned pictures in pixels.", min=8, max=4096)] = 256,
    landmarker: Annotated[
        str, typer.Option(help="Any installed landmarker; `facecli models` lists them.")
    ] = "mediapipe",
    detector: options.Detector = None,
    faces: Annotated[
        str, typer.Option(help="largest, all, or how many of each picture; NAME.png, NAME_1.png, …")
    ] = "largest",
    confidence: Annotated[
        float | None,
        typer.Option(help="Least confidence of a face, 0 to 1; else the landmarker's own.", show_default=False),
    ] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look into folders inside folders.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; 0 works in one.", min=0, show_default="as pays")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do again what exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a face on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
) -> None:
    """FFHQ-aligned PNGs of the faces in pictures.

    A face that is smaller than --size in its picture is named and not written: enlarging would only blur it.
    """
    everything = gather_inputs(inputs, more_inputs)
    kept = parse_faces(faces)
    choice = choose_landmarker(landmarker, confidence, device, detector=detector)
    from facecli.preprocess import align_pictures

    def run(_) -> Iterator[Result]:
        return align_pictures(
            everything,
            output,
            size=size,
            landmarker=choice,
            faces=kept,
            recursive=recursive,
            workers=workers,
            overwrite=overwrite,
        )

    report(run, everything, recursive, as_json, quiet)
