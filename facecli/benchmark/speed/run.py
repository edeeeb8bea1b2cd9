"""Measures models one after the other, each in a process of its own: memory and the first start are its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from facecli.benchmark.speed.inputs import Inputs
from facecli.benchmark.speed.request import MARK, Measured, NotMeasured, Request

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

Told = Callable[[str, int, int | None], None]
"""Called with a stage, how many of its items are done, and how many there are."""


@dataclass(frozen=True)
class Choice:
    """What is the same for all models; :class:`Request`'s fields by the same names."""

    save: tuple[str, ...] = ("codes", "json")
    repeat: int = 3
    device: str = "auto"
    batch_size: int = 0
    threads: int = 0
    landmarker: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    stages: bool = False


def measure_models(
    models: Sequence[str], inputs: Inputs, choice: Choice, told: Callable[[str], Told]
) -> Iterator[Measured | NotMeasured]:
    """One model after the other, as they are done; one that fails doesn't stop the next.

    Args:
        told: gives a listener for a model.
    """
    for model in models:
        with tempfile.TemporaryDirectory(prefix="facecli-speed-", ignore_cleanup_errors=True) as folder:
            request = Request(
                model=model,
                started=0.0,
                folder=folder,
                pictures=inputs.pictures,
                video=None if inputs.video is None else str(inputs.video),
                video_name="" if inputs.video is None else inputs.video.name,
                **{**asdict(choice), "save": list(choice.save)},
            )
            yield _measure(request, told(model))


def _measure(request: Request, told: Told) -> Measured | NotMeasured:
    command = [sys.executable, "-m", "facecli.benchmark.speed.worker"]
    with tempfile.TemporaryFile() as words:
        request = replace(request, started=time.time())
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, env=_environment(request.threads)
        )
        try:
            answer = _talk(process, request, told)
        finally:  # also when the user stops us
            process.kill()
            process.wait()
        if answer is None:
            words.seek(0)
            return NotMeasured(request.model, _how_it_died(process.returncode, words.read()))
        return answer


def _talk(process: subprocess.Popen[bytes], request: Request, told: Told) -> Measured | NotMeasured | None:
    try:
        process.stdin.write((json.dumps(asdict(request)) + "\n").encode())
        process.stdin.flush()
    except BrokenPipeError:
        pass
    for line in process.stdout:
        if not line.startswith(MARK.encode()):
            continue  # a package's word
        said = json.loads(line.removeprefix(MARK.encode()))
        if "measured" in said:
            return Measured(**said["measured"])
        if "failed" in said:
            return NotMeasured(**said["failed"])
        told(said["stage"], said["done"], said["of"])
    process.wait()
    return None


def _environment(threads: int) -> dict[str, str]:
    limits = dict.fromkeys(_THREAD_VARIABLES, str(threads)) if threads else {}
    return os.environ | limits


def _how_it_died(code: int, words: bytes) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        memory = ": was memory short?" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{memory}"
    lines = words.decode("utf-8", "replace").strip().splitlines() or ["without a word"]
    return f"its process ended with code {code}: {lines[-1]}"
