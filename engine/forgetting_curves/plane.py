"""The plane through the weights learned on the old task, on the new one and on both, and where EWC ends up in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.forgetting_curves import fisher
from engine.forgetting_curves.backprop import product
from engine.forgetting_curves.pair import KINDS, Pair, Task, accuracy, batch, descend, gradient, pair
from engine.knob import knob
from engine.nets import Networks, cross_entropy

NETS = {"points": Networks((2, 16, 2)), "rotated": Networks((64, 24, 10)), "permuted": Networks((64, 24, 10))}
LAMBDAS = np.concatenate([[0.0], np.logspace(0, 5, 11)])  # the strengths trained side by side; 0 is naive
GRID, LINE, LOOKED, EVERY, COUNT = 31, 41, 100, 2, 32  # cells each way, places on the line, examples, steps a frame
FIRST, STEP_SIZE = 160, 0.2  # steps on the old task; of all trainings
LEVEL = 0.2  # nats: the height of the divergence whose outline is drawn


@dataclass(frozen=True)
class Config:
    """The settings of the three trainings and of EWC's."""

    data: str = knob("rotated", "tasks", choices=KINDS)
    angle: float = knob(90.0, "new task turned by", 0.0, 180.0, symbol=r"\varphi", step=5.0, help="degrees")
    kind: str = knob("exact", "Fisher of the penalty", choices=fisher.KINDS)
    steps: int = knob(100, "steps on the new task", 20, 300)
    index: int = knob(6, "strength marked", 0, 11, help="0: none; 1 to 11: λ = 1 to 100 000, a half decade each")
    seed: int = knob(0, "seed", 0, 999, folded=True)


class Frame(NamedTuple):
    """Twelve networks, each bound by EWC with a strength of its own, after some steps on the new task."""

    step: int
    strength: float  # the one marked
    old_right: float  # of the network marked: share of test examples read right
    new_right: float
    joint_right: float  # of the network trained on both: mean over the tasks
    outside: float  # share of the marked network's way that leads out of the plane
    path: np.ndarray  # (12, 2) the networks in the plane, from no penalty to the strongest
    spot: np.ndarray  # (1, 2) the one marked
    right: np.ndarray  # (12, 3) lambda, and the percent read right of the old and of the new task


class Plane(NamedTuple):
    """What stays the same over the steps: three places, two losses, the divergence and its forms."""

    start: Tensor  # (size,) theta_A, the origin of the plane
    axes: Tensor  # (2, size) of length 1: towards theta_B, and at right angles to it
    fisher: Tensor  # (size,) the diagonal for the penalty
    corners: np.ndarray  # (3, 2) theta_A, theta_B, theta_joint
    low: np.ndarray  # (2,) the plane's edges
    high: np.ndarray  # (2,)
    old: np.ndarray  # (31, 31) loss of the old task, nats, first row at the bottom
    new: np.ndarray  # (31, 31)
    apart: np.ndarray  # (31, 31) KL of the outputs on the old task against those of theta_A
    form: np.ndarray  # (2, 2) d^T F d / 2 restricted to the plane, whole Fisher
    diagonal: np.ndarray  # (2, 2) the same with its diagonal only
    line: np.ndarray  # (41, 4) share of the way to theta_B; KL, whole form and diagonal form there
    right: np.ndarray  # (2,) of the joint network


def pulled(weights: Tensor, to: Tensor, importance: Tensor, strength: Tensor, step_size: float) -> Tensor:
    """The proximal step of EWC's penalty: the minimum of |v - w|^2 / 2 eta + lambda / 2 sum F (v - to)^2 in v.

    weights (k, size), to (size,), importance (size,), strength (k,). Stable for every strength, unlike a plain step.
    """
    pull = step_size * strength[:, None] * importance
    return (weights + pull * to) / (1 + pull)


