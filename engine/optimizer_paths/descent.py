"""Whole runs of several rules from several starts on a surface, computed side by side."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from engine.optimizer_paths.rules import RULES, Hyper, Slope
from engine.optimizer_paths.surfaces import Surface

Array = np.ndarray
FAR, EDGE = 100.0, 3.0  # half-widths of the picture: a run beyond has diverged; a drawn path beyond is cut off


class Run(NamedTuple):
    """Where r rules are after every step, from n starts."""

    places: Array  # (steps + 1, r, n, 2) float64; a run that is lost stays where it last was
    lost: Array  # (r, n) the step at which it was lost, -1 if it was not


def stages(
    ground: Surface, names: Sequence[str], starts: Array, hyper: Hyper, lrs: Array, noise: Array
) -> Iterator[Run]:
    """One and the same Run, filled up to step 0, 1, ... len(lrs): every rule from every start.

    starts: (n, 2), lrs: (steps, r), noise: (steps, n, 2) added to each gradient, or empty. The gradients of all rules
    are one call; a rule that looks elsewhere too calls again. A run is lost when it is 100 half-widths away, or where
    the loss is no number.
    """
    rules = [RULES[name] for name in names]
    places = np.empty((len(lrs) + 1, len(rules), *starts.shape))
    places[:] = starts
    states = [rule.init(starts) for rule in rules]
    lost = np.where(gone(ground, places[0]), 0, -1)
    yield Run(places, lost)
    for k, (here, there) in enumerate(pairwise(places)):
        with np.errstate(all="ignore"):
            extra = noise[k] if len(noise) else 0.0
            slopes = ground.gradient(here) + extra
            for i, rule in enumerate(rules):
                w = here[i]
                known = _Known(ground, w, slopes[i], extra)
                g_of = Slope(known, ground.solve) if rule.hessians else known
                there[i], states[i] = rule.step(g_of, w, states[i], hyper, k, lrs[k, i])
        left = gone(ground, there) | (lost >= 0)
        if left.any():
            there[left] = here[left]
            lost[left & (lost < 0)] = k + 1
        yield Run(places, lost)


def descend(ground: Surface, names: Sequence[str], starts: Array, hyper: Hyper, lrs: Array, noise: Array) -> Run:
    """The last of `stages`: the whole run."""
    *_, last = stages(ground, names, starts, hyper, lrs, noise)
    return last


def gone(ground: Surface, places: Array) -> Array:
    """Which places are lost: far away, or where a typed loss is no number. (..., 2) -> (...)"""
    x, y = places[..., 0], places[..., 1]
    (a, b), far = ground.centre, FAR * ground.half
    away = ~((abs(x - a) < far) & (abs(y - b) < far))  # NaN is away too
    return away | ~np.isfinite(ground.f(places)) if ground.name == "yours" else away


class _Known:
    """A gradient function whose value at one place is known already."""

    def __init__(self, ground: Surface, place: Array, slope: Array, noise: Array | float) -> None:
        self.ground, self.place, self.slope, self.noise = ground, place, slope, noise

    def __call__(self, w: Array) -> Array:
        return self.slope if w is self.place else self.ground.gradient(w) + self.noise


def first_lost(run: Run) -> Array:
    """The step at which each rule lost its first run, -1 if it lost none: (r,)"""
    first = np.where(run.lost < 0, len(run.places), run.lost).min(1)
    return np.where(first < len(run.places), first, -1)


def clipped(ground: Surface, places: Array) -> Array:
    """Places for a picture: float32, at most three half-widths from the middle."""
    centre, most = np.array(ground.centre), EDGE * ground.half
    return np.clip(places, centre - most, centre + most).astype(np.float32)
