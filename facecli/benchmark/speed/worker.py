"""The process that one model is measured in: ``python -m facecli.benchmark.speed.worker``, a request on stdin.

Everything goes through :func:`facecli.reconstruction.run.reconstruct_files`, what `facecli reconstruct` does.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facecli.benchmark.speed.request import MARK, Measured, NotMeasured, Request
from facecli.errors import FacecliError, InputError, MissingAssetError
from facecli.io.sources import Source


def main() -> None:
    """Read the request, measure, answer."""
    request = Request(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        answer: dict[str, Any] = {"measured": asdict(measure(request))}
    except FacecliError as error:
        missing = isinstance(error, MissingAssetError)
        answer = {"failed": asdict(NotMeasured(request.model, str(error), missing))}
    _tell(answer)


def measure(request: Request) -> Measured:
    """All numbers of one model.

    Raises:
        FacecliError: the model can't be had, or the first picture gives nothing.
    """
    import torch

    from facecli.reconstruction.run import Streams
    from facecli.reconstruction.settings import Settings

    if request.threads:
        torch.set_num_threads(request.threads)
    settings = Settings(
        model=request.model,
        options=request.options,
        save=tuple(request.save),
        device=request.device,
        batch_size=request.batch_size,
        landmarker=request.landmarker,
        workers=request.threads or None,
    )
    streams = Streams(settings, rigged=True)
    try:
        stream = streams(request.model)
        stream.prepare()
        loaded = time.time()
        runs = _Runs(request, settings, streams)
        first = runs.first()
        pictures = len(request.pictures)
        runs.warm_up(min(pictures, 2 * stream.batch_size))
        seconds = {
            "one": [runs.pictures("one", 1).seconds for _ in range(request.repeat)],
            "pictures": [],
            "video": [],
        }
        for _ in range(request.repeat):
            passed = runs.pictures("pictures", pictures)
            seconds["pictures"].append(passed.seconds)
        frames = 0
        for _ in range(request.repeat if request.video else 0):
            clip = runs.video()
            frames = clip.frames
            seconds["video"].append(clip.seconds)
        from facecli.benchmark.speed.memory import peak_memory

        return Measured(
            model=request.model,
            device=stream.device,
            device_name=_device_name(stream.device),
            landmarker=settings.landmarker or stream.model.landmarker,
            batch_size=stream.batch_size,
            threads=torch.get_num_threads(),
            start=first - request.started,
            load=loaded - request.started,
            first=first - loaded,
            one=statistics.median(seconds["one"]),
            pictures_per_second=pictures / statistics.median(seconds["pictures"]),
            pictures=pictures,
            faces=passed.faces,
            without_result=passed.failed,
            frames_per_second=frames / statistics.median(seconds["video"]) if seconds["video"] else None,
            frames=frames,
            peak_memory=peak_memory(),
            gpu_memory=_gpu_memory(stream.device),
            stages=runs.stages() if request.stages else {},
            seconds=seconds,
        )
    finally:
        streams.close()


class _Pass:
    """What came of one pass over pictures, or a video."""

    def __init__(self):
        self.seconds = 0.0
        self.faces = self.failed = self.frames = 0
        self.error: FacecliError | None = None


class _Runs:
    """Passes through one model that stays loaded, each into a folder of its own."""

    def __init__(self, request: Request, settings: Any, streams: Any):
        self.request, self.settings, self.streams = request, settings, streams
        self._number = 0

    def first(self) -> float:
        """The Unix time at which the first picture's results were on disk.

        Raises:
            FacecliError: it has none.
        """
        passed = self._run("first picture", self._sources(1))
        if passed.error is not None:
            raise passed.error
        return self._ended

    def warm_up(self, count: int) -> None:
        """A pass that nobody measures: a batch of full size takes what only the first one does."""
        self._run("warming up", self._sources(count))

    def pictures(self, stage: str, count: int) -> _Pass:
        return self._run(stage, self._sources(count))

    def video(self) -> _Pass:
        """
        Raises:
            InputError: it can't be read to its end.
        """
        path = Path(self.request.video)
        passed = self._run("video", [Source(path, self.request.video_name, "video", Path(path.name))])
        if passed.error is not None:
            raise passed.error
        return passed

    def stages(self) -> dict[str, float]:
        """Milliseconds a picture."""
        from facecli.benchmark.speed.stages import StageClock

        stream = self.streams(self.request.model)
        clock = StageClock(lambda: _synchronize(stream.device))
        with clock.on(stream):
            self._run("stages", self._sources(len(self.request.pictures)))
        return clock.milliseconds(len(self.request.pictures))

    def _sources(self, count: int) -> list[Source]:
        pictures = self.request.pictures[:count]
        return [Source(Path(path), name, "image", Path(Path(path).name)) for path, name in pictures]

    def _run(self, stage: str, sources: list[Source]) -> _Pass:
        from facecli.reconstruction.events import FrameDone, InputFailed
        from facecli.reconstruction.run import reconstruct_files

        self._number += 1
        output = Path(self.request.folder) / f"pass{self._number}"
        passed, done = _Pass(), 0
        start = time.perf_counter()
        for event in reconstruct_files(sources, output, self.settings, streams=self.streams):
            if isinstance(event, FrameDone):
                passed.frames += 1
                _tell({"stage": stage, "done": passed.frames, "of": event.of})
                continue
            done += 1
            if isinstance(event, InputFailed):
                passed.failed += 1
                passed.error = event.error
            else:
                passed.faces += sum(1 for _ in event.records)
                passed.error = InputError(event.name, event.problem) if event.problem else passed.error
            _tell({"stage": stage, "done": done, "of": len(sources)})
        passed.seconds = time.perf_counter() - start
        self._ended = time.time()
        shutil.rmtree(output, ignore_errors=True)
        return passed


def _device_name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return device


def _synchronize(device: str) -> None:
    """Comes back when `device` has done all that was asked of it."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def _gpu_memory(device: str) -> int | None:
    import torch

    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else None


def _tell(value: dict[str, Any]) -> None:
    print(MARK + json.dumps(value), flush=True)


def _die_with_parent() -> None:
    """Whoever asked holds the other end of stdin: when that closes, nobody waits for an answer."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
