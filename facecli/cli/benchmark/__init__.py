"""`facecli benchmark …`: one module a command."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="How good and how fast: NoW, AFLW2000-3D, any scan, rendered heads, speed.", no_args_is_help=True
)
