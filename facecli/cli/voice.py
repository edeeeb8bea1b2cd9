"""What benchmarks and trainings say while they work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from facecli.cli import console
from facecli.cli.progress import Progress


class Voice:
    """A :class:`facecli.listener.Listener` that speaks on stderr; with `quiet`, of what is wrong only."""

    def __init__(self, quiet: bool):
        self.quiet = quiet
        self.fail, self.warn = console.fail, console.warn

    def say(self, text: str) -> None:
        if not self.quiet:
            console.say(text)

    @contextmanager
    def progress(self, unit: str, total: int) -> Iterator[Progress]:
        with Progress(unit, total, self.quiet) as progress:
            yield progress
