"""The straight way from one minimum to another: over a wall, around it, or over none at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.landscape import finite, height
from engine.optimizer_paths.task import Network, Task
from engine.optimizer_paths.training import Training, train

PLACES, FRAMES = 49, 50  # on the line; of a run
LINE = np.linspace(-0.25, 1.25, PLACES).astype(np.float32)  # 0 is the first network, 1 the second


@dataclass(frozen=True)
class Config(Training):
    """The settings of two networks that are trained together for a while and then apart."""

    shared: int = knob(0, "steps together", 0, 600, help="then they part: each goes on with its own batches")
    match: bool = knob(
        True, "reorder hidden units", help="also show the line to the second network, its units reordered"
    )


class Frame(NamedTuple):
    """The line between the two networks after some steps. All losses are over the training set."""

    step: int
    line: np.ndarray  # (49, 2) place and log10 loss; the networks are at 0 and 1
    matched: np.ndarray  # (49, 2) the same after the second one's hidden units are reordered
    ends: np.ndarray  # (2, 2) the networks themselves
    wall: float  # highest loss between them, less that of the straight line from one end's loss to the other's
    matched_wall: float
    loss: float  # mean of the two
    gap: float  # distance between the two in weights, over their mean length
    accuracy: float  # of the two on the test set, mean
    middle_accuracy: float  # of the network halfway between


def matched(net: Network, one: Tensor, other: Tensor, x: Tensor) -> Tensor:
    """`other` (1, size) with its hidden units in the order that makes them most like those of `one`.

    The function stays the same. Units are paired by the inner products of their activations on x over the examples,
    by the Hungarian method (activation matching, Ainsworth et al. 2023). For one hidden layer.
    """
    a, b = (net.forward(w, x)[1][1][0] for w in (one, other))
    a, b = ((h - h.mean(1, keepdim=True)) for h in (a, b))
    _, order = linear_sum_assignment((a @ b.T).double().cpu().numpy(), maximize=True)
    pick = torch.from_numpy(order).to(other.device)
    first, bias, second, *rest = net.parts(other)
    pieces = [first[:, pick], bias[:, pick], second[:, :, pick], *rest]
    return torch.cat([piece.flatten(1) for piece in pieces], 1)


def along(task: Task, pair: Tensor) -> Tensor:
    """The losses on the line through two networks: (2, size) -> (49,)"""
    share = torch.from_numpy(LINE).to(pair)[:, None]
    return torch.cat([task.loss(some) for some in torch.lerp(pair[:1], pair[1:], share).split(8)])


def wall(loss: Tensor) -> float:
    """How far the losses (49,) between 0 and 1 rise above the straight line between those at the ends."""
    inside = (LINE >= -1e-6) & (LINE <= 1 + 1e-6)
    heights, share = loss.double().cpu().numpy()[inside], LINE[inside]
    return finite(float((heights - heights[0] - share * (heights[-1] - heights[0])).max()))


def pairs(cfg: Config) -> Iterator[tuple[int, Tensor]]:
    """The two networks (2, size) at 51 evenly spread steps: equal until they part, when trained together at all."""
    task, rng = cfg.tasks[0], generator(cfg.seed)
    together = min(cfg.shared, cfg.steps)
    start = task.net.init(1 if together else 2, rng).expand(2, -1)
    wanted = {round(i * cfg.steps / FRAMES) for i in range(FRAMES + 1)}
    if together:
        for now in train(task, start[:1], cfg.recipe, together, rng):
            start = now.weights.expand(2, -1)
            if now.step in wanted and now.step < together:
                yield now.step, start
    for now in train(task, start.contiguous(), cfg.recipe, cfg.steps - together, rng):
        if now.step + together in wanted:
            yield now.step + together, now.weights


def run(cfg: Config) -> Iterator[Frame]:
    """Train both and look at the line between them all the while."""
    task, test = cfg.tasks
    for step, pair in pairs(cfg):
        other = matched(task.net, pair[:1], pair[1:], task.x) if cfg.match else pair[1:]
        found = along(task, pair), along(task, torch.cat([pair[:1], other]))
        right = test.accuracy(torch.cat([pair, pair.mean(0, keepdim=True)])).tolist()
        ends = task.loss(pair)
        yield Frame(
            step=step,
            line=np.stack([LINE, height(found[0])], 1),
            matched=np.stack([LINE, height(found[1])], 1),
            ends=np.stack([np.array([0, 1], np.float32), height(ends)], 1),
            wall=wall(found[0]),
            matched_wall=wall(found[1]),
            loss=finite(float(ends.mean())),
            gap=float((pair[0] - pair[1]).norm() / pair.norm(dim=1).mean()),
            accuracy=(right[0] + right[1]) / 2,
            middle_accuracy=right[2],
        )
