"""Sources -> frames -> faces -> crops -> codes -> meshes, streaming: every stage works while the others do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from facecli import registry
from facecli.codes import Codes
from facecli.detect.face import Face, largest_first
from facecli.errors import FacecliError, InputError
from facecli.io.images import read_image
from facecli.pipeline import FATAL, Outcome, cpu_count, parallel_map
from facecli.plugin import Crop, Landmarker, Reconstruction, Reconstructor
from facecli.reconstruction.settings import Settings, choose_device


@dataclass
class Frame:
    """A photograph, or one frame of a video, on its way through the stages.

    Args:
        name: the input as the user named it.
        origin: whatever the caller wants to know it by again.
        index, pts, time: of a video's frame (pts in ticks of its time base, time in seconds); None for a photograph.
        path: read by the detecting worker where `image` is None.
        image: RGB uint8 [H, W, 3].
        error: why there is nothing (more) to do with it.
        skip: it passes through untouched (an end of a video, an input that is already done).
        faces, crops, people: B of each; people are numbers that stay with a person through a video.
        codes: the model's codes of these faces; `mixed`: after smoothing, what is decoded.
    """

    name: str
    origin: Any = None
    index: int | None = None
    pts: int | None = None
    time: float | None = None
    path: str | None = None
    image: np.ndarray | None = None
    error: FacecliError | None = None
    skip: bool = False
    faces: list[Face] = field(default_factory=list)
    crops: list[Crop] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    appearances: list[np.ndarray] = field(default_factory=list)
    codes: Codes | None = None
    mixed: Codes | None = None
    reconstruction: Reconstruction | None = None

    def keep_faces(self, numbers: list[int]) -> None:
        """Goes on with the faces `numbers` alone, in this order. Before decoding."""
        self.faces = [self.faces[number] for number in numbers]
        self.crops = [self.crops[number] for number in numbers if self.crops]
        self.appearances = [self.appearances[number] for number in numbers if self.appearances]
        if self.codes is not None:
            self.codes = self.mixed = self.codes.select(numbers) if numbers else None

    def drop_faces(self) -> None:
        """Goes on without its faces, which something is wrong with."""
        self.faces, self.crops, self.people, self.appearances = [], [], [], []
        self.codes = self.mixed = self.reconstruction = None


Mixer = Callable[[Frame], None]
"""Called for each frame in order, between encoding and decoding: sets `people` and `mixed`."""


class FaceStream:
    """The working objects of one run: a landmarker for each worker, one model.

    Raises:
        UsageError, PluginError, MissingAssetError: the model or the landmarker can't be had.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.plugin = registry.plugin(settings.model)
        self.device = choose_device(settings.device)
        self.model: Reconstructor = registry.reconstructor(settings.model, device=self.device)
        self.batch_size = settings.batch_size or self.model.batch_size
        self._lock = threading.Lock()
        self._local = threading.local()
        # The first one is made here: a missing file is told before any input is opened.
        self._landmarkers = [self._new_landmarker()]
        self._spare = list(self._landmarkers)

    def close(self) -> None:
        for landmarker in self._landmarkers:
            landmarker.close()

    def frames(self, frames: Iterable[Frame], mix: Mixer) -> Iterator[Frame]:
        """The `frames` with their faces reconstructed, in order; `mix` is called between encoding and decoding."""
        workers = cpu_count() if self.settings.workers is None else self.settings.workers
        found = parallel_map(self._find, frames, workers=workers)
        with closing(found):
            yield from self._reconstructed(found, mix)

    # --- faces and crops, in worker threads --------------------------------------------------------------------------

    def _landmarker(self) -> Landmarker:
        """This thread's own: landmarkers are used by one thread at a time."""
        if not hasattr(self._local, "landmarker"):
            with self._lock:
                if not self._spare:
                    self._spare.append(self._new_landmarker())
                    self._landmarkers.append(self._spare[0])
                self._local.landmarker = self._spare.pop()
        return self._local.landmarker

    def _new_landmarker(self) -> Landmarker:
        options = dict(self.model.landmarker_options) if self.settings.landmarker is None else {}
        if self.settings.confidence is not None:
            options["confidence"] = self.settings.confidence
        options["device"] = self.device
        return registry.landmarker(self.settings.landmarker or self.model.landmarker, **options)

    def _find(self, frame: Frame) -> Frame:
        if frame.skip or frame.error:
            return frame
        if frame.image is None:
            frame.image = read_image(frame.path)
        faces = self._landmarker().detect([frame.image])[0]
        # Of a video's faces those of the same people are kept, which only the mixer can tell.
        frame.faces = largest_first(faces, self.settings.faces if frame.index is None else "all")
        frame.crops = [self.model.crop(frame.image, face) for face in frame.faces]
        return frame

    # --- codes and meshes, batched over frames -----------------------------------------------------------------------

    def _reconstructed(self, found: Iterator[Outcome[Frame, Frame]], mix: Mixer) -> Iterator[Frame]:
        waiting: list[Frame] = []
        for outcome in found:
            frame = outcome.item
            frame.error = frame.error or outcome.error
            waiting.append(frame)
            if sum(len(f.crops) for f in waiting) >= self.batch_size or len(waiting) >= self.batch_size:
                yield from self._flush(waiting, mix)
                waiting = []
        yield from self._flush(waiting, mix)

    def _flush(self, frames: list[Frame], mix: Mixer) -> list[Frame]:
        working = [f for f in frames if f.crops and not f.error]
        self._each(working, self._encode)
        for frame in frames:
            if not frame.error:
                mix(frame)
        self._each([f for f in working if f.mixed is not None and not f.error], self._decode)
        return frames

    def _each(self, frames: list[Frame], work: Callable[[list[Frame]], None]) -> None:
        """`work` on all frames at once; where that fails, on each alone, so that the error stays with its frame."""
        if not frames:
            return
        try:
            with torch.inference_mode():
                work(frames)
        except FATAL:
            raise
        except Exception as error:
            if len(frames) > 1:
                for frame in frames:
                    self._each([frame], work)
            elif isinstance(error, FacecliError):
                frames[0].error = error
            else:
                reason = " ".join(str(error).split()) or "no reason given"
                problem = f"the model {self.settings.model} failed on it: {type(error).__name__}: {reason}"
                frames[0].error = InputError(frames[0].name, problem, "see --debug")

    def _encode(self, frames: list[Frame]) -> None:
        crops = [crop for frame in frames for crop in frame.crops]
        size = max(self.batch_size, 1)
        parts = [self.model.encode(crops[i : i + size]) for i in range(0, len(crops), size)]
        for frame, part in _shares(frames, Codes.concatenate(parts)):
            frame.codes = frame.mixed = part

    def _decode(self, frames: list[Frame]) -> None:
        decoded = self.model.decode(Codes.concatenate([frame.mixed for frame in frames]))
        for frame, part in _shares(frames, decoded):
            frame.reconstruction = part


def _shares(frames: list[Frame], batch: Any) -> Iterator[tuple[Frame, Any]]:
    """Each frame with its own faces' part of a batch."""
    start = 0
    for frame in frames:
        yield frame, batch.select(slice(start, start + len(frame.crops)))
        start += len(frame.crops)
