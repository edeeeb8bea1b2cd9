"""What the user wants of a run, who is told how it goes, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facecli.benchmark.choice import ModelChoice
from facecli.benchmark.published import PublishedResult
from facecli.benchmark.scan_to_mesh import PROTOCOLS
from facecli.benchmark.scores import SurfaceErrors
from facecli.errors import UsageError


@dataclass(frozen=True)
class Request:
    """What the user wants; the command line's flags.

    Args:
        models: to reconstruct with, in order.
        predictions: ``DIR`` or ``NAME=DIR``, in order.
        unit: of `predictions`; our models' are millimetres.
        image_list, scans, scan_landmarks: other places than the data set's own.
        check: a case to look at, ``subject/challenge/file``; nothing else is done then.
        pack: an archive to be written.
        curves: ``NAME=FILE``, distances of others.
    """

    data: Path
    out: Path
    models: Sequence[ModelChoice] = ()
    predictions: Sequence[str] = ()
    unit: str = "m"
    image_set: str = "val"
    protocol: str = "nonmetrical"
    challenge: str | None = None
    image_list: Path | None = None
    scans: Path | None = None
    scan_landmarks: Path | None = None
    check: str | None = None
    pack: Path | None = None
    official_npy: bool = False
    published: Sequence[str] = ()
    curves: Sequence[str] = ()
    workers: int | None = None
    overwrite: bool = False

    @property
    def measured_set(self) -> str:
        """What published results must be of to stand in one table with this run's: parts of a set have none."""
        return self.image_set if self.challenge is None and self.image_list is None else f"part of {self.image_set}"

    def __post_init__(self):
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"--protocol is {' or '.join(PROTOCOLS)}, not {self.protocol!r}")
        if not self.models and not self.predictions:
            raise UsageError("nothing to evaluate: give --model NAME or --predictions FOLDER")
        if self.pack is not None:
            if self.image_set != "test":
                raise UsageError("--pack is for the test set: add --set test (everybody can evaluate the other one)")
            if self.challenge or self.check:
                raise UsageError("--pack takes all images: leave --challenge and --check out")
            if len(self.models) + len(self.predictions) != 1:
                raise UsageError("--pack makes the archive of one method: give one --model or one --predictions")


@dataclass
class Report:
    """What came out.

    Args:
        results: one a method; without distances where nobody here has the scans.
        published: results to compare with.
        files: that were written.
        listed: images in the list.
        looks: what `--check` found, one a method, for `--json`.
        some_failed: an image that is there could not be predicted or evaluated.
    """

    results: list[SurfaceErrors] = field(default_factory=list)
    published: list[PublishedResult] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    listed: int = 0
    looks: list[dict[str, Any]] = field(default_factory=list)
    some_failed: bool = False
    is_scored: bool = True
