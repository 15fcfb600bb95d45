"""The gradient of a maximum: Danskin's theorem on models whose worst perturbations are found exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from engine.adversarial_examples import planar
from engine.device import generator
from engine.knob import knob
from engine.nets import Adam

POINTS, HIDDEN, SIDE, LINE = 6, 4, 41, 41  # examples, hidden units, cells of the map each way, places on the line
REACH, AHEAD = 1.25, 1.0  # half of the map's width in units of eps; how far the line goes in weights
NORMS = {"linf": "ℓ∞", "l2": "ℓ2"}
PROBLEMS = {"network": "a tanh network", "linear": "a linear model", "tie": "a linear model at a tie"}


@dataclass(frozen=True)
class Config:
    """The settings of the inner maximisation."""

    problem: str = knob("network", "model", choices=PROBLEMS, help="at a tie: the weight of the first feature is 0")
    norm: str = knob("l2", "ball", choices=NORMS)
    eps: float = knob(0.4, "radius of the ball", 0.02, 1.0, symbol=r"\varepsilon")
    step_size: float = knob(0.5, "inner step, in radii", 0.02, 2.0, symbol=r"\alpha", log=True)
    example: int = knob(1, "example shown", 1, POINTS)
    steps: int = knob(30, "inner steps", 2, 60, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other points, another start")


class Frame(NamedTuple):
    """The gradient of the maximum, as far as some inner steps know it."""

    step: int
    error: float  # of the gradient at the perturbations so far, relative to finite differences of the maximum
    exact_error: float  # the same at the exact maximisers
    printed_error: float  # the same with the maximiser alone as the input, as the sheet prints it
    gap: float  # the maximum less the loss reached, mean over the examples
    slope: float  # of the loss with its perturbations held, along the direction of the line
    left: float  # slopes of the maximum on the two sides of 0, along the same direction
    right: float
    envelope: np.ndarray  # (41, 2) place on the line, and the maximum there
    held: np.ndarray  # (41, 2) the loss there with the perturbations so far held
    ball: np.ndarray  # (41, 41) loss of one example over its perturbations, first row at the bottom
    walk: np.ndarray  # (1 … steps + 1, 2) its perturbations so far
    best: np.ndarray  # (1, 2) its exact maximiser


class Model(NamedTuple):
    """A score of points of the plane whose sign is the class: w·x + b, or v·tanh(Wx + c) + d with four hidden units."""

    hidden: int  # 0: linear

    @property
    def size(self) -> int:
        """How many weights it has."""
        return 4 * self.hidden + 1 if self.hidden else 3

    def __call__(self, theta: Tensor, x: Tensor) -> Tensor:
        """theta: (k, size), x: (k or 1, n, g, 2) -> scores (k, n, g)"""
        if not self.hidden:
            w, b = theta.split([2, 1], 1)
            return (x * w[:, None, None]).sum(-1) + b[:, :, None]
        k, h, (_, n, g, _) = len(theta), self.hidden, x.shape
        first, offset, last, bias = theta.split([2 * h, h, h, 1], 1)
        places = x.expand(k, -1, -1, -1).reshape(k, n * g, 2).mT  # long rows last, which processors like
        inner = torch.baddbmm(offset[..., None], first.view(k, 2, h).mT, places)
        return torch.baddbmm(bias[..., None], last[:, None], inner.tanh()).view(k, n, g)


class Problem(NamedTuple):
    """A model with its weights, a few examples, and what an adversary may do to them. Everything in float64."""

    model: Model
    theta: Tensor  # (size,)
    x: Tensor  # (n, 2)
    y: Tensor  # (n,) -1 or 1
    norm: str
    eps: float

    def loss(self, theta: Tensor, x: Tensor) -> Tensor:
        """The logistic loss: theta (k, size), x (k or 1, n, g, 2) -> (k, n, g)"""
        return softplus(-self.y[:, None] * self.model(theta, x))

    def mean(self, theta: Tensor, delta: Tensor) -> Tensor:
        """The loss at x + delta, mean over the examples: (k, size), (k or 1, n, 2) -> (k,)"""
        return self.loss(theta, (self.x + delta)[:, :, None]).mean((1, 2))

    def inside(self, delta: Tensor) -> Tensor:
        """The nearest place of the ball: (..., 2) -> (..., 2)"""
        if self.norm == "linf":
            return delta.clamp(-self.eps, self.eps)
        return delta * (self.eps / delta.norm(dim=-1, keepdim=True).clamp_min(1e-300)).clamp_max(1)

    def stretched(self, u: Tensor) -> Tensor:
        """The square [-1, 1]² onto the ball: (..., 2) -> (..., 2)"""
        if self.norm == "linf":
            return self.eps * u
        return self.eps * u * (u.abs().amax(-1, keepdim=True) / u.norm(dim=-1, keepdim=True).clamp_min(1e-300))

    def worst(self, theta: Tensor) -> Tensor:
        """The maximisers of each example's loss over the ball, by a grid that zooms in: (k, size) -> (k, n, 2)

        The first grid has 25 x 25 places; each next one is 9 x 9 about the best, 0.3 times as wide, to 1e-10.
        """
        best = torch.zeros(len(theta), len(self.x), 1, 2, dtype=torch.float64)
        reach, cells = 1.0, grid(25)
        while reach > 1e-10:
            places = (best + reach * cells).clamp(-1, 1)
            value = self.loss(theta, self.x[:, None] + self.stretched(places))
            at = value.argmax(2)[..., None, None].expand(-1, -1, 1, 2)
            best = places.gather(2, at)
            reach, cells = (0.1 if len(cells) > 81 else 0.3 * reach), grid(9)
        return self.stretched(best[:, :, 0])

    def maximum(self, theta: Tensor) -> Tensor:
        """The largest loss in the ball, mean over the examples: (k, size) -> (k,)"""
        return self.mean(theta, self.worst(theta))


def grid(count: int) -> Tensor:
    """Places of the square [-1, 1]², row by row: (count², 2)"""
    line = torch.linspace(-1, 1, count, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def problem(cfg: Config) -> Problem:
    """The model, trained a little without an adversary, and six of its examples."""
    found = trained(cfg.problem, cfg.seed)
    theta = found.theta.clone()
    if cfg.problem == "tie":
        theta[: 1 if cfg.norm == "linf" else 2] = 0.0
    return found._replace(theta=theta, x=found.x[:POINTS], y=found.y[:POINTS], norm=cfg.norm, eps=cfg.eps)


@lru_cache(maxsize=32)
def trained(kind: str, seed: int) -> Problem:
    """A model after 150 steps of Adam on 48 points."""
    rng = generator(seed)
    x, label = planar.sample("moons", 48, rng, noise=0.15)
    model = Model(HIDDEN if kind == "network" else 0)
    theta = torch.randn(model.size, generator=rng, dtype=torch.float64).requires_grad_()
    found = Problem(model, theta, x.double().cpu(), 2.0 * label.cpu().double() - 1, "linf", 0.0)
    adam, still = Adam(theta), torch.zeros(1, 1, 2)
    for _ in range(150):
        adam(torch.autograd.grad(found.mean(theta[None], still).sum(), theta)[0], 0.05)
    return found._replace(theta=theta.detach())


def gradient(on: Problem, delta: Tensor) -> Tensor:
    """The slope in the weights of the loss at x + delta, with delta held: (n, 2) -> (size,)"""
    theta = on.theta.clone().requires_grad_()
    return torch.autograd.grad(on.mean(theta[None], delta[None]).sum(), theta)[0]


def differences(on: Problem, h: float = 1e-5) -> Tensor:
    """Central differences of the maximum, which is found anew for every weight moved by ±h: (size,)"""
    moves = h * torch.eye(on.model.size, dtype=torch.float64)
    up, down = on.maximum(torch.cat([on.theta + moves, on.theta - moves])).chunk(2)
    return (up - down) / (2 * h)


def ascend(on: Problem, cfg: Config) -> Iterator[Tensor]:
    """Perturbations (n, 2) after 0, 1, … inner steps of projected gradient ascent from a random start."""
    u = 2 * torch.rand(len(on.x), 2, generator=generator(cfg.seed + 1000), dtype=torch.float64) - 1
    delta = on.stretched(u)
    for _ in range(cfg.steps + 1):
        yield delta
        at = delta.clone().requires_grad_()
        slope = torch.autograd.grad(on.mean(on.theta[None], at[None]).sum(), at)[0]
        along = slope.sign() if on.norm == "linf" else slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-300)
        delta = on.inside(delta + cfg.eps * cfg.step_size * along)


class Line(NamedTuple):
    """The maximum along one direction of the weights."""

    place: Tensor  # (41,)
    theta: Tensor  # (41, size)
    height: Tensor  # (41,)
    left: float  # its slopes at 0
    right: float
    along: Tensor  # (size,) of length 1


def line(on: Problem, cfg: Config, exact: Tensor) -> Line:
    """The line down or up the gradient of the maximum, or along the first weight at a tie."""
    along = torch.zeros_like(exact) if cfg.problem == "tie" else exact / exact.norm().clamp_min(1e-300)
    along[0] += float(cfg.problem == "tie")
    place = torch.linspace(-AHEAD, AHEAD, LINE, dtype=torch.float64)
    h = 1e-6
    theta = on.theta + torch.cat([place, torch.tensor([-h, 0.0, h], dtype=torch.float64)])[:, None] * along
    height = on.maximum(theta)
    left, middle, right = height[-3:].tolist()
    return Line(place, theta[:-3], height[:-3], (middle - left) / h, (right - middle) / h, along)


def run(cfg: Config) -> Iterator[Frame]:
    """One inner step a frame."""
    on = problem(cfg)
    best, true = on.worst(on.theta[None])[0], differences(on)
    top, size = float(on.maximum(on.theta[None])), float(true.norm().clamp_min(1e-300))
    drawn, chosen = line(on, cfg, gradient(on, best)), cfg.example - 1
    exact = float((gradient(on, best) - true).norm()) / size
    printed = float((gradient(on, best - on.x) - true).norm()) / size
    cells = cfg.eps * REACH * grid(SIDE)
    ball = on.loss(on.theta[None], on.x[None, :, None] + cells)[0, chosen].view(SIDE, SIDE).float().numpy()
    envelope, walk = pairs(drawn.place, drawn.height), []
    for step, delta in enumerate(ascend(on, cfg)):
        now = gradient(on, delta)
        walk.append(delta[chosen].float().numpy())
        yield Frame(
            step=step,
            error=float((now - true).norm()) / size,
            exact_error=exact,
            printed_error=printed,
            gap=top - float(on.mean(on.theta[None], delta[None])),
            slope=float(now @ drawn.along),
            left=drawn.left,
            right=drawn.right,
            envelope=envelope,
            held=pairs(drawn.place, on.mean(drawn.theta, delta[None])),
            ball=ball,
            walk=np.stack(walk),
            best=best[chosen : chosen + 1].float().numpy(),
        )


def pairs(x: Tensor, y: Tensor) -> np.ndarray:
    """(m,), (m,) -> (m, 2) float32"""
    return torch.stack([x, y], 1).float().numpy()
