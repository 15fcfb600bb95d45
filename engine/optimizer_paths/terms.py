"""A step taken apart: what the gradient, the memory and each correction contribute, as arrows that add up to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, nan
from typing import NamedTuple

import numpy as np

from engine.knob import knob
from engine.optimizer_paths.descent import clipped, gone
from engine.optimizer_paths.ground import Ground, noises, step_sizes
from engine.optimizer_paths.rules import NAMES, RULES, SAFE, Hyper, Slope, State
from engine.optimizer_paths.surfaces import Surface

Array = np.ndarray
FRAMES, MOST = 120, 3  # frames of a run; parts of a step at most
SIGHT = 0.45  # share of the half-width that the longest arrow takes
LEAST, LARGEST = 1e-12, 1e12  # sizes that the charts can show
PARTS = {
    "gd": ("gradient",),
    "momentum": ("gradient", "old velocity"),
    "nesterov": ("gradient", "gradient, looking ahead", "old velocity"),
    "adagrad": ("gradient", "rescaling"),
    "rmsprop": ("gradient", "rescaling"),
    "adam": ("without corrections", "the mean's correction", "the square's correction"),
    "adamw": ("Adam's step", "weight decay"),
    "sam": ("gradient here", "change uphill"),
    "newton": ("along the flatter axis", "along the steeper axis"),
}
SQUARES = {"adagrad": 0, "rmsprop": 0, "adam": 1, "adamw": 1}  # where a rule's memory holds its squares
VELOCITY = {"momentum": 0, "nesterov": 0, "adam": 0, "adamw": 0}  # and its velocity, or mean gradient


@dataclass(frozen=True)
class Config(Ground):
    """The settings of one run that is taken apart."""

    rule: str = knob("adam", "rule", choices=NAMES)


class Frame(NamedTuple):
    """The run after some steps, and its next step taken apart."""

    step: int
    place: Array  # (1, 2) float32
    path: Array  # (m, 2) float32 the way there
    parts: Array  # (3, 1, 4) float32 x, y, dx, dy: head to tail, magnified
    whole: Array  # (1, 4) float32 the step itself, magnified
    slope: Array  # (1, 4) float32 straight downhill, as long as the longest arrow may be
    magnified: float  # how many times the arrows are longer than in truth
    sizes: Array  # (3,) lengths of the parts, 0 where there is none
    length: float  # of the step
    steepness: float  # length of the gradient
    velocity: float  # length of the velocity or mean gradient, NaN for a rule without
    scales: Array  # (2,) the root of the squares that the rule remembers, along x and y; NaN for a rule without
    angle: float  # between the step and straight downhill, degrees; NaN where either is nothing
    lost: int  # the step at which the run diverged, -1 before


class Moment(NamedTuple):
    """What a rule knows when it takes a step."""

    w: Array  # (2,)
    g: Array  # (2,) noise included
    slope: Slope  # with the noise of this step
    ground: Surface
    before: State
    after: State
    hyper: Hyper
    k: int
    lr: float


def of_gd(now: Moment) -> list[Array]:
    """-lr g"""
    return [-now.lr * now.g]


def of_momentum(now: Moment) -> list[Array]:
    """-lr g and -lr mu v"""
    return [-now.lr * now.g, -now.lr * now.hyper.mu * now.before[0]]


def of_nesterov(now: Moment) -> list[Array]:
    """-lr g, -lr mu g and -lr mu^2 v"""
    mu = now.hyper.mu
    return [-now.lr * now.g, -now.lr * mu * now.g, -now.lr * mu * mu * now.before[0]]


def of_rescaled(now: Moment) -> list[Array]:
    """-lr g, and what dividing by the root of the squares makes of it"""
    return [-now.lr * now.g, -now.lr * now.g / (now.after[0] ** 0.5 + now.hyper.eps) + now.lr * now.g]


def of_adam(now: Moment) -> list[Array]:
    """-lr m / (sqrt(s) + eps), what m freed of its start at 0 adds to that, and what s freed of its start adds"""
    (m, s), hyper = now.after, now.hyper
    full = m / (1 - hyper.beta1 ** (now.k + 1))
    root = (1 - hyper.beta2 ** (now.k + 1)) ** 0.5
    raw, mean, both = (-now.lr * a / (b + hyper.eps) for a, b in ((m, s**0.5), (full, s**0.5), (full, s**0.5 / root)))
    return [raw, mean - raw, both - mean]


def of_adamw(now: Moment) -> list[Array]:
    """Adam's step and -lr weight_decay w"""
    return [sum(of_adam(now), np.zeros(2)), -now.lr * now.hyper.weight_decay * now.w]


def of_sam(now: Moment) -> list[Array]:
    """-lr g, and what the gradient uphill adds to it"""
    uphill = now.w + now.hyper.rho * now.g / ((now.g @ now.g) ** 0.5 + SAFE)
    return [-now.lr * now.g, -now.lr * (now.slope(uphill) - now.g)]


