"""What is told while inputs are worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facecli.errors import FacecliError
from facecli.geometry.mesh import TriangleMesh
from facecli.reconstruction.picture import FaceResult
from facecli.reconstruction.stream import Frame


@dataclass
class FrameDone:
    """Progress inside a video; `stage` says what was done with the frame, where there are several passes."""

    name: str
    frame: int
    of: int | None
    stage: str = ""


@dataclass
class InputDone:
    """An input's results are on disk.

    Args:
        records: one a face (and frame), with paths as the user can open them.
        model: the plugin's name.
        video: whether the input is one, or codes of one.
        skipped: the results were there already.
        picture: the photograph, and `faces` what was written of it, for a report; not of videos and skipped inputs.
        meshes: by a face's number, as far as they are in memory.
        problem: a video that ended before its end: its frames were done, but it counts as failed.
        note: something less the user should know.
    """

    name: str
    path: Path
    folder: Path
    records: Iterable[dict[str, Any]]
    model: str = ""
    video: bool = False
    skipped: bool = False
    picture: np.ndarray | None = None
    faces: list[FaceResult] = field(default_factory=list)
    meshes: dict[int, TriangleMesh] = field(default_factory=dict)
    problem: str | None = None
    note: str | None = None


@dataclass
class InputFailed:
    """An input, or one frame of it, gave nothing."""

    name: str
    error: FacecliError


@dataclass
class Remark:
    """What the user should know of the inputs together."""

    text: str


Event = FrameDone | InputDone | InputFailed | Remark


class Origin(Protocol):
    """Whose frame it is: what `Frame.origin` is in the command's stream."""

    def mix(self, frame: Frame) -> None:
        """In order, between encoding and decoding: sets `people` and `mixed`."""
        ...

    def write(self, frame: Frame) -> Any:
        """In any thread, after decoding."""
        ...

    def events(self, frame: Frame, value: Any, error: FacecliError | None) -> Iterator[Event]:
        """In order, at the end: `value` is what `write` gave, `error` why it gave nothing."""
        ...
