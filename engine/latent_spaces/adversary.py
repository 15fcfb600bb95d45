"""What an adversary sees of the codes, what the best one would see, and who matches the prior first."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import nan, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE
from engine.knob import knob
from engine.latent_spaces import gap
from engine.latent_spaces.adversaries import DEPTH, WIDTH
from engine.latent_spaces.coder import Model
from engine.latent_spaces.data import NAMES
from engine.latent_spaces.learning import Learning, Moment, array, follow, restored
from engine.nets import ResidualMLP

RACE = {"aae": "AAE", "wae_mmd": "WAE, MMD", "wae_sw": "WAE, sliced W₂", "wae_critic": "WAE, critic"}
SHOWN, CELLS, REACH = 500, 48, 3.5  # codes; of the picture's grid each way; half of its width
FAR, NODES = 6.0, 73  # of the quadrature: half of its width, and places each way
NET = ResidualMLP(2, 1, WIDTH, DEPTH)


@dataclass(frozen=True)
class Config:
    """The settings of the race: four methods on the same data from the same seed, in two latent dimensions."""

    data: str = knob("digits", "data", choices=NAMES)
    beta: float = knob(1.0, "pull to the prior", 0.01, 100.0, symbol=r"\lambda", log=True)
    steps: int = knob(600, "training steps", 50, 6000, log=True)
    seed: int = knob(0, "seed", 0, 999)

    def training(self, method: str) -> Learning:
        """The training of one method, which all views share."""
        return Learning(self.data, method, 2, self.beta, self.steps, self.seed)


class Frame(NamedTuple):
    """The four methods after some steps, and the adversary of the first."""

    step: int  # of the adversarial autoencoder
    steps: np.ndarray  # (4,) of each method, in the order of RACE
    sliced: np.ndarray  # (4,) distance of its codes to the prior, sliced W2
    mmd: np.ndarray  # (4,) and MMD
    error: np.ndarray  # (4,) its mean squared error over held-out examples
    floor: float  # estimate: the sliced W2 of as many true samples of the prior
    codes: np.ndarray  # (n, 3) of the adversarial autoencoder, and class
    eta: np.ndarray  # (48, 48) the discriminator: its probability that a code there came from the prior
    best: np.ndarray  # (48, 48) exact: that of the best discriminator, p / (p + q)
    off: float  # mean of |η − η*| over codes and prior alike
    bound: float  # E_p log η + E_q log(1 − η), by quadrature: what η says of the divergence, in nats
    divergence: float  # exact: 2 JS(p, q) − 2 log 2, which no η exceeds


class Density(NamedTuple):
    """A kernel density estimate of the codes: the mean of N(code, h² I)."""

    codes: Tensor  # (n, 2)
    h: float

    def on(self, x: Tensor, y: Tensor) -> Tensor:
        """The density on a grid of places x: (a,) by y: (b,) -> (b, a)."""
        across, upwards = (
            torch.exp((line[:, None] - self.codes[:, i]).square() / (-2 * self.h**2)) for i, line in ((0, x), (1, y))
        )
        return upwards @ across.T / (len(self.codes) * 2 * pi * self.h**2)


def density(codes: Tensor) -> Density:
    """The estimate with Scott's width: n^(−1/6) times the root of the mean variance. codes: (n, 2), float64."""
    return Density(codes, len(codes) ** (-1 / 6) * float(codes.var(0).mean().sqrt().clamp_min(0.02)))


def prior(x: Tensor, y: Tensor) -> Tensor:
    """N(0, I) on a grid of places: (a,) and (b,) -> (b, a)."""
    return torch.exp(-(x.square() + y.square()[:, None]) / 2) / (2 * pi)


