"""Codes drawn from the prior, some of them where no data encode, and what the decoder makes of those."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import nan, pi, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.latent_spaces import gap
from engine.latent_spaces.coder import Model
from engine.latent_spaces.data import Examples, examples
from engine.latent_spaces.learning import Learning, array, trained
from engine.latent_spaces.methods import METHODS

REACH, GRID, BLUR = 3.5, 56, 0.15  # half of the plane's width; its cells; smoothing of both densities
FRAMES, FRESH, ROW = 50, 12, 6  # of a run; draws a frame; pictures in a row
CODES, KNOWN, TESTED = 1200, 2048, 300  # pictures that make up q(z); that one is compared to; reconstructed
PICTURES = {"glyphs": "drawn numerals, 28×28", "digits": "real handwriting, 8×8"}


@dataclass(frozen=True)
class Config:
    """The settings of the model, of what counts as a hole, and of the draws."""

    data: str = knob("glyphs", "data", choices=PICTURES)
    method: str = knob("vae", "method", choices={name: how.label for name, how in METHODS.items()})
    beta: float = knob(1.0, "pull to the prior", 0.01, 100.0, symbol=r"\beta", log=True)
    threshold: float = knob(
        0.25, "a hole: q below", 0.01, 1.0, log=True, help="times the prior: fewer data encode there than it promises"
    )
    steps: int = knob(1200, "training steps", 50, 6000, log=True, folded=True)
    seed: int = knob(0, "seed of the training", 0, 999, folded=True)
    noise: int = knob(0, "draws", 0, 999, help="another number, other codes; nothing is trained again")

    @property
    def learning(self) -> Learning:
        """The training that this view begins with."""
        return Learning(self.data, self.method, 2, self.beta, self.steps, self.seed)


class Frame(NamedTuple):
    """The draws so far. Distances are from a picture to the nearest training picture, root mean square over pixels."""

    count: int  # codes drawn so far
    share: float  # estimate: of the draws, those in holes
    share_error: float  # its standard error
    mmd2: float  # squared MMD from q(z) to the prior
    mmd2_floor: float  # of as many draws of the prior itself
    hole: float  # mean distance of decoded draws in holes; NaN before there is one
    hole_error: float
    inside: float  # of the other draws
    inside_error: float
    remade: float  # of reconstructions of held-out pictures
    q: np.ndarray  # (56, 56) density of the codes of all data, over the prior's peak; the bottom row first
    ratio: np.ndarray  # (56, 56) log10 of that density over the prior, clipped to -3..3
    draws: np.ndarray  # (n, 2) draws where data encode, so far
    in_holes: np.ndarray  # (m, 2) draws in holes
    good: np.ndarray  # (6, h, w) the latest of the former, decoded; blank before there are six
    bad: np.ndarray  # (6, h, w) the latest of the latter
    back: np.ndarray  # (6, h, w) reconstructions of held-out pictures


@dataclass(frozen=True, eq=False)
class Aggregate:
    """q(z), the mean of N(mean_i, std_i^2) over the data, smoothed by a Gaussian of width `blur`, like the prior.

    Without smoothing the codes of an encoder without noise have no density. mean, std: (n, k).
    """

    mean: Tensor
    std: Tensor
    blur: float = BLUR

    @cached_property
    def _variance(self) -> Tensor:
        return self.std.square() + self.blur**2

    def log_density(self, z: Tensor) -> Tensor:
        """log of smoothed q at z: (m, k) -> (m,)."""
        precision = 1 / self._variance
        apart = z.square() @ precision.T - 2 * z @ (self.mean * precision).T + (self.mean.square() * precision).sum(1)
        level = 0.5 * (2 * pi * self._variance).log().sum(1)
        return torch.logsumexp(-apart / 2 - level, 1) - float(np.log(len(self.mean)))

    def log_prior(self, z: Tensor) -> Tensor:
        """log of the prior, smoothed alike: (m, k) -> (m,)."""
        variance = 1 + self.blur**2
        return -z.square().sum(1) / (2 * variance) - z.shape[1] / 2 * float(np.log(2 * pi * variance))

    def log_ratio(self, z: Tensor) -> Tensor:
        """log of smoothed q over the smoothed prior: (m, k) -> (m,)."""
        return self.log_density(z) - self.log_prior(z)


def aggregate(model: Model, images: Tensor) -> Aggregate:
    """q(z) of a model over pictures (n, h, w)."""
    with torch.no_grad():
        return Aggregate(*model.posterior(images))


def cells(count: int = GRID, reach: float = REACH) -> Tensor:
    """Middles of the plane's cells: (count^2, 2), the bottom row first."""
    line = reach * (2 * (torch.arange(count) + 0.5) / count - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def to_nearest(images: Tensor, known: Tensor) -> Tensor:
    """Distance to the nearest known picture, root mean square over pixels: (n, h, w), (m, h, w) -> (n,)."""
    apart = torch.cdist(images.flatten(1), known.flatten(1)).amin(1)
    return apart / sqrt(images[0].numel())


class Pile:
    """Draws of one kind so far: where, how far from data, and the latest of them decoded."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.codes, self.apart = torch.empty(0, 2), torch.empty(0)
        self.shown = torch.zeros(ROW, *shape)

    def add(self, codes: Tensor, images: Tensor, apart: Tensor) -> None:
        """codes: (n, 2), images: (n, h, w), apart: (n,)"""
        self.codes, self.apart = torch.cat([self.codes, codes.cpu()]), torch.cat([self.apart, apart.cpu()])
        self.shown = torch.cat([self.shown, images.cpu()])[-ROW:]

    @property
    def mean(self) -> tuple[float, float]:
        """Mean distance and its standard error; NaN where there is too little."""
        n = len(self.apart)
        return (float(self.apart.mean()) if n else nan), (float(self.apart.std()) / sqrt(n) if n > 1 else nan)


def about(model: Model, seen: Examples) -> dict:
    """What does not change while codes are drawn, by its name in Frame."""
    density = aggregate(model, seen.train[:CODES])
    plane = cells().to(model.weights)
    height = density.log_density(plane)
    ratio = (height - density.log_prior(plane)) / float(np.log(10))
    back = model.decode(model.draw(seen.test[:TESTED], generator(1000))).clamp(0, 1)
    codes = density.mean + density.std * torch.randn(density.mean.shape, generator=generator(1000)).to(density.mean)
    return dict(
        q=array((2 * pi * height.exp()).view(GRID, GRID)),
        ratio=array(ratio.clamp(-3, 3).view(GRID, GRID)),
        mmd2=float(gap.mmd2(codes)),
        mmd2_floor=gap.floor(len(codes), codes.shape[1]).mmd ** 2,
        remade=float(to_nearest(back, seen.train[:KNOWN]).mean()),
        back=array(back[:ROW]),
    )


def run(cfg: Config) -> Iterator[Frame]:
    """Fifty frames of twelve draws; the first waits for the training."""
    yield from draw(cfg, trained(cfg.learning), examples(cfg.data))


@torch.no_grad()
def draw(cfg: Config, model: Model, seen: Examples) -> Iterator[Frame]:
    """The same with a model of one's own, of two latent dimensions."""
    rng = generator(cfg.noise)
    density, facts = aggregate(model, seen.train[:CODES]), about(model, seen)
    inside, hole = Pile(model.shape), Pile(model.shape)
    for frame in range(FRAMES):
        z = torch.randn(FRESH, 2, generator=rng).to(model.weights)
        images = model.decode(z).clamp(0, 1)
        apart = to_nearest(images, seen.train[:KNOWN])
        empty = density.log_ratio(z) < float(np.log(cfg.threshold))
        inside.add(z[~empty], images[~empty], apart[~empty])
        hole.add(z[empty], images[empty], apart[empty])
        yield _frame((frame + 1) * FRESH, inside, hole, facts)


def _frame(count: int, inside: Pile, hole: Pile, facts: dict) -> Frame:
    share = len(hole.codes) / count
    return Frame(
        count=count,
        share=share,
        share_error=sqrt(share * (1 - share) / count),
        hole=hole.mean[0],
        hole_error=hole.mean[1],
        inside=inside.mean[0],
        inside_error=inside.mean[1],
        draws=array(inside.codes),
        in_holes=array(hole.codes),
        good=array(inside.shown),
        bad=array(hole.shown),
        **facts,
    )
