"""What may be set of the training; see ``facecli train open --help``."""

from __future__ import annotations

from dataclasses import dataclass

from facecli.data.scene import SETS
from facecli.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """
    Args:
        heads: how many are drawn; MediaPipe finds nearly all of them.
        tested: of these, the first so many are not trained on.
        seed: of the heads; the set must not be one that models are benchmarked on.
        set: easy or full, as of facecli benchmark synthetic. size: side of the pictures, pixels.
        epochs: times that each head and its mirrored twin are seen.
        batch: heads at once. rate: of learning, at its highest. decay: of the weights.
        hidden: width of the network.
        dropped: share of the inputs that a step leaves out. hidden_dropped: of the network's own numbers.
        face_model: ICT-FaceKit's file or folder; empty: where facecli finds it.
        picture: whether the network is told of the picture; no: of the points alone.
    """

    heads: int = 40_000
    tested: int = 1_000
    seed: int = 1000
    set: str = "full"
    size: int = 320
    epochs: int = 40
    batch: int = 128
    rate: float = 1e-3
    decay: float = 0.1
    hidden: int = 128
    dropped: float = 0.05
    hidden_dropped: float = 0.3
    picture: bool = True
    face_model: str = ""

    def __post_init__(self):
        if self.set not in SETS:
            raise UsageError(f"set is one of {', '.join(SETS)}, not {self.set!r}")
        for name, least in (("heads", 2), ("tested", 1), ("epochs", 1), ("batch", 1), ("hidden", 1), ("size", 64)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is at least {least}, not {getattr(self, name)}")
        if self.tested >= self.heads:
            raise UsageError(f"{self.tested} of {self.heads} heads are kept for testing: none would be left to learn")
        for name in ("dropped", "hidden_dropped"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is a share from 0 to below 1, not {getattr(self, name)}")
        if self.rate <= 0 or self.decay < 0:
            raise UsageError("rate is above 0, decay at least 0")
