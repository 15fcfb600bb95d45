"""When a step on the new task helps the old one, and when it harms: the angle between their gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, radians, sin
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.forgetting_curves.pair import KINDS as PAIRS
from engine.forgetting_curves.pair import Pair, Task, accuracy, gradient, pair, slope
from engine.knob import knob
from engine.nets import Networks, cross_entropy

KINDS = {name: PAIRS[name] for name in ("points", "rotated")}
NETS = {"points": Networks((2, 16, 2)), "rotated": Networks((64, 32, 10))}
RULES = {"plain": "take it as it is", "agem": "bend it away (A-GEM)"}
SEEDS, GRID, REACH, MOST, KEPT = 8, 41, 2.6, 300, 60  # networks; cells of the map; digits of a task; steps in the cloud


@dataclass(frozen=True)
class Config:
    """The settings of a step on the new task."""

    data: str = knob("points", "tasks", choices=KINDS)
    angle: float = knob(120.0, "new task turned by", 0.0, 180.0, symbol=r"\varphi", step=5.0, help="degrees")
    step_size: float = knob(0.02, "step size", 0.001, 1.0, symbol=r"\eta", log=True)
    first: int = knob(40, "steps on the old task before", 0, 200)
    rule: str = knob("plain", "a step that harms", choices=RULES)
    steps: int = knob(120, "steps on the new task", 20, 300, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other points, other first weights")


class Frame(NamedTuple):
    """Eight networks before a step on the new task, and what the step does to the old loss."""

    step: int
    cosine: np.ndarray  # (3,) mean, least and most over the networks
    predicted: float  # mean of -eta <g_old, direction>, nats
    actual: float  # mean change of the old loss, nats
    signs: float  # share of all steps so far that change the old loss to the predicted side
    old_loss: np.ndarray  # (3,) nats: mean, least, most
    new_loss: np.ndarray  # (3,)
    pairs: np.ndarray  # (m, 2) predicted and actual over eta |g_old| |g_new|, of the last steps and all networks
    dial: np.ndarray  # (37, 2) angle, and the cosine there now, mean over three of the networks
    old_right: float  # share of the old test examples that are read right, mean
    new_right: float
    map: np.ndarray  # (41, 41) probability of the second class, first network; empty for digits
    images: np.ndarray  # (12, 8, 8) six digits of the old and six of the new task; empty for points


class Step(NamedTuple):
    """One step of every network."""

    weights: Tensor  # (k, size) after it
    cosine: Tensor  # (k,) of the two gradients
    predicted: Tensor  # (k,) to first order
    actual: Tensor  # (k,)
    unit: Tensor  # (k,) eta |g_old| |g_new|
    old: Tensor  # (k,) losses before it
    new: Tensor  # (k,)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Of vectors in rows: (k, size), (k, size) -> (k,); 0 where one is 0"""
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-30)


def away(new: Tensor, old: Tensor) -> Tensor:
    """The new gradient without its part against the old one, where there is such a part (Chaudhry et al., 2019)."""
    against = (new * old).sum(1, keepdim=True).clamp_max(0)
    return new - against / old.square().sum(1, keepdim=True).clamp_min(1e-30) * old


def take(net: Networks, weights: Tensor, tasks: Pair, step_size: float, rule: str = "plain") -> Step:
    """One gradient step on the whole new task, and what first order and a second look say of the old loss."""
    x, y = tasks.old.x[None].to(weights.dtype), tasks.old.y[None]
    old, g_old = slope(net, weights, x, y)
    new, g_new = slope(net, weights, tasks.new.x[None].to(weights.dtype), tasks.new.y[None])
    along = away(g_new, g_old) if rule == "agem" else g_new
    after = weights - step_size * along
    with torch.no_grad():
        actual = cross_entropy(net(after, x), y).mean(1) - old
    unit = step_size * g_old.norm(dim=1) * g_new.norm(dim=1)
    return Step(after, cosine(g_old, g_new), -step_size * (g_old * along).sum(1), actual, unit, old, new)


