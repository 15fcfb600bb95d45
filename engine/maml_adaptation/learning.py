"""Meta-training: every method on the same tasks, at equal iterations or at equal work."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.knob import knob, part
from engine.maml_adaptation.learner import Learner
from engine.maml_adaptation.meta import METHODS, Adam, Inner, meta_step
from engine.maml_adaptation.sinusoids import FAMILIES, Tasks, batches
from engine.tape import record

FAST_LR, META_LR = 0.01, 0.015
TRAINED = tuple(name for name in METHODS if name != "random")


class Student:
    """Initial weights (s, size) that one method trains, on a stream of batches that every method sees the same of."""

    def __init__(self, method: str, start: Tensor, stream: Iterator[Tasks], meta_lr: float = META_LR) -> None:
        self.method, self.stream, self.net = method, stream, Learner()
        self.rule = Adam(start, meta_lr)

    def teach(self, upto: int, total: int, how: Inner, mixed_up: bool = False) -> None:
        """Meta-iterations until there have been `upto` of `total`; the outer step falls along half a cosine."""
        while self.rule.step < upto:
            share = 0.5 + 0.5 * cos(pi * self.rule.step / total)
            tasks = next(self.stream)
            tasks = tasks.mixed_up() if mixed_up and self.method != "joint" else tasks
            meta_step(self.net, self.method, self.rule, tasks, how, share)


def meta_train(
    method: str = "maml",
    *,
    meta_iterations: int = 600,
    adaptation_steps: int = 3,
    fast_lr: float = FAST_LR,
    meta_lr: float = META_LR,
    meta_batch_size: int = 20,
    shots: int = 10,
    family: str = "sinusoids",
    seeds: int = 1,
    seed: int = 0,
) -> Tensor:
    """Initial weights (seeds, size) that a method of METHODS learns from a family of tasks.

    Raises ValueError for an unknown method or family.
    """
    if method not in METHODS:
        raise ValueError(f"saw a method called {method!r}; expected one of {', '.join(METHODS)}")
    start = Learner().init(seeds, generator(seed))
    stream = batches(seeds * meta_batch_size, shots, generator(seed + 1), family=family)
    student = Student(method, start, stream, meta_lr)
    student.teach(meta_iterations, meta_iterations, Inner(fast_lr, adaptation_steps))
    return student.rule.weights


@dataclass(frozen=True)
class Learning:
    """The settings that the initial weights depend on."""

    family: str = knob("sinusoids", "meta-trained on", choices={k: f.label for k, f in FAMILIES.items()}, folded=True)
    adaptation_steps: int = knob(3, "inner steps in meta-training", 1, 5, symbol="k", folded=True)
    meta_iterations: int = knob(600, "meta-iterations", 50, 2000, log=True, folded=True)
    seed: int = knob(0, "seed of the meta-training", 0, 99, folded=True)

    @property
    def learning(self) -> "Learning":
        """The part of the settings that the initial weights depend on."""
        return part(Learning, self)


class Moment(NamedTuple):
    """The initial weights after some meta-iterations."""

    progress: float  # 0 to 1
    weights: np.ndarray  # (6, size) a method each, in the order of METHODS; (0, size) before the end


def learn(cfg: Learning) -> Iterator[Moment]:
    """All methods side by side, four iterations a frame."""
    start = Learner().init(1, generator(cfg.seed))
    students = [Student(name, start, batches(20, 10, generator(cfg.seed + 1), family=cfg.family)) for name in TRAINED]
    how, none = Inner(FAST_LR, cfg.adaptation_steps), np.zeros((0, start.shape[1]), np.float32)
    for upto in range(4, cfg.meta_iterations + 4, 4):
        for student in students:
            student.teach(min(upto, cfg.meta_iterations), cfg.meta_iterations, how)
        if upto < cfg.meta_iterations:
            yield Moment(upto / cfg.meta_iterations, none)
    weights = torch.cat([*(student.rule.weights for student in students), start])
    yield Moment(1.0, weights.cpu().numpy())


def learned(cfg: Learning) -> dict[str, Tensor]:
    """Initial weights (size,) by method; meta-trains to the end if nobody has yet."""
    last = record(learn, cfg).wind().frames[-1]
    return dict(zip(METHODS, torch.tensor(last.weights, device=DEVICE), strict=True))
