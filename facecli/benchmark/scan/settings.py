"""How a mesh is laid on a scan and measured, and the recipes of published benchmarks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from facecli.benchmark.scan_to_mesh import UNITS
from facecli.errors import UsageError

CHOICES = {
    "align": ("similarity", "rigid", "none"),
    "start": ("landmarks", "placed"),
    "refine": ("now", "icp-plane", "icp-point", "none"),
    "error": ("surface", "plane"),
    "direction": ("scan-to-mesh", "mesh-to-scan"),
    "unit": tuple(UNITS),
    "scan_unit": tuple(UNITS),
}


@dataclass(frozen=True)
class ScanSettings:
    """What the numbers depend on.

    Args:
        align: the motion that is fitted: ``"similarity"`` (scale, too), ``"rigid"`` or ``"none"``.
        start: from landmarks, or from where the mesh is.
        refine: what follows: NoW's dog leg, ICP to planes or points, or nothing.
        crop: ``"now"``: NoW's ball around the face; ``"none"``; or millimetres around the nose tip.
        error: distance to the ``"surface"``, or to the ``"plane"`` of the closest triangle.
        direction: from the scan's points to the mesh, or from the mesh's vertices to the scan.
        trim: part of the pairs, the farthest, that ICP leaves out.
        unit, scan_unit: of the meshes and the scans.

    Raises:
        UsageError: a word is none of those, or two contradict each other.
    """

    align: str = "similarity"
    start: str = "landmarks"
    refine: str = "now"
    crop: str | float = "now"
    error: str = "surface"
    direction: str = "scan-to-mesh"
    trim: float = 0.0
    unit: str = "mm"
    scan_unit: str = "mm"

    def __post_init__(self):
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} is one of {', '.join(words)}, not {getattr(self, name)!r}")
        if isinstance(self.crop, str) and self.crop not in ("now", "none"):
            raise UsageError(f"--crop is now, none, or a radius in millimetres, not {self.crop!r}")
        if not isinstance(self.crop, str) and not 0 < self.crop < float("inf"):
            raise UsageError(f"--crop's radius is more than 0 mm, not {self.crop:g}")
        if not 0 <= self.trim < 1:
            raise UsageError(f"--trim is from 0 to below 1, not {self.trim:g}")
        if self.trim and not self.refine.startswith("icp"):
            raise UsageError("--trim is ICP's: add --refine icp-plane or icp-point")
        if self.align == "none" and (self.start, self.refine) != ("placed", "none"):
            raise UsageError("--align none leaves the mesh where it is: leave --start and --refine out")

    @property
    def is_now(self) -> bool:
        """The mesh is aligned exactly as NoW does it."""
        return (self.start, self.refine, self.crop) == ("landmarks", "now", "now")

    @property
    def protocol(self) -> str:
        """NoW's word where the numbers are NoW's, else the settings in short."""
        if self.is_now and (self.error, self.direction) == ("surface", "scan-to-mesh"):
            return "nonmetrical" if self.align == "similarity" else "metrical"
        crop = {"now": "NoW's crop", "none": "no crop"}.get(self.crop) or f"{self.crop:g} mm"
        words = [self.align, *([self.refine] if self.align != "none" else []), crop, self.error]
        words += ["placed"] if self.start == "placed" and self.align != "none" else []
        words += ["mesh to scan"] if self.direction == "mesh-to-scan" else []
        return ", ".join(words + ([f"trim {self.trim:g}"] if self.trim else []))

    @property
    def slug(self) -> str:
        """`protocol` as the name of a folder."""
        return re.sub(r"[^a-z0-9.]+", "-", self.protocol.lower()).strip("-")


@dataclass(frozen=True)
class Recipe:
    """A published benchmark's settings.

    Args:
        note: what is to be known of its numbers.
        by_case: it publishes the mean of the cases' means ± their standard deviation, where NoW pools all distances.
        groups: folders of predictions that are scored apart.
    """

    settings: ScanSettings
    note: str = ""
    by_case: bool = False
    groups: tuple[str, ...] = ()


_RECALLED = "region and ICP settings are recalled, not published: near the paper's numbers, not equal"

RECIPES = {
    "now": Recipe(ScanSettings()),
    "stirling": Recipe(ScanSettings(), groups=("HQ", "LQ")),
    "micc": Recipe(ScanSettings(refine="icp-plane", crop=95.0, error="plane"), _RECALLED, by_case=True),
    "facewarehouse": Recipe(ScanSettings(refine="icp-plane", error="plane"), _RECALLED, by_case=True),
}
"""NoW's; Stirling/ESRC (FG2018 3DFAW), which is NoW's evaluator over two sets; Deep3D's two (MICC Florence: 95 mm
around the nose tip; both with isotropic scale and point-to-plane errors)."""


def parse_crop(word: str) -> str | float:
    """``now``, ``none``, or millimetres (``95``, ``95mm``); other words are left to :class:`ScanSettings`."""
    try:
        return float(word.strip().removesuffix("mm"))
    except ValueError:
        return word
