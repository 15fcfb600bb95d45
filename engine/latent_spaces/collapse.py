"""How latent dimensions go dark: autoencoders for many noise levels of the decoder, trained side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import cos, pi, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu

from engine.data import digits
from engine.device import DEVICE, generator
from engine.knob import knob

BETAS = tuple(float(b) for b in np.geomspace(0.03, 2.0, 12))  # noise variances of the decoders, which are the betas
WIDTH, BATCH, CHUNK, WARM_UP = 64, 64, 8, 20  # hidden units; pictures a step; steps a frame; steps to full step size
STEP_SIZES = {"linear": 0.1, "deep": 0.006}
MEMORY = (0.9, 0.97)  # of Adam: a short one, or a linear network hardly turns its dimensions onto the components
ACTIVE = 0.01  # variance of a dimension's mean over the data beyond which it is in use
SHOWN, EVERY = (3, 5, 8, 11), 2  # held-out pictures that are reconstructed, by every second network
Batch = Callable[[torch.Generator], Tensor]  # -> (n, d)
NETWORKS = {"linear": "linear", "deep": "one hidden layer each way"}


@dataclass(frozen=True)
class Config:
    """The settings of twelve variational autoencoders that differ in nothing but beta."""

    network: str = knob("linear", "networks", choices=NETWORKS)
    n_components: int = knob(10, "latent dimensions", 1, 16, help="of each of the twelve")
    steps: int = knob(600, "training steps", 10, 2000, log=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)


class Frame(NamedTuple):
    """Fourteen autoencoders after some steps, from the least beta to the largest."""

    step: int
    kl: np.ndarray  # (L, 12) mean KL to the prior of each dimension, nats; in each column the largest first
    rate: np.ndarray  # (12,) their sums: nats a picture
    error: np.ndarray  # (12,) mean squared error of a picture, summed over its pixels, z being sampled
    active: np.ndarray  # (12,) dimensions whose mean varies over the data by more than 0.01 (Burda et al. 2016)
    bound: np.ndarray  # (12,) -ELBO in nats a picture, the decoder's variance being beta
    images: np.ndarray  # (28, 8, 8) four rows of a held-out picture and its reconstructions by every second network
    off: float  # largest gap of a KL to the exact one of the best linear networks, nats
    frontier: np.ndarray  # (12, 2) rate, error


@dataclass(frozen=True)
class Family:
    """k variational autoencoders of one shape, as functions of their flat weights (k, size).

    Linear ones (hidden 0) have a posterior whose variance is the same for all pictures (Lucas et al. 2019).
    """

    pixels: int
    latent: int
    hidden: int = 0

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of each matrix and each bias, in the order of the flat vector."""
        d, n, h = self.pixels, self.latent, self.hidden
        if not h:
            return [(d, n), (1, n), (1, n), (n, d), (1, d)]
        return [(d, h), (1, h), (h, 2 * n), (1, 2 * n), (n, h), (1, h), (h, d), (1, d)]

    @property
    def size(self) -> int:
        """Length of one network's weights."""
        return sum(a * b for a, b in self.shapes)

    def init(self, k: int, rng: torch.Generator) -> Tensor:
        """k times the same fresh weights (k, size): variance 1 / fan-in, biases zero."""
        parts = [torch.randn(a, b, generator=rng) / sqrt(a) * (a > 1) for a, b in self.shapes]
        return torch.cat([part.flatten() for part in parts]).repeat(k, 1).to(DEVICE)

    def parts(self, weights: Tensor) -> list[Tensor]:
        """(k, size) -> matrices (k, a, b) and biases (k, 1, b)."""
        pieces = weights.split([a * b for a, b in self.shapes], 1)
        return [piece.view(-1, a, b) for piece, (a, b) in zip(pieces, self.shapes, strict=True)]

    def encode(self, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posteriors: x (n, d) -> two (k, n, L), the second (k, 1, L) if linear."""
        parts = self.parts(weights)
        x = x.expand(len(weights), *x.shape)
        if not self.hidden:
            return torch.baddbmm(parts[1], x, parts[0]), parts[2]
        h = silu(torch.baddbmm(parts[1], x, parts[0]))
        mean, log_var = torch.baddbmm(parts[3], h, parts[2]).chunk(2, 2)
        return mean, log_var

    def decode(self, weights: Tensor, z: Tensor) -> Tensor:
        """(k, n, L) -> (k, n, d)"""
        *_, first, bias, last, offset = self.parts(weights)
        if not self.hidden:
            return torch.baddbmm(offset, z, last)
        return torch.baddbmm(offset, silu(torch.baddbmm(bias, z, first)), last)

    def terms(self, weights: Tensor, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error (k,) and KL of each dimension (k, L): x (n, d), noise (n, L) or, if linear, unused.

        A linear decoder's mean over z is known: the error at the posterior's mean plus sum_j var_j |w_j|^2.
        """
        mean, log_var = self.encode(weights, x)
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).mean(1)
        if self.hidden:
            z = mean + (0.5 * log_var).exp() * noise
            return (self.decode(weights, z) - x).square().sum(2).mean(1), kl
        spread = (log_var.exp()[:, 0] * self.parts(weights)[3].square().sum(2)).sum(1)
        return (self.decode(weights, mean) - x).square().sum(2).mean(1) + spread, kl


