"""The network that guesses the clean point behind a noisy one, and everything that this guess is worth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine import nets
from engine.device import DEVICE
from engine.diffusion_denoising.schedules import Schedule
from engine.nets import ResidualMLP, fourier, octaves

Denoise = Callable[[Tensor, float], Tensor]  # (x = x0 + sigma noise, sigma) -> E[x0 | x], both (n, d)
FEATURES = 32  # Fourier frequencies on the input
SPREAD = 3.0  # their standard deviation in radians per unit
CONDITION = 8  # sine and cosine pairs on the noise level
MEDIAN, BREADTH = -1.0, 1.4  # of log sigma in training
BLOCK = 8  # training steps whose random numbers are drawn at once

Lesson = tuple[Tensor, Tensor, Tensor]  # what a network sees, at what noise level, and what it must say


def epsilon(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The network guesses the noise: D = x - sigma F (Ho et al. 2020)."""
    return torch.ones_like(sigma), -sigma


def sample(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The network guesses the clean point: D = F."""
    return torch.zeros_like(sigma), torch.ones_like(sigma)


def v_prediction(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The network guesses v = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x0 (Salimans & Ho 2022).

    For data of variance 1 this is, up to a sign, the preconditioning of Karras et al. (2022).
    """
    left = 1 / (1 + sigma**2)
    return left, -sigma * left.sqrt()


PREDICTION_TYPES = {"v_prediction": v_prediction, "epsilon": epsilon, "sample": sample}


def target(prediction_type: str, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """What F must say at x0 + sigma noise: x0, noise: (n, d), sigma: (n, 1) -> (n, d)."""
    skip, out = PREDICTION_TYPES[prediction_type](sigma)
    return ((1 - skip) * x0 - skip * sigma * noise) / out


def emphasis(plan: Schedule) -> Tensor:
    """How much of the training goes to the levels up to each t: (T,) float64, rising to 1.

    log sigma is normal, as far as the schedule reaches (Karras et al. 2022): with hardly any noise or hardly any
    data left there is little to learn.
    """
    level = plan.sigma.log()
    width = level.diff(prepend=level[:1], append=level[-1:]) if len(plan) > 1 else torch.ones(2, dtype=level.dtype)
    share = (-0.5 * ((level - MEDIAN) / BREADTH).square()).exp() * (width[:-1] + width[1:])
    return (share / share.sum()).cumsum(0)


def lessons(
    sample: Callable[[int, torch.Generator], Tensor],
    plan: Schedule,
    prediction_type: str,
    n: int,
    rngs: list[torch.Generator],
) -> Iterator[Lesson]:
    """Fresh batches without end for k runs, each from its own generator: x and target (k, n, 2), sigma (k, n, 1).

    `sample` gives clean points (n, 2). t follows `emphasis` and is evenly spread within a batch.
    """
    k, sigmas, spread = len(rngs), plan.sigma.float().to(DEVICE), torch.arange(n, dtype=torch.float64)[:, None] / n
    upto = emphasis(plan)
    while True:
        x0 = torch.stack([sample(BLOCK * n, rng) for rng in rngs]).view(k, BLOCK, n, 2)
        noise = torch.stack([torch.randn(BLOCK, n, 2, generator=rng) for rng in rngs]).to(DEVICE)
        begin = torch.stack([torch.rand(BLOCK, 1, 1, generator=rng, dtype=upto.dtype) for rng in rngs])
        t = torch.searchsorted(upto, begin / n + spread).clamp(max=len(plan) - 1)
        sigma = sigmas[t.to(DEVICE)]
        wanted = target(prediction_type, x0, noise, sigma)
        yield from zip((x0 + sigma * noise).unbind(1), sigma.unbind(1), wanted.unbind(1), strict=True)


def denoised(prediction_type: str, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """The guess of x0 from the network's output F at x = x0 + sigma noise: D = c_skip x + c_out F."""
    skip, out = PREDICTION_TYPES[prediction_type](sigma)
    return skip * x + out * output


def predict_noise(denoise: Denoise, x_t: Tensor, alpha_bar: float) -> Tensor:
    """The noise in x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise, by a denoiser: (n, d) -> (n, d)."""
    scale, sigma = alpha_bar**0.5, ((1 - alpha_bar) / alpha_bar) ** 0.5
    x = x_t / scale
    return (x - denoise(x, sigma)) / sigma


def score(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    """grad log p_sigma(x) = (D(x) - x) / sigma^2, exact for the exact denoiser (Robbins 1956, Miyasawa 1961)."""
    return (denoise(x, sigma) - x) / sigma**2


def network(width: int = 128, depth: int = 3, dim: int = 2) -> ResidualMLP:
    """The network F for points of that dimension."""
    return ResidualMLP(dim + 2 * FEATURES, dim, width, depth, condition=1 + 2 * CONDITION)


def init(net: ResidualMLP, generator: torch.Generator) -> Tensor:
    """Fresh weights: (p,) float32 on the CPU, the Fourier frequencies over SPREAD and then the network's.

    The frequencies learn too, and so divided they learn as fast as all else.
    """
    frequencies = torch.randn(net.outputs * FEATURES, generator=generator)
    return torch.cat([frequencies, net.init(generator)])


class Descent(nets.Descent):
    """Descent that is at its top sooner: in its first dozens of steps a small denoiser learns most of what it will."""

    warm_up = 5


def guess(net: ResidualMLP, weights: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """F(c_in x, log(sigma) / 4): x: (n, d), sigma: (n, 1) or (1, 1) -> (n, d)."""
    frequencies, rest = weights.split_with_sizes([net.outputs * FEATURES, net.size])
    features = fourier(x * (1 + sigma**2).rsqrt(), SPREAD * frequencies.view(net.outputs, FEATURES))
    level = fourier(sigma.log() / 4, octaves(CONDITION, 4.0, 0.25).to(x))
    return net(rest, features, level)


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A trained network as the function D(x, sigma) = c_skip x + c_out F that estimates x0 from x0 + sigma noise."""

    weights: Tensor  # (p,)
    prediction_type: str = "v_prediction"
    net: ResidualMLP = field(default_factory=network)

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """x: (n, d), sigma: a number or (n, 1) -> (n, d)."""
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1)
        return denoised(self.prediction_type, guess(self.net, self.weights, x, level), x, level)
