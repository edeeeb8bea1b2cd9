"""What the user chose for a transfer, beyond what `facecli reconstruct` can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facecli.errors import UsageError
from facecli.mixing import check_names
from facecli.reconstruction.settings import split_words

AUTO, GUESS, LARGEST = "auto", "guess", "largest"


@dataclass(frozen=True)
class Choice:
    """One transfer's choices; the command line's flags by the same names.

    Args:
        take: names of the codes that the target gives; empty for expression, jaw and eyelids, as far as both have them.
        keep: names of codes that stay the source's.
        target_model: None is the source's; `target_options` are its own.
        target_face: ``"largest"`` or a face's number (a person's, in a video).
        neutral: the target at rest, for models that carry surfaces: ``"auto"`` finds a frame of its video, ``"guess"``
            makes one up, else the number of a frame, or the path of a picture or of codes.
        loop: a shorter target begins again, instead of ending the result.
        animation: write the row of pictures. gif: also as animation.gif.
    """

    take: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    target_model: str | None = None
    target_options: Mapping[str, Any] = field(default_factory=dict)
    target_face: str | int = LARGEST
    neutral: str = AUTO
    loop: bool = False
    animation: bool = True
    gif: bool = False

    def __post_init__(self):
        for name in ("take", "keep"):
            words = getattr(self, name)
            object.__setattr__(self, name, split_words([words] if isinstance(words, str) else words))
            check_names(getattr(self, name), f"--{name}")
        object.__setattr__(self, "target_face", str(self.target_face))
        if self.target_face != LARGEST and not self.target_face.isdecimal():
            raise UsageError(f"--target-face is largest or a face's number, not {self.target_face!r}")

    def fingerprint(self) -> dict[str, Any]:
        """What results depend on, beside the inputs."""
        return {
            "take": sorted(self.take),
            "keep": sorted(self.keep),
            "target_model": self.target_model,
            "target_options": dict(sorted(self.target_options.items())),
            "target_face": self.target_face,
            "neutral": self.neutral,
            "loop": self.loop,
            "animation": self.animation,
            "gif": self.gif,
        }
