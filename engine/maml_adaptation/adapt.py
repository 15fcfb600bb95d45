"""Adapting to one task: a few steps of gradient descent from each of six kinds of initial weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
from torch import Tensor

from engine.knob import knob
from engine.maml_adaptation.given import Given
from engine.maml_adaptation.learner import Layers, Learner, descended, outer, spread
from engine.maml_adaptation.learning import FAST_LR, Learning, learned
from engine.maml_adaptation.meta import METHODS
from engine.maml_adaptation.sinusoids import Tasks

STEPS, OTHERS = 20, 200  # inner steps; other tasks of the same kind
FAR = 1e6  # a loss beyond has run away
INSIDE = {"A": "A, the support set", "B": "B, as the sheet prints"}


@dataclass(frozen=True)
class Config(Given, Learning):
    """The settings of an adaptation."""

    fast_lr: float = knob(FAST_LR, "inner step size", 0.001, 0.2, symbol=r"\varepsilon", log=True)
    inside: str = knob("A", "inner steps on", choices=INSIDE)
    trail: str = knob("maml", "every step of", choices={name: one.label for name, one in METHODS.items()})


class Frame(NamedTuple):
    """Initial weights, and what has become of their loss after some inner steps. Losses are mean squared errors."""

    step: int
    maml: np.ndarray  # (size,) initial weights, the same in every frame
    fomaml: np.ndarray
    reptile: np.ndarray
    anil: np.ndarray
    joint: np.ndarray
    random: np.ndarray
    mine: np.ndarray  # (6,) loss on B of the task shown, a method each; 1e6 where the steps have diverged
    support: np.ndarray  # (6,) loss on A of the task shown
    whole: np.ndarray  # (6,) loss over the whole function of the task shown, without noise
    others: np.ndarray  # (6, 3) loss on B of 200 tasks: median and quartiles
    mean: np.ndarray  # (6,) their mean
    error: np.ndarray  # (6,) its standard error
    diverged: int  # methods whose steps have diverged on the task shown


def adapt(
    net: Learner,
    weights: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    fast_lr: float = FAST_LR,
    adaptation_steps: int = 1,
    head_only: bool = False,
) -> Iterator[Layers]:
    """The weights before and after each step of gradient descent on the mean squared error of t tasks' examples.

    weights: (s, size), x: (t, n, 2) with ones in the last column, y: (t, n, 1); t a multiple of s. Without examples
    nothing changes. head_only: adapt the last layer alone (Raghu et al., 2020). Raises ValueError for other shapes.
    """
    if x.ndim != 3 or x.shape[2] != 2 or y.shape != (*x.shape[:2], 1) or len(x) % len(weights):
        seen = f"{tuple(x.shape)} and {tuple(y.shape)} for {len(weights)} weight vectors"
        raise ValueError(f"saw examples of shapes {seen}; expected (t, n, 2) and (t, n, 1), t a multiple of them")
    at = net.layers(weights)
    yield at
    for _ in range(adaptation_steps):
        seen = net.passed(at, x, y)
        if head_only:
            (head,) = spread(at[-1:], len(x))
            at = (*at[:-1], outer(seen.inputs[-1], seen.slopes[-1], len(x), head, -fast_lr))
        else:
            at = descended(at, seen, fast_lr)
        yield at


def losses(net: Learner, at: Layers, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each task, never beyond 1e6, where it has run away: (t, n, 2), (t, n, 1) -> (t,)"""
    return (net(at, x) - y).square().mean((1, 2)).nan_to_num(nan=FAR).clamp_max(FAR)


def run(cfg: Config) -> Iterator[Frame]:
    """One inner step a frame."""
    net, start = Learner(), learned(cfg.learning)
    mine, others = cfg.tasks(1), cfg.tasks(OTHERS)
    whole = cfg.truth()
    walks = [[walk(net, cfg, name, start[name], tasks) for name in METHODS] for tasks in (mine, others)]
    weights = {name: one.cpu().numpy().copy() for name, one in start.items()}
    judge = others.query_x, others.query_y
    for step in range(STEPS + 1):
        own, many = ([next(walk) for walk in row] for row in walks)
        b = np.array([float(losses(net, at, mine.query_x, mine.query_y)) for at in own])
        yield Frame(
            step=step, **weights, mine=b,
            support=np.array([float(losses(net, at, mine.x, mine.y)) if cfg.shots else nan for at in own]),
            whole=np.array([float(losses(net, at, *whole)) for at in own]),
            **spread_of(np.array([losses(net, at, *judge).double().cpu().numpy() for at in many])),
            diverged=int((b >= FAR).sum()),
        )  # fmt: skip


def walk(net: Learner, cfg: Config, name: str, weights: Tensor, tasks: Tasks) -> Iterator[Layers]:
    """The inner steps of a method, on A or on B."""
    tasks = tasks if cfg.inside == "A" else tasks.mixed_up()
    how = dict(fast_lr=cfg.fast_lr, adaptation_steps=STEPS, head_only=METHODS[name].head_only)
    return adapt(net, weights[None], tasks.x, tasks.y, **how)  # type: ignore[arg-type]


def spread_of(values: np.ndarray) -> dict[str, np.ndarray]:
    """Median and quartiles over tasks, the mean and its standard error: (m, t) -> (m, 3), (m,), (m,)"""
    return {
        "others": np.percentile(values, [50, 25, 75], axis=1).T,
        "mean": values.mean(1),
        "error": values.std(1) / len(values[0]) ** 0.5,
    }
