"""A denoising autoencoder learns the score: what it moves a noisy point by, over the noise variance, is grad log p."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data.points import SETS, Mixture, check_code, mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising.autoencoder import Descent
from engine.diffusion_denoising.model import PREDICTION_TYPES, Denoise, Denoiser, init, network, score
from engine.diffusion_denoising.schedules import SIGMA_MAX, SIGMA_MIN
from engine.knob import knob

CHUNK, BATCH, RATE = 10, 256, 1e-2  # training steps a frame, points a step, step size of Adam at the start
GRID, ARROWS, SHOWN, HELD = 48, 20, 600, 1024  # places of the fields, of the arrows; points drawn; points held out
LEVELS, PLACES, DRAWN = 24, 64, 128  # of an atlas: noise levels, places on its line, points drawn a level
DATA = {name: name.replace("_", " ") for name in SETS} | {"yours": "your own points"}
OUTPUTS = {
    "sample": "the clean point",
    "v_prediction": "a correction, with a skip",
    "epsilon": "the noise",
}


@dataclass(frozen=True)
class Config:
    """The settings of one denoising autoencoder."""

    data: str = knob("moons", "data", choices=DATA)
    sigma: float = knob(0.3, "noise", 0.05, 3.0, symbol=r"\sigma", log=True)
    train_steps: int = knob(800, "training steps", 50, 3000, log=True)
    width: int = knob(64, "width", 8, 96, log=True, help="units in each of the three hidden layers")
    prediction_type: str = knob("sample", "the network says", choices=OUTPUTS)
    seed: int = knob(0, "seed", 0, 999, folded=True)
    points: str = knob("", "your points", text=check_code)


class Frame(NamedTuple):
    """The autoencoder r after some training steps. Every error is measured against the exact score."""

    step: int
    half: float  # the picture is [-half, half] squared
    data: np.ndarray  # (600, 2) clean points
    noisy: np.ndarray  # (600, 2) the same with noise
    density: np.ndarray  # (48, 48) of the noisy points over its peak; rows from low to high y
    learned: np.ndarray  # (400, 4) x, y and (r(x) - x) / sigma, its length compressed
    exact: np.ndarray  # (400, 4) x, y and sigma grad log p_sigma(x), its length compressed
    error: np.ndarray  # (48, 48) sigma |learned - exact score|
    loss: float  # E |r(x0 + sigma noise) - x0|^2 per coordinate, on held-out points
    loss_error: float  # its standard error
    least: float  # the same loss of the best denoiser E[x0 | x]: no training gets below it
    gap: float  # E |r - best denoiser|^2 per coordinate: what training can still gain
    relative_error: float  # of the learned score against grad log p_sigma, in the root mean square over noisy points
    clean_error: float  # of the learned score against grad log p, in the root mean square over clean points
    smoothing: float  # the same of the exact grad log p_sigma: what sigma alone costs


def half_width(p: Mixture) -> float:
    """Half the side of a square about 0 that holds nearly all of p."""
    return max(3.0, float((p.centres.abs().amax(1) + 3.5 * p.std).max()))


def widest(p: Mixture) -> float:
    """The smoothing sigma at which all modes have become one."""
    return float((p.centres - p.weights @ p.centres).norm(dim=1).max() + p.std.max())


def lattice(half: float, n: int) -> Tensor:
    """n by n points of [-half, half] squared, x fastest, low y first: (n n, 2)."""
    line = torch.linspace(-half, half, n, device=DEVICE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def arrow(at: Tensor, vector: Tensor, longest: float) -> Tensor:
    """Arrows x, y, dx, dy for (n, 2) vectors without a unit: a length l becomes longest l / (1 + l). -> (n, 4)."""
    return torch.cat([at, longest * vector / (1 + vector.norm(dim=1, keepdim=True))], 1)


class Exam(NamedTuple):
    """Where the autoencoder is looked at and tested, and the exact answers there."""

    p: Mixture
    sigma: float
    half: float
    clean: Tensor  # (1024, 2)
    noisy: Tensor  # (1024, 2)
    still: dict[str, Any]  # what is the same in every frame, by its name in Frame


def exam(p: Mixture, sigma: float, rng: torch.Generator) -> Exam:
    """Draw the held-out points and work out what does not depend on the network."""
    half = half_width(p.noised(1.0, min(sigma, 1.0)))
    smooth, spots, places = p.noised(1.0, sigma), lattice(half * (1 - 1 / ARROWS), ARROWS), lattice(half, GRID)
    clean = p.sample(HELD, rng)
    noisy = clean + sigma * torch.randn(HELD, 2, generator=rng).to(DEVICE)
    height = smooth.log_density(places)
    best = p.denoise(noisy, sigma)
    still = {
        "half": half,
        "data": clean[:SHOWN].cpu().numpy().copy(),
        "noisy": noisy[:SHOWN].cpu().numpy().copy(),
        "density": (height - height.max()).exp().reshape(GRID, GRID).cpu().numpy(),
        "exact": arrow(spots, sigma * smooth.score(spots), 2 * half / ARROWS).cpu().numpy(),
        "least": float((best - clean).square().mean()),
        "smoothing": relative(smooth.score(clean), p.score(clean)),
    }
    return Exam(p, sigma, half, clean, noisy, still)


def relative(guess: Tensor, truth: Tensor) -> float:
    """Root mean square error of (n, 2) vectors over the root mean square length of the true ones."""
    return float(((guess - truth).square().sum() / truth.square().sum()).sqrt())


@torch.no_grad()
def examine(denoise: Denoise, of: Exam, step: int) -> Frame:
    """How an autoencoder does after so many training steps."""
    spots, places = lattice(of.half * (1 - 1 / ARROWS), ARROWS), lattice(of.half, GRID)
    smooth, sigma = of.p.noised(1.0, of.sigma), of.sigma
    parts = [spots, places, of.noisy, of.clean]
    found = score(denoise, torch.cat(parts), sigma).split([len(part) for part in parts])
    missed = (of.noisy + sigma**2 * found[2] - of.clean).square().mean(1).cpu().double()
    best = of.p.denoise(of.noisy, sigma)
    error = sigma * (found[1] - smooth.score(places)).norm(dim=1)
    return Frame(
        step=step,
        learned=arrow(spots, sigma * found[0], 2 * of.half / ARROWS).cpu().numpy(),
        error=error.reshape(GRID, GRID).cpu().numpy(),
        loss=float(missed.mean()),
        loss_error=float(missed.std()) / math.sqrt(HELD),
        gap=float((of.noisy + sigma**2 * found[2] - best).square().mean()),
        relative_error=relative(found[2], smooth.score(of.noisy)),
        clean_error=relative(found[3], of.p.score(of.clean)),
        **of.still,
    )


def train(
    p: Mixture,
    rng: torch.Generator,
    steps: int,
    low: float,
    high: float,
    prediction_type: str = "v_prediction",
    width: int = 64,
    chunk: int = CHUNK,
) -> Iterator[Denoiser]:
    """The autoencoder before training and after every `chunk` steps, each with the running average of its weights.

    It minimises E |r(x0 + sigma noise) - x0|^2 with Adam (Vincent et al., 2010), sigma log-uniform from low to high;
    over many levels each is weighted by what the network's own output counts for there.
    """
    net, wanted = network(width), PREDICTION_TYPES[prediction_type]

    def loss(weights: Tensor) -> Tensor:
        x0 = p.sample(BATCH, rng)
        noise = torch.randn(BATCH, 2, generator=rng).to(DEVICE)
        sigma = (low * (high / low) ** torch.rand(BATCH, 1, generator=rng)).to(DEVICE)
        r = Denoiser(weights, prediction_type, net)
        return ((r(x0 + sigma * noise, sigma) - x0) / wanted(sigma)[1]).square().mean()

    descent = Descent(init(net, rng), steps, RATE)
    yield Denoiser(descent.average.clone(), prediction_type, net)
    while descent.step < steps:
        descent(loss)
        if descent.step % chunk == 0 or descent.step == steps:
            yield Denoiser(descent.average.clone(), prediction_type, net)


def run(cfg: Config) -> Iterator[Frame]:
    """A denoising autoencoder in training, beside the exact score. Raises ValueError for an empty drawing."""
    p, rng = mixture(cfg.data, cfg.points), generator(cfg.seed)
    test = exam(p, cfg.sigma, rng)
    stages = train(p, rng, cfg.train_steps, cfg.sigma, cfg.sigma, cfg.prediction_type, cfg.width)
    for chunk, denoiser in enumerate(stages):
        yield examine(denoiser, test, min(chunk * CHUNK, cfg.train_steps))


class Atlas(NamedTuple):
    """The score over places and noise levels at once: places on the line y = 0 of x_t, levels from little noise up.

    Scores are times sqrt(1 - alpha_bar), so they are minus the noise that a network would predict, about 1 in size.
    """

    step: int
    sigma: np.ndarray  # (24,) noise over signal at each level, evenly spaced in the logarithm
    place: np.ndarray  # (64,) first coordinate of x_t
    density: np.ndarray  # (24, 64) of x_t on the line, each level over its peak
    exact: np.ndarray  # (24, 64) first coordinate of the exact score
    learned: np.ndarray  # (24, 64) the same of the network
    error: np.ndarray  # (24, 64) length of learned - exact score, both coordinates
    level_error: np.ndarray  # (24,) root mean square error over that of the exact score, over 128 points of x_t
    total_error: float  # the same over all levels


class Grid(NamedTuple):
    """Where an atlas is measured: the line and the drawn points of every level, and the exact noise there."""

    sigma: Tensor  # (24,)
    at: Tensor  # (24, 192, 2) in the coordinates of x0 + sigma noise
    noise: Tensor  # (24, 192, 2) what the exact denoiser takes for noise
    density: np.ndarray  # (24, 64)


def grid(p: Mixture, low: float, high: float, rng: torch.Generator, reach: float = 3.0) -> Grid:
    """The places of an atlas with levels from sigma = low to high, and the exact answers."""
    sigmas = torch.from_numpy(np.geomspace(low, high, LEVELS)).float()
    line = torch.stack([torch.linspace(-reach, reach, PLACES), torch.zeros(PLACES)], 1).to(DEVICE)
    at, noise, density = [], [], []
    for sigma in sigmas.tolist():
        drawn = p.sample(DRAWN, rng) + sigma * torch.randn(DRAWN, 2, generator=rng).to(DEVICE)
        x = torch.cat([math.sqrt(1 + sigma**2) * line, drawn])
        height = p.noised(1.0, sigma).log_density(x[:PLACES])
        at.append(x)
        noise.append((x - p.denoise(x, sigma)) / sigma)
        density.append((height - height.max()).exp())
    return Grid(sigmas, torch.stack(at), torch.stack(noise), torch.stack(density).cpu().numpy())


@torch.no_grad()
def atlas(denoiser: Denoiser, of: Grid, step: int) -> Atlas:
    """A network of many noise levels against the exact score, over (x, t)."""
    sigma = of.sigma.to(of.at).repeat_interleave(of.at.shape[1])[:, None]
    x = of.at.flatten(0, 1)
    guess = ((x - denoiser(x, sigma)) / sigma).view_as(of.at)
    missed, size = (guess - of.noise).square().sum(2), of.noise.square().sum(2)
    drawn, full = missed[:, PLACES:].mean(1), size[:, PLACES:].mean(1)
    return Atlas(
        step=step,
        sigma=of.sigma.numpy(),
        place=of.at[0, :PLACES, 0].div((1 + of.sigma[0] ** 2).sqrt()).cpu().numpy(),
        density=of.density,
        exact=-of.noise[:, :PLACES, 0].cpu().numpy(),
        learned=-guess[:, :PLACES, 0].cpu().numpy(),
        error=missed[:, :PLACES].sqrt().cpu().numpy(),
        level_error=(drawn / full).sqrt().cpu().numpy(),
        total_error=float((drawn.sum() / full.sum()).sqrt()),
    )


@dataclass(frozen=True)
class LevelsConfig:
    """The settings of one network for all noise levels from 0.02 to 8."""

    data: str = knob("moons", "data", choices=DATA)
    train_steps: int = knob(1500, "training steps", 50, 3000, log=True)
    width: int = knob(64, "width", 8, 96, log=True, help="units in each of the three hidden layers")
    prediction_type: str = knob("v_prediction", "the network says", choices=OUTPUTS)
    seed: int = knob(0, "seed", 0, 999, folded=True)
    points: str = knob("", "your points", text=check_code)


def survey(cfg: LevelsConfig) -> Iterator[Atlas]:
    """One network of all noise levels in training, and its error over (x, t). Raises like run."""
    p, rng = mixture(cfg.data, cfg.points), generator(cfg.seed)
    places = grid(p, SIGMA_MIN, SIGMA_MAX, rng)
    stages = train(p, rng, cfg.train_steps, SIGMA_MIN, SIGMA_MAX, cfg.prediction_type, cfg.width)
    for chunk, denoiser in enumerate(stages):
        yield atlas(denoiser, places, min(chunk * CHUNK, cfg.train_steps))
