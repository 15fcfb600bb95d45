"""Two tasks, an old and a new one, and small networks that learn the one after the other."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from engine.data import digits
from engine.device import DEVICE, generator
from engine.forgetting_curves.backprop import backward, forward, misfit
from engine.nets import Networks, cross_entropy

KINDS = {
    "points": "points in the plane, turned",
    "rotated": "digits, turned",
    "permuted": "digits, pixels shuffled",
}
BLOB, SPREAD, POINTS = 1.0, 0.45, 120  # where a class of points lies, how wide it is, points of a task


class Task(NamedTuple):
    """Examples to learn from and others to test on, each with its label."""

    x: Tensor  # (n, inputs)
    y: Tensor  # (n,) int64
    test_x: Tensor  # (m, inputs)
    test_y: Tensor  # (m,)


class Pair(NamedTuple):
    """The old task and the new one."""

    old: Task
    new: Task


@lru_cache(maxsize=64)
def pair(kind: str, angle: float = 90.0, seed: int = 0, most: int = 0) -> Pair:
    """Two tasks of a kind; the new one is the old one turned by `angle` degrees, or with its pixels shuffled.

    `most` bounds the examples to learn from; 0 for all of them. Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"Saw a pair of tasks of kind {kind!r}, expected one of {', '.join(KINDS)}.")
    old = points(seed) if kind == "points" else numerals(most)
    if kind == "permuted":
        order = torch.randperm(64, generator=generator(seed + 1)).to(DEVICE)
        return Pair(old, old._replace(x=old.x[:, order], test_x=old.test_x[:, order]))
    turned = turn_points if kind == "points" else turn_digits
    return Pair(old, old._replace(x=turned(old.x, angle), test_x=turned(old.test_x, angle)))


def points(seed: int) -> Task:
    """Two clouds of points on either side of 0, the second the first one's mirror image."""
    half = SPREAD * torch.randn(POINTS, 2, generator=generator(seed)) + torch.tensor([BLOB, 0.0])
    parts = [torch.cat([one, -one]).to(DEVICE) for one in half.chunk(2)]
    y = torch.arange(2, device=DEVICE).repeat_interleave(POINTS // 2)
    return Task(parts[0], y, parts[1], y)


def numerals(most: int = 0) -> Task:
    """The real 8 x 8 digits, 64 inputs each; the first `most` of those to learn from, or all."""
    train, test = digits.split()
    count = most or len(train.labels)
    return Task(train.images.flatten(1)[:count], train.labels[:count], test.images.flatten(1), test.labels)


def turn_points(x: Tensor, angle: float) -> Tensor:
    """Points turned about 0, against the clock: (n, 2) -> (n, 2)"""
    turn = torch.deg2rad(torch.tensor(float(angle), dtype=torch.float64))
    rows = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()]).view(2, 2)
    return (x.double() @ rows.to(x.device)).to(x.dtype)


def turn_digits(x: Tensor, angle: float) -> Tensor:
    """Pictures of 8 x 8 pixels turned against the clock, by bilinear interpolation: (n, 64) -> (n, 64)"""
    if not angle:
        return x
    turn = torch.deg2rad(torch.tensor(float(angle)))
    rows = torch.tensor([[turn.cos(), -turn.sin(), 0.0], [turn.sin(), turn.cos(), 0.0]], device=x.device)
    places = affine_grid(rows[None].expand(len(x), -1, -1), [len(x), 1, 8, 8], align_corners=False)
    return grid_sample(x.view(-1, 1, 8, 8), places, align_corners=False).view(len(x), 64)


def slope(net: Networks, weights: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Each network’s mean loss and gradient: weights (k, size), x (k or 1, n, i), y (k or 1, n) -> (k,), (k, size)"""
    *seen, logits = forward(net, weights, x.expand(len(weights), -1, -1))
    y = y.expand(len(weights), -1)
    return cross_entropy(logits, y).mean(1), backward(net, weights, seen, misfit(logits, y))


def gradient(net: Networks, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The same without the loss: (k, size)"""
    *seen, logits = forward(net, weights, x.expand(len(weights), -1, -1))
    return backward(net, weights, seen, misfit(logits, y.expand(len(weights), -1)))


def batch(task: Task, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Examples drawn with replacement, the same for all networks: (1, count, inputs), (1, count)"""
    rows = torch.randint(len(task.y), (count,), generator=rng).to(DEVICE)
    return task.x[None, rows], task.y[None, rows]


def descend(
    net: Networks,
    weights: Tensor,
    task: Task,
    steps: int,
    rng: torch.Generator,
    *,
    step_size: float = 0.2,
    count: int = 32,
    bend: Callable[[Tensor], Tensor] = lambda g: g,
) -> Tensor:
    """Networks (k, size) after some steps of stochastic gradient descent; `bend` changes each gradient (k, size)."""
    for _ in range(steps):
        weights = weights - step_size * bend(gradient(net, weights, *batch(task, count, rng)))
    return weights


@torch.no_grad()
def accuracy(net: Networks, weights: Tensor, task: Task) -> Tensor:
    """Share of the test examples that each network reads right: (k, size) -> (k,)"""
    return (net(weights, task.test_x[None]).argmax(-1) == task.test_y).float().mean(1)
