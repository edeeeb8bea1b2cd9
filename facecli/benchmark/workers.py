"""Cases on all cores: one process a core, one thread each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from facecli.pipeline import Outcome, cpu_count, parallel_map

Item = TypeVar("Item")
Value = TypeVar("Value")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "IGL_NUM_THREADS")


def map_cases(
    function: Callable[[Item], Value], items: Sequence[Item], *, workers: int | None = None, worth: int = 4
) -> Iterator[Outcome[Item, Value]]:
    """`function` of each item, in order, as :func:`facecli.pipeline.parallel_map` has it.

    Args:
        function: at module level.
        workers: processes; 0 works in this one, None: one a core if there are at least `worth` items.
    """
    if workers is None:
        workers = cpu_count() if len(items) >= worth and cpu_count() > 1 else 0
    with one_thread_each():
        yield from parallel_map(function, items, workers=min(workers, len(items)), kind="process")


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that are started now have numerical libraries of one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
