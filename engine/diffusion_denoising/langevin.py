"""Langevin dynamics: walk uphill on log p, shake at every step, and the walkers end up distributed as p, nearly."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data.points import Mixture, check_code, mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising.model import Denoiser
from engine.diffusion_denoising.model import score as learned_score
from engine.diffusion_denoising.score import DATA, arrow, half_width, lattice, train, widest
from engine.distance import Truth
from engine.knob import knob

CHAINS, FRAMES, LEVELS, TRAIL, GRID, ARROWS = 600, 120, 24, 160, 48, 20
TRAINING, FINEST = 1200, 0.25  # training steps of a learned score; its least smoothing, in std of a mode
RIGHT, FAR = 0.7, 1e3  # true weight of the right of two modes; half-widths beyond which a chain has diverged
TARGETS = {"two_modes": "two modes", "one_gaussian": "one Gaussian"}

Score = Callable[[Tensor], Tensor]  # (n, 2) -> (n, 2)


@dataclass(frozen=True)
class Config:
    """The settings of one Langevin run."""

    data: str = knob("two_modes", "target", choices=TARGETS | DATA)
    gap: float = knob(6.0, "distance between the modes", 0.0, 10.0, step=0.25, help="in standard deviations of a mode")
    step_size: float = knob(
        0.1, "step size", 1e-3, 3.0, symbol=r"\epsilon / s^2", log=True, help="s is the width of one mode, its std"
    )
    steps: int = knob(600, "steps", 10, 2500, symbol="K", log=True)
    annealed: bool = knob(False, "annealed", help="begin on a heavily smoothed target and sharpen it step by step")
    start: str = knob(
        "everywhere",
        "chains start",
        choices={"everywhere": "everywhere", "left": "all on the left", "truth": "as true samples"},
        folded=True,
    )
    score: str = knob(
        "exact",
        "score",
        choices={"exact": "exact", "learned": "learned by a network"},
        help="a network is trained first, on true samples with noise; it knows little where there are none",
    )
    seed: int = knob(0, "seed", 0, 999, folded=True)
    points: str = knob("", "your points", text=check_code)


class Frame(NamedTuple):
    """The chains after some steps. NaN where a quantity has no exact value."""

    step: int
    time: float  # sum of the step sizes so far
    epsilon: float  # the step size now, in units of the picture squared
    sigma: float  # smoothing of the target that the chains now follow; 0 is the target itself
    half: float  # the picture is [-half, half] squared
    cloud: np.ndarray  # (600, 2) the chains, clipped to 4 half-widths
    path: np.ndarray  # (160, 2) where the first chain has been lately, oldest first
    density: np.ndarray  # (48, 48) of the smoothed target over its peak; rows from low to high y
    arrows: np.ndarray  # (400, 4) x, y and the score that the chains follow, its length compressed
    variance: float  # of the first coordinate
    variance_error: float  # its standard error
    variance_exact: float  # what it must be after this many steps (one Gaussian)
    variance_limit: float  # what it tends to with this step size (one Gaussian): s^2 / (1 - eps / 2 s^2), or inf
    variance_target: float  # of the target
    share_right: float  # of the chains at x > 0
    share_error: float  # its standard error
    weight_right: float  # mass of the target at x > 0
    crossings: int  # times that a chain has gone from one side to the other
    barrier: float  # nats to climb from the left mode to the ridge (two modes)
    distance: float  # sliced W2 to a large true cloud
    floor: float  # the same distance of 600 true samples, mean
    floor_spread: float  # and its standard deviation
    largest_step: float  # the step size at which chains far out begin to diverge: 2 s^2
    diverged: int  # step at which the first chain was lost, 1000 half-widths away; -1 while none is
    trained: float  # share of the network's training done; 1 with the exact score


def langevin_step(x: Tensor, score: Score, step_size: float, noise: Tensor) -> Tensor:
    """x + step_size score(x) + sqrt(2 step_size) noise: (n, 2) -> (n, 2).

    The unadjusted Langevin algorithm (Roberts and Tweedie, 1996); Welling and Teh (2011) call half of this
    step_size theirs.
    """
    return x + step_size * score(x) + math.sqrt(2 * step_size) * noise


def two_modes(gap: float, right: float = RIGHT) -> Mixture:
    """N((-gap/2, 0), I) and N((gap/2, 0), I), with weights 1 - right and right."""
    centres = torch.tensor([[-gap / 2, 0.0], [gap / 2, 0.0]], dtype=torch.float64)
    weights = torch.tensor([1 - right, right], dtype=torch.float64)
    return Mixture(centres, weights, torch.ones(2, dtype=torch.float64))


def one_gaussian() -> Mixture:
    """N(0, I)."""
    return Mixture(torch.zeros(1, 2).double(), torch.ones(1).double(), torch.ones(1).double())


def target(cfg: Config) -> Mixture:
    """The law that the chains are to sample. Raises ValueError for an empty drawing."""
    if cfg.data == "two_modes":
        return two_modes(cfg.gap)
    return one_gaussian() if cfg.data == "one_gaussian" else mixture(cfg.data, cfg.points)


def mass_right(p: Mixture) -> float:
    """The exact probability that the first coordinate is positive."""
    return float(p.weights @ torch.special.ndtr(p.centres[:, 0] / p.std))


def variance(p: Mixture) -> float:
    """The exact variance of the first coordinate."""
    mean = p.weights @ p.centres[:, 0]
    return float(p.weights @ (p.std**2 + p.centres[:, 0] ** 2) - mean**2)


def stationary_variance(std: float, step_size: float) -> float:
    """Where the variance of a chain on N(0, std^2) ends: std^2 / (1 - step_size / 2 std^2), or inf from 2 std^2 on.

    The chain is an autoregression with factor 1 - step_size / std^2 and innovations of variance 2 step_size.
    """
    slack = 1 - step_size / (2 * std**2)
    return std**2 / slack if slack > 0 else math.inf


def barrier(p: Mixture) -> float:
    """Nats between the mode left of the ridge and the lowest density on the line y = 0 between the outer centres."""
    low, high = p.centres[:, 0].min(), p.centres[:, 0].max()
    line = low + (high - low) * torch.linspace(-0.2, 1.2, 1401, dtype=torch.float64)
    height = p.log_density(torch.stack([line, torch.zeros_like(line)], 1))
    inside = (line >= low) & (line <= high)
    ridge = int(torch.where(inside, height, torch.inf).argmin())
    return float(height[: ridge + 1].max() - height[ridge])


def levels(p: Mixture, annealed: bool, last: float = 0.0) -> list[float]:
    """The smoothing sigmas that the chains follow: `last`, or falling to it geometrically from the widest.

    Without a last one they fall to a tenth of the finest detail and then to 0.
    """
    if not annealed:
        return [last]
    if last:
        return np.geomspace(widest(p), last, LEVELS).tolist()
    return [*np.geomspace(widest(p), 0.1 * float(p.std.min()), LEVELS - 1).tolist(), 0.0]


class Level(NamedTuple):
    """One smoothing of the target, what the chains do there, and how it looks."""

    sigma: float
    step_size: float
    score: Score
    density: np.ndarray  # (48, 48)
    arrows: np.ndarray  # (400, 4)


def level(p: Mixture, sigma: float, step_size: float, half: float, denoiser: Denoiser | None = None) -> Level:
    """The target smoothed by sigma, with its exact score or that of a network.

    Steps go with a mode's variance there (Song and Ermon, 2019, Algorithm 1).
    """
    smooth = p.noised(1.0, sigma)
    variance = float(smooth.std.min()) ** 2
    height = smooth.log_density(lattice(half, GRID))
    density = (height - height.max()).exp().reshape(GRID, GRID)
    spots = lattice(half * (1 - 1 / ARROWS), ARROWS)
    slope = partial(learned_score, denoiser, sigma=sigma) if denoiser else smooth.score
    arrows = arrow(spots, float(smooth.std.max()) * slope(spots), 2 * half / ARROWS)
    return Level(sigma, step_size * variance, slope, density.cpu().numpy(), arrows.cpu().numpy())


def starts(cfg: Config, p: Mixture, half: float, rng: torch.Generator) -> Tensor:
    """Where the chains begin: uniform over the picture, the leftmost quarter of true samples, or true samples."""
    if cfg.start == "everywhere":
        return (half * (2 * torch.rand(CHAINS, 2, generator=rng) - 1)).to(DEVICE)
    if cfg.start == "truth":
        return p.sample(CHAINS, rng)
    x = p.sample(4 * CHAINS, rng)
    return x[x[:, 0] <= x[:, 0].kthvalue(CHAINS).values][:CHAINS]


class Chains:
    """The walkers and what is remembered of their way: crossings, the first one's path, the time, the loss of one."""

    def __init__(self, x: Tensor, half: float, band: float) -> None:
        self.x, self.half, self.band = x, half, band
        self.side = torch.sign(x[:, 0])
        self.path = x[:1].expand(TRAIL, 2).clone()
        self.step, self.time, self.crossings, self.diverged, self.lost = 0, 0.0, 0, -1, 0.0

    def advance(self, now: Level, rng: torch.Generator) -> None:
        """One Langevin step of every chain. A crossing counts once a chain is `band` beyond the middle."""
        noise = torch.randn(self.x.shape, generator=rng).to(DEVICE)
        far = FAR * self.half
        self.x = langevin_step(self.x, now.score, now.step_size, noise).clamp(-far, far)
        self.step, self.time = self.step + 1, self.time + now.step_size
        clear = self.x[:, 0].abs() > self.band
        side = torch.where(clear, torch.sign(self.x[:, 0]), self.side)
        self.crossings += int((side != self.side).sum())
        self.side = side
        self.path = torch.cat([self.path[1:], self.x[:1]])
        self.lost = float((self.x.abs().amax(1) >= far).float().mean())
        if self.diverged < 0 and self.lost:
            self.diverged = self.step


