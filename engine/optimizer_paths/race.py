"""A race downhill: several rules from the same start, all at once, against steps and against gradients paid."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, nan
from typing import NamedTuple

import numpy as np

from engine.knob import knob
from engine.optimizer_paths.descent import Run, clipped, first_lost, stages
from engine.optimizer_paths.ground import Ground, noises, step_sizes
from engine.optimizer_paths.rules import RULES
from engine.optimizer_paths.schedule import LR_SCHEDULES
from engine.optimizer_paths.surfaces import Surface

Array = np.ndarray
FRAMES, POINTS, MANY = 120, 400, 64  # frames of a run; places of a path that are drawn; starts of a lasso
TAIL, FORESEE = 6, 3000  # frames that the end of a path among many covers; steps of rules that are quickly run ahead
DEPTH, HIT = 1e-9, 1e-3  # of the first loss: the lowest that is shown, and what counts as arrived
SETS = {
    "classics": ("gd", "momentum", "rmsprop", "adam"),
    "inertia": ("gd", "momentum", "nesterov"),
    "scaled": ("adagrad", "rmsprop", "adam", "adamw"),
    "ahead": ("gd", "sam"),
    "second": ("gd", "momentum", "newton"),
    "all": tuple(RULES),
}
SET_TITLES = {
    "classics": "gradient descent, momentum, RMSProp, Adam",
    "inertia": "gradient descent, momentum, Nesterov",
    "scaled": "Adagrad, RMSProp, Adam, AdamW",
    "ahead": "gradient descent and SAM",
    "second": "gradient descent, momentum, Newton",
    "all": "all nine",
}


@dataclass(frozen=True)
class Config(Ground):
    """The settings of one race."""

    rules: str = knob("classics", "rules", choices=SET_TITLES)
    spread: float = knob(
        0.0, "spread of the starts", 0.0, 2.0, step=0.05, folded=True, help="above 0: 64 starts around the one chosen"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The rules that race."""
        return SETS[self.rules]

    @property
    def starts(self) -> Array:
        """Where they begin: (1, 2), or (64, 2) in the order of a sunflower's seeds."""
        if not self.spread:
            return self.start[None]
        i = np.arange(MANY)
        angle, radius = i * np.pi * (3 - 5**0.5), self.spread * np.sqrt(i / (MANY - 1))
        return self.start + np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


class Frame(NamedTuple):
    """The race after some steps. Rows are rules."""

    step: int
    places: Array  # (r, n, 2) float32, no farther than 3 half-widths
    paths: Array  # (r, n, m, 2) float32 the way there: all of it from one start, lately from many
    least: float  # loss above the lowest of the best rule now, its median over the starts; NaN where none has one
    gap: Array  # (r, 3) loss above the lowest: median over the starts, and its lowest and highest tenth
    cost: Array  # (r,) gradients paid
    arrived: Array  # (r,) the step at which the median gap fell below a thousandth of the first, -1 before
    lost: Array  # (r,) the step at which the first run of this rule diverged, -1 before
    crosses: Array  # (k, 3) where the diverged runs left the picture, and the number of the rule
    factor: float  # of the step size, now


def steps_of(cfg: Config) -> Iterator[Run]:
    """The race step by step."""
    starts = cfg.starts
    return stages(cfg.loss, cfg.names, starts, cfg.hyper, step_sizes(cfg, cfg.names), noises(cfg, len(starts)))


@lru_cache(32)
def foreseen(cfg: Config) -> tuple[int, ...]:
    """The step at which each rule will have lost a run, -1 for none; nothing where that takes long to work out."""
    if cfg.steps * len(cfg.names) * len(cfg.starts) ** 0.25 > FORESEE:
        return ()
    *_, last = steps_of(cfg)
    return tuple(int(step) for step in first_lost(last))


def gaps(ground: Surface, places: Array) -> Array:
    """Loss above the lowest, over the places a run may show: (..., 2) -> (...), NaN where the loss is no number."""
    return np.maximum(ground.f(places) - ground.lowest, 0.0)


def scale(cfg: Config) -> float:
    """The median gap at the start, or 1 where there is none: what the charts are measured by."""
    first = np.nan_to_num(gaps(cfg.loss, cfg.starts))
    return float(np.median(first)) or 1.0


def crossings(ground: Surface, run: Run, step: int) -> Array:
    """Where the runs that are lost by now first left the picture, on its edge, and their rule: (k, 3)"""
    gone = np.argwhere((run.lost >= 0) & (run.lost <= step))
    found = [run.places[_first_outside(ground, run.places[: step + 1, i, j]), i, j] for i, j in gone]
    edge = np.clip(np.array(found).reshape(-1, 2), ground.low, ground.high)
    return np.concatenate([edge, gone[:, :1]], 1)


def _first_outside(ground: Surface, path: Array) -> int:
    out = (abs(path - np.array(ground.centre)) > ground.half).any(-1)
    return int(out.argmax()) if out.any() else len(path) - 1


def run(cfg: Config) -> Iterator[Frame]:
    """The race in at most 121 frames, the start first. Never raises; what diverges is clipped and marked."""
    ground, unit, stride = cfg.loss, scale(cfg), max(1, ceil(cfg.steps / FRAMES))
    cost, arrived = np.array([RULES[name].cost() for name in cfg.names]), np.full(len(cfg.names), -1)
    for step, raced in enumerate(steps_of(cfg)):
        if step % stride and step != cfg.steps:
            continue
        gap, lost = _gap(ground, raced, step, unit), first_lost(raced)
        arrived = np.where((arrived < 0) & (gap[:, 0] <= HIT * unit) & (lost < 0), step, arrived)
        yield Frame(
            step=step,
            places=clipped(ground, raced.places[step]),
            paths=_paths(cfg, raced, step, stride),
            least=_least(ground, raced, step),
            gap=gap,
            cost=cost * step,
            arrived=arrived,
            lost=lost,
            crosses=crossings(ground, raced, step),
            factor=LR_SCHEDULES[cfg.schedule](min(step, max(cfg.steps - 1, 0)), max(cfg.steps, 1)),
        )


def _paths(cfg: Config, raced: Run, step: int, stride: int) -> Array:
    """The way to where the runs are now, of many only the end of it: (r, n, m, 2)"""
    alone = len(cfg.starts) == 1
    thin = max(1, ceil(cfg.steps / POINTS) if alone else stride // 2)
    since = 0 if alone else max(0, step - TAIL * stride)
    kept = [*range(since, step, thin), step]
    return clipped(cfg.loss, raced.places[kept].transpose(1, 2, 0, 3))


def _least(ground: Surface, raced: Run, step: int) -> float:
    """The smallest median over the starts of what is left of the loss, however small; NaN where all are lost."""
    left = np.median(np.nan_to_num(gaps(ground, raced.places[step]), nan=np.inf, posinf=np.inf), 1).min(initial=np.inf)
    return float(left) if np.isfinite(left) else nan


def _gap(ground: Surface, raced: Run, step: int, unit: float) -> Array:
    """Median, lowest and highest tenth of the gap over the starts, inside what the chart shows: (r, 3)"""
    gap = np.nan_to_num(gaps(ground, raced.places[step]), nan=np.inf, posinf=np.inf)
    shown = np.clip(gap, DEPTH * unit, 1e4 * unit)
    return np.stack([np.quantile(shown, q, 1) for q in (0.5, 0.1, 0.9)], 1)
