"""`facecli preprocess`: what models and training need before they can begin; so far, landmark files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console, options
from facecli.cli.groups import DefaultGroup
from facecli.cli.progress import Progress
from facecli.errors import EXIT_SOME_FAILED, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from facecli.preprocess import LandmarkerChoice, Result

DEFAULT_COMMAND = "landmarks"


class LandmarksByDefault(DefaultGroup):
    """A group whose first word may be left out: `facecli preprocess --mediapipe -i IN -o OUT` means landmarks."""

    default = DEFAULT_COMMAND
    spellings = {"--input_dir": "--input-dir", "--output_dir": "--output-dir"}  # noqa: RUF012


app = typer.Typer(
    cls=LandmarksByDefault,
    help="Prepare pictures and videos for models and training. Without a second word: landmarks.",
    no_args_is_help=True,
)


@app.command(DEFAULT_COMMAND)
def landmarks(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            "--output-dir",
            help="Folder for the landmark files; it gets the tree of the inputs.",
            show_default=False,
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT…",
            help="Pictures, videos, folders, globs, or - for a list on standard input.",
            show_default=False,
        ),
    ] = None,
    more_inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", "--input-dir", help="The same as INPUT.", show_default=False),
    ] = None,
    mediapipe: Annotated[
        bool, typer.Option("--mediapipe", help="478 points, no weights needed (the default).")
    ] = False,
    fan: Annotated[bool, typer.Option("--fan", help="FAN's 68 points.")] = False,
    landmarker: Annotated[
        str | None, typer.Option(help="Any installed landmarker; `facecli models` lists them.", show_default=False)
    ] = None,
    detector: options.Detector = None,
    layout: Annotated[
        str,
        typer.Option("--as", help="Whose files to write: npz (facecli's own), smirk, deca, emoca, emoca-v2, deep3d."),
    ] = "npz",
    faces: Annotated[str, typer.Option(help="largest, all, or how many of each picture.")] = "largest",
    confidence: Annotated[
        float | None,
        typer.Option(help="Least confidence of a face, 0 to 1; else the landmarker's own.", show_default=False),
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="MediaPipe: with irises (478 points) or without (468).")
    ] = True,
    track: Annotated[
        bool,
        typer.Option(
            "--track", help="MediaPipe: follow faces through a video; faster, but depends on what came before."
        ),
    ] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look into folders inside folders.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; 0 works in one.", min=0, show_default="as pays")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do again what exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a face on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
) -> None:
    """Landmark files of pictures and videos, in facecli's own form or as another system's code reads them.

    Outputs that exist are kept, so the same command goes on where it stopped.
    """
    everything = gather_inputs(inputs, more_inputs)
    kept = parse_faces(faces)
    name = _one_landmarker(landmarker, mediapipe, fan)
    own = {} if refine else {"refine": False}
    choice = choose_landmarker(name, confidence, device, track=track, options=own, detector=detector)
    from facecli.preprocess import extract_landmarks

    def run(on_frame: Callable[[str, int, int | None], None]) -> Iterator[Result]:
        return extract_landmarks(
            everything,
            output,
            landmarker=choice,
            layout_name=layout,
            faces=kept,
            recursive=recursive,
            workers=workers,
            overwrite=overwrite,
            on_frame=on_frame,
        )

    report(run, everything, recursive, as_json, quiet)


def _one_landmarker(landmarker: str | None, mediapipe: bool, fan: bool) -> str:
    """The landmarker that the flags mean."""
    named = [name for name, wanted in ((landmarker, landmarker), ("mediapipe", mediapipe), ("fan", fan)) if wanted]
    if len(set(named)) > 1:
        raise UsageError("one landmarker at a time: --mediapipe, --fan or --landmarker NAME")
    return named[0] if named else "mediapipe"


# --- shared with `facecli align` -------------------------------------------------------------------------------------


def gather_inputs(inputs: list[str] | None, more: list[str] | None) -> list[str]:
    """Arguments and `-i` options together; at least one."""
    everything = [*(inputs or []), *(more or [])]
    if not everything:
        raise UsageError("no input: name pictures, videos or folders, or - for a list on standard input")
    return everything


def parse_faces(text: str) -> str | int:
    """``largest``, ``all`` or a positive number."""
    if text in ("largest", "all"):
        return text
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"--faces is largest, all or a number, not {text!r}")


def choose_landmarker(
    name: str,
    confidence: float | None,
    device: str,
    *,
    track: bool = False,
    options: dict | None = None,
    detector: str | None = None,
) -> LandmarkerChoice:
    """The landmarker of a command's options, not yet made."""
    if confidence is not None and not 0 < confidence <= 1:
        raise UsageError(f"--confidence lies between 0 and 1, not at {confidence}")
    from facecli.preprocess import LandmarkerChoice
    from facecli.reconstruction.settings import choose_device

    # MediaPipe runs on the CPU; asking torch which devices there are would cost it a second.
    alone = name == "mediapipe" and detector is None
    device = "cpu" if alone and device == "auto" else choose_device(device)
    return LandmarkerChoice(name, confidence, device, track, options or {}, detector)


def report(
    run: Callable[[Callable[[str, int, int | None], None]], Iterator[Result]],
    inputs: Sequence[str],
    recursive: bool,
    as_json: bool,
    quiet: bool = False,
) -> None:
    """Say what becomes of each input, as it does, and leave with the right exit code.

    Args:
        run: gives the results; it is handed a function to call after each frame of a video.
    """
    done = skipped = failed = 0
    with Progress(total=_count(inputs, recursive), quiet=quiet) as progress:
        for result in run(progress.frame_done):
            done += bool(result.files) and not result.skipped
            skipped += result.skipped
            failed += result.error is not None
            _report_one(result, as_json)
            progress.input_done()
    counts = [f"{done} done", f"{skipped} there already" if skipped else "", f"{failed} failed" if failed else ""]
    if not quiet:
        console.say(", ".join(count for count in counts if count))
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _count(inputs: Sequence[str], recursive: bool) -> int | None:
    """How many inputs there will be; unknown for a list on standard input, which can be read only once."""
    if "-" in inputs:
        return None
    from facecli.io.sources import expand_sources

    return sum(1 for _ in expand_sources(inputs, recursive=recursive))


def _report_one(result: Result, as_json: bool) -> None:
    if result.error is not None:
        console.fail(str(result.error))
    if not as_json:
        return
    for face in result.faces:
        console.emit_json(face)
    if result.error is not None:
        console.emit_json({"input": result.name, "error": str(result.error)})
