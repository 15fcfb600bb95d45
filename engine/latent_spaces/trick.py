"""Two ways to a gradient of an expectation: along the samples, or by their probabilities; one is much noisier."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.knob import knob

FRAMES, CHUNK = 60, 300  # of a run; estimates that each frame adds
BINS, REACH = 61, 3.0  # of a histogram; how far it goes, in standard deviations of the noisier estimator
NODES, FAR = 240, 12.0  # of the quadrature on each side of a jump; where it ends, in standard deviations
SHOWN, PLACES = 12, 241  # samples drawn on the function; places that it is drawn at
RIPPLE = 6.0  # radians per unit


class Function(NamedTuple):
    """A function g of one number, its slope, and where it jumps."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    jumps: tuple[float, ...] = ()


FUNCTIONS = {
    "square": Function(torch.square, lambda z: 2 * z),
    "tanh": Function(torch.tanh, lambda z: 1 - z.tanh() ** 2),
    "ripple": Function(lambda z: (RIPPLE * z).sin(), lambda z: RIPPLE * (RIPPLE * z).cos()),
    "step": Function(lambda z: (z > 0).to(z), torch.zeros_like, (0.0,)),
}
NAMES = {"square": "z²", "tanh": "tanh z", "ripple": "sin 6z", "step": "a step: 1 where z > 0"}


@dataclass(frozen=True)
class Config:
    """The settings of an expectation and of the two estimators of its gradient."""

    function: str = knob("square", "function", choices=NAMES, symbol="g", help="f(z) is the sum of g over the z's")
    parameter: str = knob("mean", "gradient in", choices={"mean": "the mean μ", "std": "the deviation σ"})
    mu: float = knob(1.0, "mean", -2.0, 2.0, symbol=r"\mu", step=0.1)
    sigma: float = knob(0.5, "deviation", 0.1, 2.0, symbol=r"\sigma", step=0.1)
    dimensions: int = knob(1, "dimensions", 1, 64, symbol="d", log=True, help="the gradient is that of the first one")
    baseline: bool = knob(False, "subtract the mean of f", help="from f in the score function: it stays unbiased")
    samples: int = knob(16, "samples in an estimate", 1, 64, symbol="n", log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)


class Exact(NamedTuple):
    """What is known without drawing a single sample."""

    value: float  # E f(z)
    gradient: float  # its derivative
    pathwise_mean: float  # of an estimate along the samples; the gradient unless g jumps
    pathwise_var: float  # of one sample's
    score_var: float


class Frame(NamedTuple):
    """The two estimators after some estimates each."""

    count: int  # estimates of each so far
    exact: float  # the gradient that both are to hit
    pathwise: float  # mean so far
    pathwise_error: float  # its standard error
    score: float
    score_error: float
    ratio: float  # variance of the score-function estimates over that of the pathwise ones so far; 0 where both are
    ratio_exact: float  # the same from quadrature; inf where only the pathwise variance is 0
    pathwise_bars: np.ndarray  # (2 * 61, 2) outline of the histogram: gradient, share of the estimates
    score_bars: np.ndarray  # (2 * 61, 2)
    spots: np.ndarray  # (12, 2) fresh samples on the function: z, g(z)
    slopes: np.ndarray  # (12, 4) the same with g'(z) as an arrow: z, g(z), dz, dg


def score(noise: Tensor, sigma: float, parameter: str) -> Tensor:
    """The derivative of log N(z; mu, sigma^2) in mu or sigma at z = mu + sigma noise: (...,) -> (...,)."""
    return noise / sigma if parameter == "mean" else (noise**2 - 1) / sigma


def pathwise(cfg: Config, noise: Tensor) -> Tensor:
    """Reparametrised estimates of the gradient: noise (m, n, d) -> (m,), each the mean over n samples.

    z = mu + sigma noise, so dz/dmu = 1 and dz/dsigma = noise (Kingma and Welling 2014; Rezende et al. 2014).
    """
    first = noise[..., 0]
    slope = FUNCTIONS[cfg.function].slope(cfg.mu + cfg.sigma * first)
    return (slope if cfg.parameter == "mean" else slope * first).mean(1)


def score_function(cfg: Config, noise: Tensor, baseline: float = 0.0) -> Tensor:
    """Estimates by (f(z) - baseline) times the score of z: noise (m, n, d) -> (m,) (REINFORCE; Williams 1992)."""
    f = FUNCTIONS[cfg.function].value(cfg.mu + cfg.sigma * noise).sum(2)
    return ((f - baseline) * score(noise[..., 0], cfg.sigma, cfg.parameter)).mean(1)


def quadrature(jumps: tuple[float, ...] = ()) -> tuple[Tensor, Tensor]:
    """Nodes e and weights w with E f(e) = f(e) @ w for e ~ N(0, 1), by Gauss and Legendre between the jumps of f."""
    ends = [-FAR, *sorted(j for j in jumps if abs(j) < FAR), FAR]
    unit, share = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(NODES))
    pairs = list(zip(ends, ends[1:], strict=False))
    e = torch.cat([low + (high - low) * (unit + 1) / 2 for low, high in pairs])
    width = torch.cat([(high - low) / 2 * share for low, high in pairs])
    return e, width * torch.exp(-(e**2) / 2) / sqrt(2 * torch.pi)


