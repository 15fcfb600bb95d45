"""Basins: which minimum a rule ends in, from every place of the plane, and how many steps it takes to get there."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from typing import NamedTuple

import numpy as np

from engine.knob import knob
from engine.optimizer_paths.descent import clipped, descend, gone
from engine.optimizer_paths.ground import Ground, noises, step_sizes
from engine.optimizer_paths.rules import NAMES, RULES, Slope
from engine.optimizer_paths.surfaces import TITLES, Surface

Array = np.ndarray
EDGES = (12, 24, 48, 96)  # pixels along the picture, coarse to fine
NEAR = 0.08  # half-widths from a minimum that count as having reached it
NAMED = 5  # minima that have a colour of their own, the deepest ones
FINE, MOST = 201, 30  # places along the search for minima; minima that are told apart
PIECE, WORK = 1152, 20_000.0  # places that are worked out together; microseconds between two frames, about
PALEST = 0.3  # tint of a place that needs all the steps


@dataclass(frozen=True)
class Config(Ground):
    """The settings of one picture of basins."""

    surface: str = knob("himmelblau", "surface", choices=TITLES)
    steps: int = knob(200, "steps", 0, 500, folded=True)
    rule: str = knob("momentum", "rule", choices=NAMES)
    start_x: float = knob(-0.5, "one path from, x", -5.0, 5.0, step=0.01, folded=True)
    start_y: float = knob(-0.8, "one path from, y", -5.0, 5.0, step=0.01, folded=True)


class Frame(NamedTuple):
    """The picture as far as it is worked out: 96 x 96 pixels, the first row at the bottom."""

    progress: float  # share of all the work
    edge: int  # pixels along the picture that are being worked out: 12, 24, 48 or 96
    tints: Array  # (m + 2, 96, 96) float32 of each named minimum, of the others, and of places that reach none
    steps: Array  # (96, 96) float32 steps needed, NaN where none is reached
    shares: Array  # (m + 2,) of the pixels: each named minimum, another one, none
    typical: float  # median of the steps needed, NaN where no minimum is reached
    frayed: float  # share of neighbouring pixels that end differently
    path: Array  # (m, 2) float32 one run, from the place that can be dragged
    start: Array  # (1, 2) float32 that place


@lru_cache(64)
def minima_of(ground: Surface) -> tuple[tuple[float, float], ...]:
    """The minima inside the picture, deepest first, at most 30: lows of a grid, polished by Newton's rule.

    A minimum that is not lower than all of its surroundings, as on a plain or along a trench, is none.
    """
    places = ground.grid(FINE)
    f = np.nan_to_num(ground.f(places), nan=np.inf, posinf=np.inf)
    inner, lower = f[1:-1, 1:-1], np.ones((FINE - 2, FINE - 2), bool)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for sign in (1, -1):
            a, b = 1 + sign * dy, 1 + sign * dx
            lower &= inner < f[a : a + FINE - 2, b : b + FINE - 2]
    found = _polished(ground, places[1:-1, 1:-1][lower])
    if not len(found):
        return ()
    heights = np.round(ground.f(found), 9)
    order = np.lexsort((-found[:, 1], -found[:, 0], heights))[:MOST]
    return tuple((float(x), float(y)) for x, y in found[order])


def _polished(ground: Surface, guesses: Array) -> Array:
    """Each guess moved to where the slope is 0; those that move more than two cells were none: (n, 2) -> (m, 2)"""
    w, cell = guesses, 2 * ground.half / FINE
    with np.errstate(all="ignore"):
        for _ in range(20):
            w = w - ground.solve(w, ground.gradient(w))
    w = np.where(np.isfinite(w).all(-1, keepdims=True), w, guesses)  # at the tip of a cone there is no slope
    kept = w[(abs(w - guesses) <= 2 * cell).all(-1)]
    apart = [i for i in range(len(kept)) if not (np.hypot(*(kept[:i] - kept[i]).T) < cell).any()]
    return kept[apart]


class Flight:
    """Runs of one rule from many places at once, of which only the present is kept. starts: (n, 2)"""

    def __init__(self, cfg: Config, starts: Array, minima: Array) -> None:
        self.cfg, self.ground, self.rule, self.minima = cfg, cfg.loss, RULES[cfg.rule], minima
        self.w, self.state, self.k = starts, self.rule.init(starts), 0
        self.lost = gone(self.ground, starts)
        self.lrs, self.noise = step_sizes(cfg, [cfg.rule])[:, 0], noises(cfg, 1)
        self.at, self.since = self._nearest(), np.zeros(len(starts), int)

    def _nearest(self) -> Array:
        """The number of the minimum that each run is at, -1 where it is at none: (n,)"""
        at = np.full(len(self.w), -1)
        near = (NEAR * self.ground.half) ** 2
        for i, (x, y) in enumerate(self.minima):
            at[(self.w[:, 0] - x) ** 2 + (self.w[:, 1] - y) ** 2 < near] = i
        at[self.lost] = -1
        return at

    def advance(self, steps: int) -> None:
        """Take some steps. `since` is the step at which a run came to where it has been ever since."""
        for _ in range(min(steps, self.cfg.steps - self.k)):
            with np.errstate(all="ignore"):
                extra = self.noise[self.k] if len(self.noise) else 0.0
                slope = Slope(lambda w, extra=extra: self.ground.gradient(w) + extra, self.ground.solve)
                moved, self.state = self.rule.step(slope, self.w, self.state, self.cfg.hyper, self.k, self.lrs[self.k])
            self.lost |= gone(self.ground, moved)
            self.w, self.k = np.where(self.lost[:, None], self.w, moved), self.k + 1
            at = self._nearest()
            self.since[at != self.at] = self.k
            self.at = at

    @property
    def lot(self) -> int:
        """How many steps fit between two frames."""
        each = 100 + len(self.minima) * 4 + len(self.w) * (0.1 + 0.007 * len(self.minima))  # microseconds, measured
        return max(1, round(WORK / (each * 1.5 if self.cfg.rule == "newton" else each)))

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.k >= self.cfg.steps


def run(cfg: Config) -> Iterator[Frame]:
    """The picture four times, each with twice as many pixels along, some lines at a time."""
    minima = np.array(minima_of(cfg.loss)).reshape(-1, 2)
    path = _path(cfg)
    at, since = np.full((EDGES[-1], EDGES[-1]), -1), np.zeros((EDGES[-1], EDGES[-1]))
    worked, total = 0, sum(edge**2 for edge in EDGES)
    for edge in EDGES:
        places, wide, rows = cfg.loss.grid(edge), EDGES[-1] // edge, min(edge, PIECE // edge)
        for row in range(0, edge, rows):
            flight = Flight(cfg, places[row : row + rows].reshape(-1, 2), minima)
            flight.advance(flight.lot)
            while not flight.done:
                yield _frame(cfg, minima, at, since, worked / total, edge, path)
                flight.advance(flight.lot)
            block = slice(row * wide, (row + rows) * wide)
            at, since = at.copy(), since.copy()
            at[block], since[block] = (_enlarged(v, edge, wide) for v in (flight.at, flight.since))
            worked += len(flight.w)
            yield _frame(cfg, minima, at, since, worked / total, edge, path)


def _enlarged(values: Array, edge: int, wide: int) -> Array:
    """Rows of pixels as squares of `wide` x `wide` of them."""
    return values.reshape(-1, edge).repeat(wide, 0).repeat(wide, 1)


def _path(cfg: Config) -> Array:
    """One run from the place that can be dragged: (m, 2)"""
    whole = descend(cfg.loss, [cfg.rule], cfg.start[None], cfg.hyper, step_sizes(cfg, [cfg.rule]), noises(cfg, 1))
    return clipped(cfg.loss, whole.places[:, 0, 0])


def _frame(cfg: Config, minima: Array, at: Array, since: Array, progress: float, edge: int, path: Array) -> Frame:
    group = np.where(at < 0, min(len(minima), NAMED) + 1, np.minimum(at, NAMED))
    tint = np.where(at < 0, 1.0, 1 - (1 - PALEST) * since / max(1, cfg.steps))
    groups = min(len(minima), NAMED) + 2
    each = np.arange(groups)[:, None, None] == group
    differ = (at[1:] != at[:-1]).mean() + (at[:, 1:] != at[:, :-1]).mean()
    return Frame(
        progress=progress,
        edge=edge,
        tints=(each * tint).astype(np.float32),
        steps=np.where(at < 0, nan, since).astype(np.float32),
        shares=each.mean((1, 2)),
        typical=float(np.median(since[at >= 0])) if (at >= 0).any() else nan,
        frayed=float(differ) / 2,
        path=path,
        start=clipped(cfg.loss, cfg.start[None]),
    )
