"""How heads by formula differ and what their faces do: fields of displacements over the mean head, by name.

People: each change is given by its standard deviation among adults, men and women together, in millimetres: rounded
values from anthropometric surveys (head breadth 152 ± 6, head length 197 ± 7, nasion to menton 120 ± 7, cheekbone to
cheekbone 138 ± 6, jaw angle to jaw angle 108 ± 7, pupil to pupil 63 ± 3.5, nose width 35 ± 3, height 52 ± 4 and
protrusion 20 ± 2.5, mouth width 51 ± 3.5). `size`, common to all, makes a part of these. The
mean head itself is 158 mm broad and 196 mm long.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facecli.data.formula_face import EYE, MOUTH, in_face, smooth_step

BOTH, OPPOSITE, ALONE = 1, -1, 0
"""What a move does on the head's other side: the mirrored thing, the contrary (an asymmetry), or nothing."""


@dataclass(frozen=True)
class Move:
    """Moves a soft region: weight exp(-sum ((p - at) / size)^2 / 2) on the mean head.

    Args:
        at: its middle, mm; x > 0 is the subject's left.
        size: its standard deviations, mm.
        by: how far its middle goes, mm.
        other_side: BOTH, OPPOSITE or ALONE.
    """

    at: tuple[float, float, float]
    size: tuple[float, float, float]
    by: tuple[float, float, float]
    other_side: int = BOTH

    def field(self, mean: np.ndarray) -> np.ndarray:
        """[V, 3] displacements of the head `mean` [V, 3]."""
        by, mirrored = np.asarray(self.by, float), np.array([-1.0, 1.0, 1.0])
        here = self._weight(mean)[:, None] * by
        if not self.other_side:
            return here
        return here + self._weight(mean * mirrored)[:, None] * by * mirrored * self.other_side

    def _weight(self, points: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * (((points - self.at) / self.size) ** 2).sum(1))


@dataclass(frozen=True)
class Stretch:
    """Stretches the head along an axis between two planes; what is beyond the second plane moves as a whole.

    Args:
        axis: 0, 1 or 2; along x both sides are stretched away from the middle.
        start, end: the planes, mm.
        by: how far what is beyond `end` goes, mm.
        fade: (axis, none, full): less of it towards the plane `none` of another axis; nothing beyond.
    """

    axis: int
    start: float
    end: float
    by: float
    fade: tuple[int, float, float] | None = None

    def field(self, mean: np.ndarray) -> np.ndarray:
        """[V, 3] displacements of the head `mean` [V, 3]."""
        place = np.abs(mean[:, 0]) if self.axis == 0 else mean[:, self.axis]
        sign = np.sign(mean[:, 0]) if self.axis == 0 else 1.0
        part = (place - self.start) / (self.end - self.start)
        amount = self.by * sign * (_soft_ramp(part) - _soft_ramp(np.zeros(1)))
        if self.fade:
            axis, none, full = self.fade
            amount = amount * smooth_step((mean[:, axis] - none) / (full - none), 0, 1)
        moved = np.zeros_like(mean)
        moved[:, self.axis] = amount
        return moved


def _soft_ramp(part: np.ndarray, corner: float = 0.12) -> np.ndarray:
    """0 below 0, 1 above 1, straight between, with round corners: the difference of two soft hinges."""
    return _hinge(part, corner) - _hinge(part - 1, corner)


def _hinge(value: np.ndarray, corner: float) -> np.ndarray:
    return (value + np.sqrt(value * value + corner * corner)) / 2


@dataclass(frozen=True)
class Turn:
    """Turns a soft region about the z axis through its middle, one side against the other: slant of the eyes."""

    at: tuple[float, float, float]
    size: tuple[float, float, float]
    degrees: float

    def field(self, mean: np.ndarray) -> np.ndarray:
        """[V, 3] displacements of the head `mean` [V, 3]."""
        turned = np.copy(mean)
        turned[:, 0] = np.abs(mean[:, 0])
        offset = turned - self.at
        weight = np.exp(-0.5 * ((offset / self.size) ** 2).sum(1)) * np.radians(self.degrees)
        return np.stack([-weight * offset[:, 1] * np.sign(mean[:, 0]), weight * offset[:, 0], 0 * weight], 1)


