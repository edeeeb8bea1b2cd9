"""The executor keeps order, bounds, errors and processes in hand."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from facecli.errors import InputError, OutputError
from facecli.pipeline import gather, parallel_map, prefetch


def double(x):
    if x == 3:
        raise InputError("three", "is refused")
    if x == 4:
        raise RuntimeError("a bug\nin two lines")
    return 2 * x


def die_on_two(x):
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


_STATE = {}


def remember(value):
    _STATE["value"] = value


def recall(x):
    return _STATE["value"] + x, os.getpid()


@pytest.mark.parametrize(("workers", "kind"), [(0, "thread"), (3, "thread"), (2, "process")])
def test_order_is_kept_and_errors_stay_with_their_item(workers, kind):
    outcomes = list(parallel_map(double, range(7), workers=workers, kind=kind))
    assert [o.item for o in outcomes] == list(range(7))
    assert [o.value for o in outcomes] == [0, 2, 4, None, None, 10, 12]
    assert str(outcomes[3].error) == "three: is refused"
    assert "RuntimeError: a bug in two lines" in str(outcomes[4].error)
    assert "\n" not in str(outcomes[4].error)


def test_process_workers_are_initialised_once_and_kept():
    outcomes = list(parallel_map(recall, range(6), workers=1, kind="process", initializer=remember, arguments=(10,)))
    assert [o.value[0] for o in outcomes] == [10, 11, 12, 13, 14, 15]
    assert len({o.value[1] for o in outcomes}) == 1
    assert outcomes[0].value[1] != os.getpid()


def test_an_item_that_kills_its_worker_fails_alone():
    outcomes = list(parallel_map(die_on_two, range(5), workers=2, kind="process"))
    assert [o.value for o in outcomes] == [0, 1, None, 3, 4]
    assert "worker process died" in str(outcomes[2].error)


@pytest.mark.parametrize("workers", [0, 2])
def test_output_errors_stop_the_run(workers):
    def full(_):
        raise OutputError("disk full")

    with pytest.raises(OutputError):
        list(parallel_map(full, range(3), workers=workers))


def test_an_endless_source_is_taken_only_as_far_as_needed():
    taken = []

    def source():
        for i in itertools.count():
            taken.append(i)
            yield i

    stream = parallel_map(double, prefetch(source(), depth=4), workers=2, in_flight=5)
    first = [next(stream).item for _ in range(10)]
    stream.close()
    assert first == list(range(10))
    time.sleep(0.3)
    assert len(taken) <= 10 + 5 + 4 + 2


def test_a_finished_item_is_given_while_the_next_is_awaited():
    second = threading.Event()

    def typed_by_hand():
        yield 0
        second.wait(10)
        yield 1

    stream = parallel_map(double, typed_by_hand(), workers=2)
    assert next(stream).item == 0
    assert not second.is_set()
    second.set()
    assert next(stream).item == 1


def test_prefetch_hands_on_errors_and_ends_its_thread():
    def broken():
        yield 1
        raise ValueError("no more")

    stream = prefetch(broken())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no more"):
        next(stream)
    endless = prefetch(itertools.count())
    next(endless)
    endless.close()
    assert not any(t.name == "facecli-prefetch" and t.is_alive() for t in threading.enumerate())


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import os, time
        from facecli.pipeline import parallel_map
        def slow(x):
            print(os.getpid(), flush=True)
            time.sleep(60)
        if __name__ == "__main__":
            list(parallel_map(slow, range(2), workers=1, kind="process"))
        """)
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z":  # dead, only not yet reaped
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker went on after its parent was killed")


def full(batch):
    return len(batch) >= 3


def test_neighbours_are_gathered_in_batches():
    assert list(gather(range(7), full, lambda _: None)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(gather([], full, lambda _: None)) == []
    assert list(gather(iter([1]), full, lambda _: None)) == [[1]]


def test_a_batch_goes_off_when_nothing_follows():
    go_on = threading.Event()

    def slow():
        yield "a"
        go_on.wait(20)
        yield from "bcde"

    batches = gather(slow(), full, lambda batch: 0.05 if batch[-1] == "a" else None)
    assert next(batches) == ["a"]
    go_on.set()
    assert list(batches) == [["b", "c", "d"], ["e"]]


def test_gathering_raises_what_the_items_raise_and_can_be_left():
    def broken():
        yield 1
        raise OutputError("full")

    with pytest.raises(OutputError):
        list(gather(broken(), full, lambda _: None))
    closed = threading.Event()

    def endless():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    batches = gather(endless(), full, lambda _: None)
    assert next(batches) == [0, 1, 2]
    batches.close()
    assert closed.wait(2)
