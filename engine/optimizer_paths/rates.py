"""How fast gradient descent and Nesterov's method must get down: runs under the bounds proved for them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.problems import PROBLEMS, Problem, problem

FRAMES, CUT = 120, 161  # frames of a run at most; places on the cut through the function
NOTHING, LOTS = 1e-14, 1e14  # what the logarithmic charts can show


@dataclass(frozen=True)
class Config:
    """The settings of one race against the bounds."""

    function: str = knob("quadratic", "function", choices={name: one.title for name, one in PROBLEMS.items()})
    condition: float = knob(
        100.0, "condition number", 1.0, 1000.0, symbol=r"\kappa", log=True, help="of the quadratic alone"
    )
    step_size: float = knob(
        1.0, "step size", 0.05, 1.0, symbol=r"s", step=0.05, help="in units of 1/β, β the largest curvature"
    )
    steps: int = knob(500, "steps", 1, 2000, log=True)
    log_delta: float = knob(
        -3.0, "target", -8.0, 1.0, symbol=r"\log_{10}\delta", step=0.25, help="for the squared length of the gradient"
    )
    distance: float = knob(
        3.0, "distance of the start", 0.0, 30.0, step=0.1, folded=True, help="from the minimum, or from the top"
    )
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another direction to start in")

    @property
    def delta(self) -> float:
        """The squared length of the gradient that is aimed at."""
        return 10**self.log_delta


class Frame(NamedTuple):
    """Both methods after some steps. NaN where a bound is not proved for the function; values from 1e-14 to 1e14."""

    step: int  # t, from 1
    gradient: float  # least |g|^2 of gradient descent at its first t places
    gradient_bound: float  # 2 beta (L0 - L*) / (t s (2 - s))
    loss: float  # L - L* of gradient descent after t steps
    linear_bound: float  # (1 - s (2 - s) mu / beta)^t (L0 - L*), where L is PL
    convex_bound: float  # beta |x0 - x*|^2 / (2 s t), where L is convex
    fast: float  # L - L* of Nesterov's method, where L is convex
    fast_bound: float  # 2 beta |x0 - x*|^2 / (s (t + 1)^2), where L is convex
    floor: float  # what no method that combines gradients can be below, on the chain
    hit: float  # steps after which |g|^2 was first at most delta; NaN before
    hit_bound: float  # steps after which it must have been
    target: np.ndarray  # (1, 2) the bound on the hitting time, and delta
    arrival: np.ndarray  # (1, 2) the hitting time, and delta; NaN before
    closest: float  # the largest share of any bound that has been used so far: 1 touches it
    place: np.ndarray  # (1, 2) gradient descent on the cut: place and (L - L*) / (L0 - L*)
    fast_place: np.ndarray  # (1, 2) Nesterov's
    cut: np.ndarray  # (161, 2) the function along the line through the start, in the same units


class Bounds(NamedTuple):
    """Every bound for t = 1, 2, ...: (steps,) each, NaN where it is not proved."""

    gradient: np.ndarray
    linear: np.ndarray
    convex: np.ndarray
    fast: np.ndarray
    floor: np.ndarray


class Race(NamedTuple):
    """Both methods: entry t of each is after t steps, and the start is entry 0."""

    x: np.ndarray  # (steps + 1, d)
    fast_x: np.ndarray  # (steps + 1, d)
    loss: np.ndarray  # (steps + 1,) L - L*
    fast: np.ndarray  # (steps + 1,)
    squared: np.ndarray  # (steps + 1,) |g|^2 of gradient descent


class Course(NamedTuple):
    """All of a run at once."""

    problem: Problem
    start: np.ndarray  # (d,)
    race: Race
    bounds: Bounds


def start(p: Problem, distance: float, seed: int) -> np.ndarray:
    """A place `distance` from 0 in a direction drawn by the seed, or in the problem's own: (d,)."""
    rng = generator(seed)
    drawn = torch.randn(p.dimensions, generator=rng, dtype=torch.float64).numpy() if p.ray is None else p.ray
    return distance * drawn / np.linalg.norm(drawn)


