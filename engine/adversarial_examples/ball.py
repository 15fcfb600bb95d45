"""Two features and a ball: each step up the loss, and each way back into the ball, drawn one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from engine.adversarial_examples import planar
from engine.adversarial_examples.classifiers import array
from engine.adversarial_examples.goal import Goal
from engine.adversarial_examples.threat import inside, length, project, steepest
from engine.device import DEVICE, generator
from engine.knob import knob
from engine.nets import Descent, ResidualMLP

POINTS, TRAINING, GRID, TRIED = 400, 300, 61, 81  # points; training steps; cells of the map, places tried in the ball
HALF = 3.0  # the points lie in [-HALF, HALF]², scaled to the unit box
NORMS = {"linf": "ℓ∞: a square", "l2": "ℓ2: a disc", "l1": "ℓ1: a diamond"}
RULES = {
    "pgd": "α · steepest, then back into the ball",
    "unclipped": "as printed: ε · steepest, no way back",
    "raw": "as printed: the bare gradient",
}


@dataclass(frozen=True)
class Config:
    """The settings of one ascent."""

    data: str = knob("moons", "points", choices=planar.SETS)
    norm: str = knob("linf", "ball", choices=NORMS)
    eps: float = knob(0.12, "budget", 0.0, 0.4, symbol=r"\varepsilon", step=0.01)
    abs_stepsize: float = knob(0.04, "step", 0.005, 0.4, symbol=r"\alpha", log=True)
    steps: int = knob(10, "steps", 1, 40)
    rule: str = knob("pgd", "rule", choices=RULES)
    random_start: bool = knob(True, "random start", folded=True)
    x: float = knob(0.36, "point, across", 0.0, 1.0, step=0.01, folded=True)
    y: float = knob(0.6, "point, up", 0.0, 1.0, step=0.01, folded=True)
    noise: int = knob(0, "seed of the start", 0, 999, folded=True)


class Frame(NamedTuple):
    """One half of a step: up the loss, or back into the ball."""

    step: int  # steps begun
    back: float  # 1 if the way back has been taken
    used: float  # length of the change
    loss: float  # nats, at this place
    worst: float  # the highest loss found in the ball by trying 81 × 81 places
    fooled: float  # 1 if the class has changed
    point: np.ndarray  # (1, 2) the point itself
    spot: np.ndarray  # (1, 2) this place
    trail: np.ndarray  # (2 steps + 1, 2) all places so far; those to come are drawn as this one
    top: np.ndarray  # (1, 2) where the worst place is
    ball: np.ndarray  # (m, 2) its outline
    map: np.ndarray  # (61, 61) probability of class 1
    points: np.ndarray  # (400, 3) the training points with their class


@lru_cache(maxsize=8)
def classifier(data: str) -> tuple[ResidualMLP, Tensor, Tensor, Tensor]:
    """A small network trained on two classes in the unit box: it, its weights, points (400, 2) and classes (400,)."""
    rng, net = generator(0), ResidualMLP(2, 2, 32, 2)
    x, y = planar.sample(data, POINTS, rng, noise=0.12)
    x = ((x + HALF) / (2 * HALF)).clamp(0, 1)
    descent = Descent(net.init(rng), TRAINING, 1e-2)
    for _ in range(TRAINING):
        descent(lambda weights: cross_entropy(net(weights, 4 * x - 2), y))
    return net, descent.average.detach(), x, y


def goal_at(cfg: Config) -> tuple[Goal, Tensor]:
    """What is climbed: the loss of the class that the network gives the point; and the point (1, 2)."""
    net, weights, _, _ = classifier(cfg.data)
    at = torch.tensor([[cfg.x, cfg.y]], device=DEVICE)

    def model(x: Tensor) -> Tensor:
        return net(weights, 4 * x - 2)

    with torch.no_grad():
        return Goal(model, model(at).argmax(1)), at


def ascent(cfg: Config, goal: Goal, at: Tensor) -> Iterator[tuple[int, float, Tensor]]:
    """Step, whether the way back is taken, and place (1, 2): the start, then twice a step."""
    room = torch.full((1,), cfg.eps, device=at.device)
    start = cfg.random_start and cfg.rule != "unclipped"
    now = at + inside(at, room, cfg.norm, generator(cfg.noise)) if start else at
    yield 0, 1.0, now.clamp(0, 1)
    for step in range(1, cfg.steps + 1):
        slope = goal.climb(now)[2]
        size = {"pgd": cfg.abs_stepsize, "unclipped": cfg.eps, "raw": 1.0}[cfg.rule]
        now = now + size * (slope if cfg.rule == "raw" else steepest(slope, cfg.norm))
        yield step, 0.0, now
        if cfg.rule != "unclipped":
            now = (at + project(now - at, room, cfg.norm)).clamp(0, 1)
        yield step, 1.0, now


@torch.no_grad()
def worst(cfg: Config, goal: Goal, at: Tensor) -> tuple[float, Tensor]:
    """The highest loss among 81 × 81 places in the ball and the box, and where it is (1, 2)."""
    line = torch.linspace(-1, 1, TRIED, device=at.device) * cfg.eps
    tried = at + project(torch.cartesian_prod(line, line), cfg.eps, cfg.norm)
    tried = tried.clamp(0, 1)
    height = goal[torch.zeros(len(tried), dtype=torch.long, device=at.device)].height(goal.model(tried))
    return float(height.max()), tried[height.argmax()][None]


@lru_cache(maxsize=64)
def ceiling(cfg: Config) -> float:
    """A height above the worst loss in the ball, for the axis."""
    return max(1.0, 1.25 * worst(cfg, *goal_at(cfg))[0])


def outline(cfg: Config) -> np.ndarray:
    """The edge of the ball around the point: (m, 2)."""
    turn = np.linspace(0, 2 * np.pi, 73)
    round_ = np.stack([np.cos(turn), np.sin(turn)], 1)
    square = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]], float)
    diamond = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]], float)
    shape = {"linf": square, "l2": round_, "l1": diamond}[cfg.norm]
    return (np.array([cfg.x, cfg.y]) + cfg.eps * shape).astype(np.float32)


@torch.no_grad()
def map_of(goal: Goal) -> np.ndarray:
    """The probability of class 1 over the box: (61, 61), the first row at the bottom."""
    line = (torch.arange(GRID, device=DEVICE) + 0.5) / GRID
    y, x = torch.meshgrid(line, line, indexing="ij")
    return array(goal.model(torch.stack([x.flatten(), y.flatten()], 1)).softmax(1)[:, 1].view(GRID, GRID))


def run(cfg: Config) -> Iterator[Frame]:
    """The start and two frames for every step."""
    goal, at = goal_at(cfg)
    _, _, x, y = classifier(cfg.data)
    most, top = worst(cfg, goal, at)
    seen: list[np.ndarray] = []
    facts: dict[str, Any] = dict(
        worst=most,
        point=array(at),
        top=array(top),
        ball=outline(cfg),
        map=map_of(goal),
        points=array(torch.cat([x, y[:, None].to(x)], 1)),
    )
    for step, back, now in ascent(cfg, goal, at):
        with torch.no_grad():
            logits = goal.model(now)
        seen.append(array(now[0]))
        yield Frame(
            step=step,
            back=back,
            used=float(length(now - at, cfg.norm)),
            loss=float(goal.height(logits)),
            fooled=float(goal.fooled(logits)),
            spot=array(now),
            trail=np.stack(seen + seen[-1:] * (2 * cfg.steps + 1 - len(seen))),
            **facts,
        )
