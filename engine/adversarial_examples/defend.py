"""Adversarial training, watched: the boundary moves away from the points, and accuracy is paid for robustness."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples import planar
from engine.adversarial_examples.training import (
    METHODS,
    OBJECTIVES,
    Adversary,
    Problem,
    accuracy,
    input_gradient,
    robust,
)
from engine.data import digits
from engine.device import DEVICE, generator
from engine.knob import knob
from engine.nets import Descent, Networks

SEEDS, BATCH, SIDE, REACH = 3, 64, 49, 2.4  # networks of each kind; examples a step; the map's cells and half width
TRAIN, TEST, NOISE, ROOM = 300, 300, 0.12, 24  # points to train on and held out; their noise; balls that are drawn
DATA = {**planar.SETS, "digits": "real handwritten digits"}
LOOKS = 75  # frames of a training


@dataclass(frozen=True)
class Config:
    """The settings of a training against an adversary."""

    data: str = knob("moons", "data", choices=DATA)
    method: str = knob("pgd", "training", choices=METHODS)
    eps_train: float = knob(0.4, "radius in training", 0.0, 0.6, symbol=r"\varepsilon_{train}")
    eps: float = knob(0.4, "radius of the attack", 0.0, 0.6, symbol=r"\varepsilon")
    weight: float = knob(0.5, "share of clean examples", 0.0, 1.0, symbol="a", help="for clean and PGD examples")
    beta: float = knob(3.0, "weight of the robust term", 0.0, 10.0, symbol=r"\beta", folded=True, help="for TRADES")
    steps: int = knob(300, "training steps", 40, 1200, log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other points, other first weights")


class Frame(NamedTuple):
    """Plain and defended networks, three of each, after some steps. Accuracies are over held-out examples."""

    step: int
    clean: np.ndarray  # (2, 3) accuracy: mean, least, most of the plain networks, then of the defended ones
    robust: np.ndarray  # (2, 3) the same under attack, an upper bound
    plain: np.ndarray  # (49, 49) probability of the second class, first plain network, bottom row first; or (0, 0)
    defended: np.ndarray  # (49, 49) of the first defended one
    images: np.ndarray  # (30, 8, 8) ten digits, and the slope of the loss of the two networks; or (0, 8, 8)
    shaped: np.ndarray  # (2,) mean |cos| between a digit and the slope of its loss, plain and defended; or (0,)


class Data(NamedTuple):
    """Examples and the networks that read them."""

    net: Networks
    x: Tensor  # (n, d)
    y: Tensor  # (n,)
    test: Tensor  # (1, m, d)
    labels: Tensor  # (1, m)
    box: tuple[float, float]


@lru_cache(maxsize=16)
def load(name: str, seed: int) -> Data:
    """Points in the plane, or the digits as rows."""
    if name == "digits":
        train, test = digits.split(0)
        flat = train.images.flatten(1), train.labels, test.images.flatten(1)[None, :TEST], test.labels[None, :TEST]
        return Data(Networks((64, 48, 10)), *flat, (0.0, 1.0))
    x, y = planar.sample(name, TRAIN + TEST, generator(seed), NOISE)
    return Data(Networks((2, 32, 32, 2)), x[:TRAIN], y[:TRAIN], x[None, TRAIN:], y[None, TRAIN:], (-10.0, 10.0))


def training(cfg: Config) -> Iterator[tuple[int, Tensor]]:
    """Weights (6, size) after 0, …, `steps` steps: three plain networks, then three defended ones.

    A plain network is trained the same way with a radius of 0.
    """
    seen, rng = load(cfg.data, cfg.seed), generator(cfg.seed)
    start = seen.net.init(SEEDS, rng).repeat(2, 1)
    eps = torch.tensor([0.0, cfg.eps_train], device=DEVICE).repeat_interleave(SEEDS)[:, None, None]
    adversary = Adversary(eps, low=seen.box[0], high=seen.box[1])
    weight, objective = cfg.beta if cfg.method == "trades" else cfg.weight, OBJECTIVES[cfg.method]
    descent, wanted = Descent(start, cfg.steps, 0.01), {round(i * cfg.steps / LOOKS) for i in range(LOOKS + 1)}
    yield 0, start
    while descent.step < cfg.steps:
        rows = torch.randint(len(seen.x), (BATCH,), generator=rng).to(DEVICE)
        ramp = adversary._replace(eps=eps * min(1.0, 2 * (descent.step + 1) / cfg.steps))
        on = Problem(seen.net, seen.x[None, rows], seen.y[None, rows], ramp, weight, rng)
        descent(lambda w, on=on: objective(on, w).mean(1).sum())
        if descent.step in wanted:
            yield descent.step, descent.weights.detach().clone()


def run(cfg: Config) -> Iterator[Frame]:
    """The training, looked at about 75 times."""
    for step, weights in training(cfg):
        yield look(cfg, weights, step)


def look(cfg: Config, weights: Tensor, step: int) -> Frame:
    """Everything that a frame shows of the networks (6, size)."""
    seen = load(cfg.data, cfg.seed)
    eps = torch.full((len(weights), 1, 1), cfg.eps, device=DEVICE)
    attack = Adversary(eps, low=seen.box[0], high=seen.box[1])
    clean = accuracy(seen.net, weights, seen.test, seen.labels)
    held = robust(seen.net, weights, seen.test, seen.labels, attack, generator(1))
    pictures = of_digits if cfg.data == "digits" else of_points
    return Frame(step, spread(clean), spread(held), **pictures(seen, weights[::SEEDS]))


def spread(values: Tensor) -> np.ndarray:
    """(6,) -> (2, 3) mean, least, most of either three"""
    table = values.view(2, -1)
    return torch.stack([table.mean(1), table.amin(1), table.amax(1)], 1).cpu().numpy()


@torch.no_grad()
def of_points(seen: Data, pair: Tensor) -> dict[str, np.ndarray]:
    """What one network of each kind says of the places of the map."""
    line = REACH * (2 * (torch.arange(SIDE) + 0.5) / SIDE - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y], -1).view(1, -1, 2).to(DEVICE)
    p = seen.net(pair, places).softmax(-1)[..., 1].view(2, SIDE, SIDE).cpu().numpy()
    return dict(plain=p[0], defended=p[1], images=np.empty((0, 8, 8), np.float32), shaped=np.empty(0, np.float32))


def of_digits(seen: Data, pair: Tensor) -> dict[str, np.ndarray]:
    """Ten digits, the slopes of their loss, grey where 0, and how much the slopes look like digits."""
    slope = input_gradient(seen.net, pair, seen.test, seen.labels)
    likeness = alignment(slope, seen.test)
    firsts = torch.stack([(seen.labels[0] == label).nonzero()[0, 0] for label in range(10)])
    shown = torch.cat([seen.test[:, firsts], scaled(slope[:, firsts])]).view(-1, 8, 8)
    flat = np.empty((0, 0), np.float32)
    return dict(plain=flat, defended=flat, images=shown.cpu().numpy().copy(), shaped=likeness.cpu().numpy())


def scaled(slope: Tensor) -> Tensor:
    """Each slope between 0 and 1, 0.5 for none: (k, n, d) -> (k, n, d)"""
    return 0.5 + 0.5 * slope / slope.abs().amax(-1, keepdim=True).clamp_min(1e-30)


def alignment(slope: Tensor, x: Tensor) -> Tensor:
    """Mean |cos| between each input less the mean input and its slope: (k, n, d), (1, n, d) -> (k,)"""
    centred = x - x.mean(1, keepdim=True)
    return torch.cosine_similarity(slope, centred.expand_as(slope), dim=-1, eps=1e-30).abs().mean(1)


def balls(cfg: Config) -> np.ndarray:
    """The edges of the training ball about some held-out points: (24, 5, 2)"""
    middle = load(cfg.data, cfg.seed).test[0, :ROOM].cpu().numpy()
    corner = cfg.eps_train * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], np.float32)
    return middle[:, None] + corner


def held_out(cfg: Config) -> np.ndarray:
    """The held-out points with their classes: (300, 3)"""
    seen = load(cfg.data, cfg.seed)
    return torch.cat([seen.test[0], seen.labels[0, :, None].float()], 1).cpu().numpy()
