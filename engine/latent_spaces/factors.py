"""Which latent dimension carries which known factor of a glyph, for autoencoders that differ in beta alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.data import glyphs
from engine.device import DEVICE, generator
from engine.knob import knob
from engine.latent_spaces.collapse import Family, descend, some
from engine.latent_spaces.learning import array
from engine.tape import record

BETAS = tuple(float(b) for b in np.geomspace(0.03, 1.5, 8))
SIDE, WIDTH, STEP_SIZE, CHUNK = 14, 128, 4e-3, 4  # pixels, half a glyph's; hidden units; Adam's; steps a frame
POOL, TEST = 8000, 6000  # glyphs to train on; fresh ones to measure on
BINS, STOPS, FAR = 16, 9, 2.4  # of the histograms; pictures of a strip; how far it goes, in standard deviations
NAMES = tuple(glyphs.FACTORS)


@dataclass(frozen=True)
class Sweep:
    """The settings of eight variational autoencoders trained side by side on glyphs of one numeral."""

    numeral: int = knob(4, "numeral", 0, 9, help="all glyphs show it, so that only the eight factors vary")
    n_components: int = knob(8, "latent dimensions", 2, 12)
    steps: int = knob(800, "training steps", 50, 3000, log=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)


@dataclass(frozen=True)
class Config(Sweep):
    """The settings of the view."""

    glyph: int = knob(0, "glyph to start from", 0, 99, help="one code is changed at a time, the others stay its own")

    @property
    def sweep(self) -> Sweep:
        """The training that this view begins with."""
        return Sweep(self.numeral, self.n_components, self.steps, self.seed)


class Moment(NamedTuple):
    """The eight networks after some steps."""

    step: int
    progress: float
    weights: np.ndarray  # (8, size) at the end; (0, 0) before it


class Frame(NamedTuple):
    """One of the eight: beta is what time is here. Dimensions are in the order of their KL, the largest first."""

    beta: float
    mig: float  # mutual information gap, 0 to 1
    gaps: np.ndarray  # (8,) of each factor
    information: np.ndarray  # (n, 8) mutual information of dimension and factor, nats
    kl: np.ndarray  # (n,) to the prior, nats
    active: int  # dimensions with more than 0.05 nats
    error: float  # squared error of a picture, summed over its pixels
    strips: np.ndarray  # (9 n, 14, 14) a row for each dimension: it alone changes from -2.4 to 2.4


@lru_cache(maxsize=4)
def examples(numeral: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training pictures (8000, 196), fresh ones (6000, 196) and the factors of the latter (6000, 8)."""
    rng, n = generator(numeral), POOL + TEST
    swing = torch.rand(n, len(NAMES), generator=rng).to(DEVICE) - 0.5
    factors = glyphs.plain(n) + swing * torch.tensor([f.high - f.low for f in glyphs.FACTORS.values()], device=DEVICE)
    drawn = glyphs.render(torch.full((n,), numeral, device=DEVICE), factors)
    small = avg_pool2d(drawn[:, None], 2).flatten(1)
    return small[:POOL], small[POOL:], factors[POOL:]


def family(cfg: Sweep) -> Family:
    """The shape of the eight."""
    return Family(SIDE**2, cfg.n_components, WIDTH)


def learn(cfg: Sweep) -> Iterator[Moment]:
    """Train all eight at once; the last moment carries the weights."""
    shape, rng, betas = family(cfg), generator(cfg.seed), torch.tensor(BETAS, device=DEVICE)
    train = examples(cfg.numeral)[0]
    start = shape.init(len(BETAS), rng)
    for step, weights in enumerate(descend(shape, start, betas, cfg.steps, STEP_SIZE, some(train), rng)):
        if step % CHUNK == 0 or step == cfg.steps:
            kept = array(weights) if step == cfg.steps else np.empty((0, 0), np.float32)
            yield Moment(step, step / cfg.steps, kept)


def bins(x: Tensor) -> Tensor:
    """Sixteen equally full bins for each column: (n, d) -> (n, d) int64."""
    return (x.argsort(0).argsort(0) * BINS) // len(x)


def information(z: Tensor, factors: Tensor) -> Tensor:
    """Mutual information of every column of z: (n, k) with every factor: (n, f) -> (k, f) nats, from 16 x 16 cells.

    What n samples of independent numbers would give on average, (16 - 1)^2 / 2n, is taken off (Miller 1955).
    """
    first, second, n = bins(z), bins(factors), len(z)
    cell = first[:, :, None] * BINS + second[:, None]  # (n, k, f)
    pairs = cell.flatten(1) + BINS**2 * torch.arange(cell[0].numel(), device=cell.device)
    count = torch.bincount(pairs.flatten(), minlength=BINS**2 * cell[0].numel()).view(*cell.shape[1:], BINS, BINS)
    p = count.double() / n
    alone = p.sum(-1, keepdim=True) * p.sum(-2, keepdim=True)
    found = torch.special.xlogy(p, p / alone.clamp_min(1e-12)).sum((-2, -1))
    return (found - (BINS - 1) ** 2 / (2 * n)).clamp_min(0)


def gaps(shares: Tensor) -> Tensor:
    """For each factor the share of its entropy by which the best dimension is ahead of the second: (k, f) -> (f,).

    Their mean is the mutual information gap (Chen et al. 2018).
    """
    best = shares.topk(2, 0).values
    return best[0] - best[1]


def traversals(shape: Family, weights: Tensor, code: Tensor, order: Tensor) -> Tensor:
    """A row for each dimension, in that order, in which it alone changes: weights (1, size), code (n,) -> (9 n, d)."""
    line = torch.linspace(-FAR, FAR, STOPS, device=code.device)
    z = code.repeat(len(order), STOPS, 1)
    for row, dimension in enumerate(order.tolist()):
        z[row, :, dimension] = line
    return shape.decode(weights, z.view(1, -1, len(code)))[0].clamp(0, 1)


def trained(cfg: Sweep) -> Tensor:
    """The weights (8, size) that the training leaves behind; trains to the end if nobody has yet."""
    return torch.tensor(record(learn, cfg).wind().frames[-1].weights, device=DEVICE)


def run(cfg: Config) -> Iterator[Frame]:
    """A frame for each beta, from the least; the first waits for the training."""
    yield from look(cfg, trained(cfg.sweep))


@torch.no_grad()
def look(cfg: Config, everything: Tensor) -> Iterator[Frame]:
    """The same with weights (8, size) at hand."""
    shape, rng = family(cfg), generator(cfg.seed + 1000)
    _, test, factors = examples(cfg.numeral)
    noise = torch.randn(len(test), cfg.n_components, generator=rng).to(DEVICE)
    for beta, weights in zip(BETAS, everything.split(1), strict=True):
        mean, log_var = (part[0] for part in shape.encode(weights, test))
        error, kl = (part[0] for part in shape.terms(weights, test, noise))
        order = kl.argsort(descending=True)
        nats = information((mean + (log_var / 2).exp() * noise)[:, order], factors)
        gap = gaps(nats / log(BINS))  # the entropy of a uniform factor in 16 bins is log 16
        yield Frame(
            beta=beta,
            mig=float(gap.mean()),
            gaps=array(gap),
            information=array(nats),
            kl=array(kl[order]),
            active=int((kl > 0.05).sum()),
            error=float(error),
            strips=array(traversals(shape, weights, mean[cfg.glyph], order).view(-1, SIDE, SIDE)),
        )
