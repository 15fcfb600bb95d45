"""Momentum in a valley: step size and momentum on one pad, and each part of the error beside its closed form."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from engine.knob import knob
from engine.optimizer_paths.rules import RULES, Hyper

WIDE, HIGH = 96, 72  # pixels of the pad
INSIDE = 0.999  # of the largest stable step size: where the pad's edge is
SWIFT = 0.05  # rates below this are all the same colour
FAR, NEAR = 1e6, 1e-12  # an error beyond the one has run away, below the other it is gone


@dataclass(frozen=True)
class Config:
    """The settings of one run of momentum on a valley whose largest curvature is 1."""

    alpha: float = knob(
        2.0, "step size", 0.01, 4.0, symbol=r"\alpha", step=0.01, help="in units of 1/λ_max; stable below 2 + 2β"
    )
    beta: float = knob(0.5, "momentum", 0.0, 0.99, symbol=r"\beta", step=0.01, help="0 is plain gradient descent")
    condition: float = knob(
        100.0, "condition number", 1.0, 1000.0, symbol=r"\kappa", log=True, help="largest curvature over the smallest"
    )
    steps: int = knob(100, "steps", 0, 300)


class Frame(NamedTuple):
    """The error after some steps. All of it is exact; the error starts at 1 in each of three directions."""

    step: int
    alpha: float  # in units of 1 / lambda_max
    beta: float
    point: np.ndarray  # (1, 2) alpha and beta
    error: np.ndarray  # (3,) its part along the flattest, a middle and the steepest direction
    closed: np.ndarray  # (3,) the same from the roots
    gap: float  # largest |run - closed form| so far, relative to the largest error so far
    size: float  # root mean square of the error, from 1e-12 to 1e6
    rates: np.ndarray  # (3,) the larger root's length in each direction
    rate: float  # the largest of them: what the error shrinks by in the end, at each step
    steps_a_digit: float  # steps for a tenth of the error, at that rate; inf where it does not shrink
    best_steps: float  # the same at the best alpha and beta; 0 where one step is enough
    limit: float  # the largest stable alpha, 2 + 2 beta
    ringing: float  # share of the three directions that swing: complex or negative roots


def roots(alpha: np.ndarray, beta: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Both roots of z^2 - (1 + beta - alpha curvature) z + beta = 0: (...) -> (..., 2), complex.

    They are the eigenvalues of the 2x2 matrix by which one step moves (error, velocity) (Polyak, 1964; Goh, 2017).
    """
    middle = (1 + beta - alpha * curvature) / 2
    swing = np.sqrt(np.asarray(middle**2 - beta, dtype=complex))
    return np.stack([middle + swing, middle - swing], -1)


def rate(alpha: np.ndarray, beta: np.ndarray, condition: float) -> np.ndarray:
    """The largest |root| over all curvatures from 1 / condition to 1, which one of the two ends has. (...) -> (...)"""
    ends = [np.abs(roots(alpha, beta, np.asarray(end))).max(-1) for end in (1 / condition, 1.0)]
    return np.maximum(*ends)


def best(condition: float) -> tuple[float, float]:
    """The alpha and beta of the least rate, which is sqrt(beta) (Polyak, 1964)."""
    root = math.sqrt(condition)
    return 4 / (1 + 1 / root) ** 2, ((root - 1) / (root + 1)) ** 2


def limit(beta: float) -> float:
    """The step size, in units of 1 / lambda_max, from which on momentum does not settle."""
    return 2 + 2 * beta


def steps_a_digit(rate: float) -> float:
    """Steps for one more digit: ln 10 / -ln rate; 0 where one is enough, inf where the error does not shrink."""
    if rate >= 1:
        return math.inf
    return math.log(10) / -math.log(rate) if rate > NEAR else 0.0


def closed_form(alpha: float, beta: float, curvature: float, steps: int) -> np.ndarray:
    """The error after 0 .. steps steps from error 1 at rest: (steps + 1,).

    With the sums s_k = sum over i + j = k - 1 of z1^i z2^j, which is (z1^k - z2^k) / (z1 - z2) where the roots differ,
    it is (1 - alpha curvature) s_k - beta s_(k-1).
    """
    first, second = roots(np.asarray(alpha), np.asarray(beta), np.asarray(curvature))
    powers = np.arange(steps + 1)
    sums = np.real(np.convolve(first**powers, second**powers)[: steps + 1])  # s_1, s_2, ...
    before = np.concatenate([[0.0], sums[:-1]])  # s_0, s_1, ...
    late = (1 - alpha * curvature) * before - beta * np.concatenate([[0.0], before[:-1]])
    return np.concatenate([[1.0], late[1:]])


