"""The open model's networks, one for each look: two hidden layers and a straight way past the second one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

IDENTITY, EXPRESSION = 100, 57
OUTPUTS = IDENTITY + EXPRESSION + 1


class HeadNet(nn.Module):
    """From what is known of a face to guesses of its codes, or to what is missing to them.

    Nearly all of its numbers are in the first layer, a linear one: what is learned there is which of some 5,600
    measurements belong together. `mean` and `scale` bring each of these to a common size.

    Args:
        inputs: how many measurements.
        hidden: width of both hidden layers.
        dropped, hidden_dropped: shares of measurements and of hidden numbers that training leaves out.
    """

    def __init__(self, inputs: int, hidden: int = 64, dropped: float = 0.05, hidden_dropped: float = 0.3):
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.measure = nn.Linear(inputs, hidden)
        self.combine = nn.Linear(hidden, hidden)
        self.tell = nn.Linear(2 * hidden, OUTPUTS)
        self.drop, self.drop_hidden = nn.Dropout(dropped), nn.Dropout(hidden_dropped)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Identity [B, 100], expression [B, 57] and the distance [B, 1], side by side, of `inputs` [B, I].

        The distance is its logarithm against :data:`facecli_open.second_look.USUAL_DISTANCE`.
        """
        straight = self.measure(self.drop((inputs - self.mean) * self.scale))
        bent = F.gelu(self.combine(self.drop_hidden(F.gelu(straight))))
        return self.tell(torch.cat([self.drop_hidden(bent), straight], 1))
