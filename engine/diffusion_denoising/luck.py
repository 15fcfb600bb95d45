"""Several networks learn the same data side by side: what differs between them is luck alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu

from engine.data.points import Mixture, check_code, mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising.learn import OUTPUTS
from engine.diffusion_denoising.model import CONDITION, FEATURES, SPREAD, Descent, denoised, init, lessons, network
from engine.diffusion_denoising.samplers import heun, last
from engine.diffusion_denoising.schedules import Schedule, schedule
from engine.diffusion_denoising.score import DATA, half_width
from engine.distance import Truth, off_manifold
from engine.knob import knob
from engine.nets import ResidualMLP, fourier, octaves

SAMPLES, HEUN = 160, 8  # points that each run makes in a frame, and Heun steps to make them
LEVELS = 1000  # noise levels of the log-linear schedule
WORK = 16.0  # milliseconds of training that a frame may cost, roughly
EXAM = 999  # the seed of what all runs share; run i has seed i


@dataclass(frozen=True)
class Config:
    """The settings that all runs share."""

    data: str = knob("swiss_roll", "data", choices=DATA, help="the points that the networks learn to make")
    runs: int = knob(8, "runs", 2, 16, symbol="k", help="the same training, but other weights, points and noise")
    prediction_type: str = knob("v_prediction", "the network says", choices=OUTPUTS)
    train_steps: int = knob(300, "training steps", 50, 1000, log=True, help="the step size falls to zero over them")
    batch_size: int = knob(128, "batch size", 16, 512, log=True, help="small batches leave more to luck")
    learning_rate: float = knob(0.01, "step size", 1e-4, 0.1, symbol=r"\eta", log=True, folded=True)
    width: int = knob(64, "width", 8, 64, log=True, folded=True, help="units in each of the three hidden layers")
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other luck for every run")
    points: str = knob("", "your points", text=check_code)


class Frame(NamedTuple):
    """All runs after some training steps, by the moving averages of their weights. mid, low, high: over the runs."""

    step: int
    half: float  # the picture is [-half, half] squared
    loss: np.ndarray  # (k,) mean square error of each network's own output, a moving average
    off: np.ndarray  # (k,) share of its samples farther than 3 std from every component of the data
    w2: np.ndarray  # (k,) sliced W2 from its samples to a large true cloud
    attainable: float  # the same for the exact denoiser with the same noise and sampler: what training can reach
    floor: float  # the same distance of as many true samples, mean
    floor_spread: float  # and its standard deviation
    loss_mid: float  # the median; low and high are the extremes
    loss_low: float
    loss_high: float
    off_mid: float
    off_low: float
    off_high: float
    w2_mid: float
    w2_low: float
    w2_high: float
    samples_best: np.ndarray  # (160, 2) of the run with the smallest w2 in this frame
    samples_worst: np.ndarray  # (160, 2) of the run with the largest, from the same start noise


def guesses(net: ResidualMLP, weights: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """`model.guess` for k networks at once: weights: (k, p), x: (k, n, d), sigma: (k or 1, n or 1, 1) -> (k, n, d)."""
    k, d, w = len(weights), net.outputs, net.width
    waves, *parts = weights.split([d * FEATURES, *net.lengths], 1)
    shapes = [shape if len(shape) == 2 else (1, *shape) for shape in net.shapes]
    first, bias, final, offset, push, shifts, *layers = (p.view(k, *s) for p, s in zip(parts, shapes, strict=True))
    x = x * (1 + sigma**2).rsqrt()
    angles = torch.bmm(x, SPREAD * waves.view(k, d, FEATURES))
    level = fourier((sigma.log() / 4).reshape(-1, 1), octaves(CONDITION, 4.0, 0.25).to(x))
    level = level.view(*sigma.shape[:2], -1).expand(k, -1, -1)
    h = torch.baddbmm(bias, torch.cat([x, angles.sin(), angles.cos()], 2), first)
    for layer, shift in zip(layers, torch.baddbmm(shifts, level, push).split(w, 2), strict=True):
        h = h + silu(torch.baddbmm(shift, h, layer))
    return torch.baddbmm(offset, h, final)


class Crowd:
    """k networks in training. No number of one run enters another; run i is the same whatever k is."""

    def __init__(self, cfg: Config, p: Mixture, plan: Schedule) -> None:
        rngs = [generator(1000 * cfg.seed + i) for i in range(cfg.runs)]
        self.kind, self.net = cfg.prediction_type, network(cfg.width)
        weights = torch.stack([init(self.net, rng) for rng in rngs])
        self.descent = Descent(weights, cfg.train_steps, cfg.learning_rate)  # Adam never mixes two weights
        self.loss = torch.zeros(cfg.runs, device=DEVICE)
        self._lessons = lessons(p.sample, plan, self.kind, cfg.batch_size, rngs)

    def advance(self) -> None:
        """One step of all runs."""
        fresh = self.descent.fresh
        x, sigma, wanted = next(self._lessons)

        def loss(weights: Tensor) -> Tensor:
            each = (guesses(self.net, weights, x, sigma) - wanted).square().mean((1, 2))
            self.loss.lerp_(each.detach(), fresh)
            return each.sum()  # not the mean: the gradient of a run must not know how many there are

        self.descent(loss)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """The guess of x0 by every run's averaged weights: (k, n, 2) -> (k, n, 2)."""
        level = torch.full((1, 1, 1), sigma, dtype=x.dtype, device=x.device)
        return denoised(self.kind, guesses(self.net, self.descent.average, x, level), x, level)


