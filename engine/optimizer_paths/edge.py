"""The edge of stability: gradient descent sharpens a loss until its own step size stops it, on some tasks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.lanczos import sharpness
from engine.optimizer_paths.landscape import finite
from engine.optimizer_paths.rules import Hyper
from engine.optimizer_paths.spectrum import stability_limit
from engine.optimizer_paths.task import Network, Task, digit_tasks
from engine.optimizer_paths.training import Recipe, train

FRAMES, POINTS, RATIOS = 120, 20, (1.0, 2**0.5, 2.0)  # of a run; of the Chebyshev task; of the step sizes
TASKS = {"chebyshev": "a polynomial, tanh", "digits": "digits, relu (control)"}
EDGE_RULES = {"gd": "gradient descent", "momentum": "momentum", "nesterov": "Nesterov"}
FEW = 300  # digits of the control


@dataclass(frozen=True)
class Config:
    """The settings of three runs of full-batch training that differ in their step sizes."""

    task: str = knob("chebyshev", "task", choices=TASKS)
    rule: str = knob("gd", "rule", choices=EDGE_RULES)
    step_size: float = knob(
        0.2, "step size", 0.01, 1.0, symbol=r"\epsilon", log=True, help="the others take √2 and 2 times as much"
    )
    steps: int = knob(8000, "steps", 100, 12000, log=True)
    degree: int = knob(4, "degree of the polynomial", 2, 6, help="Chebyshev's polynomial, at 20 points")
    mu: float = knob(0.9, "momentum", 0.0, 0.95, symbol=r"\mu", folded=True)
    width: int = knob(30, "hidden units", 5, 100, log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)

    @property
    def step_sizes(self) -> list[float]:
        """Those of the three runs."""
        return [self.step_size * ratio for ratio in RATIOS]


class Frame(NamedTuple):
    """Three networks from the same start after some steps of all examples at once; exact but for rounding."""

    step: int
    largest: np.ndarray  # (3,) lambda_max
    limit: np.ndarray  # (3,) the sharpness at which each rule turns unstable: 2 / eps for gradient descent
    share: np.ndarray  # (3,) lambda_max over that limit; 1 is the edge of stability
    loss: np.ndarray  # (3,)
    diverged: int  # step at which the first of them was lost, -1 while none is


def chebyshev(degree: int, width: int) -> Task:
    """A tanh network with one hidden layer, and a Chebyshev polynomial at 20 places (Cohen et al. 2021), float64."""
    x = torch.linspace(-1, 1, POINTS, dtype=torch.float64)[None]
    return Task(Network((1, width, 1), "tanh"), x, torch.cos(degree * torch.acos(x)), "square")


def task_of(cfg: Config) -> Task:
    """The task of the three runs."""
    if cfg.task == "chebyshev":
        return chebyshev(cfg.degree, cfg.width)
    return digit_tasks(cfg.width, 1)[0].take(torch.arange(FEW)).to(torch.float64, "cpu")


def follow(task: Task, start: Tensor, cfg: Config) -> Iterator[Frame]:
    """The three runs from start (1, size), at about 120 evenly spread steps."""
    sizes, rng = cfg.step_sizes, generator(cfg.seed + 1000)
    limit = np.array([stability_limit(cfg.rule, size, cfg.mu) for size in sizes])
    recipe = Recipe(cfg.rule, torch.tensor(sizes).to(start)[:, None], 0, Hyper(mu=cfg.mu))
    wanted = {round(i * cfg.steps / FRAMES) for i in range(FRAMES + 1)}
    for now in train(task, start.expand(len(sizes), -1).contiguous(), recipe, cfg.steps, rng):
        if now.step not in wanted:
            continue
        largest = np.array([sharpness(task, one[None], rng) for one in now.weights])
        lost = now.diverged[now.diverged >= 0]
        yield Frame(
            step=now.step,
            largest=np.where(now.diverged.numpy() >= 0, np.nan, largest),
            limit=limit,
            share=np.where(now.diverged.numpy() >= 0, np.nan, largest / limit),
            loss=np.array([finite(loss) for loss in task.loss(now.weights).tolist()]),
            diverged=int(lost.min()) if len(lost) else -1,
        )


def run(cfg: Config) -> Iterator[Frame]:
    """Three step sizes from one start, in one batch."""
    task = task_of(cfg)
    yield from follow(task, task.net.init(1, generator(cfg.seed)).to(task.x), cfg)
