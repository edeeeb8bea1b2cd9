"""`facecli benchmark …`: one module a command."""

from __future__ import annotations

import typer

from facecli.cli.benchmark import aflw2000

app = typer.Typer(
    help="How good and how fast: NoW, AFLW2000-3D, any scan, rendered heads, speed.", no_args_is_help=True
)
app.command("aflw2000")(aflw2000.aflw2000)
