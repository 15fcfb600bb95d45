"""Families of small regression tasks: sinusoids, lines, steps, harmonics, and what a visitor draws."""

from collections.abc import Callable, Iterator
from functools import cache
from math import pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.maml_adaptation.learner import REACH

HEIGHT = 6.0  # a picture shows outputs from -HEIGHT to HEIGHT
BENDS = 65  # places at which a drawn function is kept


class Tasks(NamedTuple):
    """t tasks with K examples to adapt on (support A) and Q others to be judged on (query B). On DEVICE."""

    params: Tensor  # (t, p) what each task's function is made of
    x: Tensor  # (t, K, 2) support, with a last column of ones
    y: Tensor  # (t, K, 1)
    query_x: Tensor  # (t, Q, 2)
    query_y: Tensor  # (t, Q, 1)

    def mixed_up(self) -> "Tasks":
        """The same with the query set in place of the support set: adapted on the very examples that judge."""
        return self._replace(x=self.query_x, y=self.query_y)


class Family(NamedTuple):
    """A way to draw functions of one number: each parameter is uniform between its ends."""

    label: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    function: Callable[[Tensor, Tensor], Tensor]  # params (t, p), x (t, n) -> (t, n)


def sinusoid(params: Tensor, x: Tensor) -> Tensor:
    """a sin(x - b): the tasks of Finn et al. (2017)."""
    a, b = params.split(1, 1)
    return a * torch.sin(x - b)


def line(params: Tensor, x: Tensor) -> Tensor:
    """a x + b"""
    a, b = params.split(1, 1)
    return a * x + b


def jump(params: Tensor, x: Tensor) -> Tensor:
    """One level to the left of a place, another to its right."""
    place, left, right = params.split(1, 1)
    return torch.where(x < place, left, right)


def harmonic(params: Tensor, x: Tensor) -> Tensor:
    """Two sinusoids, the second one twice as fast."""
    a, b, c, d = params.split(1, 1)
    return a * torch.sin(x - b) + c * torch.sin(2 * x - d)


FAMILIES = {
    "sinusoids": Family("sinusoids", (0.1, 0.0), (5.0, pi), sinusoid),
    "lines": Family("lines", (-1.0, -1.0), (1.0, 1.0), line),
    "steps": Family("step functions", (-3.0, -4.0, -4.0), (3.0, 4.0, 4.0), jump),
    "harmonics": Family("two harmonics", (0.1, 0.0, 0.1, 0.0), (3.0, pi, 2.0, 2 * pi), harmonic),
}


def sinusoid_tasks(
    count: int,
    shots: int,
    rng: torch.Generator,
    *,
    query: int = 0,
    noise: float = 0.0,
    family: str = "sinusoids",
    even: bool = False,
) -> Tasks:
    """`count` tasks with `shots` support examples and `query` others (0: as many), inputs uniform in [-5, 5].

    noise: standard deviation of the error in the support's outputs. even: with less left to chance, parameters
    fill their range by a scrambled Sobol sequence, and the query inputs of a task lie one in each equal part of theirs.
    Raises ValueError for an unknown family.
    """
    if family not in FAMILIES:
        raise ValueError(f"saw a family called {family!r}; expected one of {', '.join(FAMILIES)}")
    asked = query or max(shots, 1)
    x = REACH * (2 * torch.rand(count, shots + asked, generator=rng) - 1)
    if even:
        turns = torch.rand(count, asked, generator=rng).argsort(1)
        x[:, shots:] = (x[:, shots:] + REACH * (2 * turns + 1 - asked)) / asked
    params = drawn(FAMILIES[family], count, rng, even)
    y = FAMILIES[family].function(params, x)
    if noise:
        y[:, :shots] += noise * torch.randn(count, shots, generator=rng)
    inputs, outputs = with_ones(x).to(DEVICE), y[..., None].to(DEVICE)
    return Tasks(params, inputs[:, :shots], outputs[:, :shots], inputs[:, shots:], outputs[:, shots:])


def drawn(family: Family, count: int, rng: torch.Generator, even: bool = False) -> Tensor:
    """Parameters of some of a family's functions: (count, p)"""
    low, high = torch.tensor(family.low), torch.tensor(family.high)
    if even:
        seed = int(torch.randint(1 << 30, (1,), generator=rng))
        return low + (high - low) * torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed).draw(count)
    return low + (high - low) * torch.rand(count, len(low), generator=rng)


@cache
def best_single(family: str = "sinusoids") -> float:
    """The least mean squared error of one function for all tasks of a family: their variance at a place, averaged.

    An estimate from 20 000 tasks at 201 places; no function that ignores the support set does better.
    """
    params, x = drawn(FAMILIES[family], 20_000, generator(0)), torch.linspace(-REACH, REACH, 201)
    return float(FAMILIES[family].function(params, x.expand(len(params), -1)).var(0).mean())


def batches(
    count: int, shots: int, rng: torch.Generator, *, query: int = 0, family: str = "sinusoids", even: bool = True
) -> Iterator[Tasks]:
    """Batches of `count` tasks without end, drawn sixteen at a time."""
    while True:
        many = sinusoid_tasks(16 * count, shots, rng, query=query, family=family, even=even)
        yield from (Tasks(*rows) for rows in zip(*(part.split(count) for part in many), strict=True))


def with_ones(x: Tensor) -> Tensor:
    """Inputs for the learner: (t, n) -> (t, n, 2)"""
    return torch.stack([x, torch.ones_like(x)], -1)


def interpolated(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The function through drawn points (m, 2), level beyond its ends, at places x: (n,) -> (n,)

    Where the drawing turns back, the mean of what was drawn near a place counts. Raises ValueError for no points.
    """
    if not len(points):
        raise ValueError("saw a drawing without points; expected at least one")
    cells = np.clip(np.rint((points[:, 0] + REACH) / (2 * REACH) * (BENDS - 1)), 0, BENDS - 1).astype(int)
    count = np.bincount(cells, minlength=BENDS)
    places = np.linspace(-REACH, REACH, BENDS)[count > 0]
    return np.interp(x, places, (np.bincount(cells, points[:, 1], BENDS) / np.maximum(count, 1))[count > 0])
