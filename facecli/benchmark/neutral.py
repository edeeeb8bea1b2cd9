"""Faces at rest: what a benchmark of identity compares with a scan of a face without expression."""

from __future__ import annotations

import torch

from facecli.codes import Codes
from facecli.plugin import Reconstructor

AT_REST = ("expression", "jaw", "neck", "eyes", "eyelids", "pose")
"""Standard codes that are zero of a face at rest. All others, identity above all, stay."""


def neutral_codes(model: Reconstructor, codes: Codes) -> Codes:
    """The same people at rest: the model's own idea of it, else :data:`AT_REST` at zero.

    Codes without an ``identity`` of a model without a `neutral` stay as they are: see :func:`keeps_expression`.
    """
    if hasattr(model, "neutral"):
        return model.neutral(codes)
    if "identity" not in codes:
        return codes
    return codes.replace(**{name: torch.zeros_like(codes[name]) for name in AT_REST if name in codes})


def keeps_expression(model: Reconstructor, codes: Codes) -> bool:
    """Whether :func:`neutral_codes` can't take the expression away."""
    return not hasattr(model, "neutral") and "identity" not in codes
