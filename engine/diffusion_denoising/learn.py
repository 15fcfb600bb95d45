"""A network learns to denoise, and with every step its samples come closer to the data."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data.points import Mixture, check_code, mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising.model import Denoise, Denoiser, Descent, emphasis, guess, init, lessons, network, target
from engine.diffusion_denoising.samplers import heun
from engine.diffusion_denoising.schedules import Schedule, schedule
from engine.diffusion_denoising.score import DATA, arrow, half_width, lattice
from engine.distance import Truth, off_manifold
from engine.knob import knob
from engine.nets import ResidualMLP

SAMPLES, PATHS, GRID = 400, 12, 15  # points drawn in a frame, those whose way is shown, arrows in a row
SHOWN = 0.4  # noise level of the arrows, in standard deviations of the data
TESTED, HELD = (0.1, 0.3, 1.0, 3.0), 200  # noise levels at which the score is examined, points at each
WORK = 25.0  # milliseconds of training that a frame may cost, roughly

SCHEDULES = {
    "log_linear": "log-linear σ",
    "linear": "linear β",
    "scaled_linear": "scaled linear β",
    "squaredcos_cap_v2": "cosine",
}
OUTPUTS = {"v_prediction": "v, a mix of both", "epsilon": "the noise", "sample": "the clean point"}


@dataclass(frozen=True)
class Config:
    """The settings of one training run."""

    data: str = knob("swiss_roll", "data", choices=DATA, help="the points that the network learns to make")
    beta_schedule: str = knob(
        "log_linear", "noise schedule", choices=SCHEDULES, symbol=r"\beta_t", help="how the noise grows with t"
    )
    num_train_timesteps: int = knob(
        1000, "noise levels", 10, 1000, symbol="T", log=True, help="linear β with a short T never becomes pure noise"
    )
    prediction_type: str = knob("v_prediction", "the network says", choices=OUTPUTS)
    train_steps: int = knob(600, "training steps", 50, 3000, log=True, help="the step size falls to zero over them")
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other weights, other noise")
    sampler_steps: int = knob(
        10, "sampling steps", 2, 40, folded=True, log=True, help="of Heun's rule, two network calls each"
    )
    learning_rate: float = knob(0.015, "step size", 1e-4, 0.1, symbol=r"\eta", log=True, folded=True)
    batch_size: int = knob(512, "batch size", 32, 1024, log=True, folded=True, help="fresh points in every step")
    width: int = knob(64, "width", 8, 128, log=True, folded=True, help="units in each of the three hidden layers")
    points: str = knob("", "your points", text=check_code)


class Frame(NamedTuple):
    """The network after some training steps, by the moving average of its weights. x is in the units of the data."""

    step: int
    half: float  # the picture is [-half, half] squared
    loss: float  # mean square error of the network's own output on the latest batch
    loss_ema: float  # its moving average
    least: float  # the loss of the best possible network, an estimate: no training gets below it
    samples: np.ndarray  # (400, 2) made from the same noise in every frame
    paths: np.ndarray  # (12, steps + 1, 2) how the first of them came about, from x_T on
    sigma: float  # noise over signal at the arrows
    score: np.ndarray  # (225, 4) x, y and the learned sigma grad log p_sigma, its length compressed
    exact_score: np.ndarray  # (225, 4) the same of the exact one
    off_manifold: float  # share of the samples farther than 3 std from every component of the data
    sliced_w2: float  # from the samples to a large true cloud
    attainable: float  # the same for the exact denoiser with the same noise and sampler: what training can reach
    floor: float  # the same distance of 400 true samples, mean
    floor_spread: float  # and its standard deviation
    score_error: float  # root mean square of sigma |learned - exact score| over that of the exact, over all levels
    level_error: np.ndarray  # (4,) the same at each of `levels`
    levels: np.ndarray  # (4,) noise over signal
    weights: np.ndarray  # (p,) of the network, in the last frame only; (0,) before


def train(
    sample: Callable[[int, torch.Generator], Tensor],
    plan: Schedule,
    rng: torch.Generator,
    *,
    train_steps: int = 600,
    batch_size: int = 512,
    learning_rate: float = 0.015,
    prediction_type: str = "v_prediction",
    width: int = 64,
) -> Iterator[Descent]:
    """Train a denoiser on fresh points (n, 2) from `sample`; watch it after every step.

    The loss is plain mean square error on what the network says (Ho et al. 2020, Alg. 1), t as in `lessons`. What is
    yielded is always the same object: read `average`, the moving average of the weights (p,), and copy what you keep.
    """
    net = network(width)
    descent = Descent(init(net, rng), train_steps, learning_rate)
    for x, sigma, wanted in islice(lessons(sample, plan, prediction_type, batch_size, [rng]), train_steps):
        descent(partial(miss, net, x[0], sigma[0], wanted[0]))
        yield descent


def miss(net: ResidualMLP, x: Tensor, sigma: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Mean square error of what the network says."""
    return (guess(net, weights, x, sigma) - wanted).square().mean()


def denoiser(cfg: Config, weights: Tensor | np.ndarray) -> Denoiser:
    """The trained network of a run from its weights (p,), as the last frame holds them."""
    return Denoiser(torch.as_tensor(weights, device=DEVICE), cfg.prediction_type, network(cfg.width))


def nearest(plan: Schedule, sigma: float) -> float:
    """The noise level of the schedule that comes closest to sigma."""
    return float(plan.sigma[(plan.sigma.log() - math.log(sigma)).abs().argmin()])


