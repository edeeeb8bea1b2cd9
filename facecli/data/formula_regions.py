"""Where lips, brows, eyes and hair are on the head by formula: signed distances over the mean head."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from facecli.data.formula_face import EAR, EYE, MOUTH
from facecli.data.head_model import FIELD_MM

BROW = ((12, 50.0), (20, 53.0), (32, 55.5), (43, 56.0), (51, 54.0), (58, 49.5))
"""Middle line of a brow on the plain head, seen from the front, mm."""
BROW_HALF_HEIGHT = (3.6, 3.2, 1.2)
"""At the inner end, in the middle and at the outer end, mm."""
TEETH = (0.15, 0.9)
"""Parts of the lining's half height above the mouth's line between which it is the upper teeth."""
_OUTSIDE = -99.0


def regions(plain: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Name of :data:`facecli.data.head_model.FIELDS` -> [V] float32.

    Args:
        plain, mean: [V, 3] the plain head and the mean one.
    """
    front = plain[:, 2] > 40
    x, y = np.abs(plain[:, 0]), plain[:, 1]
    slit = EYE.inside(x, y)
    off_axis = np.hypot(x - EYE.ball[0], y - EYE.ball[1])
    lining, teeth = _lining(plain)
    lips = MOUTH.lips(mean[:, 0], mean[:, 1])
    distances = {
        "lips": np.where(front, lips, _OUTSIDE),
        "mouth": np.where(front, lining, _OUTSIDE),
        "teeth": np.where(front, teeth, _OUTSIDE),
        "brows": np.where(front, _brows(x, y), _OUTSIDE),
        "lashes": np.where(front, _lashes(x, y, slit), _OUTSIDE),
        "eyeball": np.where(front, slit, _OUTSIDE),
        "iris": np.where(front, np.minimum(EYE.iris - off_axis, slit), _OUTSIDE),
        "pupil": np.where(front, np.minimum(EYE.pupil - off_axis, slit), _OUTSIDE),
        "hair": _hair(plain, mean),
        "beard": np.minimum(_beard(mean), np.where(front, -lips - 1, 99)),
        "cloth": 0.25 * mean[:, 2] + 0.012 * np.abs(mean[:, 0]) ** 1.7 - mean[:, 1] - 128,
    }
    fields = {name: np.maximum(0.5 + distance / FIELD_MM, -9) for name, distance in distances.items()}
    fields["flush"] = _flush(mean)
    return {name: field.astype(np.float32) for name, field in fields.items()}


def in_slit(places: np.ndarray) -> np.ndarray:
    """[n] bool of points [n, 3] of the plain head: they are on an eyeball."""
    return (places[:, 2] > 40) & (EYE.inside(np.abs(places[:, 0]), places[:, 1]) > 0)


def in_lining(places: np.ndarray) -> np.ndarray:
    """[n] bool of points [n, 3] of the plain head: they are on the mouth's lining."""
    x, y, z = places.T
    return (z > 40) & (np.abs(y - MOUTH.line(x)) < MOUTH.lens_height(x))


def _lining(plain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far inside the mouth's lining, and inside the upper teeth in it, [V] each."""
    x, above = plain[:, 0], plain[:, 1] - MOUTH.line(plain[:, 0])
    lens = MOUTH.lens_height(x)
    beside = np.maximum(np.abs(x) - MOUTH.corner[0] + 1, 0)
    lining = np.where(beside > 0, -np.hypot(beside, above), lens - np.abs(above))
    stretched = 8.0  # an open mouth's lining is about as much higher than it is on the plain head
    teeth = np.minimum(above - TEETH[0] * lens, TEETH[1] * lens - above)
    teeth = np.minimum(teeth * stretched, 19 - np.abs(x))
    return lining, np.where(lining >= 0, teeth, np.minimum(teeth, lining * stretched))


def _brows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[V] how far inside a brow, of places on the plain head."""
    line_x, line_y = np.array(BROW).T
    at = np.clip(x, line_x[0], line_x[-1])
    half = np.interp(at, [line_x[0], line_x[2], line_x[-1]], BROW_HALF_HEIGHT)
    beyond = np.hypot(x - at, y - PchipInterpolator(line_x, line_y)(at))
    return half - beyond


def _lashes(x: np.ndarray, y: np.ndarray, slit: np.ndarray) -> np.ndarray:
    """[V] how far inside the dark edge of the lids, thicker above."""
    upper, lower = EYE.lids(x)
    half = np.where(y > (upper + lower) / 2, 0.8, 0.15)
    return half - np.abs(slit + half)


def _hair(plain: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """[V] how far behind the hairline: over the forehead, along the temples, down to the sideburns and the nape."""
    x, y, z = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    forehead = y - (114 - 0.0055 * x**2)
    temple = np.interp(y, [-45, -5, 30, 60, 88, 114], [-60, -42, 12, 26, 44, 62]) - z
    nape = 0.8 * (y + 34)
    scalp = np.maximum(forehead, np.minimum(temple, nape))
    from_ear = (EAR.radius(plain) - 1.12) * EAR.half_width
    return np.minimum(scalp, np.where(plain[:, 2] < 30, from_ear, 99))


def _beard(mean: np.ndarray) -> np.ndarray:
    """[V] how far inside the part of the jaw, the chin and the lip on which a beard grows."""
    x, y, z = mean.T
    line = np.interp(np.abs(x), [0, 12, 30, 52, 72], [-15, -16, -24, -18, 18])
    return np.minimum.reduce([line - y, y + 92, z - 18])


def _flush(mean: np.ndarray) -> np.ndarray:
    """[V] 0..1, how much blood shows: cheeks, tip of the nose, ears."""
    places = mean * np.where(mean[:, :1] < 0, [[-1, 1, 1]], 1)
    spots = (((40, -2, 95), 16.0), ((0, 0, 130), 10.0), ((88, 15, -14), 18.0))
    return np.max([np.exp(-((places - at) ** 2).sum(1) / (2 * radius**2)) for at, radius in spots], 0)
