"""Where what a person keeps was replaced, the model's other codes follow, if the model knows how (`follow`): else the
mesh would no longer lie where the face was seen."""

from __future__ import annotations

from collections.abc import Collection

import torch

from facecli.codes import Codes
from facecli.plugin import Reconstructor


def follow(codes: Codes, before: Codes, model: Reconstructor, kept: Collection[str]) -> Codes:
    """`codes` [B], in which some of those of `before` were replaced, with the others fitted again around the model's
    `constants`.

    Faces whose constants didn't change stay as they are, to the bit. What else was replaced (``--hold expression``) is
    none of the model's business: it sees the constants replaced, and nothing else.

    Args:
        kept: names that stay as they are in `codes`.
    """
    constants = [name for name in model.constants if name in before]
    if not hasattr(model, "follow") or not constants:
        return codes
    differs = [(codes[name] != before[name]).reshape(len(codes), -1).any(1) for name in constants]
    rows = torch.stack(differs).any(0).nonzero()[:, 0]
    if not len(rows):
        return codes
    found = before.select(rows)
    asked = found.replace(**{name: codes[name][rows] for name in constants})
    with torch.inference_mode():
        told = model.follow(asked, found)
    changed = {}
    for name, value in told.values.items():
        if name not in before or name in kept or name in constants or value is found[name]:
            continue
        changed[name] = before[name].clone()
        changed[name][rows] = value.to(before[name])
    return codes.replace(**changed)
