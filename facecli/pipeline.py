"""The streaming executor: what lets decoding, detecting, the model and writing overlap while memory stays flat.

It is made of ordered generators that are chained like Unix pipes::

    frames  = prefetch(read_frames(sources))                 # a thread decodes ahead
    found   = parallel_map(detect, frames, workers=2)        # threads or processes, order kept
    for outcome in parallel_map(write, modelled(found)):     # errors travel with their item
        ...

Every stage holds a bounded number of items, so a slow writer slows the reader instead of filling memory. An exception
in a stage's function belongs to its item alone: the outcome carries it, the next item goes on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from facecli.errors import FacecliError, InputError, MissingAssetError, OutputError, PluginError, UsageError

Item = TypeVar("Item")
Value = TypeVar("Value")

FATAL = (OutputError, UsageError, PluginError, MissingAssetError)
"""Errors that every item would meet: they end the run."""

ATTEMPTS_PER_ITEM = 2
"""An item that kills its worker process is tried this often: it may have died of its neighbour's doing."""


@dataclass
class Outcome(Generic[Item, Value]):
    """What became of `item`: a value or an error."""

    item: Item
    value: Value | None = None
    error: FacecliError | None = None


def cpu_count() -> int:
    """Cores that this process may use (not those of the machine, where a container or `taskset` gives fewer)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- reading ahead ---------------------------------------------------------------------------------------------------


def prefetch(items: Iterable[Item], depth: int = 8) -> Iterator[Item]:
    """Runs the iterable in a thread, at most `depth` items ahead. Closing the generator ends the thread."""
    with _Feeder(items, depth) as feeder:
        while (item := feeder.take()) is not _END:
            yield item


def gather(
    items: Iterable[Item], is_full: Callable[[list[Item]], bool], patience: Callable[[list[Item]], float | None]
) -> Iterator[list[Item]]:
    """Batches of neighbours, as they come.

    Args:
        is_full: whether a batch goes off.
        patience: seconds that a batch which isn't full waits for the next item; None: as long as it takes. A list that
            is typed, or comes from a slow program, must not wait for what may never follow.
    """
    batch: list[Item] = []
    with _Feeder(items, depth=1) as feeder:
        while True:
            try:
                item = feeder.take(patience(batch) if batch else None)
            except queue.Empty:
                item = _END
            else:
                if item is _END:
                    break
                batch.append(item)
            if item is _END or is_full(batch):
                yield batch
                batch = []
    if batch:
        yield batch


_END = object()


class _Feeder:
    """Runs an iterable in a thread of its own, at most `depth` items ahead."""

    def __init__(self, items: Iterable, depth: int):
        self._items = items
        self._waiting: queue.Queue = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="facecli-prefetch", daemon=True)

    def __enter__(self) -> _Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=1)

    def take(self, timeout: float | None = None) -> Any:
        """The next item, or _END.

        Raises:
            queue.Empty: none has come within `timeout` seconds.
            Exception: what the iterable raised.
        """
        item, error = self._waiting.get(timeout=timeout)
        if error is not None:
            raise error
        return item

    def _put(self, value: Any) -> bool:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._waiting.put(value, timeout=0.1)
                return True
        return False

    def _run(self) -> None:
        iterator = iter(self._items)
        try:
            for item in iterator:
                if not self._put((item, None)):
                    return
            self._put((_END, None))
        except BaseException as error:  # handed to whoever takes
            self._put((_END, error))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()


# --- ordered parallel maps -------------------------------------------------------------------------------------------


def parallel_map(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    workers: int = 1,
    kind: Literal["thread", "process"] = "thread",
    initializer: Callable[..., None] | None = None,
    arguments: tuple = (),
    in_flight: int | None = None,
) -> Iterator[Outcome[Item, Value]]:
    """`function` of each item, in order, computed by `workers` threads or processes that stay alive.

    Args:
        function: for processes a picklable one (module level), which finds what it needs in its module's globals,
            put there by `initializer`.
        workers: 0 computes in the calling thread.
        initializer, arguments: called once in each worker, to make its detector.
        in_flight: items that may be begun and not yet taken; default twice the workers plus one.

    Yields:
        an :class:`Outcome` for each item. Errors in :data:`FATAL` are raised instead.
    """
    if workers <= 0:
        yield from _serial_map(function, items, initializer, arguments)
        return
    limit = in_flight or 2 * workers + 1
    pool = _ProcessPool if kind == "process" else _ThreadPool
    with pool(workers, initializer, arguments) as runner:

        def submitted() -> Iterator[tuple[Item, Future]]:
            for item in items:
                yield item, runner.submit(function, item)

        # A thread of its own feeds the workers, so that a finished item is taken even while the next one is awaited
        # (a list typed on standard input, a slow disk). One item is here, one in the feeder's hand.
        with contextlib.closing(prefetch(submitted(), depth=max(limit - 2, 1))) as feed:
            for item, future in feed:
                yield runner.take(function, item, future)


def _serial_map(function, items, initializer, arguments) -> Iterator[Outcome]:
    if initializer is not None:
        initializer(*arguments)
    for item in items:
        value, error = _guarded(function, item)
        yield _outcome(item, value, error)


def _guarded(function: Callable[[Item], Value], item: Item) -> tuple[Value | None, FacecliError | None]:
    """The value or the error of one item. Runs in the worker; what it returns can be pickled."""
    try:
        return function(item), None
    except FacecliError as error:
        return None, error
    except MemoryError:
        return None, InputError(_name(item), "not enough memory for it", "use fewer --workers or a smaller picture")
    except Exception as error:
        if os.environ.get("FACECLI_DEBUG"):
            traceback.print_exc()
        return None, InputError(_name(item), f"failed: {type(error).__name__}: {_one_line(error)}", "see --debug")


def _name(item: Any) -> str:
    """What to call an item in a message: its own name, else its text."""
    return str(getattr(item, "name", item))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no reason given"


def _outcome(item: Item, value: Value | None, error: FacecliError | None) -> Outcome[Item, Value]:
    if isinstance(error, FATAL):
        raise error
    return Outcome(item, value, error)


class _ThreadPool:
    def __init__(self, workers: int, initializer, arguments):
        self._executor: Executor = ThreadPoolExecutor(workers, "facecli-worker", initializer, arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, function, item) -> Future:
        return self._executor.submit(_guarded, function, item)

    def take(self, function, item, future: Future) -> Outcome:
        return _outcome(item, *future.result())


class _ProcessPool:
    """Spawned processes (forking after MediaPipe or CUDA have started is unsafe), replaced when one dies."""

    def __init__(self, workers: int, initializer, arguments):
        self._workers, self._initializer, self._arguments = workers, initializer, arguments
        self._executor = self._start(workers)

    def _start(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers,
            multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._initializer, self._arguments),
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:  # interrupted: don't wait for what nobody will take
            for process in list((self._executor._processes or {}).values()):
                process.terminate()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, function, item) -> Future:
        try:
            return self._executor.submit(_guarded, function, item)
        except BrokenProcessPool:
            self._restart()
            return self._executor.submit(_guarded, function, item)

    def take(self, function, item, future: Future) -> Outcome:
        try:
            return _outcome(item, *future.result())
        except BrokenProcessPool:
            return self._alone(function, item)

    def _alone(self, function, item) -> Outcome:
        """Again, with nobody beside it: the item whose worker died may be innocent."""
        for _ in range(ATTEMPTS_PER_ITEM - 1):
            with self._start(1) as executor, contextlib.suppress(BrokenProcessPool):
                return _outcome(item, *executor.submit(_guarded, function, item).result())
        problem = InputError(
            _name(item), "its worker process died on it, twice", "is the file broken, or memory short?"
        )
        return Outcome(item, None, problem)

    def _restart(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._start(self._workers)


def _start_worker(initializer, arguments) -> None:
    """In each new process: Ctrl-C is the parent's to handle, and nobody outlives a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
