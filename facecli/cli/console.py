"""What the commands say: human words on stderr, results on stdout.

Rich is imported on first use only, so that `facecli --help` and shell completion stay quick.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

EXIT_PIPE_CLOSED = 141  # the shell's convention: 128 + SIGPIPE


@functools.cache
def stderr_console():
    """The Rich console for human words."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@functools.cache
def stdout_console():
    """The Rich console for tables that are a command's result."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for the user."""
    stderr_console().print(text, markup=False)


def warn(text: str) -> None:
    """Something the user should know; the work goes on."""
    stderr_console().print(f"warning: {text}", markup=False, style="yellow")


def fail(text: str) -> None:
    """One line for one failure."""
    stderr_console().print(f"error: {text}", markup=False, style="red")


def emit_json(value: dict[str, Any]) -> None:
    """One JSON line on stdout, flushed: the next program in the pipe works while we do.

    Always UTF-8. Bytes of a file name that are no text come as lone surrogates (``\\udcff``), as Python has them.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has seen enough (`| head`). The signal SIGPIPE can't say so: it would also kill us where one of
        # our own child processes ends early.
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        raise SystemExit(EXIT_PIPE_CLOSED) from None
