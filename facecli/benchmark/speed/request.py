"""What a model's process is asked, and what it answers; both as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MARK = "facecli-speed:"
"""Before each of the process's words on stdout, where packages may print, too."""


@dataclass
class Request:
    """One model's measurement.

    Args:
        started: Unix time at which the process was started.
        folder: for what it writes; somebody else's to remove.
        pictures: (path, name for people) each, all different files.
        video, video_name: the same, or None for no video.
        repeat: how often each thing is measured; medians are told.
        threads: of torch and of detection; 0 leaves both alone.
        stages: measure once more with a clock at each stage.
    """

    model: str
    started: float
    folder: str
    pictures: list[tuple[str, str]]
    video: str | None
    video_name: str
    save: list[str]
    repeat: int = 3
    device: str = "auto"
    batch_size: int = 0
    threads: int = 0
    landmarker: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    stages: bool = False


@dataclass
class Measured:
    """What it took. Seconds and bytes; of what was repeated the median, with all values in `seconds`.

    Args:
        start: from the start of the process to the first picture's results on disk: importing, loading, working.
        load: of these, until the model and its landmarker were ready.
        first: of these, the first picture.
        one: a single picture, once everything is warm.
        pictures_per_second, frames_per_second: of the list of pictures and of the video, warm, as a stream.
        pictures, faces, without_result: how many, in one pass; pictures in which nothing was found count, too.
        frames: of the video.
        peak_memory: the most that the process took of the machine's memory; None where the system doesn't tell.
        gpu_memory: the most that torch's tensors took of the graphics card's; None without one.
        stages: milliseconds a picture of each stage, which work side by side: their sum is more than a picture takes.
        seconds: what was measured -> seconds of each repetition.
    """

    model: str
    device: str
    device_name: str
    landmarker: str
    batch_size: int
    threads: int
    start: float
    load: float
    first: float
    one: float
    pictures_per_second: float
    pictures: int
    faces: int
    without_result: int
    frames_per_second: float | None
    frames: int
    peak_memory: int | None
    gpu_memory: int | None
    stages: dict[str, float]
    seconds: dict[str, list[float]]


@dataclass
class NotMeasured:
    """Why there are no numbers of a model.

    Args:
        missing: a file that it needs isn't here; else it failed.
    """

    model: str
    reason: str
    missing: bool = False
