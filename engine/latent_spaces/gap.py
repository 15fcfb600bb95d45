"""How far the codes of all examples together are from the prior N(0, I), and how far its own samples would be."""

from functools import cache
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from engine.device import generator
from engine.distance import directions, project

SLICES, REPEATS = 64, 16


class Floor(NamedTuple):
    """What n true samples of the prior would give."""

    mmd: float  # exact: root of the mean of MMD²
    sliced: float  # estimate: mean of the sliced W2
    spread: float  # of the sliced W2, its standard deviation from sample to sample


def bandwidth(k: int) -> float:
    """Of the Gaussian kernel exp(−‖x − y‖² / 2h²): √k, the typical size of a sample of the prior in k dimensions."""
    return sqrt(k)


def mmd2(codes: Tensor, *, unbiased: bool = False, width: float = 1.0) -> Tensor:
    """Squared maximum mean discrepancy between codes (n, k) and N(0, I) with a Gaussian kernel: a number.

    The prior's part is integrated exactly; no prior samples are drawn (Gretton et al. 2012, for the definition).
    `width` is that of the kernel, in units of `bandwidth`. Biased, it is never negative, and n samples of the prior
    give floor(n, k).mmd² on average; unbiased, 0.
    """
    n, k = codes.shape
    h2 = (width * bandwidth(k)) ** 2
    size = codes.square().sum(1)
    half = size / (-2 * h2)
    kernel = torch.addmm(half[:, None], codes, codes.T / h2).add_(half).exp_()
    among = (kernel.sum() - n) / (n * (n - 1)) if unbiased else kernel.mean()
    across = (h2 / (1 + h2)) ** (k / 2) * torch.exp(size / (-2 * (1 + h2))).mean()
    return among - 2 * across + (h2 / (2 + h2)) ** (k / 2)


@cache
def quantiles(n: int) -> Tensor:
    """The mean of N(0, 1) on each of n equally likely intervals, in order: (n,) float64 with sum 0."""
    cuts = torch.special.ndtri(torch.arange(1, n, dtype=torch.float64) / n)
    density = torch.cat([torch.zeros(1), torch.exp(cuts.square() / -2) / sqrt(2 * torch.pi), torch.zeros(1)])
    return n * (density[:-1] - density[1:])


def sliced_w2_squared(codes: Tensor, along: Tensor) -> Tensor:
    """Mean over directions (p, k) of the exact squared W2 between the codes' shadows and N(0, 1): (n, k) -> a number.

    W2² = mean (x_(i) − m_i)² + 1 − mean m_i², with m_i the prior's mean on the i-th of n equally likely intervals.
    """
    wanted, shadows = quantiles(len(codes)).to(codes), project(codes, along)
    return (shadows - wanted).square().mean() + (1 - wanted.square().mean())


@cache
def slices(k: int) -> Tensor:
    """The 64 directions that the meters look along, always the same: (64, k)."""
    return directions(SLICES, k, generator(0)) if k > 1 else torch.ones(1, 1)


def sliced(codes: Tensor) -> float:
    """Sliced W2 to the prior: (n, k) -> a distance in units of the prior's standard deviation."""
    return float(sliced_w2_squared(codes, slices(codes.shape[1])).clamp_min(0).sqrt())


def mmd(codes: Tensor) -> float:
    """Root of the biased MMD² to the prior: (n, k) -> a distance of at most √2."""
    return float(mmd2(codes).clamp_min(0).sqrt())


@cache
def floor(n: int, k: int) -> Floor:
    """What n true samples of N(0, I) in k dimensions give in the place of codes."""
    rng, h2 = generator(0), bandwidth(k) ** 2
    drawn = torch.tensor([sliced(torch.randn(n, k, generator=rng)) for _ in range(REPEATS)])
    exact = sqrt((1 - (h2 / (2 + h2)) ** (k / 2)) / n)
    return Floor(exact, float(drawn.mean()), float(drawn.std()))
