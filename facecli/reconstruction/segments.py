"""The videos that grow with a clip's chunks: named streams, each in segments that are whole or not there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from facecli.io.video import SegmentWriter


class Segments:
    """``overlay-00003.mp4`` and its like; all frames of a chunk go into each stream that there is.

    Args:
        folder: of the chunks.
        number: of the chunk that is written next.
        rate: frames a second, about.
    """

    def __init__(self, folder: Path, number: int, rate: Fraction):
        self.folder, self.number, self.rate = folder, number, rate
        self._open: dict[str, SegmentWriter] = {}

    def write(self, stream: str, image: np.ndarray) -> None:
        """Add a frame, RGB uint8 [H, W, 3], always of the same size, to `stream`."""
        if stream not in self._open:
            height, width = image.shape[:2]
            self._open[stream] = SegmentWriter(self._path(stream, self.number), (width, height), self.rate)
        self._open[stream].write(image)

    def close(self) -> None:
        """The chunk is at its end: puts its segments in their places. Those of the next one follow."""
        while self._open:
            _, writer = self._open.popitem()
            writer.close()
        self.number += 1

    def abort(self) -> None:
        while self._open:
            _, writer = self._open.popitem()
            writer.abort()

    def paths(self, stream: str) -> list[Path]:
        """The finished segments in order."""
        paths = (self._path(stream, number) for number in range(self.number))
        return [path for path in paths if path.exists()]

    def _path(self, stream: str, number: int) -> Path:
        return self.folder / f"{stream}-{number:05d}.mp4"
