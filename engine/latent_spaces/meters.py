"""What a model costs and keeps, in a few numbers that are measured alike for every method."""

from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.latent_spaces import gap
from engine.latent_spaces.coder import Model
from engine.latent_spaces.data import Examples
from engine.latent_spaces.learning import array

SHOWN = 800  # codes of training examples that are drawn and compared to the prior


class Meters(NamedTuple):
    """The numbers of a model."""

    error: float  # mean of ‖x − ψ(φ(x))‖² over held-out examples, whatever the method
    wrong: float  # −log p(x | z), nats per held-out example; NaN where the encoder has no noise
    pulled: float  # KL to the prior, nats per held-out example, summed over the dimensions; NaN likewise
    kl: np.ndarray  # (k,) of each dimension; (0,) likewise
    mmd: float  # of the codes, drawn from q(z | x), to N(0, I)
    mmd_floor: float  # of as many draws of N(0, I)
    sliced: float  # sliced W2 likewise
    sliced_floor: float
    knn: float  # share of held-out codes whose nearest code has their class


class Looked(NamedTuple):
    """What is measured, and what is drawn of it."""

    meters: Meters
    codes: Tensor  # (n, k) mean codes of training examples
    std: Tensor  # (n, k) their standard deviations, 0 without noise
    remade: Tensor  # (m, *shape) held-out examples, reconstructed


@torch.no_grad()
def measure(model: Model, seen: Examples, seed: int) -> Looked:
    """The meters of a model on its examples; the seed is that of the noise on the codes."""
    rng = generator(seed + 1000)
    codes, std = model.posterior(seen.train[:SHOWN])
    drawn = codes + std * torch.randn(codes.shape, generator=rng).to(codes)
    wrong, pulled, each = nats(model, seen.test, rng)
    tested = model.encode(seen.test)
    remade, least = model.decode(tested), gap.floor(*drawn.shape)
    right = seen.labels[:SHOWN][torch.cdist(tested, codes).argmin(1)] == seen.test_labels
    error = (remade - seen.test).flatten(1).square().sum(1).mean()
    near = float(right.double().mean())
    found = Meters(float(error), wrong, pulled, each, gap.mmd(drawn), least.mmd, gap.sliced(drawn), least.sliced, near)
    return Looked(found, codes, std, remade)


def nats(model: Model, test: Tensor, rng: torch.Generator) -> tuple[float, float, np.ndarray]:
    """The two terms of −ELBO over the examples (m, *shape), and the second for each dimension (k,); NaN without it."""
    if not model.coder.noisy:
        return nan, nan, np.empty(0, np.float32)
    wrong, pulled = model.terms(test, rng)
    return float(wrong.mean()), float(pulled.sum(1).mean()), array(pulled.mean(0))


def at_the_mean(seen: Examples) -> tuple[float, float]:
    """What the mean example costs as a guess of every held-out one: squared error, and nats; the latter for pictures.

    Nothing that has learned is worse, so it is where charts of either end.
    """
    train, test = (part.flatten(1) for part in (seen.train, seen.test))
    mean = train.mean(0)
    squared = float((test - mean).square().sum(1).mean())
    if not seen.pictures:
        return squared, nan
    mean = mean.clamp(0.01, 0.99)
    return squared, -float((test * mean.log() + (1 - test) * (1 - mean).log()).sum(1).mean())
