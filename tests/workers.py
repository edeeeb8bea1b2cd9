"""How pytest-xdist deals the tests out with `--dist loadscope`: by files and folders, the slow ones first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SHARING = ("deca", "deep3d", "emoca", "export", "fan", "smirk", "synergynet", "tddfa_v2")
"""Folders whose files share what is made slowly, models or a browser. Elsewhere a file's tests stay together."""
SLOW = ("reconstruction", "benchmark", *SHARING, "open", "train", "transfer", "cli")
"""Begun first, so that at the end no worker waits long for the other."""


def slow_first(items: list[pytest.Item]) -> None:
    """Sort `items` in place."""
    ranks = {folder: rank for rank, folder in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


def scope(nodeid: str) -> str:
    """The tests that one worker does, and nobody else: those with the same word."""
    path = nodeid.split("::", 1)[0]
    folder = path.rpartition("/")[0]
    return folder if folder.rpartition("/")[2] in SHARING else path


def scheduler() -> Callable:
    """The class of schedulers; pytest-xdist's own knows no folders."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    return Scheduling
