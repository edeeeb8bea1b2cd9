"""Faces drawn by chance in ARKit's words: from rest to lively, both sides alike or not, nothing impossible."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

REST = 0.15
"""Share of faces at rest but for their gaze and a breath of everything."""
_SPEECH = ("jawOpen", "mouthFunnel", "mouthPucker", "mouthClose", "mouthRollLower", "mouthRollUpper",
           "mouthLowerDown", "mouthUpperUp", "mouthShrugLower", "mouthShrugUpper")  # fmt: skip
_MOODS: tuple[tuple[float, dict[str, float]], ...] = (
    (3.0, {"mouthSmile": 0.9, "cheekSquint": 0.5, "cheekRaiser": 0.4, "mouthDimple": 0.3, "eyeSquint": 0.3}),
    (1.5, {"mouthSmile": 0.9, "jawOpen": 0.3, "mouthUpperUp": 0.5, "cheekSquint": 0.7, "mouthLowerDown": 0.4}),
    (1.0, {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.8, "jawOpen": 0.4}),
    (1.0, {"browDown": 0.9, "noseSneer": 0.4, "mouthPress": 0.5, "eyeSquint": 0.5, "mouthFrown": 0.3}),
    (1.0, {"browInnerUp": 0.7, "mouthFrown": 0.8, "mouthShrugLower": 0.5}),
    (0.7, {"noseSneer": 0.8, "mouthUpperUp": 0.6, "browDown": 0.5}),
    (0.7, {"mouthPucker": 0.9}),
    (0.7, {"mouthFunnel": 0.8, "jawOpen": 0.3}),
    (0.5, {"cheekPuff": 0.8, "mouthPucker": 0.3}),
    (0.5, {"jawOpen": 0.9, "mouthStretch": 0.4}),
    (0.5, {"mouthStretch": 0.8, "browInnerUp": 0.5, "eyeWide": 0.5}),
)
"""How often, and the middle of each weight."""
_TWINS_PART = 0.25
"""Standard deviation of how far a face's two sides differ, as a fraction."""
_OPPOSITES = (
    ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("eyeBlink_L", "eyeWide_L"), ("eyeBlink_R", "eyeWide_R"),
    ("mouthSmile_L", "mouthFrown_L"), ("mouthSmile_R", "mouthFrown_R"), ("browDown_L", "browOuterUp_L"),
    ("browDown_R", "browOuterUp_R"), ("mouthFunnel", "mouthPress_L"), ("mouthFunnel", "mouthPress_R"),
    ("mouthPucker", "mouthStretch_L"), ("mouthPucker", "mouthStretch_R"), ("cheekPuff_L", "jawOpen"),
    ("cheekPuff_R", "jawOpen"), ("mouthRollLower", "mouthLowerDown_L"), ("mouthRollLower", "mouthLowerDown_R"),
    ("mouthRollUpper", "mouthUpperUp_L"), ("mouthRollUpper", "mouthUpperUp_R"),
)  # fmt: skip
"""Of each pair only the stronger stays: no muscles pull both ways at once."""


def sample_expression(names: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """[E] float32 weights 0..1 for shapes called `names` (ARKit's, two-sided ones with ``_L`` and ``_R``).

    A mood or speech, some shapes more by chance, a gaze, and now and then a blink or a wink. The same numbers are drawn
    whatever the names, so that models with fewer shapes show the same face as far as they can.
    """
    weights: dict[str, float] = {}
    if rng.random() >= REST:
        _mood(weights, rng)
        _speech(weights, rng)
        _anything(weights, rng)
    _breath(weights, rng)
    _gaze(weights, rng)
    _blink(weights, rng)
    for first, second in _OPPOSITES:
        weaker = min((first, second), key=lambda name: weights.get(name, 0.0))
        weights.pop(weaker, None)
    # Lips that close over an open jaw can't close farther than it is open.
    weights["mouthClose"] = min(weights.get("mouthClose", 0.0), weights.get("jawOpen", 0.0))
    return np.array([min(max(weights.get(name, 0.0), 0.0), 1.0) for name in names], np.float32)


def _mood(weights: dict[str, float], rng: np.random.Generator) -> None:
    odds = np.array([odds for odds, _ in _MOODS])
    mood = _MOODS[rng.choice(len(_MOODS), p=odds / odds.sum())][1]
    strength = rng.beta(2, 2.5) * 1.3
    for name, middle in mood.items():
        _add(weights, name, middle * strength * rng.uniform(0.5, 1.3), rng)


def _speech(weights: dict[str, float], rng: np.random.Generator) -> None:
    talks = rng.random() < 0.35
    values = rng.beta(1, 3.5, len(_SPEECH)) * (rng.random(len(_SPEECH)) < 0.4)
    for name, value in zip(_SPEECH, values, strict=True):
        _add(weights, name, value * talks, rng)


def _anything(weights: dict[str, float], rng: np.random.Generator) -> None:
    shapes = (*_BOTH_SIDES, *_ONE_PIECE)
    values = rng.beta(1, 4, len(shapes)) * (rng.random(len(shapes)) < 0.12)
    for name, value in zip(shapes, values, strict=True):
        _add(weights, name, value, rng)


def _breath(weights: dict[str, float], rng: np.random.Generator) -> None:
    shapes = (*_BOTH_SIDES, *_ONE_PIECE)
    for name, value in zip(shapes, 0.03 * rng.random(len(shapes)), strict=True):
        _add(weights, name, value, rng)


def _gaze(weights: dict[str, float], rng: np.random.Generator) -> None:
    """Both eyes the same way, now and then at something near."""
    across, up = rng.normal(0, 0.35), rng.normal(0, 0.25)
    near = 0.25 * rng.beta(1, 4)
    for side, sign in (("L", 1), ("R", -1)):
        outwards = sign * across - near
        weights[f"eyeLookOut_{side}"], weights[f"eyeLookIn_{side}"] = max(outwards, 0), max(-outwards, 0)
        weights[f"eyeLookUp_{side}"], weights[f"eyeLookDown_{side}"] = max(up, 0), max(-up, 0)


def _blink(weights: dict[str, float], rng: np.random.Generator) -> None:
    closed, wink, left = rng.random(), rng.random(), rng.random() < 0.5
    amount = rng.beta(2, 1) if closed < 0.08 else 0.3 * rng.beta(1, 3)
    for side in "LR":
        other = wink < 0.03 and (side == "L") == left
        weights[f"eyeBlink_{side}"] = min(amount + 0.9 * other, 1.0)


def _add(weights: dict[str, float], name: str, value: float, rng: np.random.Generator) -> None:
    """Add to one shape, or to both sides of it, not quite alike."""
    uneven = math.exp(rng.normal(0, _TWINS_PART)) if name in _BOTH_SIDES else 1.0
    for key, amount in (
        ((f"{name}_L", value * uneven), (f"{name}_R", value / uneven)) if name in _BOTH_SIDES else ((name, value),)
    ):
        weights[key] = min(weights.get(key, 0.0) + amount, 1.0)


_BOTH_SIDES = (
    "browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekRaiser", "cheekSquint", "eyeSquint", "eyeWide",
    "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp",
    "noseSneer",
)  # fmt: skip
_ONE_PIECE = (
    "jawForward", "jawLeft", "jawRight", "mouthFunnel", "mouthLeft", "mouthRight", "mouthPucker", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
)  # fmt: skip
