"""Rendered heads by number. Worker processes keep the model that they loaded."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from facecli.data.dress import VERSION
from facecli.data.heads import HeadChoice
from facecli.data.render_head import GENERATOR, HeadRenderer, Rendered
from facecli.data.scene import SETS


@dataclass(frozen=True)
class HeadSet:
    """Heads by number: `seed` and index say all.

    Args:
        choice: the face model. scenes: of :data:`facecli.data.scene.SETS`. size: of the pictures, pixels.
    """

    choice: HeadChoice
    scenes: str = "full"
    seed: int = 0
    size: int = 512

    def name(self, index: int) -> str:
        """What head `index` is called in results."""
        return f"head_{self.seed}_{index:05}"

    @property
    def fingerprint(self) -> str:
        """Of all that the pictures and the truth depend on."""
        model = renderer(self).model
        dress = f" dress {VERSION}" if SETS[self.scenes].dressed else ""
        return f"generator {GENERATOR} {model.name} {model.fingerprint} {self.scenes} {self.seed} {self.size}{dress}"


@functools.lru_cache(maxsize=2)
def renderer(heads: HeadSet) -> HeadRenderer:
    """The renderer of a set, made once a process."""
    return HeadRenderer(heads.choice.load(), SETS[heads.scenes], heads.size)


def draw(heads: HeadSet, index: int) -> Rendered:
    """Head `index` with its picture."""
    return renderer(heads).render(heads.seed, index)