class Data(NamedTuple):
    """The digits about their mean picture."""

    train: Tensor  # (n, 64)
    test: Tensor  # (m, 64)
    mean: Tensor  # (64,)
    values: Tensor  # (64,) eigenvalues of the covariance, the largest first
    whole: (
        Tensor  # (64, 64) made-up pictures with the mean and the covariance of all, which is all that linear ones see
    )


@cache
def data() -> Data:
    """The 8x8 digits, made once."""
    train, test = (part.images.flatten(1) for part in digits.split())
    mean = train.mean(0)
    values, vectors = torch.linalg.eigh((train - mean).T.double().cpu() @ (train - mean).double().cpu() / len(train))
    values = values.clamp_min(0)
    root = (vectors * values.sqrt()) @ vectors.T * sqrt(len(values))
    paired = torch.cat([root, -root]).to(train)  # with its mirror image the mean is 0
    return Data(train - mean, test - mean, mean, values.flip(0).to(train), paired)


def exact_kl(values: Tensor, beta: float, n_components: int) -> Tensor:
    """KL of each dimension of the best linear variational autoencoder, nats: values (d,) -> (n_components,).

    1/2 log(lambda_i / beta) where lambda_i > beta, else 0: it follows from the maximum likelihood of probabilistic
    PCA with noise beta (Tipping and Bishop 1999), whose posterior a linear encoder can match (Lucas et al. 2019).
    """
    return 0.5 * (values[:n_components] / beta).log().clamp_min(0)


def exact_frontier(values: Tensor, n_components: int, count: int = 200) -> np.ndarray:
    """Rate and error of the best linear ones over beta: (200, 2). Error: min(beta, lambda_i) each, and what is left."""
    betas = np.geomspace(BETAS[0] / 2, max(BETAS[-1], float(values[0])), count)
    kept = values[:n_components].cpu().double()
    left = float(values[n_components:].sum())
    rates = [float(exact_kl(kept, beta, n_components).sum()) for beta in betas]
    errors = [float(kept.clamp_max(beta).sum()) + left for beta in betas]
    return np.stack([rates, errors], 1)


def descend(
    family: Family, weights: Tensor, betas: Tensor, steps: int, step_size: float, batch: Batch, rng: torch.Generator
) -> Iterator[Tensor]:
    """The weights (k, size) before the first and after every step of Adam on error / 2 + beta KL, each net's own."""
    weights = weights.requires_grad_()
    adam = torch.optim.Adam([weights], betas=MEMORY, fused=True)
    yield weights.detach()
    for step in range(steps):
        share = min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * cos(pi * step / steps))
        adam.param_groups[0]["lr"] = step_size * share
        x = batch(rng)
        error, kl = family.terms(weights, x, torch.randn(len(x), family.latent, generator=rng).to(DEVICE))
        adam.zero_grad()
        (error / 2 + betas * kl.sum(1)).sum().backward()
        adam.step()
        yield weights.detach()


def some(x: Tensor) -> Batch:
    """Draws a few rows of x: (n, d) at random; the same for all networks."""
    return lambda rng: x[torch.randint(len(x), (BATCH,), generator=rng).to(x.device)]


def teach(cfg: Config, family: Family, betas: Tensor, rng: torch.Generator) -> Iterator[Tensor]:
    """The weights on the digits, step by step: linear ones see the whole set at once."""
    known = data()
    batch = some(known.train) if family.hidden else lambda rng: known.whole
    return descend(family, family.init(len(betas), rng), betas, cfg.steps, STEP_SIZES[cfg.network], batch, rng)


def observe(family: Family, weights: Tensor, betas: Tensor, step: int, rng: torch.Generator) -> Frame:
    """What there is to see: the terms on the held-out pictures, or on all if linear."""
    known = data()
    x = known.test if family.hidden else known.whole
    with torch.no_grad():
        error, kl = family.terms(weights, x, torch.randn(len(x), family.latent, generator=rng).to(DEVICE))
        active = (family.encode(weights, x)[0].var(1, unbiased=False) > ACTIVE).sum(1)
        seen = known.test[list(SHOWN)]
        back = family.decode(weights, family.encode(weights, seen)[0])
    rows = (torch.cat([seen[None], back[::EVERY]]) + known.mean).clamp(0, 1).transpose(0, 1)
    bound = error / (2 * betas) + kl.sum(1) + family.pixels / 2 * (2 * pi * betas).log()
    kl = kl.clamp_min(0)  # rounding may leave a little less than nothing
    ordered = kl.sort(1, descending=True).values
    best = torch.stack([exact_kl(known.values, float(b), family.latent) for b in betas])
    rate, error = (part.cpu().numpy().copy() for part in (kl.sum(1), error))
    return Frame(
        step=step,
        kl=ordered.T.cpu().numpy().copy(),
        rate=rate,
        error=error,
        active=active.cpu().numpy().copy(),
        bound=bound.cpu().numpy().copy(),
        images=rows.reshape(-1, 8, 8).cpu().numpy().copy(),
        off=float((ordered - best).abs().max()),
        frontier=np.stack([rate, error], 1),
    )


def run(cfg: Config) -> Iterator[Frame]:
    """All twelve from one start, a frame every eight steps, the first and the last moment among them."""
    rng, watch = generator(cfg.seed), generator(cfg.seed + 1000)
    family = Family(64, cfg.n_components, 0 if cfg.network == "linear" else WIDTH)
    betas = torch.tensor(BETAS, device=DEVICE)
    for step, weights in enumerate(teach(cfg, family, betas, rng)):
        if step % CHUNK == 0 or step == cfg.steps:
            yield observe(family, weights, betas, step, watch)
