"""Long hair by chance: a sheet that lies on the scalp, parts, and hangs down beside the face; and fringes.

Maps of the head's radius keep it outside the head: by direction above the eyes, by azimuth and height below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from facecli.data.sweep import Piece, grid, join

_COLUMNS, _TOP, _BELOW = 36, 12, 18
"""Of one side's sheet: around, over the scalp, hanging."""
_AROUND = 36
"""Cells of the maps around the head."""
_STEP_MM = 10.0
_STRANDS = 28.0
"""Radius (mm) of the cylinder that strands' noise is taken from."""


@dataclass(frozen=True)
class LongHair:
    """A person's hair. Angles are azimuths in degrees, 0 is the face's middle; lengths in mm.

    Args:
        part: where the parting is. open: [2] how far in front of the ears the edges hang, left and right, degrees.
        length: below the chin. inward: 0..0.4, how far the ends come to the front again.
        thick: above the scalp. cling: 0..1, hanging straight down or along the cheek and neck.
        wave: mm, and wave_length.
        fringe: "none", "straight" or "swept". fringe_end: 0 at the hairline .. 1 at the brows. fringe_width: degrees.
        sweep: degrees that a swept fringe goes to the side.
        seed: of its strands.
    """

    part: float
    open: tuple[float, float]
    length: float
    inward: float
    thick: float
    cling: float
    wave: float
    wave_length: float
    fringe: str
    fringe_end: float
    fringe_width: float
    sweep: float
    seed: int


def sample_long_hair(rng: np.random.Generator) -> LongHair:
    """Long hair of one person."""
    first = rng.uniform(-8, 26)
    second = first if rng.random() < 0.6 else rng.uniform(-12, 26)
    fringe = str(rng.choice(["none", "straight", "swept"], p=[0.5, 0.27, 0.23]))
    sweep = rng.uniform(15, 40) * rng.choice([-1, 1])
    return LongHair(
        part=float(rng.normal(0, 4) if rng.random() < 0.5 else rng.uniform(12, 32) * rng.choice([-1, 1])),
        open=(float(first), float(second)),
        length=float(rng.uniform(-25, 110)),
        inward=float(rng.uniform(0, 0.35)),
        thick=float(rng.uniform(3, 12)),
        cling=float(rng.uniform(0, 0.8)),
        wave=float(rng.uniform(0, 1.5) if rng.random() < 0.6 else rng.uniform(2, 6)),
        wave_length=float(rng.uniform(35, 80)),
        fringe=fringe,
        fringe_end=float(rng.uniform(0.45, 1.1)),
        fringe_width=float(rng.uniform(30, 48)),
        sweep=float(sweep),
        seed=int(rng.integers(1 << 31)),
    )


def hang_hair(hair: LongHair, head: np.ndarray, points: np.ndarray) -> Piece:
    """The hair on a head.

    Args:
        head: [V, 3] with its expression and the scalp's short hair. points: [68, 3] iBUG's points of it.
    """
    space = _Space(head, points)
    rng = np.random.default_rng(hair.seed)
    parts = [_side(hair, space, side, rng) for side in (-1, 1)]
    if hair.fringe != "none":
        parts.append(_fringe(hair, space, rng))
    vertices, triangles = join([(vertices, triangles) for vertices, triangles, *_ in parts])
    along, openness = (np.concatenate([part[number] for part in parts]) for number in (2, 3))
    # Strands run down the sheet: noise is stretched along it.
    place = np.stack([_STRANDS * np.sin(along), vertices[:, 1] / 7, _STRANDS * np.cos(along)], 1)
    return Piece(vertices, triangles, place, openness, {"hair": np.full(len(vertices), 99.0)})