@dataclass(frozen=True)
class Grow:
    """Scales a soft region about its middle by `factor`: larger eyes or ears."""

    at: tuple[float, float, float]
    size: tuple[float, float, float]
    factor: float

    def field(self, mean: np.ndarray) -> np.ndarray:
        """[V, 3] displacements of the head `mean` [V, 3]."""
        sign = np.where(mean[:, :1] < 0, [[-1.0, 1.0, 1.0]], 1.0)
        offset = mean * sign - self.at
        weight = np.exp(-0.5 * ((offset / self.size) ** 2).sum(1, keepdims=True))
        return (self.factor - 1) * weight * offset * sign


@dataclass(frozen=True)
class Change:
    """A named way in which heads differ; `parts` are what one standard deviation does."""

    name: str
    parts: tuple[Move | Stretch | Turn | Grow, ...] = field(default=())

    def field(self, mean: np.ndarray) -> np.ndarray:
        """[V, 3] displacements of the head `mean` [V, 3] a unit."""
        return sum(part.field(mean) for part in self.parts)


_EYE_PLACE, _EYE_SIZE = (31.5, 35.0, 92.0), (15.0, 12.0, 30.0)

PEOPLE = (
    Change("size", (Grow((0, 0, 0), (900, 900, 900), 1.028),)),
    # skull
    Change("head breadth", (Stretch(0, 0, 76, 2.2, fade=(1, -60, 40)),)),
    Change("head length", (Stretch(2, 30, -85, -5.0, fade=(1, -90, 0)),)),
    Change("head height", (Stretch(1, 75, 140, 4.0),)),
    Change("forehead height", (Stretch(1, 62, 100, 3.0, fade=(2, 0, 60)),)),
    Change("forehead slope", (Move((0, 105, 82), (60, 24, 40), (0, 0, 3.0)),)),
    Change("brow ridge", (Move((28, 51, 104), (20, 7, 20), (0, 0, 1.0)), Move((0, 48, 107), (10, 8, 15), (0, 0, 0.6)))),
    Change("brow height", (Move((36, 54, 98), (22, 7, 20), (0, 1.4, 0)),)),
    # face
    Change("face height", (Stretch(1, 26, -78, -5.0, fade=(2, -40, 30)),)),
    Change("cheekbone width", (Move((68, 15, 42), (22, 26, 34), (2.6, 0, 0)),)),
    Change("cheekbones", (Move((46, 8, 86), (14, 12, 20), (0.6, 0, 1.5)),)),
    Change("cheeks", (Move((44, -22, 80), (16, 18, 24), (1.4, 0, 1.8)),)),
    Change("jaw width", (Move((58, -42, 46), (22, 24, 40), (2.8, 0, 0)),)),
    Change("jaw angle", (Move((56, -45, 38), (20, 16, 22), (0, -2.5, -1.5)),)),
    Change("upper jaw", (Move((0, -20, 112), (32, 20, 34), (0, 0, 1.6)),)),
    Change("chin forward", (Move((0, -62, 108), (30, 17, 34), (0, 0, 2.4)),)),
    Change("chin height", (Move((0, -72, 100), (28, 14, 30), (0, -2.0, 0)),)),
    Change("chin width", (Move((16, -66, 100), (12, 13, 22), (1.6, 0, 0)),)),
    Change("neck width", (Stretch(0, 0, 58, 3.0, fade=(1, -70, -110)),)),
    # eyes
    Change("eye distance", (Move(_EYE_PLACE, _EYE_SIZE, (1.4, 0, 0)),)),
    Change("eye height", (Move(_EYE_PLACE, (18, 11, 30), (0, 0.9, 0)),)),
    Change("eye depth", (Move(_EYE_PLACE, (17, 10, 30), (0, 0, 1.2)),)),
    Change("eye size", (Grow(_EYE_PLACE, _EYE_SIZE, 1.045),)),
    Change("eye slant", (Turn(_EYE_PLACE, _EYE_SIZE, 2.2),)),
    # nose
    Change("nose length", (Move((0, -5, 120), (20, 13, 24), (0, -2.2, 0)),)),
    Change("nose width", (Move((16, -4, 112), (7, 8, 16), (1.4, 0, 0)),)),
    Change("nose protrusion", (Move((0, 0, 128), (13, 12, 18), (0, 0, 2.2)),)),
    Change("nose bridge height", (Move((0, 27, 112), (9, 13, 16), (0, 0, 1.4)),)),
    Change("nose bridge width", (Move((9, 18, 110), (5, 14, 18), (0.7, 0, 0)),)),
    Change("nose hump", (Move((0, 15, 122), (8, 7, 14), (0, 0, 0.8)),)),
    Change("nose tip", (Move((0, 0, 130), (10, 8, 10), (0, 1.5, 0)),)),
    # mouth
    Change("mouth width", (Move((24, -35, 103), (11, 10, 20), (1.7, 0, -0.3)),)),
    Change("mouth height", (Move((0, -34, 112), (30, 11, 30), (0, 1.2, 0)),)),
    Change("upper lip", (Move((0, -27, 117), (20, 5, 12), (0, 0.9, 0.5)),)),
    Change("lower lip", (Move((0, -42, 115), (18, 5, 12), (0, -0.9, 0.5)),)),
    Change("lips forward", (Move((0, -34, 116), (18, 10, 16), (0, 0, 1.3)),)),
    # ears
    Change("ear size", (Grow((84, 8, -12), (14, 30, 22), 1.06),)),
    Change("ears stand off", (Move((92, 12, -24), (10, 26, 16), (2.5, 0, 0)),)),
    # the sides differ
    Change("nose aside", (Move((0, 2, 124), (16, 18, 22), (0.8, 0, 0), ALONE),)),
    Change("chin aside", (Move((0, -60, 100), (40, 26, 40), (1.1, 0, 0), ALONE),)),
    Change("one eye higher", (Move(_EYE_PLACE, (18, 12, 30), (0, 0.45, 0), OPPOSITE),)),
    Change("one brow higher", (Move((36, 54, 98), (22, 7, 20), (0, 0.6, 0), OPPOSITE),)),
    Change("one mouth corner higher", (Move((24, -35, 103), (14, 10, 20), (0, 0.6, 0), OPPOSITE),)),
    Change("one cheek fuller", (Move((48, -8, 80), (20, 24, 26), (0.6, 0, 0.8), OPPOSITE),)),
    Change("one jaw angle wider", (Move((57, -42, 46), (20, 24, 36), (0.9, 0, 0), OPPOSITE),)),
)


