"""What may be set of the training; see ``facecli train open --help``."""

from __future__ import annotations

from dataclasses import dataclass

from facecli.data.scene import SETS
from facecli.errors import UsageError

_SIZES = ("tested", "epochs", "second_epochs", "batch", "local", "hidden", "second_local", "second_hidden")
_LEAST = dict.fromkeys(_SIZES, 1)
_LEAST |= {"heads": 3, "size": 64}


@dataclass(frozen=True)
class Settings:
    """
    Args:
        heads: how many are drawn; MediaPipe finds nearly all of them.
        tested: of these, the first so many are not trained on.
        seed: of the heads; the set must not be one that models are benchmarked on.
        set: easy, full or wild, as of facecli benchmark synthetic. size: side of the pictures, pixels.
        epochs: times that the first network is shown each head and its mirrored twin.
        second_epochs: the same of the second network.
        batch: heads at once. rate: of learning, at its highest. decay: of the weights.
        local: numbers that the first network makes of each place of the picture. hidden: width of the first network.
        second_local: as local, of the second one. second_hidden: as hidden, of the second one.
        dropped: share of what is measured that a step leaves out. hidden_dropped: of the network's own numbers.
        face_model: ICT-FaceKit's file or folder; empty: where facecli finds it.
        picture: whether the networks are told of the picture; no: of the points alone.
    """

    heads: int = 60_000
    tested: int = 1_000
    seed: int = 1000
    set: str = "wild"
    size: int = 320
    epochs: int = 16
    second_epochs: int = 12
    batch: int = 128
    rate: float = 1e-3
    decay: float = 0.1
    local: int = 8
    hidden: int = 112
    second_local: int = 8
    second_hidden: int = 112
    dropped: float = 0.15
    hidden_dropped: float = 0.3
    picture: bool = True
    face_model: str = ""

    def __post_init__(self):
        if self.set not in SETS:
            raise UsageError(f"set is one of {', '.join(SETS)}, not {self.set!r}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name} is at least {least}, not {getattr(self, name)}")
        if self.tested > self.heads - 2:
            raise UsageError(f"{self.tested} of {self.heads} heads are kept for testing: too few are left to learn")
        for name in ("dropped", "hidden_dropped"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is a share from 0 to below 1, not {getattr(self, name)}")
        if self.rate <= 0 or self.decay < 0:
            raise UsageError("rate is above 0, decay at least 0")
