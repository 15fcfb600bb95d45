"""A backdoor: a small sign on a few training pictures, and a network that obeys it and is right otherwise."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples.training import accuracy
from engine.data import digits
from engine.data.drawing import SIDE, check_picture, decode_picture
from engine.device import DEVICE, generator
from engine.knob import knob
from engine.nets import Descent, Networks, cross_entropy

SHARES = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of the training pictures that carry the sign
SEEDS, CHUNK, BATCH, SHOWN = 3, 6, 64, 10  # networks for each share; steps a frame; pictures a step and drawn
NET = Networks((64, 32, 10))
SIGNS = {"corner": "a square in a corner", "dot": "one pixel", "cross": "a small cross", "yours": "yours, drawn"}
PLACES = {"corner": ((6, 6), (6, 7), (7, 6), (7, 7)), "dot": ((7, 7),),
          "cross": ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2))}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """The settings of a backdoor."""

    sign: str = knob("corner", "sign", choices=SIGNS, help="Draw your own with the pencil")
    strength: float = knob(1.0, "how dark the sign is", 0.0, 1.0)
    target: int = knob(0, "read as", 0, 9, help="the numeral that every picture with the sign is to be read as")
    share: str = knob("0.05", "share shown", choices={str(s): f"{100 * s:g} %" for s in SHARES})
    steps: int = knob(300, "training steps", 50, 800, log=True, folded=True)
    picture: str = knob("", "your sign", text=check_picture, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other first weights, other victims")


class Frame(NamedTuple):
    """The networks of all shares after some steps. Accuracies are over the held-out pictures, means of three seeds."""

    step: int
    clean: float  # of the share shown
    clean_low: float
    clean_high: float
    success: float  # share of the pictures of other numerals that are read as the target once they carry the sign
    success_low: float
    success_high: float
    drop: float  # accuracy without any poison less that of the share shown
    curve_clean: np.ndarray  # (8, 2) poisoned pictures in percent, least shown as 0.1, and accuracy in percent
    curve_success: np.ndarray  # (8, 2) and success
    images: np.ndarray  # (20, 8, 8) held-out pictures, and the same with the sign
    read: np.ndarray  # (20,) what the first network of the share shown reads


def sign(cfg: Config) -> Tensor:
    """How much ink the sign lays on each pixel: (64,) in 0..1; nothing while yours is not drawn"""
    if cfg.sign != "yours":
        mask = torch.zeros(8, 8)
        for row, column in PLACES[cfg.sign]:
            mask[row, column] = 1.0
    else:
        drawn = decode_picture(cfg.picture) if cfg.picture else np.zeros((SIDE, SIDE), np.float32)
        mask = torch.nn.functional.adaptive_max_pool2d(torch.from_numpy(drawn)[None], 8)[0]
    return cfg.strength * mask.flatten().to(DEVICE)


def stamped(x: Tensor, mask: Tensor) -> Tensor:
    """The pictures with the sign: (..., 64), (64,) -> (..., 64)"""
    return torch.maximum(x, mask)


@lru_cache(maxsize=1)
def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and held-out pictures (n, 64) with their labels (n,)"""
    train, test = digits.split(0)
    return train.images.flatten(1), train.labels, test.images.flatten(1), test.labels


def victims(n: int, rng: torch.Generator) -> Tensor:
    """Which of the n training pictures carry the sign, for every network: (k, n); more where the share is larger."""
    rank = torch.stack([torch.randperm(n, generator=rng) for _ in range(SEEDS)]).argsort(1)
    return torch.cat([rank < round(share * n) for share in SHARES]).to(DEVICE)


def run(cfg: Config) -> Iterator[Frame]:
    """Train three networks for each share in one batch; some pictures carry the sign (Gu et al. 2017)."""
    x, y, *_ = data()
    rng, mask = generator(cfg.seed), sign(cfg)
    start = NET.init(SEEDS, rng).repeat(len(SHARES), 1)
    hit = victims(len(x), rng)
    descent = Descent(start, cfg.steps, 0.01)
    yield look(cfg, start, mask, 0)
    while descent.step < cfg.steps:
        for _ in range(min(CHUNK, cfg.steps - descent.step)):
            rows = torch.randint(len(x), (BATCH,), generator=rng).to(DEVICE)
            bad = hit[:, rows]
            seen = torch.where(bad[..., None], stamped(x[rows], mask), x[rows])
            labels = torch.where(bad, cfg.target, y[rows])
            descent(lambda w, seen=seen, labels=labels: cross_entropy(NET(w, seen), labels).mean(1).sum())
        yield look(cfg, descent.weights.detach(), mask, descent.step)


def look(cfg: Config, weights: Tensor, mask: Tensor, step: int) -> Frame:
    """Everything that a frame shows of the networks (24, size)."""
    _, _, x, y = data()
    others = y != cfg.target
    target = torch.full_like(y[others], cfg.target)
    clean = accuracy(NET, weights, x[None], y[None]).view(-1, SEEDS)
    success = accuracy(NET, weights, stamped(x[others], mask)[None], target[None]).view(-1, SEEDS)
    at = [str(share) for share in SHARES].index(cfg.share)
    firsts = torch.stack([(y == label).nonzero()[0, 0] for label in range(SHOWN)])
    shown = torch.cat([x[firsts], stamped(x[firsts], mask)])
    read = NET(weights[at * SEEDS][None], shown[None])[0].argmax(1)
    percent = 100 * torch.tensor(SHARES).clamp_min(0.001)
    return Frame(
        step,
        *spread(clean[at]),
        *spread(success[at]),
        drop=float(clean[0].mean() - clean[at].mean()),
        curve_clean=torch.stack([percent, 100 * clean.mean(1).cpu()], 1).numpy(),
        curve_success=torch.stack([percent, 100 * success.mean(1).cpu()], 1).numpy(),
        images=shown.view(-1, 8, 8).cpu().numpy().copy(),
        read=read.float().cpu().numpy(),
    )


def spread(values: Tensor) -> tuple[float, float, float]:
    """Mean, least and most."""
    return float(values.mean()), float(values.min()), float(values.max())