def descend(p: Problem, x: np.ndarray, step_size: float, steps: int) -> np.ndarray:
    """Gradient descent with step_size / beta: (..., d) -> (steps + 1, ..., d)."""
    seen = [x]
    for _ in range(steps):
        x = x - step_size / p.beta * p.gradient(x)
        seen.append(x)
    return np.array(seen)


def accelerate(p: Problem, x: np.ndarray, step_size: float, steps: int) -> np.ndarray:
    """Nesterov's method (1983) as Beck and Teboulle (2009) write it, with step_size / beta: (d,) -> (steps + 1, d).

    A gradient step from y, then y ahead of it by (t_k - 1) / t_(k+1), where t_(k+1) = (1 + sqrt(1 + 4 t_k^2)) / 2.
    """
    y, now, seen = x, 1.0, [x]
    for _ in range(steps):
        moved = y - step_size / p.beta * p.gradient(y)
        later = (1 + math.sqrt(1 + 4 * now**2)) / 2
        y = moved + (now - 1) / later * (moved - x)
        x, now = moved, later
        seen.append(x)
    return np.array(seen)


def race(p: Problem, x: np.ndarray, step_size: float, steps: int) -> Race:
    """Both methods from one start. Nesterov's stays there where the function is not convex."""
    slow = descend(p, x, step_size, steps)
    fast = accelerate(p, x, step_size, steps) if p.convex else np.repeat(x[None], steps + 1, 0)
    return Race(slow, fast, p.loss(slow), p.loss(fast), (p.gradient(slow) ** 2).sum(-1))


def bounds(p: Problem, x: np.ndarray, step_size: float, steps: int) -> Bounds:
    """What is proved for step sizes s / beta with 0 < s <= 1, from the start alone.

    min |g|^2 <= 2 beta (L0 - L*) / (t s (2 - s)) over the first t places (Nesterov, 2004, section 1.2.3);
    L - L* <= (1 - s (2 - s) mu / beta)^t (L0 - L*) under PL, |g|^2 >= 2 mu (L - L*) (Polyak, 1963; Karimi et al.,
    2016); beta |x0 - x*|^2 / (2 s t) for convex L; 2 beta |x0 - x*|^2 / (s (t + 1)^2) for Nesterov's method there
    (Beck and Teboulle, 2009, Theorem 4.4).
    """
    t, s, none = np.arange(1, steps + 1.0), step_size, np.full(steps, np.nan)
    high, apart = float(p.loss(x)), float((x**2).sum())
    return Bounds(
        gradient=2 * p.beta * high / (t * s * (2 - s)),
        linear=high * (1 - s * (2 - s) * p.pl / p.beta) ** t if p.pl else none,
        convex=p.beta * apart / (2 * s * t) if p.convex else none,
        fast=2 * p.beta * apart / (s * (t + 1) ** 2) if p.convex else none,
        floor=p.floor(t, apart) if p.floor else none,
    )


@lru_cache(16)
def course(cfg: Config) -> Course:
    """The problem, the start, both methods from it and what bounds them."""
    p = problem(cfg.function, cfg.condition)
    x = start(p, cfg.distance, cfg.seed)
    return Course(p, x, race(p, x, cfg.step_size, cfg.steps), bounds(p, x, cfg.step_size, cfg.steps))


def envelopes(cfg: Config) -> dict[str, np.ndarray]:
    """Every bound that is proved for the function, by its name in Bounds: step and bound, (m, 2)."""
    t, proved = times(cfg.steps), course(cfg).bounds._asdict()
    return {name: np.stack([t, shown(of[t - 1])], 1) for name, of in proved.items() if not np.isnan(of).any()}


def span(cfg: Config) -> tuple[float, float]:
    """What a chart of the loss should show: from a third of the lowest, over 12 decades at most, to above all."""
    _, _, seen, proved = course(cfg)
    firsts = [seen.loss[0], *(one[0] for one in proved[1:])]
    high = 3 * float(shown(np.nanmax(firsts)))
    ends = [seen.loss[-1], seen.fast[-1]]
    return max(1e-12 * high, float(shown(np.min(ends))) / 3), high


