"""Colours of heads by chance: skin of all people, lips, brows, eyes, hair, beards, freckles. No photograph is used.

A :class:`Palette` is drawn once a head; :func:`materials` lays it on the cells of a picture through the head model's
fields.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from facecli.data.head_model import FIELD_MM
from facecli.data.noise import grain

_SKIN = np.array([(246, 214, 190), (236, 190, 158), (219, 167, 130), (190, 132, 94), (142, 90, 60), (94, 58, 40),
                  (58, 37, 28)]) / 255  # fmt: skip
"""sRGB from the lightest to the darkest."""
_HAIR = {"black": (22, 18, 17), "dark": (48, 33, 25), "brown": (88, 60, 40), "light": (140, 105, 70),
         "blond": (196, 160, 108), "red": (135, 64, 32), "grey": (150, 148, 146), "white": (214, 211, 206)}  # fmt: skip
_IRIS = {"brown": (70, 40, 22), "dark": (42, 26, 18), "hazel": (112, 82, 42), "green": (96, 112, 72),
         "blue": (92, 126, 158), "grey": (124, 134, 140)}  # fmt: skip


@dataclass(frozen=True)
class Palette:
    """One head's colours, linear RGB [3], and amounts 0..1 unless said otherwise.

    Args:
        darkness: 0 the lightest skin .. 1 the darkest.
        hairline: mm, the scalp's edge is moved back by it. hair_height: mm above the skin. bald: no hair at all.
        brow_width: mm, added to each side of the brows.
        beard: how dense. freckles, blotches, wrinkles: how strong. gloss: of the skin. pupil: mm, added to its radius.
        offset: [3] where in the noise this head lies.
    """

    darkness: float
    skin: np.ndarray
    flush: np.ndarray
    flush_amount: float
    lips: np.ndarray
    lips_amount: float
    brows: np.ndarray
    brows_amount: float
    brow_width: float
    lashes_amount: float
    hair: np.ndarray
    bald: bool
    hairline: float
    hair_height: float
    beard: float
    freckles: float
    blotches: float
    wrinkles: float
    iris: np.ndarray
    pupil: float
    sclera: np.ndarray
    teeth: np.ndarray
    cloth: np.ndarray
    neckline: float
    gloss: float
    offset: np.ndarray


def sample_palette(rng: np.random.Generator) -> Palette:
    """Colours of one person."""
    darkness = rng.random()
    skin = _between(_SKIN, darkness) * np.exp(rng.normal(0, 0.05, 3) * [0.6, 1, 1.3])
    skin = _linear(np.clip(skin, 0.05, 0.97))
    hair = _hair_color(darkness, rng)
    made_up = rng.random() < 0.2
    natural = skin * [0.92, 0.55, 0.55] * rng.uniform(0.7, 1.05) + np.array([0.05, 0.0, 0.0])
    painted = _linear(np.array([rng.uniform(0.45, 0.8), rng.uniform(0.08, 0.35), rng.uniform(0.12, 0.4)]))
    man = rng.random() < 0.5
    beard = rng.beta(1, 1.5) if man and rng.random() < 0.55 else (0.12 * rng.random() if man else 0.0)
    bald = rng.random() < (0.22 if man else 0.04)
    iris = _linear(np.array(_IRIS[_choose(_IRIS, _iris_odds(darkness), rng)]) / 255 * rng.uniform(0.75, 1.25))
    return Palette(
        darkness=float(darkness),
        skin=skin,
        flush=skin * [1.05, 0.62, 0.6],
        flush_amount=float(rng.beta(2, 3)),
        lips=painted if made_up else natural,
        lips_amount=float(rng.uniform(0.6, 0.95) if made_up else rng.uniform(0.35, 0.9)),
        brows=hair * rng.uniform(0.3, 0.8),
        brows_amount=float(rng.uniform(0.45, 1.0)),
        brow_width=float(rng.normal(0, 0.8)),
        lashes_amount=float(rng.uniform(0.3, 1.0)),
        hair=hair,
        bald=bool(bald),
        hairline=float(np.clip(rng.normal(0, 7) + (rng.random() < 0.15) * rng.uniform(5, 25), -14, 40)),
        hair_height=float(rng.uniform(1, 28)),
        beard=float(beard),
        freckles=float(rng.beta(1, 4) * (1 - darkness) * (rng.random() < 0.25)),
        blotches=float(rng.beta(2, 3)),
        wrinkles=float(rng.beta(1, 2)),
        iris=iris,
        pupil=float(rng.uniform(-0.5, 1.3)),
        sclera=_linear(np.array([0.93, 0.91, 0.90]) * rng.uniform(0.82, 1.0) * [1, rng.uniform(0.96, 1), 0.97]),
        teeth=_linear(np.array([0.93, 0.90, rng.uniform(0.74, 0.9)]) * rng.uniform(0.8, 1.0)),
        cloth=_linear(np.clip(rng.uniform(0.05, 0.9) + rng.normal(0, 0.15, 3), 0.02, 0.95)),
        neckline=float(rng.uniform(-30, 6)),
        gloss=float(rng.beta(1.5, 2.5)),
        offset=rng.random(3),
    )


@dataclass
class Materials:
    """What light does at N cells of a picture.

    Args:
        albedo: [3, N] linear RGB. gloss: [N] strength of the shine; sharpness: [N] its exponent.
        skin: [N] how much of a cell is bare skin.
        soft: [N] 0..1, how far light goes round under the surface.
        bump: [3, N] to be added to unit normals.
    """

    albedo: np.ndarray
    gloss: np.ndarray
    sharpness: np.ndarray
    skin: np.ndarray
    soft: np.ndarray
    bump: np.ndarray


def materials(
    palette: Palette, fields: Mapping[str, np.ndarray], place: np.ndarray, blotches: np.ndarray, inner: np.ndarray
) -> Materials:
    """Colours of the cells.

    Args:
        fields: name of :data:`facecli.data.head_model.FIELDS` -> [N] at the cells; names may be missing.
        place: [3, N] of the cells on the mean head, mm: noise sticks to the surface.
        blotches: [N] smooth noise of standard deviation 1.
        inner: [N] bool, the surface is seen from behind.
    """
    count = place.shape[1]
    fine, tiny = grain(place, 1.6, palette.offset), grain(place, 0.7, palette.offset + 0.3)
    surface = _Layers(palette, count)
    surface.albedo *= 1 + 0.05 * palette.blotches * blotches + 0.03 * fine
    if "flush" in fields:
        surface.lay(palette.flush, 0.55 * palette.flush_amount * fields["flush"].clip(0, 1))
    if palette.freckles > 0.02:
        spots = grain(place, 1.9, palette.offset + 0.6) + 0.5 * blotches > 2.3 - palette.freckles
        surface.lay(palette.skin * [0.62, 0.5, 0.42], (0.25 + 0.35 * palette.freckles) * spots.astype(np.float32))

    def part(name: str, soft_mm: float, moved_mm: float | np.ndarray = 0.0) -> np.ndarray | None:
        """[N] 0..1, the field cut at its edge, which is moved outwards."""
        if name not in fields:
            return None
        distance = (fields[name] - 0.5) * FIELD_MM + moved_mm
        return (distance / soft_mm + 0.5).clip(0, 1)

    def lay(name: str, color, soft_mm: float, amount=1.0, moved_mm=0.0, **nature) -> None:
        share = part(name, soft_mm, moved_mm)
        if share is not None:
            surface.lay(color, share * amount, **nature)

    lay("lips", palette.lips, 2.5, palette.lips_amount, -0.8, gloss=0.5, sharpness=22.0)
    lay("beard", palette.hair * 0.8, 14, palette.beard * (0.45 + 0.35 * palette.beard + 0.3 * tiny).clip(0, 1), -3,
        gloss=0.1)  # fmt: skip
    lay("brows", palette.brows, 3.0, palette.brows_amount * (0.75 + 0.25 * fine).clip(0, 1), palette.brow_width,
        gloss=0.1)  # fmt: skip
    lay("lashes", palette.hair * 0.25, 0.8, palette.lashes_amount)
    if not palette.bald:
        around = np.arctan2(place[0], place[2])
        strand = grain(np.stack([around * 60, place[1] * 0.2, place[2] * 0.1]), 1.0, palette.offset)
        shade = _times(palette.hair, (1 + 0.35 * strand + 0.15 * blotches).clip(0.2))
        lay("hair", shade, 9, 1.0, -palette.hairline + 2.0 * fine + 2.5 * blotches, gloss=0.25, sharpness=14.0, bare=0)
    lay("cloth", _times(palette.cloth, 0.95 + 0.04 * tiny), 2, 1.0, palette.neckline, gloss=0.02, bare=0)
    eye = part("eyeball", 1.0)
    if eye is not None:
        surface.lay(palette.sclera, eye, gloss=0.35, sharpness=160.0, bare=0)
        rays = grain(place, 0.8, palette.offset + 0.1)
        lay("iris", palette.iris * 0.25, 0.7, gloss=0.5, sharpness=250.0, bare=0)  # the dark ring around it
        lay(
            "iris",
            _times(palette.iris, (1 + 0.25 * rays).clip(0.3)),
            0.9,
            moved_mm=-0.7,
            gloss=0.5,
            sharpness=250.0,
            bare=0,
        )
        lay("pupil", np.full(3, 0.004), 0.6, moved_mm=palette.pupil, gloss=0.5, sharpness=250.0, bare=0)
    lay("mouth", _MOUTH, 1.0, gloss=0.3, sharpness=20.0, bare=0)
    lay("teeth", palette.teeth, 1.0, gloss=0.7, sharpness=50.0, bare=0)
    surface.lay(_MOUTH, inner.astype(np.float32), gloss=0.05, bare=0)
    rough = 0.02 + 0.06 * palette.wrinkles
    bump = np.stack([grain(place, 1.3, palette.offset + turn) for turn in (0.15, 0.45, 0.75)])
    bump *= rough * surface.bare + 0.12 * (1 - surface.bare) * (surface.sharpness < 15)
    return Materials(surface.albedo, surface.gloss, surface.sharpness, surface.bare, surface.bare, bump)


_MOUTH = np.array([0.075, 0.02, 0.018])


class _Layers:
    """Paint in layers: what comes later covers what is there, as far as its share goes."""

    def __init__(self, palette: Palette, count: int):
        self.albedo = np.repeat(palette.skin.astype(np.float32)[:, None], count, 1)
        self.gloss = np.full(count, 0.12 + 0.5 * palette.gloss, np.float32)
        self.sharpness = np.full(count, 9.0 + 14 * palette.gloss, np.float32)
        self.bare = np.ones(count, np.float32)

    def lay(self, color, share: np.ndarray, gloss: float | None = None, sharpness=None, bare=None) -> None:
        """Cover `share` [N] of the cells with `color` [3] or [3, N]."""
        touched = np.flatnonzero(share > 0)
        if not len(touched):
            return
        share = np.asarray(share[touched], np.float32)
        for albedo, paint in zip(self.albedo, np.asarray(color, np.float32), strict=True):
            under = albedo[touched]
            albedo[touched] = under + share * ((paint[touched] if paint.ndim else paint) - under)
        for values, value in ((self.gloss, gloss), (self.sharpness, sharpness), (self.bare, bare)):
            if value is not None:
                values[touched] += share * (np.float32(value) - values[touched])


def _times(color: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """[3, N] of `color` [3] and `factor` [N]."""
    return color.astype(np.float32)[:, None] * factor


def _between(stops: np.ndarray, share: float) -> np.ndarray:
    """[3] a colour on the way through `stops` [K, 3]."""
    place = np.linspace(0, 1, len(stops))
    return np.array([np.interp(share, place, stops[:, channel]) for channel in range(3)])


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.asarray(srgb, np.float64) ** 2.2


def _hair_color(darkness: float, rng: np.random.Generator) -> np.ndarray:
    fair = max(1 - 1.6 * darkness, 0.02)
    odds = {"black": 0.25 + darkness, "dark": 0.6, "brown": 0.15 + 0.6 * fair, "light": 0.5 * fair, "blond": 0.6 * fair,
            "red": 0.2 * fair, "grey": 0.22, "white": 0.1}  # fmt: skip
    name = _choose(_HAIR, odds, rng)
    return _linear(np.clip(np.array(_HAIR[name]) / 255 * math.exp(rng.normal(0, 0.15)), 0.02, 0.95))


def _iris_odds(darkness: float) -> dict[str, float]:
    fair = max(1 - 1.8 * darkness, 0.01)
    return {"brown": 0.6, "dark": 0.3 + darkness, "hazel": 0.5 * fair, "green": 0.3 * fair, "blue": fair,
            "grey": 0.4 * fair}  # fmt: skip


def _choose(names: Mapping[str, object], odds: Mapping[str, float], rng: np.random.Generator) -> str:
    weights = np.array([odds[name] for name in names])
    return list(names)[rng.choice(len(weights), p=weights / weights.sum())]
