"""Eyes, nose, mouth, ears and everything else that turns the plain head by formula into a person's.

Each feature moves the points of the plain head (:mod:`facecli.data.formula_skull`). Places are (x, y) of the plain head
seen from the front, millimetres in the head frame, on the side x > 0; the other side is mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

LID_EDGE = 0.9
"""Millimetres from the lids' edge on the ball to their outer surface."""


def smooth_step(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 up to `start`, 1 from `end`, and a smooth way between."""
    part = np.clip((value - start) / (end - start), 0, 1)
    return part * part * (3 - 2 * part)


def in_face(plain: np.ndarray) -> np.ndarray:
    """[n], 1 on the front of the head and 0 at its back, so that what is made for the face stays there."""
    return smooth_step(plain[:, 2], 5, 45)


@dataclass(frozen=True)
class Bump:
    """A soft hill (or hollow): weight exp(-(|u / s|^p + |v / t|^p) / 2).

    Args:
        at: its middle; with x > 0 there is another on the other side.
        size: s, t: standard deviations across and along, mm.
        lift: (x, y, z) mm by which its middle moves.
        turn: degrees counter-clockwise from the picture's axes (as seen on the side x > 0).
        bend: 1/mm, curvature: positive lets the ends hang down.
        power: p; more than 2 makes a plateau.
    """

    name: str
    at: tuple[float, float]
    size: tuple[float, float]
    lift: tuple[float, float, float]
    turn: float = 0.0
    bend: float = 0.0
    power: float = 2.0

    def weight(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """[n] of the places (x, y), on its own side alone."""
        cos, sin = np.cos(np.radians(self.turn)), np.sin(np.radians(self.turn))
        u = cos * (x - self.at[0]) + sin * (y - self.at[1])
        v = cos * (y - self.at[1]) - sin * (x - self.at[0]) + 0.5 * self.bend * u * u
        return np.exp(-0.5 * (np.abs(u / self.size[0]) ** self.power + np.abs(v / self.size[1]) ** self.power))

    def displacement(self, plain: np.ndarray) -> np.ndarray:
        """[n, 3] of the points `plain` [n, 3]."""
        x, y = plain[:, 0], plain[:, 1]
        here = self.weight(x, y)
        if not self.at[0]:
            return (here * in_face(plain))[:, None] * np.asarray(self.lift)
        there = self.weight(-x, y)
        sideways, up, out = self.lift
        moved = np.stack([(here - there) * sideways, (here + there) * up, (here + there) * out], 1)
        return moved * in_face(plain)[:, None]


@dataclass(frozen=True)
class Nose:
    """The nose's ridge by stations from the forehead down to the lip; bumps make its wings and nostrils.

    Args:
        y: heights of the stations, mm, falling.
        height: how far the ridge stands out of the plain head there, mm.
        width: distance from the middle at which half of that is left, mm.
        power: how steep its sides are: 2 is a bell, more a block.
    """

    y: tuple[float, ...]
    height: tuple[float, ...]
    width: tuple[float, ...]
    power: tuple[float, ...]

    def displacement(self, plain: np.ndarray) -> np.ndarray:
        """[n, 3] of the points `plain` [n, 3]."""
        at = np.clip(plain[:, 1], self.y[-1], self.y[0])
        height, width, power = (
            PchipInterpolator(self.y[::-1], values[::-1])(at) for values in (self.height, self.width, self.power)
        )
        out = height * np.exp2(-(np.abs(plain[:, 0] / width) ** power)) * in_face(plain)
        return np.stack([np.zeros_like(out), np.zeros_like(out), out], 1)


@dataclass(frozen=True)
class Eye:
    """An eye that is open a slit wide: the ball in it, and lids that lie on the ball and run out into the socket.

    Args:
        inner, outer: corners of the slit.
        upper, lower: how far the lids' edges are above and below the line between the corners, mm.
        skew: the upper lid's highest point is nearer to the nose, the lower lid's lowest to the ear.
        ball: centre (x, y, z) of the eyeball, mm.
        radius: of its visible front, mm.
        corner: mm that the ball's surface gains at the inner corner and loses at the outer one, where it isn't round.
        lid: thickness of the upper and the lower lid, mm.
        reach: mm over which the upper and the lower lid run out.
        iris, pupil: radii, mm.
    """

    inner: tuple[float, float]
    outer: tuple[float, float]
    upper: float
    lower: float
    skew: float
    ball: tuple[float, float, float]
    radius: float
    corner: float
    lid: tuple[float, float]
    reach: tuple[float, float]
    iris: float = 5.9
    pupil: float = 2.0

    def lids(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """y of the upper and the lower lid's edge at `x`; both that of the next corner outside of the slit."""
        part = np.clip((x - self.inner[0]) / (self.outer[0] - self.inner[0]), 0, 1)
        line = self.inner[1] + part * (self.outer[1] - self.inner[1])
        arch = 4 * part * (1 - part)
        shift = self.skew * (1 - 2 * part)
        return line + self.upper * arch * (1 + shift), line - self.lower * arch * (1 - shift)

    def edge(self, points: int) -> np.ndarray:
        """[2 * points - 2, 2] places along the lids' edges, from the inner corner over the upper lid and back."""
        part = (1 - np.cos(np.linspace(0, np.pi, points))) / 2
        x = self.inner[0] + part * (self.outer[0] - self.inner[0])
        upper, lower = self.lids(x)
        return np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[-2:0:-1]])

    def inside(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Distance to the lids' edges: positive in the slit, negative outside, mm."""
        distance, _ = cKDTree(self.edge(300)).query(np.stack([x, y], 1))
        upper, lower = self.lids(x)
        return np.where((y < upper) & (y > lower), distance, -distance)

    def ball_height(self, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
        """z of a ball of `radius` at (x, y); outside it goes on to fall."""
        sideways = (x - self.ball[0]) / (self.outer[0] - self.ball[0])
        square = (x - self.ball[0]) ** 2 + (y - self.ball[1]) ** 2
        z = np.sqrt(np.maximum(radius**2 - square, (0.3 * radius) ** 2))
        return self.ball[2] + z - self.corner * np.clip(sideways, -1, 1) ** 3

    def height(self, x: np.ndarray, y: np.ndarray, socket: np.ndarray) -> np.ndarray:
        """z of the eye at (x, y), where the surface around it has z = `socket`."""
        inside = self.inside(x, y)
        upper, lower = self.lids(x)
        above = smooth_step(y - (upper + lower) / 2, -1, 1)
        reach, lid = (pair[1] + above * (pair[0] - pair[1]) for pair in (self.reach, self.lid))
        weight = np.exp(-((np.minimum(inside, 0) / reach) ** 2))
        lid = lid * smooth_step(-inside, 0, LID_EDGE)
        return socket + weight * (self.ball_height(x, y, self.radius + lid) - socket)

    def displacement(self, plain: np.ndarray, socket: np.ndarray) -> np.ndarray:
        """[n, 3] of the points `plain` [n, 3], whose z the other features have brought to `socket` [n]."""
        out = (self.height(np.abs(plain[:, 0]), plain[:, 1], socket) - socket) * in_face(plain)
        return np.stack([np.zeros_like(out), np.zeros_like(out), out], 1)


@dataclass(frozen=True)
class Mouth:
    """A shut mouth: two lips that meet in a line, behind which some lining waits for the mouth to open.

    On the plain head the lining is a lens around the line, so that it has vertices; here the lips close over it. The
    lips' relief is made of bumps.

    Args:
        y: of the line in the middle, mm.
        corner: where the line ends.
        lens: greatest half height of the lining on the plain head, mm.
        gap: what is left of that, mm.
        depth: how far the lining lies behind the lips, mm.
        peak: (x, height above the line) of the upper lip's two peaks (Cupid's bow).
        dip: height of the upper lip's edge between them.
        lower: height of the lower lip.
    """

    y: float
    corner: tuple[float, float]
    lens: float = 1.6
    gap: float = 0.04
    depth: float = 4.0
    peak: tuple[float, float] = (5.5, 7.2)
    dip: float = 6.0
    lower: float = 9.5

    def line(self, x: np.ndarray) -> np.ndarray:
        """y of the line at `x`, and of its parabola beyond the corners."""
        return self.y + (self.corner[1] - self.y) * np.minimum(np.abs(x) / self.corner[0], 1.3) ** 2

    def lens_height(self, x: np.ndarray) -> np.ndarray:
        """Half height [n] of the lining on the plain head."""
        return self.lens * np.sqrt(np.maximum(1 - (x / (self.corner[0] - 1)) ** 2, 0))

    def displacement(self, plain: np.ndarray) -> np.ndarray:
        """[n, 3] of the points `plain` [n, 3]."""
        x, above = plain[:, 0], plain[:, 1] - self.line(plain[:, 0])
        lens = self.lens_height(x)
        beyond = np.maximum(np.abs(above) - lens, 0)
        in_lens = np.abs(above) < lens
        part = above / np.maximum(lens, 1e-9)
        left = self.gap * lens / self.lens
        up = np.where(in_lens, part * left - above, -np.sign(above) * (lens - left) * np.exp(-beyond / 8))
        back = np.where(in_lens, -self.depth * (1 - part**2) * lens / self.lens, 0)
        return np.stack([np.zeros_like(up), up, back], 1) * in_face(plain)[:, None]

    def lips(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """About the distance to the edge of the lips' red, positive inside, of places on the finished head, mm."""
        x, above = np.abs(x), y - self.line(x)
        taper = np.maximum(1 - x / self.corner[0], 0)
        bow = self.peak[1] - (self.peak[1] - self.dip) * np.maximum(1 - x / self.peak[0], 0) ** 2
        upper = bow * np.minimum(1, 1.25 * np.maximum(taper, 0) ** 0.8)
        lower = self.lower * (1 - np.minimum(x / self.corner[0], 1) ** 2.5)
        beside = np.maximum(x - self.corner[0], 0)
        inside = np.minimum(upper - above, above + lower)
        return np.where(beside > 0, -np.hypot(beside, above), inside)


@dataclass(frozen=True)
class Ear:
    """A simple ear: a rim that stands off behind, a hollow before it, a lobe.

    Args:
        at: (y, z) of its middle on the plain head seen from the side.
        half_length, half_width: mm.
        tilt: degrees by which its top leans back.
        stands_off: mm that its rear edge is away from the head.
        sweep: mm that the rear edge is drawn back and up over its root.
        hollow: depth of the concha, mm.
    """

    at: tuple[float, float]
    half_length: float
    half_width: float
    tilt: float
    stands_off: float
    sweep: float
    hollow: float

    def place(self, plain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(along, across) [n] of the points `plain`: -1..1 from lobe to top and from front to back."""
        cos, sin = np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))
        y, z = plain[:, 1] - self.at[0], plain[:, 2] - self.at[1]
        along, back = cos * y - sin * z, -cos * z - sin * y
        along = along / self.half_length
        narrower = self._narrower(along)
        return along, (back / self.half_width + 0.18 * (1 - narrower)) / narrower

    def _narrower(self, along: np.ndarray) -> np.ndarray:
        """[n] how much narrower the ear is towards its lobe."""
        return 1 - 0.22 * smooth_step(-along, 0.0, 1.0)

    def ring(self, radius: float, points: int) -> np.ndarray:
        """[points, 2] places (y, z) of the plain head, seen from the side, at which :meth:`radius` is `radius`."""
        turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
        along, across = radius * np.sin(turn), radius * np.cos(turn)
        narrower = self._narrower(along)
        up, back = along * self.half_length, (across * narrower - 0.18 * (1 - narrower)) * self.half_width
        cos, sin = np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))
        return np.stack([self.at[0] + cos * up - sin * back, self.at[1] - sin * up - cos * back], 1)

    def radius(self, plain: np.ndarray) -> np.ndarray:
        """[n]: 1 at the ear's edge on the plain head, 0 in its middle."""
        along, across = self.place(plain)
        return np.hypot(along, across)

    def displacement(self, plain: np.ndarray) -> np.ndarray:
        """[n, 3] of the points `plain` [n, 3]."""
        along, across = self.place(plain)
        radius = np.hypot(along, across)
        on_ear = 1 - smooth_step(radius, 0.93, 1.12)
        behind = smooth_step(across, -1.1, 0.9)
        shell = (1.5 + (self.stands_off - 1.5) * behind) * on_ear
        rim = smooth_step(radius, 0.62, 0.82)
        scapha = 0.22 * self.stands_off * np.exp(-(((radius - 0.68) / 0.11) ** 2)) * smooth_step(along, -0.6, 0.0)
        concha = self.hollow * np.exp(-(((along + 0.12) / 0.34) ** 2) - ((across + 0.02) / 0.36) ** 2)
        tragus = 3.5 * np.exp(-(((along + 0.1) / 0.13) ** 2) - ((across + 0.72) / 0.2) ** 2)
        out = shell * (0.86 + 0.14 * rim) - concha * on_ear - scapha * behind * on_ear + tragus
        swept = self.sweep * on_ear * smooth_step(across, -0.4, 1.0)
        moved = np.stack([np.sign(plain[:, 0]) * out, 0.25 * swept, -swept], 1)
        return moved * smooth_step(np.abs(plain[:, 0]), 35, 55)[:, None]


NOSE = Nose(
    y=(56, 46, 38, 28, 18, 8, 1, -5, -9, -13, -18),
    height=(0, -1.4, 3.2, 12.6, 19.6, 24, 21.7, 18.2, 7.4, 2.2, 0),
    width=(8.1, 8.1, 7.7, 8.6, 10.4, 11.9, 14.4, 8, 10.6, 7.4, 8),
    power=(2, 2, 2.1, 2.3, 2.3, 3, 3.5, 3.6, 3, 2.1, 2),
)
EYE = Eye(
    inner=(17.5, 32),
    outer=(46, 34.2),
    upper=7.2,
    lower=4.4,
    skew=0.25,
    ball=(31.5, 35, 77.7),
    radius=18.2,
    corner=2.9,
    lid=(1.7, 1.3),
    reach=(4.1, 4.0),
)
MOUTH = Mouth(y=-33.4, corner=(24, -35))
EAR = Ear(at=(8, -12), half_length=32, half_width=17, tilt=10, stands_off=17, sweep=8, hollow=9)
BUMPS = (
    Bump("forehead", (28, 77), (18, 7.7), (0, 0, -1.6)),
    Bump("temple", (64, 49), (3.6, 11), (0, 0, -3.8), turn=3),
    Bump("brow ridge", (34.3, 49.9), (22.3, 6.5), (0, 0, 6.2), turn=3, bend=0.005),
    Bump("inner socket", (16.3, 38.7), (8, 8.4), (0, 0, -9.7)),
    Bump("upper socket", (31.4, 48.3), (10, 5.6), (0, 0, -7.6), turn=5, bend=0.007),
    Bump("crease of the lid", (31, 44.5), (11, 1.5), (0, 0, -1), bend=0.028),
    Bump("outer socket", (52.6, 29.7), (8.3, 6.2), (0, 0, -3.2), turn=3),
    Bump("under the eye", (24.6, 21.1), (9.6, 6.1), (0, 0, -3), turn=-9),
    Bump("cheekbone", (51.4, 8.3), (7.4, 8.8), (0, 0, 2.3), turn=-7),
    Bump("cheek", (33.8, -5.2), (12.8, 6.1), (0, 0, 1.5), turn=-7),
    Bump("beside the nose", (23.9, -9), (7.3, 8.5), (0, 0, -4.3), turn=4),
    Bump("nose tip", (0, 1.6), (8, 5), (0, 0, 1.2)),
    Bump("wings of the nose", (14.9, -3.8), (3.1, 2.8), (1, 0, 11.9), turn=12, power=2.5),
    Bump("creases behind the wings", (18.1, -3.3), (2.6, 5.8), (0, 0, -4), turn=-10),
    Bump("nostrils", (8.4, -6.7), (3.8, 2.6), (0, 1, -6.4), turn=10),
    Bump("philtrum", (0, -19.4), (2.2, 5.1), (0, 0, -0.5)),
    Bump("edges of the philtrum", (6.2, -17.7), (2.6, 4.4), (0, 0, 1.5), turn=7),
    Bump("upper lip", (0, -24.5), (22.8, 4.2), (0, 0, 4), bend=0.019),
    Bump("peaks of the upper lip", (3.5, -28.3), (3.7, 2.6), (0, 0, 1.5)),
    Bump("lower lip", (0, -41.5), (17.8, 4.4), (0, 0, 6.5), bend=0.005),
    Bump("corner of the mouth", (22.9, -36.2), (4.5, 5.5), (0, 0, -3), turn=4),
    Bump("under the lip", (0, -52.2), (14.8, 3.7), (0, 0, -0.9), bend=0.011),
    Bump("beside the chin", (28.9, -45.6), (8, 16.3), (0, 0, -2), turn=-13),
)


def with_features(plain: np.ndarray) -> np.ndarray:
    """The mean head [n, 3]: where the features bring the points `plain` [n, 3] of the plain head."""
    moved = sum(feature.displacement(plain) for feature in (NOSE, MOUTH, EAR, *BUMPS))
    return plain + moved + EYE.displacement(plain, plain[:, 2] + moved[:, 2])
