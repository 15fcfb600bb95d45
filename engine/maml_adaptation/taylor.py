"""What MAML, first-order MAML and Reptile have in common: two terms, whose amounts a real network gives away."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, permutations
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.maml_adaptation.sinusoids import sinusoid_tasks

BATCHES, TASKS, SIZES, SPAN = 4, 3, 25, 1e-3  # minibatches a task; tasks; step sizes, and the last over the first
UNITS = {"tanh": torch.tanh, "softplus": torch.nn.functional.softplus, "relu": torch.relu}
KINDS = {"tanh": "tanh (smooth)", "softplus": "softplus (smooth)", "relu": "ReLU (with a kink)"}
LAYERS = (1, 20, 20, 1)
WAYS = ("maml", "fomaml", "reptile")


@dataclass(frozen=True)
class Config:
    """The settings of an expansion in the inner step size."""

    adaptation_steps: int = knob(2, "minibatches in a row", 1, BATCHES, symbol="k", help="one for each step")
    longest: float = knob(0.05, "longest step", 1e-3, 0.2, symbol=r"\alpha", log=True)
    units: str = knob("tanh", "units", choices=KINDS)
    shots: int = knob(5, "examples in a minibatch", 1, 20)
    seed: int = knob(0, "seed", 0, 999)


class Frame(NamedTuple):
    """The methods' gradients at one inner step size, and what two terms explain of them. A method a row."""

    size: float  # the inner step size alpha
    first: np.ndarray  # (3,) amount of the mean gradient, by least squares at this size
    second: np.ndarray  # (3,) amount of alpha times the other term
    rest: np.ndarray  # (3,) length of what the amounts of theory leave, over that of the mean gradient
    gap: float  # length of FOMAML - MAML, over that of the mean gradient
    order: np.ndarray  # (4,) slope of log rest and of log gap over log alpha since the frame before; NaN where none
    theory: np.ndarray  # (3, 2) the amounts that theory gives
    miss: float  # the largest difference of an amount found from that of theory


class Batches(NamedTuple):
    """Ways to see k of a task's four minibatches in a row: r rows, each with its k batches of n examples."""

    x: Tensor  # (r, k, n, 1)
    y: Tensor  # (r, k, n, 1)


