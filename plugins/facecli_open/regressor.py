"""The trained networks at work: faces to a guess of their codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from facecli.plugin import Crop
from facecli_open.inputs import Look, first_look
from facecli_open.network import EXPRESSION, IDENTITY, OUTPUTS, HeadNet
from facecli_open.second_look import USUAL_DISTANCE, SecondLook
from facecli_open.seen import Seen
from facecli_open.weights import Weights


@dataclass(frozen=True)
class Guess:
    """What the networks think of B faces.

    Args:
        identity: float32 [B, 100]. expression: float32 [B, 57], 0..1. distance: float32 [B] mm, from the camera.
    """

    identity: np.ndarray
    expression: np.ndarray
    distance: np.ndarray


class Regressor:
    """
    Args:
        weights: of both networks. second_look: what the second one is shown.
    """

    def __init__(self, weights: Weights, second_look: SecondLook):
        self.weights, self.second_look = weights, second_look
        spread = weights.spread
        self.identity_spread, self.expression_spread = spread[:IDENTITY], spread[IDENTITY:-1]
        self.distance_spread = float(spread[-1])

    def __call__(self, crops: Sequence[Crop], fov: float = 0.0) -> Guess:
        """A guess of B faces; a batch gives what single faces give.

        Args:
            fov: the photographs' vertical field of view in degrees; 0: not known.
        """
        # One by one: a matrix product's last digits depend on how many rows it has.
        rows = [self._told(Seen.of(crop), fov) for crop in crops]
        told = np.stack(rows) if rows else np.zeros((0, OUTPUTS), np.float32)
        identity, expression, distance = np.split(told, [IDENTITY, IDENTITY + EXPRESSION], axis=1)
        return Guess(identity, expression.clip(0, 1), USUAL_DISTANCE * np.exp(distance[:, 0]))

    def _told(self, seen: Seen, fov: float) -> np.ndarray:
        """[OUTPUTS] of one face."""
        told = _answer(self.weights.first, first_look(seen))
        return told + _answer(self.weights.second, self.second_look.of(seen, told, fov))


def _answer(network: HeadNet, look: Look) -> np.ndarray:
    """[OUTPUTS] to what is told of one face."""
    with torch.inference_mode():
        return network(*(torch.from_numpy(part)[None] for part in look))[0].numpy()
