"""What can go wrong, as one clear line each: what is the matter, and what mends it.

Every error that a user can cause derives from :class:`FacecliError`; the command line prints it without a traceback
(``--debug`` shows one) and leaves with its ``exit_code``. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

from pathlib import Path

EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_MISSING_FILE = 3


class FacecliError(Exception):
    """Base of all errors with a message for the user. `str(error)` is one line."""

    exit_code = EXIT_SOME_FAILED


class InputError(FacecliError):
    """One input can't be used; the others go on.

    Args:
        source: the file (or URL, or archive member) that is at fault, as the user named it.
        problem: what is the matter, in a few words: ``"is empty (0 bytes)"``.
        mend: what the user can do about it, if anything.
    """

    def __init__(self, source: str | Path, problem: str, mend: str = ""):
        self.source, self.problem, self.mend = str(source), problem, mend
        super().__init__(f"{self.source}: {problem}" + (f" ({mend})" if mend else ""))

    def __reduce__(self):  # worker processes send it home
        return type(self), (self.source, self.problem, self.mend)


class OutputError(FacecliError):
    """A result can't be written: folder not writable, disk full. Stops the run, since every item would fail."""


class UsageError(FacecliError):
    """The call's words are wrong: unknown model, contradictory flags."""

    exit_code = EXIT_USAGE


class PluginError(FacecliError):
    """A plugin can't be imported or doesn't keep the contract."""

    exit_code = EXIT_USAGE


class MissingAssetError(FacecliError):
    """A file (or package) that a model needs is not on this machine. The message says how to get it."""

    exit_code = EXIT_MISSING_FILE
