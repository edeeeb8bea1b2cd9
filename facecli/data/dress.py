"""What people wear: who has glasses and long hair, and what is drawn with a head because of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facecli.data.glasses import Glasses, Lenses, fit_glasses, sample_glasses
from facecli.data.hand import Hand, put_hand, sample_hand
from facecli.data.long_hair import LongHair, hang_hair, sample_long_hair
from facecli.data.paint import Palette
from facecli.data.sweep import Piece
from facecli.geometry.normals import vertex_normals

VERSION = 1
"""Goes up whenever the same seed gives other dressed heads."""
_GLASSES, _LONG_HAIR, _HANDS = 0.22, 0.35, 0.08
"""Shares of people, of those who aren't bald, and of pictures."""


@dataclass(frozen=True)
class Dress:
    """What a person has in all pictures, and a hand that a picture may have."""

    glasses: Glasses | None = None
    hair: LongHair | None = None
    hand: Hand | None = None

    def __bool__(self) -> bool:
        return self != Dress()


def sample_dress(dressed: float, bald: bool, person: np.random.Generator, picture: np.random.Generator) -> Dress:
    """A head's dress.

    Args:
        dressed: 0..1, times the usual shares. person: what stays. picture: what doesn't.
    """
    if not dressed:
        return Dress()
    with_glasses, with_hair = person.random(2) < [dressed * _GLASSES, dressed * _LONG_HAIR]
    glasses, hair = sample_glasses(person), sample_long_hair(person)
    hand = sample_hand(picture) if picture.random() < dressed * _HANDS else None
    return Dress(glasses if with_glasses else None, hair if with_hair and not bald else None, hand)


def palette_of(dress: Dress, palette: Palette) -> Palette:
    """`palette` with the scalp's hair as it lies under long hair."""
    if dress.hair is None:
        return palette
    return replace(palette, hair_height=min(palette.hair_height, 8.0), hairline=min(palette.hairline, 6.0))


def put_on(
    dress: Dress, head: np.ndarray, triangles: np.ndarray, points: np.ndarray, at_rest: np.ndarray
) -> tuple[list[Piece], Lenses | None]:
    """What is drawn with a head.

    Args:
        head: [V, 3] with its expression and the scalp's hair. triangles: [F, 3] of it.
        points, at_rest: [68, 3] iBUG's points of it with and without its expression.
    """
    pieces, lenses = [], None
    if dress.hair is not None:
        pieces.append(hang_hair(dress.hair, head, at_rest))
    if dress.glasses is not None:
        frame, lenses = fit_glasses(dress.glasses, head, at_rest)
        pieces.append(frame)
    if dress.hand is not None:
        normals = vertex_normals(head.astype(np.float64), triangles)
        pieces.append(put_hand(dress.hand, head, normals, points))
    return pieces, lenses