def dial(cfg: Config, weights: Tensor) -> np.ndarray:
    """The cosine at every angle of the new task, mean over three networks: weights (k, size) -> (19, 2)"""
    net, angles = NETS[cfg.data], range(0, 181, 10)
    count = 120 if cfg.data == "points" else 60
    turned = [pair(cfg.data, float(angle), cfg.seed, MOST).new for angle in angles]
    x = torch.stack([task.x[:: len(task.x) // count] for task in turned]).to(weights.dtype)
    y = turned[0].y[None, :: len(turned[0].y) // count]
    found = []
    for one in weights[:3]:
        slopes = gradient(net, one.expand(len(x), -1), x, y)
        found.append(cosine(slopes[:1].expand(len(x), -1), slopes))
    height = torch.stack(found).mean(0).cpu().numpy()
    return np.stack([np.array(angles), height], 1).astype(np.float32)


@torch.no_grad()
def map_of(cfg: Config, weights: Tensor) -> np.ndarray:
    """The probability of the second class over the plane: (41, 41), first row at the bottom; empty for digits."""
    if cfg.data != "points":
        return np.zeros((0, 0), np.float32)
    line = torch.linspace(-REACH, REACH, GRID, dtype=weights.dtype, device=DEVICE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)[None]
    return NETS["points"](weights[:1], places).softmax(-1)[0, :, 1].view(GRID, GRID).float().cpu().numpy()


def shown(cfg: Config, tasks: Pair) -> np.ndarray:
    """Six digits of the old task and the same six of the new one: (12, 8, 8); empty for points."""
    if cfg.data == "points":
        return np.zeros((0, 8, 8), np.float32)
    return torch.cat([tasks.old.x[:6], tasks.new.x[:6]]).view(-1, 8, 8).cpu().numpy()


def members(task: Task, label: int) -> np.ndarray:
    """The points of one class: (m, 2)"""
    return task.x[task.y == label].cpu().numpy()


def arrow(angle: float) -> np.ndarray:
    """Towards the second class of the task turned by `angle`, as an arrow from 0: (1, 4)"""
    return np.array([[0.0, 0.0, -2 * cos(radians(angle)), -2 * sin(radians(angle))]], np.float32)


def spread(values: Tensor) -> np.ndarray:
    """Mean, least and most: (k,) -> (3,)"""
    return torch.stack([values.mean(), values.min(), values.max()]).cpu().numpy()


def begun(cfg: Config, tasks: Pair) -> Tensor:
    """The networks after their steps on the old task: (8, size) float64"""
    net = NETS[cfg.data]
    weights = net.init(SEEDS, generator(cfg.seed)).double()
    x, y = tasks.old.x[None].double(), tasks.old.y[None]
    for _ in range(cfg.first):
        weights = weights - 0.1 * gradient(net, weights, x, y)
    return weights


def run(cfg: Config) -> Iterator[Frame]:
    """One step on the new task a frame, the gradients taken over all of its examples."""
    net, tasks = NETS[cfg.data], pair(cfg.data, cfg.angle, cfg.seed, MOST)
    weights, images = begun(cfg, tasks), shown(cfg, tasks)
    pairs: list[np.ndarray] = []
    right = total = 0
    for step in range(cfg.steps + 1):
        now = take(net, weights, tasks, cfg.step_size, cfg.rule)
        unit = now.unit.clamp_min(1e-30)
        pairs = [*pairs, torch.stack([now.predicted / unit, now.actual / unit], 1).float().cpu().numpy()][-KEPT:]
        clear = (now.predicted / unit).abs() > 1e-6  # elsewhere the forecast is 0 and has no side
        right += int(((now.predicted * now.actual > 0) & clear).sum())
        total += int(clear.sum())
        yield Frame(
            step=step,
            cosine=spread(now.cosine),
            predicted=float(now.predicted.mean()),
            actual=float(now.actual.mean()),
            signs=right / total if total else 1.0,
            old_loss=spread(now.old),
            new_loss=spread(now.new),
            pairs=np.concatenate(pairs),
            dial=dial(cfg, weights),
            old_right=float(accuracy(net, weights, cast(tasks.old)).mean()),
            new_right=float(accuracy(net, weights, cast(tasks.new)).mean()),
            map=map_of(cfg, weights),
            images=images,
        )
        weights = now.weights


def cast(task: Task) -> Task:
    """The task with its inputs in double precision."""
    return task._replace(x=task.x.double(), test_x=task.test_x.double())
