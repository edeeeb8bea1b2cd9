"""EMOCA's networks: DECA's, and an encoder for expressions that sees the same crop; with the official state-dict names.

Daněček et al., "EMOCA: Emotion Driven Monocular Face Capture and Animation", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from facecli_deca.detail_decoder import DetailDecoder
from facecli_deca.encoder import N_CODES, N_DETAIL, SIZES, ResnetEncoder, rename, split

ROTATION = 3
COARSE, DETAIL = ("E_flame", "E_expression"), ("E_detail", "D_detail")


@dataclass(frozen=True)
class ExpressionOutputs:
    """What the expression encoder gives besides the 50 numbers of the expression. Such rotations replace DECA's; the
    released models have none."""

    global_pose: bool = False
    jaw_pose: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the parts of its output, in their order: expression, global pose, jaw."""
        return (SIZES["exp"], *[ROTATION] * (self.global_pose + self.jaw_pose))


def assemble(
    flame: torch.Tensor, expression: torch.Tensor | None, outputs: ExpressionOutputs | None
) -> dict[str, torch.Tensor]:
    """The final codes by their official names, see :func:`facecli_deca.encoder.split`.

    Args:
        flame: E_flame's numbers [B, 236].
        expression: E_expression's [B, 50, 53 or 56]; without it DECA's codes stay.
        outputs: what these are.
    """
    codes = split(flame)
    if expression is None or outputs is None:
        return codes
    codes["exp"], *rotations = expression.split(outputs.sizes, 1)
    pose, jaw = codes["pose"].split(ROTATION, 1)
    if outputs.global_pose:
        pose = rotations[0]
    if outputs.jaw_pose:
        jaw = rotations[-1]
    codes["pose"] = torch.cat([pose, jaw], 1)
    return codes


class EmocaNetworks(nn.Module):
    """The networks of one model. Crops [B, 3, 224, 224] (RGB 0..1, not normalised) -> codes by their official names,
    and `detail` [B, 128].

    Args:
        outputs: of the expression encoder; None: there is none, the model is DECA in EMOCA's form.
        detail: with what wrinkles need.
    """

    def __init__(self, outputs: ExpressionOutputs | None, detail: bool = True):
        super().__init__()
        self.outputs = outputs
        self.E_flame = ResnetEncoder(N_CODES)
        self.E_expression = None if outputs is None else ResnetEncoder(sum(outputs.sizes))
        self.E_detail = ResnetEncoder(N_DETAIL) if detail else None
        self.D_detail = DetailDecoder() if detail else None

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        expression = None if self.E_expression is None else self.E_expression(images)
        codes = assemble(self.E_flame(images), expression, self.outputs)
        if self.E_detail is not None:
            codes["detail"] = self.E_detail(images)
        return codes

    def encode(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Codes by facecli's names: those of :func:`facecli_deca.encoder.rename`, and `detail`."""
        codes = self(images)
        return rename(codes) | {name: codes[name] for name in ("detail",) if name in codes}

    @property
    def wrinkles(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """The detail decoder, see :class:`facecli_deca.detail_decoder.DetailDecoder`; None without detail."""
        return self.D_detail
