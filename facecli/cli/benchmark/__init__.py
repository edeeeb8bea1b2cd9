"""`facecli benchmark …`: one module a command."""

from __future__ import annotations

import typer

from facecli.cli.benchmark import aflw2000, now, scan, speed, synthetic

app = typer.Typer(
    help="How good and how fast: NoW, AFLW2000-3D, any scan, rendered heads, speed.", no_args_is_help=True
)
app.command("aflw2000")(aflw2000.aflw2000)
app.command("now", cls=now.OfficialWords)(now.now)
app.command("scan")(scan.scan)
app.command("synthetic")(synthetic.synthetic)
app.command("speed")(speed.speed)
