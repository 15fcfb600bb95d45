"""Masked gradients: a network so sure of itself that an attack on its cross-entropy finds no slope to follow."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples.defend import load
from engine.adversarial_examples.training import Adversary, accuracy, margin
from engine.device import DEVICE, generator
from engine.knob import knob
from engine.nets import Descent, Networks, cross_entropy

FRAMES, SHOWN, TESTED = 41, 8, 200  # frames of a run; digits drawn and attacked
LOSSES = {"single": "cross-entropy", "double": "cross-entropy in double precision", "margin": "margin"}


@dataclass(frozen=True)
class Config:
    """The settings of an attack on ever surer networks."""

    eps: float = knob(0.15, "radius of the attack", 0.0, 0.4, symbol=r"\varepsilon")
    attack_steps: int = knob(20, "steps of the attack", 1, 40)
    most: float = knob(1000.0, "largest factor of the logits", 10.0, 10000.0, log=True)
    random_start: bool = knob(False, "random start", folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: another network")


class Frame(NamedTuple):
    """The same network with its logits times a factor. Shares are of the held-out digits that are read right."""

    factor: float
    accuracy: float  # of the network, whatever the factor
    single: float  # share fooled by PGD on the cross-entropy in single precision
    double: float  # the same in double precision
    margin: float  # share fooled by PGD on the margin between the logits
    silent: float  # share whose cross-entropy has a slope of exactly 0 in single precision
    sure: float  # mean probability of the class that is read
    images: np.ndarray  # (24, 8, 8) digits, after the attack on the cross-entropy, after that on the margin
    fooled: np.ndarray  # (24,) 1 where the picture is not read as what it is


NET = Networks((64, 48, 10))


@lru_cache(maxsize=8)
def trained(seed: int) -> Tensor:
    """A network (1, size) after 200 steps on the digits, without an adversary."""
    seen, rng = load("digits", 0), generator(seed)
    descent = Descent(NET.init(1, rng), 200, 0.01)
    for _ in range(descent.steps):
        rows = torch.randint(len(seen.x), (64,), generator=rng).to(DEVICE)
        x, y = seen.x[None, rows], seen.y[None, rows]
        descent(lambda w, x=x, y=y: cross_entropy(NET(w, x), y).mean())
    return descent.weights.detach()


class Attack(NamedTuple):
    """An attack on the network with its logits times a factor, on digits x: (1, n, 64) with labels y: (1, n)."""

    weights: Tensor
    factor: float
    x: Tensor
    y: Tensor
    start: Tensor
    adversary: Adversary

    def __call__(self, kind: str) -> Tensor:
        """The digits after PGD on one of the LOSSES: (1, n, 64)"""
        dtype = torch.float64 if kind == "double" else torch.float32
        weights, loss = self.weights.to(dtype), margin if kind == "margin" else cross_entropy
        adversary = self.adversary._replace(eps=self.adversary.eps.to(dtype))
        seen = adversary(lambda x: self.factor * NET(weights, x), self.x.to(dtype),
                         lambda z: loss(z, self.y), self.start.to(dtype))  # fmt: skip
        return seen.float()

    def slope(self) -> Tensor:
        """Of the cross-entropy in the inputs, in single precision: (1, n, 64)"""
        at = self.x.clone().requires_grad_()
        return torch.autograd.grad(cross_entropy(self.factor * NET(self.weights, at), self.y).sum(), at)[0]

    def wrong(self, x: Tensor) -> Tensor:
        """Which of them are not read as what they are: (n,)"""
        return (NET(self.weights, x).argmax(-1) != self.y)[0]


def run(cfg: Config) -> Iterator[Frame]:
    """A larger factor in each frame, from 1 to the largest."""
    seen, weights = load("digits", 0), trained(cfg.seed)
    known = NET(weights, seen.test).argmax(-1) == seen.labels
    x, y = seen.test[known][None, :TESTED], seen.labels[known][None, :TESTED]
    firsts = torch.stack([(y[0] == label).nonzero()[0, 0] for label in range(SHOWN)])
    adversary = Adversary(torch.full((1, 1, 1), cfg.eps, device=DEVICE), cfg.attack_steps, 2.5 / cfg.attack_steps)
    start = adversary.random(x, generator(cfg.seed)) if cfg.random_start else x
    right = float(accuracy(NET, weights, seen.test, seen.labels)[0])
    for factor in np.geomspace(1, cfg.most, FRAMES).tolist():
        attack = Attack(weights, factor, x, y, start, adversary)
        after = {kind: attack(kind) for kind in LOSSES}
        shown = torch.cat([x[0, firsts], after["single"][0, firsts], after["margin"][0, firsts]])
        fooled = torch.cat([attack.wrong(one)[firsts] for one in (x, after["single"], after["margin"])])
        yield Frame(
            factor,
            right,
            **{kind: float(attack.wrong(one).float().mean()) for kind, one in after.items()},
            silent=float((attack.slope() == 0).all(-1).float().mean()),
            sure=float((factor * NET(weights, x)).softmax(-1).amax(-1).mean()),
            images=shown.view(-1, 8, 8).cpu().numpy().copy(),
            fooled=fooled.float().cpu().numpy(),
        )
