"""Tables that are a command's result: folded to the terminal's width, never cut in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from facecli.cli import console

_PIPE_WIDTH = 1000  # columns: as wide as needed, so that grep finds whole paths on one line
STYLES = {"present": "green", "ok": "green", "missing": "yellow", "warning": "yellow", "bad": "red", "problem": "red"}


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print `rows` under `columns` to stdout; cells that are a status get its colour."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    out = console.stdout_console()
    if not out.is_terminal:
        out = Console(width=_PIPE_WIDTH)
    out.print(table, soft_wrap=False)
