"""What robustness costs: one network for each of eight settings of its adversary, trained side by side on digits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples.defend import Data, alignment, load, scaled
from engine.adversarial_examples.training import OBJECTIVES, Adversary, Problem, accuracy, input_gradient, robust
from engine.device import DEVICE, generator
from engine.knob import knob
from engine.nets import Descent

COUNT, SEEDS, BATCH, TESTED = 8, 2, 64, 80  # settings; networks for each; examples a step, and for a look
SWEEPS = {"eps_train": "radius in training", "a": "share of clean examples"}
SHOWN = (0, 2, 3, 7)  # the digits whose slopes are drawn
LOOKS = 67  # frames of a training


@dataclass(frozen=True)
class Config:
    """The settings of a frontier."""

    sweep: str = knob("eps_train", "along the frontier", choices=SWEEPS)
    eps: float = knob(0.15, "radius of the attack", 0.0, 0.4, symbol=r"\varepsilon")
    most: float = knob(0.25, "largest radius in training", 0.02, 0.4, help="for clean and PGD examples: the radius")
    steps: int = knob(200, "training steps", 60, 800, log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other first weights, other batches")

    @property
    def values(self) -> Tensor:
        """What the eight settings are: (8,)"""
        return torch.linspace(0, 1 if self.sweep == "a" else self.most, COUNT)


class Frame(NamedTuple):
    """The eight settings after some steps. Accuracies are percentages of held-out digits, means of two networks."""

    step: int
    front: np.ndarray  # (8, 2) accuracy on clean digits, and under attack (an upper bound)
    clean: np.ndarray  # (8, 2) setting, accuracy on clean digits
    robust: np.ndarray  # (8, 2) setting, accuracy under attack
    shaped: np.ndarray  # (8, 2) setting, mean |cos| in percent between a digit and the slope of its loss
    images: np.ndarray  # (36, 8, 8) four digits, each followed by the slopes of its loss at the eight settings
    paid: float  # clean accuracy of the first setting less that of the last one, 0 to 1
    gained: float  # robust accuracy of the last setting less that of the first one


def training(cfg: Config) -> Iterator[tuple[int, Tensor]]:
    """Weights (16, size) after some steps: two networks for each setting, in the order of the settings."""
    seen, rng = load("digits", 0), generator(cfg.seed)
    start = seen.net.init(SEEDS, rng).repeat(COUNT, 1)
    value = cfg.values.repeat_interleave(SEEDS).to(DEVICE)
    eps = value if cfg.sweep == "eps_train" else torch.full_like(value, cfg.most)
    adversary, objective = Adversary(eps[:, None, None]), OBJECTIVES["pgd" if cfg.sweep == "eps_train" else "mixed"]
    descent, wanted = Descent(start, cfg.steps, 0.01), {round(i * cfg.steps / LOOKS) for i in range(LOOKS + 1)}
    yield 0, start
    while descent.step < cfg.steps:
        rows = torch.randint(len(seen.x), (BATCH,), generator=rng).to(DEVICE)
        ramp = adversary._replace(eps=adversary.eps * min(1.0, 2 * (descent.step + 1) / cfg.steps))
        on = Problem(seen.net, seen.x[None, rows], seen.y[None, rows], ramp, value[:, None], rng)
        descent(lambda w, on=on: objective(on, w).mean(1).sum())
        if descent.step in wanted:
            yield descent.step, descent.weights.detach().clone()


def run(cfg: Config) -> Iterator[Frame]:
    """The training, looked at about 67 times; the last look takes all held-out digits."""
    for step, weights in training(cfg):
        yield look(cfg, weights, step, 1000 if step == cfg.steps else TESTED)


def look(cfg: Config, weights: Tensor, step: int, tested: int) -> Frame:
    """Everything that a frame shows of the networks (16, size)."""
    seen, value = load("digits", 0), cfg.values
    x, y = seen.test[:, :tested], seen.labels[:, :tested]
    attack = Adversary(torch.full((len(weights), 1, 1), cfg.eps, device=DEVICE))
    clean = mean(accuracy(seen.net, weights, x, y))
    held = mean(robust(seen.net, weights, x, y, attack, generator(1)))
    slope = input_gradient(seen.net, weights[::SEEDS], x, y)
    return Frame(
        step,
        front=100 * np.stack([clean, held], 1),
        clean=np.stack([value, 100 * clean], 1),
        robust=np.stack([value, 100 * held], 1),
        shaped=np.stack([value, 100 * alignment(slope, x).cpu().numpy()], 1),
        images=pictures(seen, weights[::SEEDS]),
        paid=float(clean[0] - clean[-1]),
        gained=float(held[-1] - held[0]),
    )


def mean(values: Tensor) -> np.ndarray:
    """Of the networks of each setting: (16,) -> (8,)"""
    return values.view(COUNT, SEEDS).mean(1).cpu().numpy()


def pictures(seen: Data, weights: Tensor) -> np.ndarray:
    """Four digits, each followed by its slopes: (36, 8, 8)"""
    rows = torch.stack([(seen.labels[0] == label).nonzero()[0, 0] for label in SHOWN])
    slope = scaled(input_gradient(seen.net, weights, seen.test[:, rows], seen.labels[:, rows]))
    return torch.cat([seen.test[:, rows], slope]).transpose(0, 1).reshape(-1, 8, 8).cpu().numpy().copy()
