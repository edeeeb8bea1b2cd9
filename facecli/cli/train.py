"""`facecli train`: what plugins can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecli.cli import console, options


def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What: see `facecli models`, train.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE…", help="Settings; --list shows them."),
    ] = None,
    output: options.Output = Path("facecli-train"),
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="A YAML file of settings; KEY=VALUE goes before it.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that make examples; 0 works in one.", min=0, show_default="one a core"),
    ] = None,
    list_settings: Annotated[bool, typer.Option("--list", help="Show NAME's settings and leave.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network. A training that was stopped goes on when the same command is given again.

    Example: facecli train open heads=5000 epochs=20 -o my-open
    """
    from facecli import registry
    from facecli.cli.table import show
    from facecli.cli.voice import Voice
    from facecli.train.settings import described, read_settings

    owner, training = registry.training(name)
    kind = registry.attribute(owner, training.settings)
    if list_settings:
        show(("setting", "default", "what it is"), described(kind))
        return
    chosen = read_settings(kind, settings or (), config)
    made = registry.attribute(owner, training.target)(chosen, output, Voice(quiet), workers)
    console.say(str(made))