def variance_after(cfg: Config, steps: int, half: float) -> float:
    """The exact variance of a chain's first coordinate after so many steps on N(0, I); NaN for other runs."""
    if cfg.data != "one_gaussian" or cfg.annealed or cfg.start == "left":
        return math.nan
    before = half**2 / 3 if cfg.start == "everywhere" else 1.0
    for _ in range(steps):
        before = min((1 - cfg.step_size) ** 2 * before + 2 * cfg.step_size, (FAR * half) ** 2)
    return before


def about(cfg: Config, p: Mixture, half: float, truth: Truth) -> dict[str, float]:
    """What does not change while the chains walk, by its name in Frame."""
    lone = cfg.data == "one_gaussian"
    return {
        "half": half,
        "variance_limit": stationary_variance(1.0, cfg.step_size) if lone else math.nan,
        "variance_target": variance(p),
        "weight_right": mass_right(p),
        "barrier": barrier(p) if cfg.data == "two_modes" else math.nan,
        "floor": truth.floor,
        "floor_spread": truth.spread,
        "largest_step": 2 * float(p.std.max()) ** 2,
    }


def observe(cfg: Config, p: Mixture, chains: Chains, now: Level, facts: dict, truth: Truth) -> Frame:
    """What there is to see and to read now."""
    x, half = chains.x, chains.half
    first = x[:, 0].cpu().double()
    spread = (first - first.mean()).square()
    share = float((first > 0).double().mean())
    return Frame(
        step=chains.step,
        time=chains.time,
        epsilon=now.step_size,
        sigma=now.sigma,
        cloud=x.clamp(-4 * half, 4 * half).cpu().numpy().copy(),
        path=chains.path.clamp(-4 * half, 4 * half).cpu().numpy().copy(),
        density=now.density,
        arrows=now.arrows,
        variance=float(spread.sum() / (CHAINS - 1)),
        variance_error=float(spread.std() / math.sqrt(CHAINS)),
        variance_exact=variance_after(cfg, chains.step, half),
        share_right=share,
        share_error=math.sqrt(share * (1 - share) / CHAINS),
        crossings=chains.crossings,
        distance=truth(x),
        diverged=chains.diverged,
        trained=1.0,
        **facts,
    )