class _Space:
    """How far the head reaches from a vertical axis through it, and from a point on that."""

    def __init__(self, head: np.ndarray, points: np.ndarray):
        brows, nose, chin = points[[19, 24]].mean(0), points[33], points[8]
        self.brows, self.chin = float(brows[1]), float(chin[1])
        self.hairline = float(brows[1] + 0.72 * (brows[1] - nose[1]))
        self.middle = np.array([points[27, 0], brows[1] - 4, points[[0, 16], 2].mean() - 36])
        beside = points[[0, 16]] - self.middle
        self.temple = float(np.degrees(np.arctan2(np.abs(beside[:, 0]), beside[:, 2])).mean())
        rel = head.astype(np.float64) - self.middle
        self.azimuth = np.degrees(np.arctan2(rel[:, 0], rel[:, 2]))
        far = np.linalg.norm(rel, axis=1)
        tilt = np.degrees(np.arccos((rel[:, 1] / np.maximum(far, 1e-6)).clip(-1, 1)))
        self._over = self._map(tilt / 10, far, 13, rel[:, 1] > -40)
        self._beside = self._map(-rel[:, 1] / _STEP_MM + 2, np.hypot(rel[:, 0], rel[:, 2]), 32, rel[:, 1] < 20)
        # The face's middle: the forehead stands at this angle from the top where hair begins.
        front = np.hypot(self.hairline - self.middle[1], 0.86 * (brows[2] - self.middle[2]))
        self.line = float(np.degrees(np.arccos((self.hairline - self.middle[1]) / front)))

    def _map(self, row: np.ndarray, far: np.ndarray, rows: int, which: np.ndarray) -> np.ndarray:
        """[rows, around + 2]: the farthest vertex of each cell, a bit wider and smooth."""
        column = np.floor((self.azimuth[which] + 180) * (_AROUND / 360)).astype(int) % _AROUND
        row = np.floor(row[which]).astype(int)
        inside = (row >= 0) & (row < rows)
        cells = np.zeros(rows * _AROUND)
        np.maximum.at(cells, row[inside] * _AROUND + column[inside], far[which][inside])
        cells = cells.reshape(rows, _AROUND)
        for _ in range(4):
            wider = ndimage.maximum_filter(cells, 3, mode=("nearest", "wrap"))
            cells = np.where(cells == 0, wider, cells)
        cells = ndimage.maximum_filter(cells, (2, 3), mode=("nearest", "wrap"))
        cells = ndimage.gaussian_filter(cells, 0.7, mode=("nearest", "wrap"))
        return np.concatenate([cells[:, -2:], cells, cells[:, :2]], 1)

    def _read(self, cells: np.ndarray, row: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        column = (azimuth + 180) % 360 * (_AROUND / 360) + 1.5
        return ndimage.map_coordinates(cells, [row - 0.5, column], order=1, mode="nearest")

    def over(self, tilt: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        """Distance from `middle` to the head's surface; `tilt` degrees from straight up."""
        return self._read(self._over, tilt / 10, azimuth)

    def beside(self, below: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        """Distance from the axis to the surface `below` mm under `middle`."""
        return self._read(self._beside, below / _STEP_MM + 2, azimuth)

    def at(self, azimuth: np.ndarray, across: np.ndarray, up: np.ndarray) -> np.ndarray:
        """[..., 3] in the head frame."""
        turn = np.deg2rad(azimuth)
        return np.stack([across * np.sin(turn), up, across * np.cos(turn)], -1) + self.middle


def _side(hair: LongHair, space: _Space, side: int, rng: np.random.Generator):
    """One side's sheet, from the parting to the back: vertices, triangles, azimuth of its strands, openness."""
    share = np.linspace(0, 1, _COLUMNS) ** 1.35  # 0 at the face, 1 at the back
    open_ = np.clip(space.temple - hair.open[(side + 1) // 2], 34, 80)
    end = space.middle[1] - (space.chin - hair.length + 12 * share + rng.uniform(-7, 7, _COLUMNS))
    rows = _TOP + _BELOW
    tilt = np.minimum(np.linspace(0, 90, _TOP), 90)
    below = np.concatenate([np.zeros(_TOP), np.linspace(0, 1, _BELOW + 1)[1:]])[:, None] * end  # [rows, columns] mm
    angle = np.concatenate([tilt, np.full(_BELOW, 90.0)])[:, None] + 0.45 * below
    swung = _step((angle - space.line + 6) / (104 - space.line))
    down = np.concatenate([np.zeros(_TOP), np.linspace(0, 1, _BELOW)])[:, None]
    edge = hair.part * (1 - swung) + side * open_ * swung * (1 - hair.inward * down**2 * (hair.length > 0))
    azimuth = edge + (side * 180 - edge) * share
    lying = _step(share / 0.1)  # the sheet touches the skin at its edge
    thick = 2.0 + hair.thick * (0.15 + 0.85 * lying)
    strands = ndimage.gaussian_filter1d(rng.normal(0, 1, _COLUMNS), 0.8)
    locks = (1.6 + 2.5 * down) * strands
    phase = rng.uniform(0, 2 * np.pi) + 1.5 * ndimage.gaussian_filter1d(rng.normal(0, 1, _COLUMNS), 2)
    waves = hair.wave * _step(down * 2) * np.sin(2 * np.pi * below / hair.wave_length + phase)
    top = np.arange(rows) < _TOP
    over = space.over(np.broadcast_to(np.concatenate([tilt, np.full(_BELOW, 90.0)])[:, None], azimuth.shape), azimuth)
    # Hair goes into the clothes rather than far out over the shoulders.
    surface = np.minimum(space.beside(below, azimuth), over + 14)
    hanging = over + (surface - over) * np.clip(hair.cling + 0.5 * (1 - lying), 0, 1) * _step(below / 60)
    hanging = np.maximum(hanging, 0.78 * over)
    radius = np.maximum(surface + 1.5, hanging) - 6 * (down > 0.97)
    radius = np.where(top[:, None], over, np.maximum(radius, surface)) + thick + np.where(top[:, None], 0.4, 1) * locks
    radius = np.maximum(radius + waves, np.where(top[:, None], over, surface) + 1.0)
    lean = np.concatenate([np.deg2rad(tilt), np.full(_BELOW, np.pi / 2)])[:, None]
    up = np.where(top[:, None], radius * np.cos(lean), -below)
    vertices = space.at(azimuth, radius * np.sin(lean), up).reshape(-1, 3)
    triangles = grid(rows, _COLUMNS)
    triangles = triangles[:, ::-1] if side > 0 else triangles
    openness = np.broadcast_to(0.95 - 0.35 * down + 0 * azimuth, azimuth.shape).ravel()
    along = np.broadcast_to(side * np.pi * share, azimuth.shape).ravel()
    return vertices, triangles, along, openness


def _fringe(hair: LongHair, space: _Space, rng: np.random.Generator):
    """Hair that falls over the forehead: vertices, triangles, azimuth of its strands, openness."""
    columns, rows = 30, 12
    across = np.linspace(-1, 1, columns)
    ragged = ndimage.gaussian_filter1d(rng.normal(0, 1, columns), 0.7) * 5
    end = space.hairline + hair.fringe_end * (space.brows - space.hairline) + ragged
    end = end - (4 if hair.fringe == "straight" else -6 - 10 * np.sign(hair.sweep) * across * -1)
    start = hair.part + hair.fringe_width * across
    sweep = hair.sweep if hair.fringe == "swept" else 0.0
    reach = space.over(np.full(columns, 80.0), start + sweep) + 4
    last = np.degrees(np.arccos(np.clip((end - space.middle[1]) / reach, -0.3, 0.9)))
    down = np.linspace(0, 1, rows)[:, None]
    first = max(space.line - 38, 5)
    tilt = first + (last - first) * down
    azimuth = start + sweep * down**2
    lifted = 3 + (hair.thick + 3) * np.sin(np.pi * np.clip(0.15 + 0.75 * down, 0, 1))
    lifted = lifted * (1 - 0.5 * np.abs(across) ** 4)
    locks = ndimage.gaussian_filter1d(rng.normal(0, 1, columns), 0.7) * 1.5 * down
    radius = space.over(tilt, azimuth) + lifted + locks
    radius[0] -= 6  # under the other hair
    lean = np.deg2rad(tilt)
    vertices = space.at(azimuth, radius * np.sin(lean), radius * np.cos(lean)).reshape(-1, 3)
    openness = np.full(rows * columns, 0.9)
    along = np.broadcast_to(np.deg2rad(start), azimuth.shape).ravel()
    return vertices, grid(rows, columns)[:, ::-1], along, openness


def _step(values: np.ndarray) -> np.ndarray:
    """0 to 1, smoothly."""
    values = np.clip(values, 0, 1)
    return values * values * (3 - 2 * values)
