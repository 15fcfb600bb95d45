"""A clean-label poison: a picture with its right label that a network can hardly tell from a picture of another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples.classifiers import Learning, Model, examples, trained
from engine.device import DEVICE, generator
from engine.knob import knob

EACH, TARGETS, SHOWN = 100, 16, 6  # known pictures of each numeral; pictures under attack; those drawn
STEP, PER_FRAME = 0.02, 2  # step of Adam, in shades; steps a frame


@dataclass(frozen=True)
class Config(Learning):
    """The settings of a feature collision, and of the network whose features are used."""

    target: int = knob(3, "numeral to be misread", 0, 9)
    base: int = knob(8, "as this one", 0, 9, help="the poison is such a numeral, and labelled so")
    beta: float = knob(0.3, "likeness to its picture", 0.01, 10.0, symbol=r"\beta", log=True)
    steps: int = knob(100, "steps", 10, 200, folded=True)


class Frame(NamedTuple):
    """Sixteen poisonings, of one target each, after some steps of making the poison. Means over them."""

    step: int
    features: float  # distance of poison and target in features, over that of the base and the target
    pixels: float  # distance of poison and base in pixels, over that of the target and the base
    success: float  # share of the targets that are read as the base once the poison is among the known pictures
    before: float  # the same without poison
    accuracy: float  # share of the other held-out pictures that are read right, with poison
    clean: float  # and without
    images: np.ndarray  # (18, h, w) targets, the pictures that the poisons began as, the poisons


def distinct(cfg: Config) -> tuple[Config, str]:
    """Two different numerals, and a sentence where they were the same."""
    if cfg.base != cfg.target:
        return cfg, ""
    other = (cfg.target + 1) % 10
    return replace(cfg, base=other), f"The two numerals must differ; the poison is a {other} now."


class Stage(NamedTuple):
    """The pictures of one run and a network's features of them."""

    target: Tensor  # (k, h, w) held-out pictures that are to be misread, k ≤ 16
    base: Tensor  # (k, h, w) for each the picture of the base that lies nearest in features
    known: Tensor  # (n, f) features of the known pictures
    labels: Tensor  # (n,)
    goal: Tensor  # (k, f) features of the targets
    others: Tensor  # (m, f) features of other held-out pictures
    right: Tensor  # (m,)


@torch.no_grad()
def stage(cfg: Config, model: Model) -> Stage:
    """A hundred known pictures of each numeral, the targets, and for each the nearest picture of the base."""
    seen = examples(cfg.data)
    order = torch.randperm(len(seen.train), generator=generator(cfg.seed + 1000)).to(DEVICE)
    of = [order[seen.labels[order] == numeral] for numeral in range(10)]
    known, spare = torch.cat([rows[:EACH] for rows in of]), of[cfg.base][EACH:]
    hit = (seen.test_labels == cfg.target) & (model(seen.test).argmax(1) == cfg.target)
    rows = (hit if hit.any() else seen.test_labels == cfg.target).nonzero()[:TARGETS, 0]
    rest = torch.ones(len(seen.test), dtype=torch.bool, device=DEVICE).index_fill(0, rows, False)
    goal = features(model, seen.test[rows])
    nearest = torch.cdist(goal, features(model, seen.train[spare])).argmin(1)
    return Stage(seen.test[rows], seen.train[spare][nearest], features(model, seen.train[known]), seen.labels[known],
                 goal, features(model, seen.test[rest]), seen.test_labels[rest])  # fmt: skip


def features(model: Model, x: Tensor) -> Tensor:
    """What the last layer of the network sees: (n, h, w) -> (n, f)"""
    return model.net.embed(model.weights, x)


def nearest(on: Stage, poison: Tensor, base: int) -> tuple[Tensor, Tensor]:
    """What the nearest known picture is, for victims that know one poison (k, f): of targets (k,), of others (k, m)."""
    far = torch.cdist(torch.cat([on.goal, on.others]), on.known)
    gap, at = far.min(1)
    read = on.labels[at]
    k = len(on.goal)
    own = torch.where((on.goal - poison).norm(dim=1) < gap[:k], base, read[:k])
    others = torch.where(torch.cdist(poison, on.others) < gap[k:], base, read[k:])
    return own, others


def run(cfg: Config) -> Iterator[Frame]:
    """Adam on |φ(x) - φ(t)|² / |φ(b) - φ(t)|² + β |x - b|² / |t - b|², the objective of Shafahi et al. 2018."""
    model = trained(cfg)
    on = stage(cfg, model)
    start = (features(model, on.base) - on.goal).norm(dim=1).clamp_min(1e-6)
    apart = (on.target - on.base).flatten(1).norm(dim=1).clamp_min(1e-6)
    x = on.base.clone().requires_grad_()
    rule = torch.optim.Adam([x], STEP)
    first: Frame | None = None
    for step in range(cfg.steps + 1):
        if step % PER_FRAME == 0 or step == cfg.steps:
            frame = look(cfg, on, x.detach(), features(model, x.detach()), step, start, apart)
            first = first or frame
            yield frame._replace(before=first.success, clean=first.accuracy)
        rule.zero_grad()
        near = ((features(model, x) - on.goal).norm(dim=1) / start).square()
        (near + cfg.beta * ((x - on.base).flatten(1).norm(dim=1) / apart).square()).sum().backward()
        rule.step()
        with torch.no_grad():
            x.clamp_(0, 1)


def look(cfg: Config, on: Stage, x: Tensor, now: Tensor, step: int, start: Tensor, apart: Tensor) -> Frame:
    """Everything that a frame shows of poisons x: (k, h, w) with features now: (k, f)"""
    own, others = nearest(on, now, cfg.base)
    success, accuracy = float((own == cfg.base).float().mean()), float((others == on.right).float().mean())
    shown = torch.cat([part[:SHOWN] for part in (on.target, on.base, x)])
    return Frame(
        step,
        features=float(((now - on.goal).norm(dim=1) / start).mean()),
        pixels=float(((x - on.base).flatten(1).norm(dim=1) / apart).mean()),
        success=success,
        before=success,
        accuracy=accuracy,
        clean=accuracy,
        images=shown.cpu().numpy().copy(),
    )