def replay(alpha: float, beta: float, curvatures: np.ndarray, steps: int) -> np.ndarray:
    """The error of the rule itself, step by step: (steps + 1, n), never beyond 1e6."""
    w, rule = np.ones_like(curvatures), RULES["momentum"]
    state, errors = rule.init(w), [w]
    for k in range(steps):
        w, state = rule.step(lambda at: curvatures * at, w, state, Hyper(mu=beta), k, alpha)
        errors.append(w)
    return np.clip(errors, -FAR, FAR)


def unaided(condition: float, steps: int) -> np.ndarray:
    """Step and size of the error without momentum, at the best step size for that: (steps + 1, 2)."""
    lone = [closed_form(2 / (1 + 1 / condition), 0.0, curvature, steps) for curvature in curvatures(condition)]
    return np.stack([np.arange(steps + 1), size(np.stack(lone, 1))], 1)


def curvatures(condition: float) -> np.ndarray:
    """The flattest, a middle and the steepest curvature: (3,)."""
    return np.array([1 / condition, condition**-0.5, 1.0])


@cache
def pad(condition: float) -> np.ndarray:
    """Digits won a step, as a share of the best, over the pad: (72, 96), 0 where the run does not settle."""
    alpha, beta = (np.arange(WIDE) + 0.5) * 4 / WIDE, (np.arange(HIGH)[:, None] + 0.5) / HIGH
    won = -np.log10(np.clip(rate(alpha, beta, condition), SWIFT, 1))
    return (won / -math.log10(max(math.sqrt(best(condition)[1]), SWIFT))).astype(np.float32)


def courses(condition: float, alpha: float, beta: float, steps: int) -> np.ndarray:
    """Step and closed-form error of the three directions: (3, steps + 1, 2)."""
    found = [closed_form(alpha, beta, curvature, steps) for curvature in curvatures(condition)]
    return np.stack([np.stack([np.arange(steps + 1), np.clip(one, -FAR, FAR)], 1) for one in found])


def size(errors: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis, kept from 1e-12 to 1e6."""
    return np.clip(np.sqrt((errors**2).mean(-1)), NEAR, FAR)


def settled(cfg: Config) -> tuple[Config, str]:
    """The nearest setting inside the stable set, and a sentence where that is another one."""
    most = math.floor(1e4 * INSIDE * limit(cfg.beta)) / 1e4
    if cfg.alpha <= most:
        return cfg, ""
    says = f"With β = {cfg.beta:.3g} the step size must stay below 2 + 2β = {limit(cfg.beta):.3g} in units of 1/λ_max. "
    return replace(cfg, alpha=most), says + f"You see α = {most:.3g}."


def run(cfg: Config) -> Iterator[Frame]:
    """One frame for every step, from the start."""
    along = curvatures(cfg.condition)
    errors = replay(cfg.alpha, cfg.beta, along, cfg.steps)
    closed = courses(cfg.condition, cfg.alpha, cfg.beta, cfg.steps)[:, :, 1].T
    facts, seen = about(cfg, along), np.maximum.accumulate(np.abs(errors).max(1))
    gaps = np.maximum.accumulate(np.abs(errors - closed).max(1)) / seen
    sizes = size(errors)
    for k in range(cfg.steps + 1):
        yield Frame(step=k, error=errors[k], closed=closed[k], gap=float(gaps[k]), size=float(sizes[k]), **facts)


def about(cfg: Config, along: np.ndarray) -> dict:
    """What stays the same over the steps, by its name in Frame."""
    found = roots(np.asarray(cfg.alpha), np.asarray(cfg.beta), along)
    lengths = np.abs(found).max(-1)
    return {
        "alpha": cfg.alpha,
        "beta": cfg.beta,
        "point": np.array([[cfg.alpha, cfg.beta]], np.float32),
        "rates": lengths,
        "rate": float(lengths.max()),
        "steps_a_digit": steps_a_digit(float(lengths.max())),
        "best_steps": steps_a_digit(math.sqrt(best(cfg.condition)[1])),
        "limit": limit(cfg.beta),
        "ringing": float(((np.abs(np.imag(found)) > 0) | (np.real(found) < 0)).any(-1).mean()),
    }