def _left(*moves: Move) -> tuple[Move, ...]:
    return moves


def _right(*moves: Move) -> tuple[Move, ...]:
    return tuple(Move((-m.at[0], *m.at[1:]), m.size, (-m.by[0], *m.by[1:]), ALONE) for m in moves)


_ONE_SIDE = {
    "mouthSmile": (
        Move((25, -35, 102), (12, 10, 24), (5.5, 6.5, -3.0), ALONE),
        Move((40, -2, 90), (14, 12, 20), (1.0, 2.5, 2.5), ALONE),
        Move((38, 26, 92), (14, 4, 20), (0, 1.0, 0.5), ALONE),
    ),
    "mouthFrown": (Move((25, -37, 102), (11, 10, 24), (0.5, -5.0, -1.0), ALONE),),
    "mouthStretch": (Move((25, -37, 102), (11, 12, 24), (5.0, -2.5, -2.0), ALONE),),
    "mouthUpperUp": (Move((11, -26, 115), (9, 7, 20), (0, 3.5, 0.5), ALONE),),
    "mouthLowerDown": (Move((11, -43, 112), (9, 7, 20), (0, -3.5, 0), ALONE),),
    "cheekPuff": (Move((42, -24, 86), (14, 15, 24), (4.0, 0, 6.0), ALONE),),
    "cheekSquint": (Move((38, 18, 92), (15, 9, 20), (0, 3.0, 1.0), ALONE),),
    "noseSneer": (Move((14, 2, 112), (9, 10, 16), (0.5, 3.0, 0.5), ALONE),),
    "browInnerUp": (Move((15, 53, 106), (12, 8, 20), (0.5, 5.5, 0.5), ALONE),),
    "browOuterUp": (Move((46, 54, 94), (15, 8, 24), (0, 5.5, 0), ALONE),),
    "browDown": (Move((24, 52, 104), (16, 7, 20), (-1.8, -4.0, 0.5), ALONE),),
}  # fmt: skip
_WHOLE = {
    "mouthPucker": (
        Move((22, -35, 104), (10, 11, 24), (-7.0, 0, 1.5)),
        Move((0, -35, 115), (15, 11, 20), (0, 0, 6.0), ALONE),
    ),
    "mouthLeft": (Move((0, -34, 110), (28, 14, 30), (6, 0, 0), ALONE),),
    "mouthRight": (Move((0, -34, 110), (28, 14, 30), (-6, 0, 0), ALONE),),
    "jawForward": (Move((0, -58, 100), (50, 18, 40), (0, 0, 5.0), ALONE),),
}
_UNDER_EYE = Move((32, 27, 95), (14, 5, 20), (0, 1.5, 0), ALONE)
JAW_HINGE, JAW_DEGREES = (12.0, 0.0), 15.0
"""(y, z) of the axis about which the lower jaw turns, and how far the mouth opens at ``jawOpen`` 1."""