def exact(cfg: Config) -> Exact:
    """The gradient and the variances of both estimators of a single sample, by quadrature in one dimension.

    f is g(z_1) plus a rest that does not depend on z_1, so all that is needed of the rest is its mean and variance.
    """
    value, slope, jumps = FUNCTIONS[cfg.function]
    e, weights = quadrature(tuple((jump - cfg.mu) / cfg.sigma for jump in jumps))
    z, push = cfg.mu + cfg.sigma * e, score(e, cfg.sigma, cfg.parameter)
    g, along = value(z), slope(z) if cfg.parameter == "mean" else slope(z) * e
    mean = lambda of: float(of @ weights)  # noqa: E731
    one, gradient, steady = mean(g), mean(g * push), mean(along)
    total = cfg.dimensions * one
    rest = total - one - (total if cfg.baseline else 0.0)
    rest2 = rest**2 + (cfg.dimensions - 1) * (mean(g * g) - one**2)
    second = mean((g * g + 2 * rest * g + rest2) * push**2)
    return Exact(total, gradient, steady, max(mean(along**2) - steady**2, 0.0), max(second - gradient**2, 0.0))


def edges(known: Exact, samples: int) -> np.ndarray:
    """The bins' edges (62,): the exact gradient in the middle, three deviations of the noisier estimator each way."""
    spread = sqrt(max(known.pathwise_var, known.score_var) / samples) or 1.0
    reach = max(REACH * spread, 1.2 * abs(known.gradient - known.pathwise_mean))
    return np.linspace(known.gradient - reach, known.gradient + reach, BINS + 1)


def outline(counts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A histogram's outline: counts (61,) and edges (62,) -> (122, 2) gradient and share."""
    share = counts / max(counts.sum(), 1)
    return np.stack([np.repeat(at, 2)[1:-1], np.repeat(share, 2)], 1).astype(np.float32)


def drawn(cfg: Config) -> np.ndarray:
    """The function and the density of z over its peak: (241, 3) z, g, density."""
    z = torch.linspace(-5, 5, PLACES, dtype=torch.float64)
    density = torch.exp(-(((z - cfg.mu) / cfg.sigma) ** 2) / 2)
    return torch.stack([z, FUNCTIONS[cfg.function].value(z), density], 1).numpy()


@lru_cache(maxsize=64)
def tallest(cfg: Config) -> tuple[float, float]:
    """About how tall the two histograms get, as shares: those of 2 000 estimates, each kind for itself."""
    known, noise = exact(cfg), torch.randn(2000, cfg.samples, cfg.dimensions, generator=generator(0)).to(DEVICE)
    heights = []
    for estimates in (pathwise(cfg, noise), score_function(cfg, noise, known.value if cfg.baseline else 0.0)):
        tally = Tally(edges(known, cfg.samples))
        tally.add(estimates)
        heights.append(float(tally.counts.max()) / tally.n)
    return heights[0], heights[1]


class Tally:
    """The mean, the variance and the histogram of one estimator's estimates so far."""

    def __init__(self, at: np.ndarray) -> None:
        self.at, self.counts = at, np.zeros(BINS)
        self.n, self._sum, self._square = 0, 0.0, 0.0

    def add(self, estimates: Tensor) -> None:
        """estimates: (m,). What lies beyond the bins counts in the outermost ones."""
        values = estimates.cpu().double().numpy()
        middle = (self.at[:-1] + self.at[1:]) / 2
        self.counts += np.histogram(values.clip(middle[0], middle[-1]), self.at)[0]
        self.n += len(values)
        self._sum += float(values.sum())
        self._square += float((values**2).sum())

    @property
    def mean(self) -> float:
        """Of the estimates."""
        return self._sum / self.n

    @property
    def variance(self) -> float:
        """Of one estimate."""
        return max(self._square - self.n * self.mean**2, 0.0) / (self.n - 1)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return sqrt(self.variance / self.n)


def tangents(cfg: Config, z: Tensor) -> np.ndarray:
    """Places on the function with its slope as an arrow of bounded length: z (s,) -> (s, 4)."""
    value, slope, _ = FUNCTIONS[cfg.function]
    rise = slope(z)
    run = 0.5 * (1 + rise**2).rsqrt()
    return torch.stack([z, value(z), run, run * rise], 1).cpu().numpy()


def run(cfg: Config) -> Iterator[Frame]:
    """Sixty frames; each adds 300 estimates of either kind, both from the same noise."""
    rng, known = generator(cfg.seed), exact(cfg)
    at = edges(known, cfg.samples)
    first, second = Tally(at), Tally(at)
    limit = known.score_var / known.pathwise_var if known.pathwise_var else np.inf
    for _ in range(FRAMES):
        noise = torch.randn(CHUNK, cfg.samples, cfg.dimensions, generator=rng).to(DEVICE)
        first.add(pathwise(cfg, noise))
        second.add(score_function(cfg, noise, known.value if cfg.baseline else 0.0))
        arrows = tangents(cfg, cfg.mu + cfg.sigma * noise[:SHOWN, 0, 0])
        yield Frame(
            count=first.n,
            exact=known.gradient,
            pathwise=first.mean,
            pathwise_error=first.error,
            score=second.mean,
            score_error=second.error,
            ratio=second.variance / first.variance if first.variance else np.inf,
            ratio_exact=limit,
            pathwise_bars=outline(first.counts, at),
            score_bars=outline(second.counts, at),
            spots=arrows[:, :2].copy(),
            slopes=arrows,
        )