def least_loss(p: Mixture, plan: Schedule, prediction_type: str, rng: torch.Generator, levels: int = 50) -> float:
    """The loss that remains with the exact denoiser: what x does not tell about the target, an estimate."""
    left, middles = [], (torch.arange(levels, dtype=torch.float64) + 0.5) / levels
    for t in torch.searchsorted(emphasis(plan), middles):
        sigma = plan.sigma[t].float().reshape(1, 1).to(DEVICE)
        x0 = p.sample(64, rng)
        noise = torch.randn(64, 2, generator=rng).to(DEVICE)
        clean = p.denoise(x0 + sigma * noise, float(sigma))
        hat = noise + (x0 - clean) / sigma
        gap = target(prediction_type, x0, noise, sigma) - target(prediction_type, clean, hat, sigma)
        left.append(gap.square().mean())
    return float(torch.stack(left).mean())


class Exam:
    """Where a network is looked at, and the exact answers there: what is the same in every frame."""

    def __init__(self, p: Mixture, plan: Schedule, cfg: Config, rng: torch.Generator) -> None:
        self.p, self.plan, self.cfg, self.half = p, plan, cfg, half_width(p)
        self.sigma, self.levels = nearest(plan, SHOWN), [nearest(plan, level) for level in TESTED]
        self.x_T = torch.randn(SAMPLES, 2, generator=rng).to(DEVICE)
        self.spots = lattice(self.half * (1 - 1 / GRID), GRID)
        self.exact_score = self.arrows(p.denoise)
        drawn = [p.noised(1.0, level).sample(HELD, rng) for level in self.levels]
        self.held = torch.cat(drawn)
        self.noise = torch.tensor(self.levels, device=DEVICE).repeat_interleave(HELD)[:, None]
        self.clean = torch.cat([p.denoise(x, level) for x, level in zip(drawn, self.levels, strict=True)])
        self.truth = Truth(p.sample, SAMPLES, rng)
        self.attainable = self.truth(self.walk(p.denoise)[-1])
        self.least = least_loss(p, plan, cfg.prediction_type, rng)

    def walk(self, denoise: Denoise) -> list[Tensor]:
        """The samples (400, 2) on their way from x_T to x_0."""
        return [state.x for state in heun(denoise, self.plan, self.cfg.sampler_steps, self.x_T)]

    def arrows(self, denoise: Denoise) -> np.ndarray:
        """sigma times the score of a denoiser on the grid: (225, 4)."""
        pull = (denoise(self.spots, self.sigma) - self.spots) / self.sigma
        return arrow(self.spots, pull, 2 * self.half / GRID).cpu().numpy()

    def errors(self, denoise: Denoiser) -> tuple[np.ndarray, float]:
        """Relative root mean square error of sigma times the score: at each level (4,), and over all of them."""
        missed = ((denoise(self.held, self.noise) - self.clean) / self.noise).square().view(len(TESTED), -1).mean(1)
        size = ((self.held - self.clean) / self.noise).square().view(len(TESTED), -1).mean(1)
        return (missed / size).sqrt().cpu().numpy(), float((missed.sum() / size.sum()).sqrt())

    @torch.no_grad()
    def frame(self, descent: Descent) -> Frame:
        """How the network does now."""
        denoise = denoiser(self.cfg, descent.average)
        states = self.walk(denoise)
        far, samples = 4 * self.half, states[-1]
        each, total = self.errors(denoise)
        over = descent.step == self.cfg.train_steps
        return Frame(
            step=descent.step,
            half=self.half,
            loss=descent.loss,
            loss_ema=descent.loss_ema,
            least=self.least,
            samples=samples.clamp(-far, far).cpu().numpy().copy(),
            paths=torch.stack([x[:PATHS] for x in states], 1).clamp(-far, far).cpu().numpy(),
            sigma=self.sigma,
            score=self.arrows(denoise),
            exact_score=self.exact_score,
            off_manifold=off_manifold(samples, self.p),
            sliced_w2=self.truth(samples),
            attainable=self.attainable,
            floor=self.truth.floor,
            floor_spread=self.truth.spread,
            score_error=total,
            level_error=each,
            levels=np.array(self.levels, dtype=np.float32),
            weights=descent.average.cpu().numpy().copy() if over else np.zeros(0, np.float32),
        )


def stops(cfg: Config) -> list[int]:
    """The training steps at which a frame is taken: every one at first, then as many apart as 25 ms allow."""
    flops = 6 * cfg.batch_size * cfg.width * (70 + 3 * cfg.width)
    chunk = max(1, min(int(WORK / (1 + flops / 45e6)), cfg.train_steps // 40))
    found = [1]
    while found[-1] < cfg.train_steps:
        found.append(min(found[-1] + min(chunk, 1 + found[-1] // 3), cfg.train_steps))
    return found


def run(cfg: Config) -> Iterator[Frame]:
    """A network in training. Raises ValueError for an empty drawing."""
    p, plan, rng = (
        mixture(cfg.data, cfg.points),
        schedule(cfg.beta_schedule, cfg.num_train_timesteps),
        generator(cfg.seed),
    )
    exam = Exam(p, plan, cfg, rng)
    steps = train(
        p.sample,
        plan,
        rng,
        train_steps=cfg.train_steps,
        batch_size=cfg.batch_size,
        learning_rate=cfg.learning_rate,
        prediction_type=cfg.prediction_type,
        width=cfg.width,
    )
    wanted = set(stops(cfg))
    yield from (exam.frame(descent) for descent in steps if descent.step in wanted)
