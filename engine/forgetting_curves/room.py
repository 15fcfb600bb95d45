"""What room the old task leaves: the spectrum of its activations, and learning only where it has none."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.forgetting_curves.pair import KINDS as PAIRS
from engine.forgetting_curves.pair import Task, accuracy, batch, descend, gradient, pair
from engine.forgetting_curves.subspace import Span, kept, project, rank, spans
from engine.knob import knob
from engine.nets import Networks

KINDS = {name: PAIRS[name] for name in ("permuted", "rotated")}
FIRST, PACE = 120, 0.3  # steps on the old task, and their size
COUNT, EVERY, SEEDS = 32, 3, 3  # examples a step; steps a frame; networks
LEAST = 1e-12  # share of the energy below which a direction counts as unused
FLOOR = 1e-15  # the smallest change that is drawn


@dataclass(frozen=True)
class Config:
    """The settings of learning in the room that is left."""

    data: str = knob("permuted", "tasks", choices=KINDS)
    threshold: float = knob(1.0, "share of the energy protected", 0.0, 1.0, symbol=r"\epsilon", step=0.005)
    examples: int = knob(20, "old examples whose span is stored", 5, 600, log=True)
    width: int = knob(100, "hidden units in each of two layers", 10, 200, log=True)
    step_size: float = knob(0.1, "step size", 0.01, 0.5, symbol=r"\eta", log=True)
    steps: int = knob(300, "steps on the new task", 20, 800, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)


class Frame(NamedTuple):
    """Three networks with projected gradients and the same three without, after some steps on the new task."""

    step: int
    change: np.ndarray  # (3,) largest change of an old output on the stored examples, projected: mean, least, most
    free: np.ndarray  # (3,) the same without projection
    old: np.ndarray  # (3,) percent of old test examples read right, projected
    new: np.ndarray  # (3,)
    old_free: np.ndarray  # (3,) without projection
    new_free: np.ndarray  # (3,)
    moved: float  # length of the projected weights' way over that of the free ones', mean
    ranks: np.ndarray  # (3,) directions protected in each layer, mean
    sizes: np.ndarray  # (3,) directions that there are
    room: np.ndarray  # (3, 2) layer, and percent of the directions left
    spectrum: np.ndarray  # (3, m, 2) of each layer: direction, share of the energy, first network
    before: float  # percent of old test examples read right at the start


class Start(NamedTuple):
    """Networks that know the old task, and what their layers saw of it."""

    net: Networks
    weights: Tensor  # (3, size)
    spans: list[Span]
    stored: Tensor  # (n, inputs)
    outputs: Tensor  # (3, n, classes) on the stored examples
    before: float


@lru_cache(maxsize=16)
def start(data: str, examples: int, width: int, seed: int) -> Start:
    """Learn the old task and keep the span of some of its examples, in double precision."""
    tasks, net, rng = pair(data, 90.0, seed), Networks((64, width, width, 10)), generator(seed)
    weights = descend(net, net.init(SEEDS, rng), tasks.old, FIRST, rng, step_size=PACE).double()
    stored = tasks.old.x[None, :examples].double()
    before = float(accuracy(net, weights, cast(tasks.old)).mean())
    return Start(net, weights, spans(net, weights, stored), stored[0], net(weights, stored), before)


def cast(task: Task) -> Task:
    """The task with its inputs in double precision."""
    return task._replace(x=task.x.double(), test_x=task.test_x.double())


def bent(net: Networks, g: Tensor, bases: list[Tensor]) -> Tensor:
    """The gradients of the first half of the networks projected, the others as they are: (6, size) -> (6, size)"""
    half = len(g) // 2
    return torch.cat([project(net, g[:half], bases), g[half:]])


def run(cfg: Config) -> Iterator[Frame]:
    """Three steps on the new task a frame; the projectors stay as they were stored."""
    on, tasks, rng = (
        start(cfg.data, cfg.examples, cfg.width, cfg.seed),
        pair(cfg.data, 90.0, cfg.seed),
        generator(cfg.seed),
    )
    ranks = [rank(span.energy, cfg.threshold, LEAST) for span in on.spans]
    bases = [kept(span, r) for span, r in zip(on.spans, ranks, strict=True)]
    old, new = cast(tasks.old), cast(tasks.new)
    weights, facts = on.weights.repeat(2, 1), layers(on, ranks)
    for step in range(cfg.steps + 1):
        if step % EVERY == 0 or step == cfg.steps:
            yield look(on, weights, step, old, new, facts)
        g = gradient(on.net, weights, *batch(new, COUNT, rng))
        weights = weights - cfg.step_size * bent(on.net, g, bases)


def layers(on: Start, ranks: list[Tensor]) -> dict[str, np.ndarray]:
    """What stays the same over the steps: ranks, sizes, room and spectrum of the three layers."""
    sizes = np.array([span.axes.shape[1] for span in on.spans], np.float32)
    protected = np.array([float(r.float().mean()) for r in ranks], np.float32)
    longest = max(span.energy.shape[1] for span in on.spans)
    spectrum = np.full((len(on.spans), longest, 2), np.nan, np.float32)
    for row, span in zip(spectrum, on.spans, strict=True):
        energy = span.energy[0].clamp_min(1e-12).cpu().numpy()
        row[: len(energy)] = np.stack([np.arange(1, len(energy) + 1), energy], 1)
    left = 100 * (1 - protected / sizes)
    room = np.stack([np.arange(1, len(sizes) + 1), left], 1).astype(np.float32)
    return {"ranks": protected, "sizes": sizes, "room": room, "spectrum": spectrum}


@torch.no_grad()
def look(on: Start, weights: Tensor, step: int, old: Task, new: Task, facts: dict[str, np.ndarray]) -> Frame:
    """What a frame shows of the networks (6, size)."""
    half = len(weights) // 2
    off = (on.net(weights, on.stored[None]) - on.outputs.repeat(2, 1, 1)).abs().amax((1, 2)).clamp_min(FLOOR)
    read = [100 * accuracy(on.net, weights, task) for task in (old, new)]
    far = (weights - on.weights.repeat(2, 1)).norm(dim=1)
    return Frame(
        step=step,
        change=spread(off[:half]),
        free=spread(off[half:]),
        old=spread(read[0][:half]),
        new=spread(read[1][:half]),
        old_free=spread(read[0][half:]),
        new_free=spread(read[1][half:]),
        moved=float(far[:half].mean() / far[half:].mean()) if step else 1.0,
        before=100 * on.before,
        **facts,
    )


def spread(values: Tensor) -> np.ndarray:
    """Mean, least and most: (k,) -> (3,)"""
    return torch.stack([values.mean(), values.min(), values.max()]).float().cpu().numpy()