def taught(p: Mixture, rng: torch.Generator) -> Iterator[tuple[Denoiser, float]]:
    """A network in training for all levels that chains with a learned score follow, and how much of it is done."""
    for stage, denoiser in enumerate(train(p, rng, TRAINING, FINEST * float(p.std.min()), widest(p), chunk=15)):
        yield denoiser, 15 * stage / TRAINING


def run(cfg: Config) -> Iterator[Frame]:
    """The chains from their start to step K, in at most 120 frames; it ends early once half of them are lost.

    With a learned score, 81 frames of training come first. Raises ValueError for an empty drawing.
    """
    rng, p, denoiser = generator(cfg.seed), target(cfg), None
    half = half_width(p)
    chains = Chains(starts(cfg, p, half, rng), half, max(cfg.gap / 4, 0.25) if cfg.data == "two_modes" else 0.25)
    truth = Truth(p.sample, CHAINS, rng, times=4, repeats=6, along=32)
    show = partial(observe, cfg, p, chains, facts=about(cfg, p, half, truth), truth=truth)
    last = FINEST * float(p.std.min()) if cfg.score == "learned" else 0.0
    ladder = levels(p, cfg.annealed, last)
    for denoiser, share in taught(p, rng) if cfg.score == "learned" else ():
        yield show(level(p, ladder[0], cfg.step_size, half, denoiser))._replace(trained=share)
    stride, now, at = math.ceil(cfg.steps / (FRAMES - 1)), level(p, ladder[0], cfg.step_size, half, denoiser), 0
    if denoiser is None:
        yield show(now)
    for k in range(cfg.steps):
        if (rung := round(k / (cfg.steps - 1) * (len(ladder) - 1))) != at:
            at, now = rung, level(p, ladder[rung], cfg.step_size, half, denoiser)
        chains.advance(now, rng)
        if chains.step % stride == 0 or chains.step == cfg.steps or chains.lost > 0.5:
            yield show(now)
        if chains.lost > 0.5:
            return