def used(seen: Race, proved: Bounds) -> np.ndarray:
    """The largest share of any bound used after 1, 2, ... steps or before: (steps,). Above 1 it would be broken."""
    pairs = [
        (np.minimum.accumulate(seen.squared)[:-1], proved.gradient),
        (seen.loss[1:], proved.linear),
        (seen.loss[1:], proved.convex),
        (seen.fast[1:], proved.fast),
        (proved.floor, np.minimum(seen.loss, seen.fast)[1:]),
    ]
    shares = [np.where((top > 0) & (low > 0), low / np.where(top > 0, top, 1), 0.0) for low, top in pairs]
    return np.maximum.accumulate(np.nan_to_num(np.max(shares, 0)))


def hitting_bound(p: Problem, x: np.ndarray, step_size: float, delta: float) -> int:
    """Steps after which |g|^2 <= delta has been met for sure: the least t >= 2 beta (L0 - L*) / (delta s (2 - s))."""
    return max(1, math.ceil(2 * p.beta * float(p.loss(x)) / (delta * step_size * (2 - step_size))))


def reach(cfg: Config) -> float:
    """How far the cut through the function goes to each side: a little beyond the start, and where the run will be."""
    p = problem(cfg.function, cfg.condition)
    return 1.15 * max(cfg.distance, p.drift(cfg.step_size * cfg.steps), 0.5)


def times(steps: int) -> np.ndarray:
    """The steps that are shown: all of a few, at most 120, evenly spread in the logarithm; the first and the last."""
    return np.unique(np.geomspace(1, steps, FRAMES).round().astype(int))


def on_cut(x: np.ndarray, ray: np.ndarray, loss: np.ndarray, high: float) -> np.ndarray:
    """Where places are along the ray, and their loss as a share of the start's, clipped: (n, d) -> (n, 2)."""
    return np.stack([x @ ray, np.clip(loss / high if high > 0 else 0 * loss, 0, 4)], 1).astype(np.float32)


def shown(values: np.ndarray) -> np.ndarray:
    """Clipped to what a logarithmic chart can show; NaN stays."""
    return np.clip(values, NOTHING, LOTS)


def run(cfg: Config) -> Iterator[Frame]:
    """One frame for each step shown; both runs are computed before the first."""
    p, x, seen, proved = course(cfg)
    least, share = np.minimum.accumulate(seen.squared), used(seen, proved)
    high, ray, due = float(seen.loss[0]), start(p, 1.0, cfg.seed), hitting_bound(p, x, cfg.step_size, cfg.delta)
    places = [on_cut(*pair, high) for pair in ((seen.x, ray, seen.loss), (seen.fast_x, ray, seen.fast))]
    u = np.linspace(-reach(cfg), reach(cfg), CUT)[:, None] * ray
    cut, target = on_cut(u, ray, p.loss(u), high), np.array([[due, cfg.delta]])
    there = np.flatnonzero(least[:-1] <= cfg.delta)
    hit = float(there[0] + 1) if len(there) else math.nan  # the place after k steps is among the first k + 1
    upper = Bounds(*(shown(one) for one in proved))
    for t in times(cfg.steps):
        met = hit if t >= hit else math.nan
        yield Frame(
            step=int(t),
            gradient=float(shown(least[t - 1])),
            gradient_bound=float(upper.gradient[t - 1]),
            loss=float(shown(seen.loss[t])),
            linear_bound=float(upper.linear[t - 1]),
            convex_bound=float(upper.convex[t - 1]),
            fast=float(shown(seen.fast[t])) if p.convex else math.nan,
            fast_bound=float(upper.fast[t - 1]),
            floor=float(upper.floor[t - 1]),
            hit=met,
            hit_bound=float(due),
            target=target,
            arrival=np.array([[met, cfg.delta]]),
            closest=float(share[t - 1]),
            place=places[0][t : t + 1],
            fast_place=places[1][t : t + 1],
            cut=cut,
        )