class Exam:
    """How the runs are compared: the same start noise and the same true cloud for all, in every frame."""

    def __init__(self, p: Mixture, plan: Schedule, rng: torch.Generator) -> None:
        self.p, self.plan, self.half = p, plan, half_width(p)
        self.x_T = torch.randn(SAMPLES, 2, generator=rng).to(DEVICE)
        self.truth = Truth(p.sample, SAMPLES, rng)
        self.attainable = self.truth(last(heun(p.denoise, plan, HEUN, self.x_T)).x)

    @torch.no_grad()
    def frame(self, crowd: Crowd) -> Frame:
        """How every run does now."""
        loss, far = crowd.loss.cpu().numpy().copy(), 4 * self.half
        start = self.x_T.expand(len(loss), -1, -1)
        samples = last(heun(crowd.denoise, self.plan, HEUN, start)).x.nan_to_num(far).clamp(-far, far)
        off = np.array([off_manifold(x, self.p) for x in samples], np.float32)
        w2 = np.array([self.truth(x) for x in samples], np.float32)
        return Frame(
            crowd.descent.step,
            self.half,
            loss,
            off,
            w2,
            self.attainable,
            self.truth.floor,
            self.truth.spread,
            *band(loss),
            *band(off),
            *band(w2),
            samples_best=samples[int(w2.argmin())].cpu().numpy().copy(),
            samples_worst=samples[int(w2.argmax())].cpu().numpy().copy(),
        )


def band(values: np.ndarray) -> tuple[float, float, float]:
    """The median, the lowest and the highest of the runs: (k,) -> three numbers."""
    return float(np.median(values)), float(values.min()), float(values.max())


def stops(cfg: Config) -> list[int]:
    """The training steps at which a frame is taken: every one at first, then at most a 50th of the run apart."""
    flops = 6 * cfg.runs * cfg.batch_size * cfg.width * (90 + 3 * cfg.width)
    chunk = max(1, min(int(WORK / (1 + flops / 45e6)), cfg.train_steps // 50))
    found = [1]
    while found[-1] < cfg.train_steps:
        found.append(min(found[-1] + min(chunk, 1 + found[-1] // 3), cfg.train_steps))
    return found


def run(cfg: Config) -> Iterator[Frame]:
    """All runs in training. Raises ValueError for an empty drawing."""
    p, plan = mixture(cfg.data, cfg.points), schedule("log_linear", LEVELS)
    exam, crowd = Exam(p, plan, generator(1000 * cfg.seed + EXAM)), Crowd(cfg, p, plan)
    for stop in stops(cfg):
        while crowd.descent.step < stop:
            crowd.advance()
        yield exam.frame(crowd)
