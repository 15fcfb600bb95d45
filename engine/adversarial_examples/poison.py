"""Poisoned training points: labels flipped, points dropped or placed, and the boundary fitted again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples import hand, planar
from engine.adversarial_examples.hand import REACH
from engine.device import generator
from engine.knob import knob

TRAIN, TEST, SIDE = 80, 1000, 41  # points; cells of the map each way
DRAWS = 12  # random choices in the band
RIDGE, WIDTH, NEIGHBOURS = 1.0, 0.5, 5  # of the learners
ATTACKS = {
    "random": "flip labels at random",
    "surest": "flip the surest labels",
    "drop": "drop one class, from the boundary on",
}
LEARNERS = {"logistic": "logistic regression", "kernel": "kernel ridge", "neighbours": "5 nearest neighbours"}


@dataclass(frozen=True)
class Config:
    """The settings of a poisoning."""

    data: str = knob("moons", "points", choices=planar.SETS)
    learner: str = knob("logistic", "learner", choices=LEARNERS)
    attack: str = knob("random", "poison", choices=ATTACKS)
    share: float = knob(0.4, "poisoned in the end, share", 0.0, 0.5)
    copies: int = knob(0, "your point counts as", 0, 40, help="Drag it; 0: it is not there")
    label: str = knob("1", "its class", choices={"0": "first", "1": "second"})
    point_x: float = knob(-1.0, "your point, across", -REACH, REACH, folded=True)
    point_y: float = knob(1.5, "your point, upwards", -REACH, REACH, folded=True)
    noise: float = knob(0.25, "noise of the points", 0.0, 0.6, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other points, other flips")
    hand: str = knob("", "points you changed", text=hand.check)

    @property
    def tag(self) -> str:
        """What stands for the points that were drawn."""
        return hand.tag(self.data, self.noise, self.seed)

    @property
    def poisoned(self) -> int:
        """How many points are poisoned in the end."""
        most = TRAIN // 2 - 1 if self.attack == "drop" else TRAIN // 2
        return min(round(self.share * TRAIN), most)


def touched(event: Mapping[str, Any], cfg: Config) -> dict[str, Any]:
    """The settings that a click on a point, or dragging it, makes; none where other points had been drawn."""
    if event["tag"] != cfg.tag:
        return {}
    change = hand.clicked if event["type"] == "pick" else hand.dragged
    return {"hand": change(cfg.hand, cfg.tag, event)}


class Frame(NamedTuple):
    """The learner after some points were poisoned."""

    count: int  # poisoned points, without yours
    share: float
    test: float  # share of clean test points read right: of the draw shown
    mean: float  # the same, mean over twelve draws
    low: float  # least and most of them
    high: float
    train: float  # share of the training points, poisoned as they are, that are read as they are labelled
    score: np.ndarray  # (41, 41) tanh of the learner's score, above 0 for the second class; first row at the bottom
    points: np.ndarray  # (80, 3) training points with their labels as they are now
    changed: np.ndarray  # (≤ 80, 2) those of them whose label was flipped
    gone: np.ndarray  # (≤ 80, 2) those that were dropped
    yours: np.ndarray  # (1, 2) your point


class Set(NamedTuple):
    """Weighted training points under k labellings. Everything in float64."""

    x: Tensor  # (n, 2), the same for all
    y: Tensor  # (k, n) -1 or 1
    weight: Tensor  # (n,), 0 for a point that is not there


def logistic(on: Set, at: Tensor) -> Tensor:
    """Scores w·x + b at places (m, 2) -> (k, m), by 12 Newton steps on Σ weight · log(1 + e^-y(w·x + b)) + ‖w‖²/2."""
    x = torch.cat([on.x, torch.ones_like(on.x[:, :1])], 1)
    ridge = torch.diag(torch.tensor([RIDGE, RIDGE, 1e-9], dtype=x.dtype))
    theta = torch.zeros(len(on.y), 3, dtype=x.dtype)
    for _ in range(12):
        p = torch.sigmoid(-on.y * (theta @ x.T))
        slope = theta @ ridge - (on.weight * p * on.y) @ x
        bend = torch.einsum("kn,ni,nj->kij", on.weight * p * (1 - p), x, x) + ridge
        theta = theta - torch.linalg.solve(bend, slope)
    return theta[:, :2] @ at.T + theta[:, 2:]


def kernel(on: Set, at: Tensor) -> Tensor:
    """Scores at places (m, 2) -> (k, m) of ridge regression on the labels, with the kernel exp(-|x - x'|² / 2 · 0.25).

    Minimises Σ weight · (f(x) - y)² + ‖f‖².
    """
    gram = gaussian(on.x, on.x)
    system = on.weight[:, None] * gram + RIDGE * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(system, (on.weight * on.y).T).T @ gaussian(on.x, at)


def gaussian(x: Tensor, other: Tensor) -> Tensor:
    """The kernel between all pairs: (n, 2), (m, 2) -> (n, m)"""
    return torch.exp(-torch.cdist(x, other).square() / (2 * WIDTH**2))


def neighbours(on: Set, at: Tensor) -> Tensor:
    """Mean label of the five nearest points at places (m, 2) -> (k, m); a point of weight w counts as w of them."""
    order = torch.cdist(at, on.x).argsort(1)  # (m, n)
    weight = on.weight[order]
    counted = torch.minimum(weight, (NEIGHBOURS - weight.cumsum(1) + weight).clamp_min(0))
    far = int((counted > 0).any(0).sum()) + int((on.weight == 0).sum())  # columns that can count
    voted = on.y[:, order[:, :far]]  # (k, m, far)
    return (counted[:, :far] * voted).sum(-1) / counted.sum(1).clamp_min(1)


FITS = {"logistic": logistic, "kernel": kernel, "neighbours": neighbours}


def grid() -> Tensor:
    """Middles of the cells of the map, row by row, the first row at the bottom: (41², 2)"""
    line = REACH * (2 * (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def points(cfg: Config) -> tuple[Set, Tensor, Tensor]:
    """The clean training points, yours at their end, in one set or, for
    flips at random, in twelve equal ones; clean test points (1000, 2) and labels.
    """
    rng = generator(cfg.seed)
    x, y = planar.sample(cfg.data, TRAIN + TEST, rng, cfg.noise)
    x, y = x.double().cpu(), 2 * y.double().cpu() - 1
    yours = torch.tensor([[cfg.point_x, cfg.point_y]], dtype=torch.float64)
    label = torch.tensor([2.0 * int(cfg.label) - 1], dtype=torch.float64)
    weight = torch.cat([torch.ones(TRAIN), torch.tensor([float(cfg.copies)])]).double()
    k = DRAWS if cfg.attack == "random" else 1
    y_train = y[:TRAIN].clone()
    for i, (state, place) in hand.read(cfg.hand, cfg.tag).items():
        if i < TRAIN:
            x[i] = x[i] if place is None else torch.tensor(place, dtype=x.dtype)
            y_train[i] *= -1 if state == "f" else 1
            weight[i] *= state != "d"
    train = Set(torch.cat([x[:TRAIN], yours]), torch.cat([y_train, label]).expand(k, -1), weight)
    return train, x[TRAIN:], y[TRAIN:]


def order(cfg: Config, clean: Set) -> Tensor:
    """In which order points are poisoned, in each set: (k, 80). Only random flips differ between the sets."""
    rng = generator(cfg.seed + 1000)
    if cfg.attack == "random":
        return torch.stack([torch.randperm(TRAIN, generator=rng) for _ in range(len(clean.y))])
    sure = (clean.y * FITS[cfg.learner](clean, clean.x))[:, :TRAIN]
    if cfg.attack == "drop":
        return (sure + 1e6 * (clean.y[:, :TRAIN] < 0)).argsort(1)
    return sure.argsort(1, descending=True)


def poisoned(clean: Set, rows: Tensor, attack: str) -> Set:
    """The sets with these points (k, m) flipped or dropped."""
    if attack == "drop":
        return clean._replace(weight=clean.weight.index_fill(0, rows[0], 0.0))
    return clean._replace(y=clean.y.scatter(1, rows, -clean.y.gather(1, rows)))


def run(cfg: Config) -> Iterator[Frame]:
    """One more poisoned point a frame; the learner is fitted anew."""
    clean, test, labels = points(cfg)
    drawn = points(replace(cfg, hand=""))[0]
    rows, fit, places = order(cfg, clean), FITS[cfg.learner], torch.cat([test, clean.x])
    for count in range(cfg.poisoned + 1):
        now = poisoned(clean, rows[:, :count], cfg.attack)
        tested, trained = fit(now, places).split([TEST, TRAIN + 1], 1)
        right = (tested * labels > 0).double().mean(1)
        fits = now.weight * (trained * now.y > 0)
        there, first = now.weight[:TRAIN] > 0, now._replace(y=now.y[:1])
        flipped = there & (now.y[0, :TRAIN] != drawn.y[0, :TRAIN])
        yield Frame(
            count=count,
            share=count / TRAIN,
            test=float(right[0]),
            mean=float(right.mean()),
            low=float(right.min()),
            high=float(right.max()),
            train=float(fits[0].sum() / now.weight.sum().clamp_min(1)),
            score=picture_of(fit(first, grid())),
            points=torch.cat([now.x, (now.y[0, :, None] + 1) / 2], 1)[:TRAIN].float().numpy(),
            changed=now.x[:TRAIN][flipped].float().numpy(),
            gone=now.x[:TRAIN][~there].float().numpy(),
            yours=now.x[TRAIN:].float().numpy(),
        )


def picture_of(score: Tensor) -> np.ndarray:
    """Scores (1, 41²) between -1 and 1: (41, 41)"""
    return torch.tanh(score[0]).view(SIDE, SIDE).float().numpy()
