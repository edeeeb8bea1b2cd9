"""The open model's networks, one for each look: places of the picture one by one, then all of them together."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from facecli_open.gradients import NUMBERS

IDENTITY, EXPRESSION = 100, 57
OUTPUTS = IDENTITY + EXPRESSION + 1
_SPREAD = 0.22
"""Of a picture's numbers."""


class HeadNet(nn.Module):
    """From what is known of a face to guesses of its codes, or to what is missing to them.

    Each place of the picture has weights of its own, which make few numbers of its block of gradients: what an eye's
    corner looks like is of no use at the chin. Two hidden layers follow, and a straight way past the second one.

    Args:
        places: of the picture. geometry: how many numbers are told beside it.
        local: numbers made of each place. hidden: width of both hidden layers.
        dropped, hidden_dropped: shares of what is measured and of hidden numbers that training leaves out.
    """

    def __init__(
        self,
        places: int,
        geometry: int,
        local: int,
        hidden: int,
        dropped: float = 0.15,
        hidden_dropped: float = 0.3,
    ):
        super().__init__()
        self.register_buffer("mean", torch.zeros(geometry))
        self.register_buffer("scale", torch.ones(geometry))
        self.places = nn.Parameter(torch.randn(places, NUMBERS, local) * NUMBERS**-0.5)
        self.places_bias = nn.Parameter(torch.zeros(places, local))
        self.measure = nn.Linear(geometry + places * local, hidden)
        self.combine = nn.Linear(hidden, hidden)
        self.tell = nn.Linear(2 * hidden, OUTPUTS)
        self.drop, self.drop_hidden = nn.Dropout(dropped), nn.Dropout(hidden_dropped)

    def forward(self, geometry: torch.Tensor, picture: torch.Tensor, usual: torch.Tensor | None = None) -> torch.Tensor:
        """Identity [B, 100], expression [B, 57] and the distance [B, 1], side by side, of `geometry` [B, G] and
        `picture` [B, P, NUMBERS].

        The distance is its logarithm against :data:`facecli_open.second_look.USUAL_DISTANCE`.

        Args:
            usual: [P, NUMBERS] what a picture is like, which is taken from it; see :meth:`take_in`.
        """
        local = self._of_places(picture.transpose(0, 1)).transpose(0, 1) + self.places_bias
        if usual is not None:
            local = local - self._of_places(usual[:, None]).squeeze(1)
        measured = torch.cat([(geometry - self.mean) * self.scale, F.gelu(local).flatten(1)], 1)
        straight = self.measure(self.drop(measured))
        bent = F.gelu(self.combine(self.drop_hidden(F.gelu(straight))))
        return self.tell(torch.cat([self.drop_hidden(bent), straight], 1))

    @torch.no_grad()
    def take_in(self, usual: torch.Tensor) -> None:
        """Go on without `usual` being told. Networks learn faster from what is about zero, but need not do so later."""
        self.places_bias -= self._of_places(usual[:, None]).squeeze(1)

    def _of_places(self, blocks: torch.Tensor) -> torch.Tensor:
        """[P, B, local] of `blocks` [P, B, NUMBERS]."""
        return torch.bmm(blocks, self.places) / _SPREAD
