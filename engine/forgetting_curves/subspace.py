"""Where the activations of a task lie, layer by layer, and gradients that keep out of there."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.nets import Networks


class Span(NamedTuple):
    """The inputs that one layer saw, with a constant 1 for its bias, as an orthonormal basis."""

    axes: Tensor  # (k, i + 1, m) directions in columns, most energy first; m is the smaller of examples and i + 1
    energy: Tensor  # (k, m) share of the inputs' sum of squares along each


def spans(net: Networks, weights: Tensor, x: Tensor) -> list[Span]:
    """The span of every layer’s inputs, by singular values (Saha et al., 2021): (k, size), x (k or 1, n, inputs)."""
    seen = [x.expand(len(weights), -1, -1), *net.activations(weights, x)[:-1]]
    found = []
    for h in seen:
        h = torch.cat([h, torch.ones_like(h[..., :1])], -1)
        _, values, axes = torch.linalg.svd(h, full_matrices=False)
        energy = values.square()
        found.append(Span(axes.transpose(1, 2), energy / energy.sum(1, keepdim=True)))
    return found


def rank(energy: Tensor, threshold: float, least: float = 1e-12) -> Tensor:
    """How many leading directions hold at least the share `threshold` of the energy: (k, m) -> (k,)

    0 for a threshold of 0; for 1 all directions whose share is above `least`.
    """
    if threshold <= 0:
        return torch.zeros(len(energy), dtype=torch.long, device=energy.device)
    if threshold >= 1:
        return (energy > least).sum(1)
    below = (energy.cumsum(1) < threshold - 1e-12).sum(1) + 1
    return torch.minimum(below, (energy > least).sum(1))


def kept(span: Span, ranks: Tensor) -> Tensor:
    """The leading directions, the rest as columns of 0: ranks (k,) -> (k, i + 1, m)"""
    columns = torch.arange(span.axes.shape[-1], device=ranks.device)
    return span.axes * (columns < ranks[:, None])[:, None]


def project(net: Networks, gradient: Tensor, bases: list[Tensor]) -> Tensor:
    """G (I - U U^T) for every layer, a bias as the weight of a constant input: (k, size), (k, i + 1, m) -> (k, size)

    Low rank: U U^T is never formed (Zeng et al., 2019; Saha et al., 2021).
    """
    parts, pieces = net.parts(gradient), []
    for matrix, bias, basis in zip(parts[::2], parts[1::2], bases, strict=True):
        g = torch.cat([matrix, bias], 1)
        g = g - basis @ (basis.transpose(1, 2) @ g)
        pieces.append(g.flatten(1))
    return torch.cat(pieces, 1)
