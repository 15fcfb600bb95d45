"""A network trained by any rule, its way through the space of weights remembered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.knob import knob, part
from engine.optimizer_paths.rules import RULES, Hyper
from engine.optimizer_paths.task import Task, digit_tasks
from engine.tape import record

NETWORK_RULES = {
    "gd": "gradient descent",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "adagrad": "Adagrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
    "sam": "SAM",
}
CHECKPOINTS = 60  # moments of a training that are kept, besides its start
FAR = 1e4  # a weight beyond this has diverged


@dataclass(frozen=True)
class Recipe:
    """How to train: the rule, its step size, and how many examples each step sees (0: all of them)."""

    rule: str = "momentum"
    step_size: float | Tensor = 0.05  # one for all networks, or (k, 1)
    batch_size: int = 64
    hyper: Hyper = Hyper()


class Moment(NamedTuple):
    """Where k networks are after some steps."""

    step: int
    weights: Tensor  # (k, size), never changed afterwards
    diverged: Tensor  # (k,) the step at which a network was lost, -1 while it is not


def train(task: Task, weights: Tensor, recipe: Recipe, steps: int, rng: torch.Generator) -> Iterator[Moment]:
    """Steps from weights: (k, size), the start first. Every network draws its own examples, with replacement.

    A network whose weights are no longer finite, or beyond 10 000, stays where it last was.
    """
    rule, state = RULES[recipe.rule], RULES[recipe.rule].init(weights)
    diverged = torch.full((len(weights),), -1)
    yield Moment(0, weights, diverged)
    for step in range(steps):
        here = batch(task, len(weights), recipe.batch_size, rng)
        moved, state = rule.step(here.gradient, weights, state, recipe.hyper, step, recipe.step_size)
        lost = ~(moved.abs() < FAR).all(1)
        if bool(lost.any()):
            moved = torch.where(lost[:, None], weights, moved)
            diverged = torch.where(lost.cpu() & (diverged < 0), step + 1, diverged)
        weights = moved
        yield Moment(step + 1, weights, diverged)


def batch(task: Task, k: int, size: int, rng: torch.Generator) -> Task:
    """A few random examples for each of k networks; all of them where size is 0 or covers the set."""
    n = task.x.shape[1]
    if not size or size >= n:
        return task
    rows = torch.randint(n, (k, size) if k > 1 else (size,), generator=rng)
    return task.take(rows.to(task.x.device))


def final(moments: Iterator[Moment]) -> Moment:
    """The last of them."""
    *_, last = moments
    return last


@dataclass(frozen=True)
class Training:
    """The settings of one training run on the real digits."""

    rule: str = knob("momentum", "rule", choices=NETWORK_RULES)
    step_size: float = knob(0.05, "step size", 1e-4, 1.0, symbol=r"\epsilon", log=True)
    batch_size: int = knob(64, "batch size", 4, 1024, symbol="B", log=True, help="examples that each step sees")
    steps: int = knob(600, "steps", 10, 2000, log=True)
    width: int = knob(32, "hidden units", 2, 64, log=True, folded=True)
    activation: str = knob("relu", "activation", choices=("relu", "tanh"), folded=True)
    mu: float = knob(0.9, "momentum", 0.0, 0.99, symbol=r"\mu", folded=True)
    rho: float = knob(0.05, "SAM's radius", 0.0, 0.5, symbol=r"\rho", folded=True)
    weight_decay: float = knob(0.01, "AdamW's weight decay", 0.0, 0.3, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other first weights, other batches")

    @property
    def training(self) -> "Training":
        """These settings alone, for a run that other views share."""
        return part(Training, self)

    @property
    def recipe(self) -> Recipe:
        """The rule with its settings."""
        hyper = Hyper(mu=self.mu, rho=self.rho, weight_decay=self.weight_decay)
        return Recipe(self.rule, self.step_size, self.batch_size, hyper)

    @property
    def tasks(self) -> tuple[Task, Task]:
        """The network on the training set and on the test set."""
        return digit_tasks(self.width, 1, self.activation)


class Checkpoint(NamedTuple):
    """The network after some steps."""

    step: int
    progress: float  # share of the training that is done
    weights: np.ndarray  # (size,) float32
    diverged: int  # step at which its weights ran away, -1 if they have not


def learn(cfg: Training) -> Iterator[Checkpoint]:
    """Train on the digits; at most 61 evenly spread checkpoints, the first and the last moment among them."""
    task, rng = cfg.tasks[0], generator(cfg.seed)
    wanted = {round(i * cfg.steps / CHECKPOINTS) for i in range(CHECKPOINTS + 1)}
    for now in train(task, task.net.init(1, rng), cfg.recipe, cfg.steps, rng):
        if now.step in wanted:
            weights = now.weights[0].cpu().numpy().copy()
            yield Checkpoint(now.step, now.step / cfg.steps, weights, int(now.diverged[0]))


def learned(cfg: Training) -> tuple[list[Checkpoint], Tensor]:
    """The checkpoints of a training, run to its end if it has not been, and their weights (m, size)."""
    frames = record(learn, cfg.training).wind().frames
    return frames, torch.from_numpy(np.stack([frame.weights for frame in frames])).to(DEVICE)
