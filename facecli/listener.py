"""Who is told what a benchmark or a training does."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol


class Listener(Protocol):
    """The command line, or a test."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def fail(self, text: str) -> None: ...

    def progress(self, unit: str, total: int) -> AbstractContextManager[Any]:
        """A counter with `input_done()`."""
        ...
