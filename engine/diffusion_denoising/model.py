"""The network that guesses the clean point behind a noisy one, and everything that this guess is worth."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.nets import ResidualMLP, fourier, octaves

Denoise = Callable[[Tensor, float], Tensor]  # (x = x0 + sigma noise, sigma) -> E[x0 | x], both (n, d)
FEATURES = 32  # Fourier frequencies on the input
SPREAD = 3.0  # their standard deviation in radians per unit
CONDITION = 8  # sine and cosine pairs on the noise level


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
    """Fresh weights: (p,) float32 on the CPU, the Fourier frequencies (they learn too) and then the network's."""
    frequencies = SPREAD * torch.randn(net.outputs * FEATURES, generator=generator)
    return torch.cat([frequencies, net.init(generator)])


def guess(net: ResidualMLP, weights: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """F(c_in x, log(sigma) / 4): x: (n, d), sigma: (n, 1) or (1, 1) -> (n, d)."""
    known = net.outputs * FEATURES
    features = fourier(x * (1 + sigma**2).rsqrt(), weights[:known].view(net.outputs, FEATURES))
    level = fourier(sigma.log() / 4, octaves(CONDITION, 4.0, 0.25).to(x))
    return net(weights[known:], features, level)


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
