"""The network that learns from a few examples: gradient and Hessian-vector product by hand, for many tasks at once."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from engine.device import DEVICE

Layers = tuple[Tensor, ...]  # a layer's matrix for each of s initialisations (s, i, o); biases in the last row
REACH, SMALL = 5.0, 0.1  # inputs lie in [-REACH, REACH]; the first layer's weights at the start, against 2 / fan-in
kink = torch.ops.aten.threshold_backward  # (slope, sum, 0): the slope where the sum is above 0, else 0


class Pass(NamedTuple):
    """What a forward and a backward pass leave, an entry a layer: t tasks with n examples each."""

    inputs: list[Tensor]  # what each layer sees: (t, n, i), the last of them always 1
    sums: list[Tensor]  # what each hidden layer adds up, before the kink: (t, n, o)
    slopes: list[Tensor]  # of the loss in each layer's sums: (t, n, o)
    twice: float  # what the error was multiplied by: twice the loss's factor


@dataclass(frozen=True)
class Learner:
    """A perceptron with ReLU units for a squared error, its weights one vector (size,) for each of s initialisations.

    Each hidden layer has one more unit that is always 1, so that its outgoing weights are the biases of the next
    layer; its incoming weights are 0 and stay so. Inputs have a last column of ones for the same reason. Where
    there are more tasks than weight vectors, consecutive tasks share one: t must be a multiple of s.
    """

    sizes: tuple[int, ...] = (1, 40, 40, 1)

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Of each layer's matrix."""
        last = len(self.sizes) - 2
        return [(i + 1, o + (k < last)) for k, (i, o) in enumerate(pairwise(self.sizes))]

    @property
    def size(self) -> int:
        """Length of a weight vector."""
        return sum(map(prod, self.shapes))

    @cached_property
    def floors(self) -> list[Tensor]:
        """The least that each hidden unit says: 0, and 1 for the one that is always 1."""
        return [torch.eye(o)[-1].to(DEVICE) for _, o in self.shapes[:-1]]

    def init(self, s: int, rng: torch.Generator) -> Tensor:
        """Fresh weights (s, size) on DEVICE: variance 2 / fan-in, biases 0; small in the first layer, whose units bend
        at places spread evenly over [-5, 5]."""
        parts = []
        for (rows, columns), fan_in, out in zip(self.shapes, self.sizes, self.sizes[1:], strict=False):
            part = torch.zeros(s, rows, columns)
            part[:, :fan_in, :out] = torch.randn(s, fan_in, out, generator=rng) * sqrt(2 / fan_in)
            parts.append(part)
        first = parts[0]
        first[:, :-1] *= SMALL
        bends = REACH * (2 * torch.rand(s, 1, first.shape[2], generator=rng) - 1)
        first[:, -1:] = -first[:, :1] * bends
        return torch.cat([part.flatten(1) for part in parts], 1).to(DEVICE)

    def layers(self, weights: Tensor) -> Layers:
        """The matrices in weight vectors, as views: (s, size) -> (s, i, o) each"""
        parts = weights.split([prod(shape) for shape in self.shapes], 1)
        return tuple(part.view(len(weights), *shape) for part, shape in zip(parts, self.shapes, strict=True))

    def forward(self, layers: Layers, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What each layer sees, and the sums of the hidden ones. x: (t, n, 2)"""
        inputs, sums = [x], []
        for matrix, floor in zip(layers, self.floors, strict=False):
            sums.append(product(inputs[-1], matrix))
            inputs.append(torch.maximum(sums[-1], floor.to(x)))
        return inputs, sums

    def __call__(self, layers: Layers, x: Tensor) -> Tensor:
        """Outputs: x (t, n, 2) -> (t, n, o)"""
        return product(self.forward(layers, x)[0][-1], layers[-1])

    def passed(self, layers: Layers, x: Tensor, y: Tensor, share: float = 1.0) -> Pass:
        """Forward and back through `share` times the mean squared error. x: (t, n, 2), y: (t, n, o)"""
        inputs, sums = self.forward(layers, x)
        twice = 2 * share / max(1, x.shape[1])
        return Pass(inputs, sums, back(layers, (product(inputs[-1], layers[-1]) - y) * twice, sums), twice)


def product(h: Tensor, matrix: Tensor, onto: Tensor | None = None) -> Tensor:
    """h (t, n, i) times matrix (s, i, o), which consecutive tasks share where s < t; added to `onto`: (t, n, o)"""
    if len(h) == len(matrix):
        return torch.bmm(h, matrix) if onto is None else torch.baddbmm(onto, h, matrix)
    found = torch.bmm(joined(h, len(matrix)), matrix).view(*h.shape[:2], matrix.shape[2])
    return found if onto is None else onto + found


def joined(h: Tensor, s: int) -> Tensor:
    """The examples of the tasks that share weights, one after the other: (t, n, i) -> (s, t n / s, i)"""
    return h.reshape(s, len(h) * h.shape[1] // s, h.shape[2])


def outer(h: Tensor, d: Tensor, s: int, onto: Tensor | None = None, scale: float = 1.0) -> Tensor:
    """`scale` times the sum of h dᵀ over examples, and over tasks that share weights; added to `onto`.

    h: (t, n, i), d: (t, n, o) -> (s, i, o)
    """
    if len(h) != s:
        h, d = joined(h, s), joined(d, s)
    if d.shape[2] > 1:
        found = h.transpose(1, 2)
        return torch.bmm(found, d) if onto is None else torch.baddbmm(onto, found, d, alpha=scale)
    found = (h * d).sum(1)[..., None]
    return found if onto is None else torch.add(onto, found, alpha=scale)


def back(layers: Layers, top: Tensor, sums: list[Tensor]) -> list[Tensor]:
    """The slopes in the sums of every layer, from those of the last one. (t, n, o) each"""
    slopes = [top]
    for matrix, total in zip(layers[:0:-1], reversed(sums), strict=True):
        slopes.insert(0, kink(product(slopes[0], matrix.transpose(1, 2)), total, 0))
    return slopes


def gradient(seen: Pass, s: int) -> Layers:
    """Of the loss in each layer's matrix, summed over the tasks that share weights: (s, i, o) each"""
    return tuple(outer(h, d, s) for h, d in zip(seen.inputs, seen.slopes, strict=True))


def descended(layers: Layers, seen: Pass, step: float) -> Layers:
    """Each task's weights after a step of gradient descent: (s, i, o) -> (t, i, o)"""
    t = len(seen.inputs[0])
    every = zip(spread(layers, t), seen.inputs, seen.slopes, strict=True)
    return tuple(outer(h, d, t, w, -step) for w, h, d in every)


def pulled(layers: Layers, seen: Pass, v: Layers, step: float) -> Layers:
    """v - step H v with the loss's Hessian H: every quantity of the pass differentiated along v (Pearlmutter, 1994).

    v: (t, i, o) each -> (s, i, o), summed over the tasks that share weights. The ReLU's kink has curvature 0.
    """
    s, last, nudges = len(layers[0]), len(layers) - 1, [torch.zeros(0)]
    for k, (h, matrix) in enumerate(zip(seen.inputs, layers, strict=True)):
        nudge = product(h, v[k])
        nudge = product(nudges[k], matrix, nudge) if k else nudge
        nudges.append(kink(nudge, seen.sums[k], 0) if k < last else nudge)
    turns = [seen.twice * nudges.pop()]
    for k in range(last, 0, -1):
        turn = product(turns[0], layers[k].transpose(1, 2), product(seen.slopes[k], v[k].transpose(1, 2)))
        turns.insert(0, kink(turn, seen.sums[k - 1], 0))
    every = zip(seen.inputs, turns, together(v, s), strict=True)
    found = [outer(h, turn, s, one, -step) for h, turn, one in every]
    return found[0], *(outer(nudges[k], seen.slopes[k], s, found[k], -step) for k in range(1, last + 1))


def spread(layers: Layers, t: int) -> Layers:
    """Weights of s initialisations for t tasks: (s, i, o) -> (t, i, o), or (1, i, o) where all share one"""
    return tuple(one if len(one) in (1, t) else one.repeat_interleave(t // len(one), 0) for one in layers)


def together(v: Layers, s: int) -> Layers:
    """The sum over the tasks that share weights: (t, i, o) -> (s, i, o)"""
    return tuple(one if len(one) == s else one.view(s, -1, *one.shape[1:]).sum(1) for one in v)
