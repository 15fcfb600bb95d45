"""A linear autoencoder and a linear VAE on their way to the principal components: the same plane, other axes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import log, pi, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.device import DEVICE, generator
from engine.knob import knob
from engine.latent_spaces.data import examples
from engine.latent_spaces.learning import array
from engine.latent_spaces.pca import PCA, pca, principal_angles
from engine.latent_spaces.spectrum import PICTURES, relief

FRAMES, BETAS = 120, (0.9, 0.97)  # of a run; of Adam


@dataclass(frozen=True)
class Config:
    """The settings of the two linear networks."""

    data: str = knob("digits", "pictures", choices=PICTURES)
    n_components: int = knob(6, "latent dimensions", 1, 10, symbol="k")
    step_size: float = knob(0.03, "step size", 0.001, 0.3, log=True, help="of Adam, with cosine decay")
    steps: int = knob(2400, "training steps", 50, 10000, log=True)
    seed: int = knob(0, "seed", 0, 999)


class Frame(NamedTuple):
    """Both networks after some steps."""

    step: int
    angle: float  # degrees: the largest principal angle between the decoder's span and that of the components
    vae_angle: float
    aligned: float  # the least over the decoder's columns of the largest |cos| with a component, autoencoder
    vae_aligned: float
    excess: float  # squared error of the autoencoder over that of PCA, less 1
    elbo: float  # of the VAE, nats per picture, exact
    likelihood: float  # exact: log likelihood of probabilistic PCA, which no ELBO exceeds
    cosines: np.ndarray  # (k, k) |cos| between column (row of the picture, the first at its bottom) and component
    vae_cosines: np.ndarray  # (k, k)
    columns: np.ndarray  # (3 k, h, w) components; the autoencoder's columns; the VAE's; in the components' order


class Problem(NamedTuple):
    """The covariance of the pictures is all that either network's loss depends on."""

    covariance: Tensor  # (d, d) float64, with n below
    found: PCA
    eigenvalues: Tensor  # (k,) of the covariance
    noise: float  # variance s² of the VAE's decoder: the mean of the discarded eigenvalues (Tipping & Bishop 1999)
    shape: tuple[int, ...]

    @property
    def k(self) -> int:
        """Latent dimensions."""
        return len(self.eigenvalues)


@lru_cache(maxsize=8)
def problem(data: str, k: int) -> Problem:
    """The pictures' covariance and their first k principal components."""
    train = examples(data).train.double()
    if train.shape[1] > 16:  # at half their size: nothing is lost here, and a step costs a sixteenth
        train = avg_pool2d(train[:, None], 2)[:, 0]
    shape, train = tuple(train.shape[1:]), train.flatten(1)
    centred = train - train.mean(0)
    covariance = centred.T @ centred / len(train)
    values = torch.linalg.eigvalsh(covariance).flip(0)
    return Problem(covariance.to(DEVICE), pca(train, k), values[:k], float(values[k:].mean()), shape)


def squared_error(on: Problem, encoder: Tensor, decoder: Tensor) -> Tensor:
    """Mean of ‖x − W V x‖² over the centred pictures. encoder V: (k, d), decoder W: (d, k) -> a number."""
    through = encoder @ on.covariance
    back = decoder.T @ decoder
    return on.covariance.trace() - 2 * (through * decoder.T).sum() + ((back @ through) * encoder).sum()


def negative_elbo(on: Problem, encoder: Tensor, decoder: Tensor, log_var: Tensor) -> Tensor:
    """−ELBO of a linear VAE in nats per picture, exact: q(z|x) = N(V x, diag(e^log_var)), p(x|z) = N(W z, s² I).

    encoder V: (k, d), decoder W: (d, k), log_var: (k,) -> a number (Lucas et al. 2019).
    """
    variance, d = log_var.exp(), on.covariance.shape[0]
    wrong = squared_error(on, encoder, decoder) + (decoder.square().sum(0) * variance).sum()
    size = ((encoder @ on.covariance) * encoder).sum()
    pulled = 0.5 * (variance.sum() + size - log_var.sum() - on.k)
    return wrong / (2 * on.noise) + d / 2 * log(2 * pi * on.noise) + pulled


