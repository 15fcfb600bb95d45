"""Training against an adversary, many small networks at once."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from engine.nets import Networks, cross_entropy, picked

METHODS = {
    "pgd": "on PGD examples (Madry)",
    "fast": "on one-step examples (fast)",
    "trades": "TRADES",
    "mixed": "on clean and PGD examples",
}
INNER, TINY_START = 7, 0.001  # inner steps of PGD training; how far TRADES starts from x


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Largest other logit less that of the label, above 0 where the label is missed: (k, n, c) -> (k, n)"""
    others = logits.scatter(-1, y.expand(logits.shape[:2])[..., None], -torch.inf)
    return others.amax(-1) - picked(logits, y)


def divergence(logits: Tensor, clean: Tensor) -> Tensor:
    """KL from the probabilities of `clean` to those of `logits`, of each example: two (k, n, c) -> (k, n)"""
    p = clean.softmax(-1)
    return (p * (log_softmax(clean, -1) - log_softmax(logits, -1))).sum(-1)


Loss = Callable[[Tensor], Tensor]  # logits (k, n, c) -> (k, n)


class Adversary(NamedTuple):
    """Sign steps in an ℓ∞ ball (Madry et al. 2018), each projected to the ball and the box."""

    eps: Tensor  # (k, 1, 1), one radius for each network
    steps: int = INNER
    step_size: float = 2.5 / INNER  # in units of eps
    low: float = 0.0  # the box that inputs must stay in
    high: float = 1.0

    def inside(self, x: Tensor, seen: Tensor) -> Tensor:
        """The nearest input within eps of x and within the box."""
        return torch.maximum(torch.minimum(seen, x + self.eps), x - self.eps).clamp(self.low, self.high)

    def __call__(self, model: Callable[[Tensor], Tensor], x: Tensor, loss: Loss, start: Tensor) -> Tensor:
        """Inputs of higher loss. x: (k or 1, n, d), start: (k, n, d), projected first -> (k, n, d)"""
        seen = self.inside(x, start)
        for _ in range(self.steps):
            seen = seen.detach().requires_grad_()
            (slope,) = torch.autograd.grad(loss(model(seen)).sum(), seen)
            seen = self.inside(x, seen.detach() + self.step_size * self.eps * slope.sign())
        return seen

    def random(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """A uniform start in every ball, the same draw for all networks: (k or 1, n, d) -> (k, n, d)"""
        u = 2 * torch.rand(1, *x.shape[1:], generator=rng) - 1
        return x + self.eps * u.to(x)


class Problem(NamedTuple):
    """What one training step sees."""

    net: Networks
    x: Tensor  # (1, n, d)
    y: Tensor  # (1, n)
    adversary: Adversary
    weight: Tensor | float  # (k, 1) of the clean loss for `mixed`, of the robust term for `trades`
    rng: torch.Generator


def attacked(on: Problem, weights: Tensor) -> Tensor:
    """PGD examples from a random start: (k, n, d)"""
    frozen, start = weights.detach(), on.adversary.random(on.x, on.rng)
    return on.adversary(lambda x: on.net(frozen, x), on.x, lambda z: cross_entropy(z, on.y), start)


def madry(on: Problem, weights: Tensor) -> Tensor:
    """The loss at PGD examples: (k, size) -> (k, n) (Madry et al. 2018)"""
    return cross_entropy(on.net(weights, attacked(on, weights)), on.y)


def fast(on: Problem, weights: Tensor) -> Tensor:
    """The loss after one step of 1.25 eps from a random start (Wong et al. 2020): (k, size) -> (k, n)"""
    return madry(on._replace(adversary=on.adversary._replace(steps=1, step_size=1.25)), weights)


def mixed(on: Problem, weights: Tensor) -> Tensor:
    """a J(x, y) + (1 - a) J(x_adv, y) (Goodfellow et al. 2015): (k, size) -> (k, n)"""
    clean = cross_entropy(on.net(weights, on.x), on.y)
    return on.weight * clean + (1 - on.weight) * madry(on, weights)


def trades(on: Problem, weights: Tensor) -> Tensor:
    """J(x, y) + beta KL(p(x), p(x_adv)), where x_adv maximises the KL (Zhang et al. 2019): (k, size) -> (k, n)"""
    frozen = weights.detach()
    clean = on.net(frozen, on.x)
    start = on.x + TINY_START * torch.randn(on.x.shape, generator=on.rng).to(on.x)
    seen = on.adversary(lambda x: on.net(frozen, x), on.x, lambda z: divergence(z, clean), start)
    logits = on.net(weights, on.x)
    return cross_entropy(logits, on.y) + on.weight * divergence(on.net(weights, seen), logits)


OBJECTIVES: dict[str, Callable[[Problem, Tensor], Tensor]] = {
    "pgd": madry,
    "fast": fast,
    "trades": trades,
    "mixed": mixed,
}


@torch.no_grad()
def accuracy(net: Networks, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Share of the examples that get their label: x (k or 1, n, d) -> (k,)"""
    return (net(weights, x).argmax(-1) == y).float().mean(-1)


def robust(net: Networks, weights: Tensor, x: Tensor, y: Tensor, adversary: Adversary, rng: torch.Generator) -> Tensor:
    """Share that keep their label under PGD on the margin from x and from a random start: (k,). An upper bound."""

    def model(seen: Tensor) -> Tensor:
        return net(weights, seen)

    kept = torch.ones(len(weights), x.shape[1], dtype=torch.bool, device=x.device)
    for start in (x.expand(len(weights), -1, -1), adversary.random(x, rng)):
        for seen in (x, adversary(model, x, lambda z: margin(z, y), start)):
            with torch.no_grad():
                kept &= model(seen).argmax(-1) == y
    return kept.float().mean(-1)


def input_gradient(net: Networks, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The slope of the loss in the inputs: x (k or 1, n, d) -> (k, n, d)"""
    at = x.expand(len(weights), -1, -1).detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(net(weights, at), y).sum(), at)[0]