class Net(NamedTuple):
    """A perceptron with smooth units or with kinks, one weight vector (size,) for each of r rows."""

    units: str

    def init(self, rng: torch.Generator) -> Tensor:
        """Fresh weights (size,), float64 on the CPU: variance 1 / fan-in."""
        parts = []
        for i, o in pairwise(LAYERS):
            parts += [torch.randn(i * o, generator=rng, dtype=torch.float64) / i**0.5]
            parts += [torch.randn(o, generator=rng, dtype=torch.float64)]
        return torch.cat(parts)

    def loss(self, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Mean squared error of each row: (r, size), (r, n, 1), (r, n, 1) -> (r,)"""
        h, start = x, 0
        for depth, (i, o) in enumerate(pairwise(LAYERS)):
            matrix = weights[:, start : start + i * o].reshape(-1, i, o)
            bias = weights[:, None, start + i * o : start + i * o + o]
            start += i * o + o
            h = torch.baddbmm(bias, h, matrix)
            h = UNITS[self.units](h) if depth < len(LAYERS) - 2 else h
        return (h - y).square().mean((1, 2))

    def gradient(self, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Of each row's loss: (r, size) -> (r, size)"""
        at = weights.detach().requires_grad_()
        return torch.autograd.grad(self.loss(at, x, y).sum(), at)[0]

    def curved(self, weights: Tensor, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """The Hessian of each row's loss times its vector v: (r, size) -> (r, size)"""
        at = weights.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.loss(at, x, y).sum(), at, create_graph=True)
        return torch.autograd.grad((slope * v).sum(), at)[0]


def theory(k: int) -> np.ndarray:
    """Amounts of the mean gradient and of alpha times the other term, a method a row: (3, 2)

    For k minibatches in a row; MAML and FOMAML judge on the last (Nichol et al., 2018, sec. 5.1).
    """
    return np.array([[1.0, -2 * (k - 1)], [1.0, -(k - 1)], [k, -k * (k - 1) / 2]])


def batches(cfg: Config, k: int) -> Batches:
    """All ordered choices of k minibatches of each task, so that means over them are exact. float64, on the CPU."""
    drawn = sinusoid_tasks(TASKS, BATCHES * cfg.shots, generator(cfg.seed), query=1)
    x, y = (part[..., :1].cpu().double().view(TASKS, BATCHES, cfg.shots, 1) for part in (drawn.x, drawn.y))
    rows = torch.tensor(list(permutations(range(BATCHES), k)))
    return Batches(x[:, rows].flatten(0, 1), y[:, rows].flatten(0, 1))


def methods(net: Net, weights: Tensor, rows: Batches, alpha: float) -> Tensor:
    """The mean MAML, FOMAML and Reptile gradients over rows, for inner steps of size alpha: (size,) -> (3, size)

    Every step takes the next minibatch; MAML and FOMAML take all but the last, which judges.
    """
    at, trace, total = weights.expand(len(rows.x), -1), [], torch.zeros_like(weights)
    for x, y in zip(rows.x.unbind(1), rows.y.unbind(1), strict=True):
        v = net.gradient(at, x, y)
        total = total + v.mean(0)
        trace.append((at, x, y))
        at = at - alpha * v
    last = v.mean(0)
    for place, x, y in reversed(trace[:-1]):
        v = v - alpha * net.curved(place, x, y, v)
    return torch.stack([v.mean(0), last, total])


def terms(net: Net, weights: Tensor, pairs: Batches) -> Tensor:
    """The two terms of the expansion, means over tasks and pairs of their minibatches: (size,) -> (2, size)

    The gradient of a minibatch; and the Hessian of one times the gradient of another, which in the mean is half the
    gradient of the inner product of both gradients.
    """
    at = weights.expand(len(pairs.x), -1)
    v = net.gradient(at, pairs.x[:, 0], pairs.y[:, 0])
    return torch.stack([v.mean(0), net.curved(at, pairs.x[:, 1], pairs.y[:, 1], v).mean(0)])


def sizes(cfg: Config) -> np.ndarray:
    """The inner step sizes, the longest first: (25,)"""
    return cfg.longest * np.geomspace(1, SPAN, SIZES)


class Expansion(NamedTuple):
    """Everything that stays the same over the step sizes."""

    net: Net
    weights: Tensor  # (size,)
    rows: Batches
    both: Tensor  # (2, size) the two terms

    def at(self, alpha: float) -> tuple[Tensor, Tensor]:
        """The methods' gradients for a step size, and the two terms, the second times it: (3, size), (2, size)"""
        columns = self.both * torch.tensor([[1.0], [alpha]], dtype=torch.float64)
        return methods(self.net, self.weights, self.rows, alpha), columns


def expansion(cfg: Config) -> Expansion:
    """The network, its minibatches and the two terms."""
    net, weights = Net(cfg.units), Net(cfg.units).init(generator(cfg.seed + 1))
    return Expansion(net, weights, batches(cfg, cfg.adaptation_steps), terms(net, weights, batches(cfg, 2)))


def run(cfg: Config) -> Iterator[Frame]:
    """One inner step size a frame, each shorter than the one before."""
    made, known, before = expansion(cfg), theory(cfg.adaptation_steps), None
    unit = float(made.both[0].norm())
    for alpha in sizes(cfg).tolist():
        found, columns = made.at(alpha)
        amounts = fitted(columns, found)
        rest = (found - (torch.from_numpy(known)[..., None] * columns).sum(1)).norm(dim=1).numpy() / unit
        gap = float((found[1] - found[0]).norm()) / unit
        now = np.array([alpha, *rest, gap])
        yield Frame(
            size=alpha, first=amounts[:, 0].copy(), second=amounts[:, 1].copy(), rest=rest, gap=gap,
            order=slopes(before, now), theory=known, miss=float(abs(amounts - known).max()),
        )  # fmt: skip
        before = now


def fitted(columns: Tensor, found: Tensor) -> np.ndarray:
    """Amounts of both columns in each gradient, least squares; NaN where steps diverge: (2, p), (3, p) -> (3, 2)"""
    if not found.isfinite().all():
        return np.full((len(found), len(columns)), nan)
    size = columns.norm(dim=1)
    unit = columns / size[:, None]
    gram = (unit[:, None] * unit).sum(-1)  # sums of torch, the same bit for bit wherever in memory the numbers lie
    return (torch.linalg.solve(gram, (unit[:, None] * found).sum(-1)) / size[:, None]).T.numpy()


def slopes(before: np.ndarray | None, now: np.ndarray) -> np.ndarray:
    """Of the logarithms of all numbers over that of the first; NaN where they are no more than rounding."""
    if before is None:
        return np.full(len(now) - 1, nan)
    clear = np.isfinite(now[1:] * before[1:]) & (now[1:] > 1e-13) & (before[1:] > 1e-13)
    a, b = (np.log(np.where(clear, one[1:], 1.0)) for one in (now, before))
    return np.where(clear, (a - b) / np.log(now[0] / before[0]), nan)
