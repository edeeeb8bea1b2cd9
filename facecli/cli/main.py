"""`facecli`: the application, its commands and what happens to their errors.

Command modules import nothing heavy at module level; each parses, calls one function, prints.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from typing import Annotated

import typer

from facecli.cli import align, assets, benchmark, console, doctor, models, preprocess, reconstruct, train, transfer
from facecli.errors import EXIT_SOME_FAILED, FacecliError

EXIT_INTERRUPTED = 130  # the shell's convention: 128 + SIGINT

app = typer.Typer(
    name="facecli",
    help="Monocular 3D face reconstruction: photographs, videos and lists in; textured meshes, codes and pictures out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from facecli import __version__

        typer.echo(f"facecli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if debug:
        os.environ["FACECLI_DEBUG"] = "1"


app.command("reconstruct")(reconstruct.reconstruct)
app.add_typer(transfer.app, name="transfer")
app.add_typer(preprocess.app, name="preprocess")
app.command("align")(align.align)
app.command("train")(train.train)
app.add_typer(benchmark.app, name="benchmark")
app.command("models")(models.models)
app.add_typer(assets.app, name="assets")
app.command("doctor")(doctor.doctor)


def _only_our_words_on_stderr() -> None:
    """Native libraries (MediaPipe, FFmpeg) write log lines to file descriptor 2; ours go to a copy of it instead.

    `--debug` shows theirs, too. A crash in native code still shows where it happened.
    """
    if "--debug" in sys.argv or os.environ.get("FACECLI_DEBUG"):
        return
    sys.stderr.flush()
    ours = os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding, errors="backslashreplace", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = ours
    faulthandler.enable(ours)


def run(arguments: list[str] | None = None) -> int:
    """Run one command; every error that a user can cause ends as one line. Returns the exit code."""
    try:
        app(args=arguments)
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # what Typer makes of Ctrl-C
            console.say("interrupted; what was finished is kept, run the same command to go on")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except FacecliError as error:
        if os.environ.get("FACECLI_DEBUG"):
            raise
        console.fail(str(error))
        return error.exit_code
    except Exception as error:
        if os.environ.get("FACECLI_DEBUG"):
            raise
        words = " ".join(str(error).split()) or "no reason given"
        console.fail(
            f"unexpected: {type(error).__name__}: {words} (a bug of facecli or of a plugin; --debug shows where)"
        )
        return EXIT_SOME_FAILED
    return 0


def main() -> None:
    """The entry point."""
    _only_our_words_on_stderr()
    sys.exit(run())
