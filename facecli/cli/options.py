"""Options that several commands have, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Folders with all that is below them.")]
Smooth = Annotated[bool, typer.Option("--smooth", help="Smooth a video's faces over time (One-Euro).")]
SmoothWith = Annotated[
    str | None,
    typer.Option(
        help="one-euro, or savgol: Savitzky-Golay, which doesn't lag but reads the video twice. Implies --smooth.",
        show_default=False,
    ),
]
SmoothWindow = Annotated[float, typer.Option(help="Seconds that savgol's polynomials span.")]
Hold = Annotated[
    list[str] | None,
    typer.Option(
        help="Codes that a person keeps through a video, at their median: identity,texture or auto (the model's "
        "constants). Reads the video twice.",
        show_default=False,
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--option", "-O", metavar="NAME=VALUE", help="An option of the models that have it."),
]
Landmarker = Annotated[str | None, typer.Option(help="Another landmarker than the model's own, see `facecli models`.")]
Detector = Annotated[
    str | None,
    typer.Option(
        help="Says which faces there are, e.g. faceboxes; landmarks are then looked for within its boxes.",
        show_default=False,
    ),
]
Confidence = Annotated[
    float | None, typer.Option(help="Least confidence of a detection, 0 to 1. (default: the model's)")
]
TextureSize = Annotated[
    int, typer.Option(help="Side of the textures in pixels; 0: by the face's size in the photograph.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Rasterizer = Annotated[str, typer.Option(help="auto, numba, torch, pytorch3d.")]
BatchSize = Annotated[int, typer.Option(help="Faces that the model takes at once; 0: its own choice.")]
Workers = Annotated[int | None, typer.Option(help="Detecting threads. (default: one a core)")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a face on standard output.")]
MethodsJson = Annotated[bool, typer.Option("--json", help="One JSON object a method on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")]