def expression_fields(plain: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """ARKit's name -> [V, 3] mm of displacement at weight 1.

    Args:
        plain, mean: [V, 3] the plain head and the mean one.
    """
    fields = {"jawOpen": _jaw_open(plain, mean)}
    for name, parts in _WHOLE.items():
        fields[name] = Change(name, parts).field(mean)
    for side, sided in (("L", _left), ("R", _right)):
        for name, parts in _ONE_SIDE.items():
            fields[f"{name}_{side}"] = Change(name, sided(*parts)).field(mean)
    blink = _blink(plain, mean)
    for side, sign, sided in (("L", 1, _left), ("R", -1, _right)):
        own = blink * (sign * plain[:, :1] > 0)
        fields[f"eyeBlink_{side}"], fields[f"eyeWide_{side}"] = own, -0.2 * own
        fields[f"eyeSquint_{side}"] = Change("eyeSquint", sided(_UNDER_EYE)).field(mean)
    return fields


def _jaw_open(plain: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The lower jaw turns; what is between it and the upper one stretches, and the mouth's lining falls back."""
    x, y, z = plain.T
    across, above = np.abs(x), y - MOUTH.line(x)
    lens = MOUTH.lens_height(x)
    part = np.clip(above / np.maximum(lens, 1e-3), -1, 1)
    behind = y - (JAW_HINGE[0] + (MOUTH.corner[1] - JAW_HINGE[0]) * z / 102)
    cheek = 2 * smooth_step(behind, -16, 16) - 1
    parted = 1 - smooth_step(across, 9, MOUTH.corner[0] - 1)
    share = 0.5 * (1 - parted * part - (1 - parted) * cheek)
    share *= smooth_step(z, -5, 35) * smooth_step(z + 0.9 * (y + 85), 35, 85)
    turn = np.radians(JAW_DEGREES)
    up, out = mean[:, 1] - JAW_HINGE[0], mean[:, 2] - JAW_HINGE[1]
    down = np.stack(
        [0 * up, up * (np.cos(turn) - 1) - out * np.sin(turn), out * (np.cos(turn) - 1) + up * np.sin(turn)], 1
    )
    lining = (np.abs(above) < lens) * (1 - part**2) * parted * in_face(plain)
    return share[:, None] * down + np.stack([0 * x, 0 * x, -lining * (6 + 10 * smooth_step(-part, -0.5, 0))], 1)


def _blink(plain: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Both upper lids come down to the lower ones on the eyeballs; their skin is drawn from below the brows."""
    x, y = np.abs(plain[:, 0]), plain[:, 1]
    upper, lower = EYE.lids(x)
    open_by = upper - lower
    above = np.maximum(y - upper, 0)
    lid = open_by * np.exp(-((above / 9) ** 2))
    down = np.where(y > upper, lid, np.clip(y - lower, 0, None)) * (y > lower) * in_face(plain)
    down *= 0.98
    lid_height = [EYE.ball_height(x, place, EYE.radius + EYE.lid[0]) for place in (y, y - down)]
    on_ball = np.exp(-((above / 6) ** 2)) * (down > 0)
    out = (lid_height[1] - lid_height[0]) * on_ball
    inside = EYE.inside(x, y)
    out = np.where(inside > 0, np.minimum(out, 0) - 1.5 * smooth_step(inside, 0, 1.5), out)
    return np.stack([0 * x, -down, out * in_face(plain)], 1)
