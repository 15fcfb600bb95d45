"""A small network on real handwritten digits: its loss, its slope and its curvature, for many networks at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from engine.data import digits
from engine.device import DEVICE


class Bend(NamedTuple):
    """An activation with its first and second derivative, each from z and h = act(z)."""

    of: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    bend: Callable[[Tensor, Tensor], Tensor] | None  # None where it is 0


BENDS = {
    "relu": Bend(torch.relu, lambda z, h: (z > 0).to(z.dtype), None),
    "tanh": Bend(torch.tanh, lambda z, h: 1 - h * h, lambda z, h: -2 * h * (1 - h * h)),
}


@dataclass(frozen=True)
class Network:
    """A perceptron whose weights are one flat vector; everything is batched over k such vectors."""

    sizes: tuple[int, ...]  # inputs, hidden widths, outputs
    activation: str = "relu"

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of every matrix and its bias, in the order of the flat vector."""
        return [shape for i, o in zip(self.sizes, self.sizes[1:], strict=False) for shape in ((o, i), (o, 1))]

    @property
    def size(self) -> int:
        """Length of the flat weight vector."""
        return sum(map(prod, self.shapes))

    def init(self, k: int, rng: torch.Generator) -> Tensor:
        """k fresh weight vectors (k, size): variance 2 / fan-in before a relu, 1 / fan-in elsewhere, biases 0."""
        parts = []
        for out, fan_in in self.shapes[::2]:
            gain = 2.0 if self.activation == "relu" and out != self.sizes[-1] else 1.0
            parts += [torch.randn(k, fan_in * out, generator=rng) * sqrt(gain / fan_in), torch.zeros(k, out)]
        return torch.cat(parts, 1).to(DEVICE)

    def parts(self, weights: Tensor) -> list[Tensor]:
        """(k, size) -> for every layer its matrix (k, out, in) and its bias (k, out, 1), as views."""
        pieces = weights.split([prod(shape) for shape in self.shapes], 1)
        return [piece.view(-1, *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Outputs. weights: (k, size), x: (d, n) shared or (k, d, n) -> (k, out, n)."""
        return self.forward(weights, x)[0][-1]

    def forward(self, weights: Tensor, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What every layer computes: before the activation z_1 .. z_L, and what goes in h_0 .. h_{L-1}."""
        parts, act = self.parts(weights), BENDS[self.activation].of
        h = x.expand(len(weights), *x.shape[-2:])
        before, into = [], []
        for matrix, bias in zip(parts[::2], parts[1::2], strict=True):
            into.append(h)
            before.append(torch.baddbmm(bias, matrix, h))
            h = act(before[-1]) if len(before) < len(parts) // 2 else before[-1]
        return before, into


class Loss(NamedTuple):
    """A loss of outputs z: (k, c, n) and targets y: (c, n) or (k, c, n), averaged over the n examples."""

    of: Callable[[Tensor, Tensor], Tensor]  # -> (k,)
    slope: Callable[[Tensor, Tensor], Tensor]  # n times the derivative in z: (k, c, n)
    curve: Callable[[Tensor], Callable[[Tensor], Tensor]]  # z -> n times the second derivative, a function of vectors


def _cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return (z.logsumexp(-2) - (z * y).sum(-2)).mean(-1)


def _softmax_curve(z: Tensor) -> Callable[[Tensor], Tensor]:
    p = z.softmax(-2)
    return lambda v: p * (v - (p * v).sum(-2, keepdim=True))


LOSSES = {
    "cross_entropy": Loss(_cross_entropy, lambda z, y: z.softmax(-2) - y, _softmax_curve),
    "square": Loss(lambda z, y: 0.5 * (z - y).square().sum(-2).mean(-1), lambda z, y: z - y, lambda z: lambda v: v),
}


@dataclass(frozen=True, eq=False)
class Task:
    """A network, examples in columns, x: (d, n) and y: (c, n), and the loss that is the mean over them."""

    net: Network
    x: Tensor
    y: Tensor
    kind: str = "cross_entropy"

    def take(self, rows: Tensor) -> "Task":
        """The same task on some examples: rows (b,) for all networks alike, or (k, b) for each its own."""
        x, y = self.x[:, rows], self.y[:, rows]
        return Task(self.net, *((x, y) if rows.dim() == 1 else (x.transpose(0, 1), y.transpose(0, 1))), self.kind)

    def to(self, dtype: torch.dtype, device: torch.device | str | None = None) -> "Task":
        """The same task in another precision, on another device."""
        return Task(self.net, self.x.to(device, dtype), self.y.to(device, dtype), self.kind)

    def loss(self, weights: Tensor) -> Tensor:
        """(k, size) -> (k,)"""
        return LOSSES[self.kind].of(self.net(weights, self.x), self.y)

    def accuracy(self, weights: Tensor) -> Tensor:
        """Share of the examples whose largest output is the right one: (k, size) -> (k,)"""
        return (self.net(weights, self.x).argmax(-2) == self.y.argmax(-2)).to(weights.dtype).mean(-1)

    def gradient(self, weights: Tensor) -> Tensor:
        """The slope of the loss, by back-propagation: (k, size) -> (k, size)"""
        return self.value_and_gradient(weights)[1]

    def value_and_gradient(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """(k, size) -> loss (k,) and its gradient (k, size)"""
        before, into = self.net.forward(weights, self.x)
        deltas = self._deltas(weights, before, into)
        return LOSSES[self.kind].of(before[-1], self.y), _gathered(into, deltas)

    def _deltas(self, weights: Tensor, before: list[Tensor], into: list[Tensor]) -> list[Tensor]:
        """The derivative of the loss in every z_l: (k, width_l, n) each."""
        matrices, slope = self.net.parts(weights)[::2], BENDS[self.net.activation].slope
        deltas = [LOSSES[self.kind].slope(before[-1], self.y) / self.x.shape[-1]]
        for layer in range(len(matrices) - 1, 0, -1):
            back = torch.bmm(matrices[layer].mT, deltas[0])
            deltas.insert(0, back * slope(before[layer - 1], into[layer]))
        return deltas

    def bend(self, weights: Tensor, vectors: Tensor) -> Tensor:
        """v' H v, the second derivative of the loss along v, in one forward pass: (k, size), (k, size) -> (k,)"""
        before, into = self.net.forward(weights, self.x)
        bends = BENDS[self.net.activation]
        parts, moves = self.net.parts(weights), self.net.parts(vectors)
        h1 = h2 = into[0]  # first and second derivatives of h, then of z
        z1 = z2 = before[-1]
        for i, (z, h) in enumerate(zip(before, into, strict=True)):
            z1 = torch.baddbmm(moves[2 * i + 1], moves[2 * i], h)
            if i == 0:
                z2 = torch.zeros_like(z1)
            else:
                z1 = torch.baddbmm(z1, parts[2 * i], h1)
                z2 = torch.baddbmm(torch.bmm(parts[2 * i], h2), moves[2 * i], h1, alpha=2)
            if i + 1 < len(before):
                slope = bends.slope(z, into[i + 1])
                h1, h2 = slope * z1, slope * z2
                h2 = h2 if bends.bend is None else h2 + bends.bend(z, into[i + 1]) * z1 * z1
        loss = LOSSES[self.kind]
        whole = z1 * loss.curve(before[-1])(z1) + loss.slope(before[-1], self.y) * z2
        return whole.sum((1, 2)) / self.x.shape[-1]

    def curvature(self, weights: Tensor) -> "Curvature":
        """The Hessian at weights (1, size) or (k, size), as a function of vectors."""
        return Curvature(self, weights)

    def hessian(self, weights: Tensor) -> Tensor:
        """The whole Hessian of one small network: (1, size) -> (size, size), for tests and few weights."""
        eye = torch.eye(self.net.size, dtype=weights.dtype, device=weights.device)
        product = self.curvature(weights)
        return torch.cat([product(rows) for rows in eye.split(64)])


def _gathered(into: list[Tensor], deltas: list[Tensor]) -> Tensor:
    """The gradient of matrices and biases, flat: delta h' and the sum of delta over the examples."""
    flat = []
    for h, delta in zip(into, deltas, strict=True):
        flat += [torch.bmm(delta, h.mT).flatten(1), delta.sum(2)]
    return torch.cat(flat, 1)


class Curvature:
    """The Hessian of the loss at fixed weights, times any vectors, exact (Pearlmutter, 1994).

    What does not depend on the vector is computed once; a product is then four thin multiplications a layer.
    """

    def __init__(self, task: Task, weights: Tensor) -> None:
        """weights: (1, size) for many vectors at one place, or (k, size) for a vector at each of k places."""
        self.task, net = task, task.net
        self.before, self.into = net.forward(weights, task.x)
        self.deltas = task._deltas(weights, self.before, self.into)
        self.matrices = net.parts(weights)[::2]
        self.curve = LOSSES[task.kind].curve(self.before[-1])
        bend = BENDS[net.activation]
        self.slopes = [bend.slope(z, h) for z, h in zip(self.before, self.into[1:], strict=False)]
        self.bends = [
            bend.bend(z, h) * torch.bmm(matrix.mT, delta) if bend.bend else None
            for z, h, delta, matrix in zip(self.before, self.into[1:], self.deltas[1:], self.matrices[1:], strict=False)
        ]

    @property
    def gradient(self) -> Tensor:
        """The slope of the loss there: (1, size) or (k, size)"""
        return _gathered(self.into, self.deltas)

    def __call__(self, vectors: Tensor) -> Tensor:
        """H v: (k, size) -> (k, size)"""
        k, parts = len(vectors), self.task.net.parts(vectors)
        moves, into_moves = self._forward(k, parts)
        delta_moves = [self.curve(moves[-1]) / self.task.x.shape[-1]]
        for layer in range(len(self.matrices) - 1, 0, -1):
            back = torch.bmm(self._wide(self.matrices[layer], k).mT, delta_moves[0])
            back = torch.baddbmm(back, parts[2 * layer].mT, self._wide(self.deltas[layer], k))
            back = back * self.slopes[layer - 1]
            bent = self.bends[layer - 1]
            delta_moves.insert(0, back if bent is None else back + bent * moves[layer - 1])
        return self._collect(k, into_moves, delta_moves)

    def _forward(self, k: int, parts: list[Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
        """How every z and h moves with the weights along the vectors."""
        moves: list[Tensor] = []
        into_moves: list[Tensor | None] = [None]
        for layer, (matrix, bias) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
            move = torch.baddbmm(bias, matrix, self._wide(self.into[layer], k))
            carried = into_moves[-1]
            if carried is not None:
                move = torch.baddbmm(move, self._wide(self.matrices[layer], k), carried)
            moves.append(move)
            if layer < len(self.slopes):
                into_moves.append(self.slopes[layer] * move)
        return moves, into_moves

    def _collect(self, k: int, into_moves: list[Tensor | None], delta_moves: list[Tensor]) -> Tensor:
        flat = []
        for h, h_move, delta, delta_move in zip(self.into, into_moves, self.deltas, delta_moves, strict=True):
            matrix = torch.bmm(delta_move, self._wide(h, k).mT)
            if h_move is not None:
                matrix = torch.baddbmm(matrix, self._wide(delta, k), h_move.mT)
            flat += [matrix.flatten(1), delta_move.sum(2)]
        return torch.cat(flat, 1)

    @staticmethod
    def _wide(one: Tensor, k: int) -> Tensor:
        return one.expand(k, *one.shape[1:])


@cache
def digit_tasks(width: int = 32, depth: int = 1, activation: str = "relu") -> tuple[Task, Task]:
    """(train, test): the 1 797 real digits, centred, and a perceptron with `depth` hidden layers of `width` units."""
    net = Network((64, *(width,) * depth, 10), activation)
    train, test = (_as_task(net, part) for part in digits.split(0))
    return train, test


def all_digits(net: Network) -> Task:
    """The task on all 1 797 digits."""
    return _as_task(net, digits.load())


def _as_task(net: Network, data: digits.Digits) -> Task:
    x = 2 * data.images.reshape(len(data.images), -1).T.contiguous() - 0.6  # about mean 0
    return Task(net, x, torch.nn.functional.one_hot(data.labels, 10).T.contiguous().to(x))