def likelihood(on: Problem) -> float:
    """The largest mean log likelihood of probabilistic PCA with k dimensions, in nats (Tipping & Bishop 1999).

    −½ (d log 2π + Σ log λ_i + (d − k) log s² + d), for s² the mean of the discarded eigenvalues.
    """
    d = on.covariance.shape[0]
    return -0.5 * (d * log(2 * pi) + float(on.eigenvalues.log().sum()) + (d - on.k) * log(on.noise) + d)


def cosines(decoder: Tensor, found: PCA) -> Tensor:
    """|cos| between each column of W: (d, k) and each component: (k, k)."""
    unit = decoder / decoder.norm(dim=0).clamp_min(1e-12)
    return (unit.T.double() @ found.components.T).abs()


def run(cfg: Config) -> Iterator[Frame]:
    """Adam on both exact losses from the same start; some 20 steps a frame."""
    on, rng = problem(cfg.data, cfg.n_components), generator(cfg.seed)
    d, k = on.covariance.shape[0], cfg.n_components
    start = [torch.randn(shape, generator=rng, dtype=torch.float64) / sqrt(d) for shape in ((k, d), (d, k))]
    both = [[part.clone().to(DEVICE).requires_grad_() for part in start] for _ in range(2)]
    log_var = torch.zeros(k, dtype=torch.float64, device=DEVICE, requires_grad=True)
    rule = torch.optim.Adam([*both[0], *both[1], log_var], lr=cfg.step_size, betas=BETAS)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(rule, cfg.steps)
    yield look(0, on, both, log_var)
    pace = max(20, -(-cfg.steps // FRAMES))
    for step in range(1, cfg.steps + 1):
        rule.zero_grad()
        (squared_error(on, *both[0]) / (2 * on.noise) + negative_elbo(on, both[1][0], both[1][1], log_var)).backward()
        rule.step()
        decay.step()
        if step % pace == 0 or step == cfg.steps:
            yield look(step, on, both, log_var)


@torch.no_grad()
def look(step: int, on: Problem, both: list[list[Tensor]], log_var: Tensor) -> Frame:
    """What a frame shows of the two networks."""
    least = float(on.covariance.trace() - on.eigenvalues.sum())
    angles = [float(torch.rad2deg(principal_angles(pair[1].T, on.found.components)[-1])) for pair in both]
    near = [cosines(pair[1], on.found) for pair in both]
    return Frame(
        step=step,
        angle=angles[0],
        vae_angle=angles[1],
        aligned=float(near[0].amax(1).min()),
        vae_aligned=float(near[1].amax(1).min()),
        excess=max(float(squared_error(on, *both[0])) / least - 1, 0.0),
        elbo=-float(negative_elbo(on, both[1][0], both[1][1], log_var)),
        likelihood=likelihood(on),
        cosines=array(near[0]),
        vae_cosines=array(near[1][order(near[1])]),
        columns=array(pictures(on, both, near)),
    )


def order(near: Tensor) -> Tensor:
    """Columns in the order of the components that they are nearest to, each used once: (k, k) -> (k,)."""
    left, chosen = near.clone(), torch.empty(len(near), dtype=torch.int64)
    for _ in range(len(near)):
        column, component = divmod(int(left.argmax()), len(near))
        chosen[component] = column
        left[column], left[:, component] = -1.0, -1.0
    return chosen


def pictures(on: Problem, both: list[list[Tensor]], near: list[Tensor]) -> Tensor:
    """The components and both decoders' columns as pictures, signs turned alike: (3 k, h, w)."""
    rows = [on.found.components]
    for pair, table in zip(both, near, strict=True):
        columns = pair[1].T[order(table)]
        rows.append(columns * (columns * on.found.components).sum(1, keepdim=True).sign())
    return relief(torch.cat(rows)).view(-1, *on.shape)