def seen(task: Task, count: int) -> tuple[Tensor, Tensor]:
    """The first examples of a task, spread over it: (1, n, inputs), (1, n)"""
    every = max(1, len(task.y) // count)
    return task.x[None, ::every][:, :count], task.y[None, ::every][:, :count]


@lru_cache(maxsize=16)
def plane(data: str, angle: float, kind: str, steps: int, seed: int) -> Plane:
    """Train on the old task, then on the new one and on both, and lay the plane through the three places."""
    net, tasks, rng = NETS[data], pair(data, angle, seed), generator(seed)
    start = descend(net, net.init(1, rng), tasks.old, FIRST, rng, step_size=STEP_SIZE)
    ends = start.repeat(2, 1)
    for _ in range(steps):
        (x, y), (x_new, y_new) = batch(tasks.old, COUNT, rng), batch(tasks.new, 2 * COUNT, rng)
        xs = torch.cat([x_new, torch.cat([x, x_new[:, :COUNT]], 1)])
        ys = torch.cat([y_new, torch.cat([y, y_new[:, :COUNT]], 1)])
        ends = ends - STEP_SIZE * gradient(net, ends, xs, ys)
    return laid(net, tasks, start[0], ends, kind, seed)


def laid(net: Networks, tasks: Pair, start: Tensor, ends: Tensor, kind: str, seed: int) -> Plane:
    """The plane through the start and the two ends (2, size): the new task's and both tasks'."""
    axes = basis(ends - start)
    corners = torch.cat([torch.zeros(1, 2, device=DEVICE), (ends - start) @ axes.T])
    low, high = corners.amin(0), corners.amax(0)
    room = 0.45 * (high - low).amax()
    importance = fisher.diagonal(kind, net, start[None], tasks.old.x[None], tasks.old.y[None], COUNT, seed)[0]
    with torch.no_grad():
        old, new, apart = heights(net, tasks, start, axes, low - room, high + room)
        return Plane(
            start=start,
            axes=axes,
            fisher=importance,
            corners=array(corners),
            low=array(low - room),
            high=array(high + room),
            old=old,
            new=new,
            apart=apart,
            form=array(fisher.restricted(net, start[None], axes, tasks.old.x[None]) / 2),
            diagonal=array((axes * importance) @ axes.T / 2),
            line=line(net, start, ends[0], tasks.old, importance),
            right=array(torch.cat([accuracy(net, ends[1:], task) for task in tasks])),
        )


def array(values: Tensor) -> np.ndarray:
    """The numbers for a picture."""
    return values.float().cpu().numpy()


def heights(
    net: Networks, tasks: Pair, start: Tensor, axes: Tensor, low: Tensor, high: Tensor
) -> tuple[np.ndarray, ...]:
    """Old loss, new loss and KL on the old task over the plane, on 100 examples of each task: three times (31, 31)"""
    across, up = (torch.linspace(float(a), float(b), GRID) for a, b in zip(low, high, strict=True))
    v, u = torch.meshgrid(up, across, indexing="ij")
    share = torch.stack([torch.ones(GRID * GRID), u.flatten(), v.flatten()], 1).to(start)
    (x, y), (x_new, y_new) = seen(tasks.old, LOOKED), seen(tasks.new, LOOKED)
    logits, other = (mixed(net, torch.cat([start[None], axes]), share, seen_x) for seen_x in (x, x_new))
    found = cross_entropy(logits, y).mean(1), cross_entropy(other, y_new).mean(1)
    return tuple(array(one.view(GRID, GRID)) for one in (*found, divergence(net(start[None], x), logits)))


def mixed(net: Networks, corners: Tensor, share: Tensor, x: Tensor) -> Tensor:
    """Outputs of networks with one hidden layer whose weights are sums of a few, `share @ corners`.

    Their first layer's sums are the same sums of the few networks' own, so that many networks cost little more than
    their last layers. corners (m, size), share (k, m), x (1, n, inputs) -> (k, n, classes)
    """
    first, bias, *last = net.parts(corners)
    hidden = (share @ (x @ first + bias).flatten(1)).relu_().view(len(share), x.shape[1], -1)
    matrix, bias = ((share @ part.flatten(1)).view(len(share), *part.shape[1:]) for part in last)
    return product(hidden, matrix, bias)


def basis(ways: Tensor) -> Tensor:
    """Two directions of length 1 at right angles that span two ways, the first along the first: (2, size)"""
    first = ways[0] / ways[0].norm().clamp_min(1e-12)
    rest = ways[1] - (ways[1] @ first) * first
    return torch.stack([first, rest / rest.norm().clamp_min(1e-12)])


def divergence(own: Tensor, logits: Tensor) -> Tensor:
    """Mean KL of outputs against the own ones: logits (1, n, c), (k, n, c) -> (k,)"""
    gap = logits.logsumexp(-1) - own.logsumexp(-1)
    return (gap + (own.softmax(-1) * (own - logits)).sum(-1)).mean(-1)


def line(net: Networks, start: Tensor, end: Tensor, task: Task, importance: Tensor) -> np.ndarray:
    """KL on the old task and its two quadratic forms on the straight way from the start to the end: (41, 4)"""
    way, share = end - start, torch.linspace(0, 1, LINE, device=DEVICE)
    apart = fisher.divergence(net, start[None], start + share[:, None] * way, task.x[None, :600])
    whole = fisher.restricted(net, start[None], way[None], task.x[None])[0, 0]
    bare = (importance * way.square()).sum()
    forms = share.square()[:, None] * torch.stack([whole, bare]) / 2
    return torch.cat([share[:, None], apart[:, None], forms], 1).cpu().numpy()


def of(cfg: Config) -> Plane:
    """The plane of these settings, worked out once."""
    return plane(cfg.data, cfg.angle, cfg.kind, cfg.steps, cfg.seed)


def outline(form: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Where a positive form d^T M d has the value `level`: (2, 2) -> (97, 2). NaN where the form is flat."""
    turn = np.linspace(0, 2 * np.pi, 97)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    height = np.einsum("ni,ij,nj->n", ring, form, ring)
    return (ring * np.sqrt(level / np.where(height > 1e-9, height, np.nan))[:, None]).astype(np.float32)


def run(cfg: Config) -> Iterator[Frame]:
    """Two steps on the new task a frame, all strengths side by side."""
    on, net, tasks, rng = of(cfg), NETS[cfg.data], pair(cfg.data, cfg.angle, cfg.seed), generator(cfg.seed + 1)
    strengths = torch.tensor(LAMBDAS, dtype=torch.float32, device=DEVICE)
    weights = on.start.repeat(len(strengths), 1)
    for step in range(cfg.steps + 1):
        if step % EVERY == 0 or step == cfg.steps:
            yield look(cfg, on, weights, step)
        weights = weights - STEP_SIZE * gradient(net, weights, *batch(tasks.new, COUNT, rng))
        weights = pulled(weights, on.start, on.fisher, strengths, STEP_SIZE)


def look(cfg: Config, on: Plane, weights: Tensor, step: int) -> Frame:
    """What a frame shows of the networks (12, size)."""
    net, tasks = NETS[cfg.data], pair(cfg.data, cfg.angle, cfg.seed)
    way = weights - on.start
    flat = way @ on.axes.T
    off = (way - flat @ on.axes)[cfg.index].norm() / way[cfg.index].norm().clamp_min(1e-12)
    read = torch.stack([accuracy(net, weights, task) for task in tasks], 1)
    path = flat.cpu().numpy()
    return Frame(
        step=step,
        strength=float(LAMBDAS[cfg.index]),
        old_right=float(read[cfg.index, 0]),
        new_right=float(read[cfg.index, 1]),
        joint_right=float(on.right.mean()),
        outside=float(off),
        path=path,
        spot=path[cfg.index : cfg.index + 1],
        right=np.concatenate([np.maximum(LAMBDAS, 0.3)[:, None], 100 * read.cpu().numpy()], 1).astype(np.float32),
    )