def judged(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The discriminator's log odds on a grid of places: (a,) and (b,) -> (b, a)."""
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    places = torch.stack([columns, rows], -1).view(-1, 2).to(weights)
    return NET(weights, places).view(len(y), len(x)).double()


def compared(p: Tensor, q: Tensor, odds: Tensor, cell: float) -> tuple[float, float, float]:
    """What a discriminator says of the divergence, what the best one would say, and how far off it is.

    p, q: densities on a grid, odds: log η / (1 − η) there, cell: area -> E_p log η + E_q log(1 − η), its largest value
    2 JS − 2 log 2 (Goodfellow et al. 2014, Thm 1), and the mean of |η − p / (p + q)| over (p + q) / 2.
    """
    bound = -(p * torch.nn.functional.softplus(-odds) + q * torch.nn.functional.softplus(odds)).sum() * cell
    both = (p + q).clamp_min(1e-300)
    best = p / both
    exact = (torch.special.xlogy(p, best) + torch.special.xlogy(q, q / both)).sum() * cell
    off = ((odds.sigmoid() - best).abs() * both).sum() / both.sum()
    return float(bound), float(exact), float(off)


def run(cfg: Config) -> Iterator[Frame]:
    """The four trainings in turn, one of them a little further in each frame."""
    ways = [follow(cfg.training(method)) for method in RACE]
    meters = np.full((4, 4), nan, np.float32)  # step, sliced, mmd, error of each
    seen = nothing()
    for turn in range(10**9):
        which = turn % len(ways)
        moment = next(ways[which], None)
        if moment is None:
            if which == len(ways) - 1:
                return
            continue
        model = restored(cfg.training(list(RACE)[which]), moment)
        meters = meters.copy()
        meters[which] = moment.step, *measured(cfg, model)
        if which == 0:
            seen = look(cfg, model, moment)
        if turn >= len(ways) - 1:  # all have begun
            steps, sliced, mmd, error = meters.T.copy()
            yield seen._replace(steps=steps, sliced=sliced, mmd=mmd, error=error, floor=floor())


def floor() -> float:
    """The sliced W2 that as many true samples of the prior have."""
    return gap.floor(SHOWN, 2).sliced


@torch.no_grad()
def measured(cfg: Config, model: Model) -> tuple[float, float, float]:
    """Sliced W2 and MMD of the codes to the prior, and the squared error over held-out examples."""
    seen = cfg.training("aae").examples
    codes = model.encode(seen.train[:SHOWN])
    wrong = (model.decode(model.encode(seen.test)) - seen.test).flatten(1).square().sum(1).mean()
    return gap.sliced(codes), gap.mmd(codes), float(wrong)


@torch.no_grad()
def look(cfg: Config, model: Model, moment: Moment) -> Frame:
    """The discriminator and the best one, on the plane of the codes."""
    seen = cfg.training("aae").examples
    codes = model.encode(seen.train[:SHOWN])
    q, weights = density(codes.double()), torch.tensor(moment.adversary, device=DEVICE)
    wide, line = (_line(half, count).to(DEVICE) for half, count in ((FAR, NODES), (REACH, CELLS)))
    cell = float(wide[1] - wide[0]) ** 2
    bound, exact, off = compared(prior(wide, wide), q.on(wide, wide), judged(weights, wide, wide), cell)
    here, there = prior(line, line), q.on(line, line)
    return nothing()._replace(
        step=moment.step,
        codes=array(torch.cat([codes, seen.labels[:SHOWN, None].to(codes)], 1)),
        eta=array(judged(weights, line, line).sigmoid()),
        best=array(here / (here + there)),
        off=off,
        bound=bound,
        divergence=exact,
    )


@cache
def _line(half: float, count: int) -> Tensor:
    return torch.linspace(-half, half, count, dtype=torch.float64)


def nothing() -> Frame:
    """A frame with no codes yet."""
    none, flat = np.full(4, nan, np.float32), np.full((CELLS, CELLS), 0.5, np.float32)
    return Frame(0, none, none, none, none, nan, np.empty((0, 3), np.float32), flat, flat, nan, nan, nan)
