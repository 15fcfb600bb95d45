"""How fast the decoded picture changes with its code: the distance between pictures, pulled back to the codes."""

from math import pi
from typing import Any

import torch
from torch import Tensor
from torch.autograd.functional import jvp

from engine.latent_spaces.coder import Model

CHANGE = 0.03  # root mean square change of a pixel that an ellipse stands for
LONGEST = 2.0  # of an ellipse's half axis, where the decoder hardly moves
ROUND = 41  # places on an ellipse


def jacobian(model: Model, z: Tensor, along: Tensor | None = None) -> Tensor:
    """How the decoded picture moves with its code: z (m, k) -> (m, pixels, k); with `along` (d, k), (m, pixels, d)."""

    def moves(direction: Tensor) -> Tensor:
        moved: Any = jvp(model.decode, z, direction.expand_as(z))[1]
        return moved.flatten(1)

    directions = torch.eye(z.shape[1]) if along is None else along
    return torch.stack([moves(direction) for direction in directions.to(z)], 2)


def metric(model: Model, z: Tensor, along: Tensor | None = None) -> Tensor:
    """J'J over the number of pixels: squared change of the picture for a small step, z (m, k) -> (m, k, k).

    The decoder pulls the distance between pictures back to the codes (Arvanitidis, Hansen and Hauberg 2018). With
    `along` (d, k) it is that on the plane of these directions: (m, d, d).
    """
    j = jacobian(model, z, along)
    return j.mT @ j / j.shape[1]


def entries(g: Tensor, count: int) -> Tensor:
    """Metrics (count², 2, 2) of a grid, as the stage's layer takes them, 11, 12 and 22: (count, count, 3)"""
    return g[:, [0, 0, 1], [0, 1, 1]].view(count, count, 3)


def ellipses(z: Tensor, g: Tensor) -> Tensor:
    """Places whose picture differs by CHANGE, to first order: z (m, 2), metric (m, 2, 2) -> closed lines (m, 41, 2)."""
    values, vectors = torch.linalg.eigh(g.double())
    half = (CHANGE / values.clamp_min(1e-12).sqrt()).clamp_max(LONGEST)
    angle = torch.linspace(0, 2 * pi, ROUND, dtype=torch.float64, device=z.device)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    return z[:, None] + ((circle * half[:, None]) @ vectors.mT).to(z)
