"""Which of ARKit's shapes a morph target's name means, and which node is the head or an eye, as programs spell them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from facecli.export.arkit import NAMES, SIDES, ict_parts

_HALVED = tuple(name for name in NAMES if len(ict_parts(name)) == 2)
_EYES = {"eye_left": ("eyeleft", "lefteye", "eyel", "leye", "lfaceeye"),
         "eye_right": ("eyeright", "righteye", "eyer", "reye", "rfaceeye")}  # fmt: skip


def targets_of(names: Sequence[str]) -> dict[str, list[int]]:
    """ARKit shape -> which of a mesh's targets `names` are driven by it: one, or its two halves.

    Spellings: ``eyeBlinkLeft``, ``EyeBlinkLeft``, ``eyeBlink_L``, ``Eye Blink.L``, ``leftEyeBlink``,
    ``blendShape1.eyeBlink_L``, ``ARKit_eyeBlinkLeft``; halves ``browInnerUp_L``, ``cheekPuffRight``. Where several mean
    the same, the one that is spelled as Apple does counts.
    """
    best: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(names):
        key = _meant(name)
        if key is not None:
            rank = 0 if name == _spellings()[key] else 1 if name.lower() == _spellings()[key].lower() else 2
            best[key] = min(best.get(key, (rank, number)), (rank, number))
    found: dict[str, list[int]] = {}
    for key, (_, number) in best.items():
        name = _spellings()[key]
        whole = name.lower() in best
        if key == name.lower() or not whole:
            found.setdefault(name, []).append(number)
    return found


def _meant(name: str) -> str | None:
    """The key of :func:`_spellings` that `name` ends in. A corrective of two (``jawOpen_mouthSmileLeft``) is none."""
    words = re.findall(r"[a-z0-9]+", str(name).lower())
    known = _keys()
    for first in range(len(words)):
        if any("".join(words[begin:first]) in known for begin in range(first)):
            return None
        key = "".join(words[first:])
        if key in known:
            return known[key]
    return None


@cache
def _spellings() -> dict[str, str]:
    """Key -> ARKit's name: one for each shape, and two for those that come in halves."""
    halves = {f"{name.lower()}{side.lower()}": name for name in _HALVED for side in SIDES}
    return {name.lower(): name for name in NAMES} | halves


@cache
def _keys() -> dict[str, str]:
    """What is written without capitals and marks -> key."""
    known = {}
    for key in _spellings():
        known[key] = key
        known[f"arkit{key}"] = key
        for side in SIDES:
            if key.endswith(side.lower()):
                base = key.removesuffix(side.lower())
                known[base + side[0].lower()] = key
                known[side.lower() + base] = key
    return known


def is_head(name: str) -> bool:
    """Whether a node of this `name` is a head: ``Head``, ``mixamorig:Head``, ``J_Bip_C_Head``."""
    words = _words(name)
    return bool(words) and words[-1] == "head"


def eye_of(name: str) -> str | None:
    """``eye_left`` or ``eye_right`` for nodes of eyes: ``LeftEye``, ``grp_eyeLeft``, ``CC_Base_L_Eye``."""
    words = _words(name)
    ends = {"".join(words[first:]) for first in range(len(words))}
    return next((eye for eye, spelled in _EYES.items() if ends & set(spelled)), None)


def _words(name: str) -> list[str]:
    """``mixamorig:LeftEye_01`` -> mixamorig, left, eye."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", str(name))]
