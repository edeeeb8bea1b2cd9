"""A clock at each stage of a stream: where the time of a picture goes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from facecli.reconstruction.jobs import Photograph
from facecli.reconstruction.stream import FaceStream

STAGES = ("read", "detect", "crop", "encode", "decode", "write")


class StageClock:
    """Adds up the seconds that threads spend in each stage."""

    def __init__(self, wait: Callable[[], None]):
        """`wait` comes back when the device has done all that was asked of it."""
        self._wait = wait
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def on(self, stream: FaceStream) -> Iterator[None]:
        """While this is open, photographs that go through `stream` are timed."""
        places = (
            (stream, "find", "find", False),
            (stream, "detect", "detect", False),
            (stream.model, "crop", "crop", False),
            (stream.model, "encode", "encode", True),
            (stream.model, "decode", "decode", True),
            (Photograph, "write", "write", False),
        )
        with contextlib.ExitStack() as stack:
            for owner, attribute, stage, on_device in places:
                stack.enter_context(self._timed(owner, attribute, stage, on_device))
            yield

    def milliseconds(self, pictures: int) -> dict[str, float]:
        """Of each stage, a picture."""
        found = dict(self._seconds)
        found["read"] = found.pop("find", 0.0) - found.get("detect", 0.0) - found.get("crop", 0.0)
        return {stage: 1000 * max(found.get(stage, 0.0), 0.0) / max(pictures, 1) for stage in STAGES}

    @contextlib.contextmanager
    def _timed(self, owner: Any, attribute: str, stage: str, on_device: bool) -> Iterator[None]:
        function = getattr(owner, attribute)
        own = attribute in vars(owner)

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                value = function(*arguments, **options)
                if on_device:
                    self._wait()
                return value
            finally:
                with self._lock:
                    self._seconds[stage] += time.perf_counter() - start

        setattr(owner, attribute, timed)
        try:
            yield
        finally:
            if own:
                setattr(owner, attribute, function)
            else:
                delattr(owner, attribute)