def of_newton(now: Moment) -> list[Array]:
    """-lr H^-1 g, cut along the two axes of the local parabola"""
    step = -now.lr * now.slope.solve(now.w, now.g)
    curvatures, axes = np.linalg.eigh(np.nan_to_num(now.ground.hessian(now.w)))
    return [(step @ axes[:, i]) * axes[:, i] for i in np.argsort(abs(curvatures))]


APART: dict[str, Callable[[Moment], list[Array]]] = {
    "gd": of_gd,
    "momentum": of_momentum,
    "nesterov": of_nesterov,
    "adagrad": of_rescaled,
    "rmsprop": of_rescaled,
    "adam": of_adam,
    "adamw": of_adamw,
    "sam": of_sam,
    "newton": of_newton,
}


def moments(cfg: Config) -> Iterator[tuple[Moment, Array, bool]]:
    """What the rule knows at each step, the step it takes, and whether it is lost; the one after the last, too."""
    ground, rule = cfg.loss, RULES[cfg.rule]
    lrs = [*step_sizes(cfg, [cfg.rule])[:, 0], cfg.step_of(cfg.rule)]
    lrs[-1] = lrs[-2] if cfg.steps else lrs[-1]
    noise, w, state = noises(cfg, 1), cfg.start, rule.init(cfg.start)
    for k, lr in enumerate(lrs):
        extra = noise[min(k, cfg.steps - 1), 0] if len(noise) else 0.0
        slope = Slope(lambda at, extra=extra: ground.gradient(at) + extra, ground.solve)
        with np.errstate(all="ignore"):
            moved, after = rule.step(slope, w, state, cfg.hyper, k, lr)
            now = Moment(w, slope(w), slope, ground, state, after, cfg.hyper, k, lr)
            step = moved - w
        yield now, step, bool(gone(ground, w))
        if gone(ground, moved):
            moved, after = w, state
        w, state = moved, after


def run(cfg: Config) -> Iterator[Frame]:
    """The run in at most 121 frames, the start first; it stays where it last was once it has diverged."""
    stride, path, lost = max(1, ceil(cfg.steps / FRAMES)), [], -1
    for now, step, away in moments(cfg):
        stuck = away or bool(gone(cfg.loss, now.w + step))
        path.append(now.w)
        if now.k % stride == 0 or now.k == cfg.steps:
            yield _frame(cfg, now, step * (not stuck), path, lost)
        if stuck and lost < 0:
            lost = now.k if away else now.k + 1


def apart(rule: str, now: Moment) -> Array:
    """The parts of the next step: (3, 2), zeros where a rule has fewer. They add up to the step."""
    with np.errstate(all="ignore"):
        found = np.array(APART[rule](now))
    return np.concatenate([found, np.zeros((MOST - len(found), 2))])


def _frame(cfg: Config, now: Moment, step: Array, path: list[Array], lost: int) -> Frame:
    ground = cfg.loss
    parts = _sane(apart(cfg.rule, now)) if lost < 0 else np.zeros((MOST, 2))
    step, g = _sane(step), _sane(now.g)
    sizes, length, steep = np.hypot(*parts.T), float(np.hypot(*step)), float(np.hypot(*g))
    longest = max(sizes.max(), length)
    magnified = min(SIGHT * ground.half / longest, LARGEST) if longest > LEAST else 1.0
    tails = now.w + magnified * np.concatenate([np.zeros((1, 2)), parts.cumsum(0)[:-1]])
    down = -g / steep * SIGHT * ground.half if steep > LEAST else np.zeros(2)
    return Frame(
        step=now.k,
        place=clipped(ground, now.w[None]),
        path=clipped(ground, np.array(path)),
        parts=np.concatenate([tails, magnified * parts], 1)[:, None].astype(np.float32),
        whole=np.concatenate([now.w, magnified * step])[None].astype(np.float32),
        slope=np.concatenate([now.w, down])[None].astype(np.float32),
        magnified=magnified,
        sizes=sizes,
        length=length,
        steepness=steep,
        velocity=_length(now.after[VELOCITY[cfg.rule]]) if cfg.rule in VELOCITY else nan,
        scales=_sane(now.after[SQUARES[cfg.rule]]) ** 0.5 if cfg.rule in SQUARES else np.full(2, nan),
        angle=_angle(step, -g),
        lost=lost,
    )


def _sane(values: Array) -> Array:
    """Finite, and of a size that can be drawn."""
    return np.clip(np.nan_to_num(values), -LARGEST, LARGEST)


def _length(v: Array) -> float:
    return float(np.hypot(*_sane(v)))


def _angle(a: Array, b: Array) -> float:
    """Between two vectors, in degrees; NaN where one is nothing."""
    lengths = float(np.hypot(*a) * np.hypot(*b))
    return float(np.degrees(np.arccos(np.clip(a @ b / lengths, -1, 1)))) if lengths > LEAST**2 else nan
