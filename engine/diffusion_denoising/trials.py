"""The experiments behind the claims on denoising and diffusion: each measures one thing and judges nothing."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from engine.data.points import Mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising import langevin, score
from engine.diffusion_denoising.autoencoder import Descent
from engine.diffusion_denoising.model import Denoiser, init, network, predict_noise
from engine.diffusion_denoising.samplers import ddpm_step
from engine.diffusion_denoising.schedules import add_noise, schedule

LINEAR = schedule("linear", 1000)  # betas from 1e-4 to 0.02, as in Ho et al. (2020)
SMALL = network(width=32, depth=2)


def gaussians() -> Mixture:
    """Three overlapping Gaussians of different widths, with mean about 0."""
    centres = torch.tensor([[-1.5, 0.3], [0.8, 1.2], [0.6, -1.1]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64)
    return Mixture(centres, weights, torch.tensor([0.7, 0.5, 0.6], dtype=torch.float64))


def slope_of(log_height: Tensor, x: Tensor) -> Tensor:
    """Its gradient by automatic differentiation; x: (n, 2), part of the graph of log_height: (n,)."""
    return torch.autograd.grad(log_height.sum(), x)[0]


def line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The slope of the least-squares line through (x, y) and its R squared."""
    x, y = x.double() - x.double().mean(), y.double() - y.double().mean()
    slope = float(x @ y / (x @ x))
    return slope, float((x @ y) ** 2 / ((x @ x) * (y @ y)))


def correlation(a: Tensor, b: Tensor) -> float:
    """Between all coordinates of two clouds of one shape."""
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1])


def chain_variance(step_size: float, chains: int = 4000, snapshots: int = 25) -> tuple[float, float]:
    """The long-run variance of Langevin chains on N(0, I) and its standard error, from snapshots far apart.

    Snapshots wait until the autocorrelation of x squared is below 0.01, so they count as independent.
    """
    p, rng = langevin.one_gaussian(), generator(1)
    wait = max(1, math.ceil(math.log(0.1) / math.log(max(abs(1 - step_size), 0.01))))
    x, sums = p.sample(chains, rng).double(), []
    for k in range(1, wait * (snapshots + 3) + 1):
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype).to(x)
        x = langevin.langevin_step(x, p.score, step_size, noise)
        if k % wait == 0 and k > 3 * wait:
            sums.append(x.square().mean(0))
    found = torch.stack(sums).flatten()  # both coordinates are independent chains
    return float(found.mean()), float(found.std()) / math.sqrt(len(found))


def step_of_loss(step_size: float) -> int:
    """The step at which a run on N(0, I) lost a chain; -1 if it lost none in 600 steps."""
    *_, frame = langevin.run(langevin.Config(data="one_gaussian", step_size=step_size, start="truth", steps=600))
    return frame.diverged


def crossing_rate(gap: float, step_size: float = 0.1) -> tuple[float, float]:
    """Crossings of a chain per step between two equal modes that far apart, and the barrier between them in nats."""
    p, rng = langevin.two_modes(gap, 0.5), generator(2)
    half = score.half_width(p)
    chains = langevin.Chains(p.sample(800, rng), half, gap / 4)
    now = langevin.level(p, 0.0, step_size, half)
    for _ in range(1000):
        chains.advance(now, rng)
    return chains.crossings / (800 * 1000), langevin.barrier(p)


def share_right(annealed: bool) -> langevin.Frame:
    """The end of a run whose chains all start in the lighter of two modes, 8 standard deviations apart."""
    *_, frame = langevin.run(langevin.Config(gap=8.0, start="left", annealed=annealed))
    return frame


def noise_hat(weights: Tensor, x_t: Tensor, bar: Tensor) -> Tensor:
    """What the network with these weights takes for the noise in x_t: (n, 2), alpha_bar: (n, 1) -> (n, 2)."""
    sigma = ((1 - bar) / bar).sqrt()
    x = x_t / bar.sqrt()
    return (x - Denoiser(weights, "epsilon", SMALL)(x, sigma)) / sigma


def simple_loss(weights: Tensor, p: Mixture, n: int, rng: torch.Generator) -> Tensor:
    """One draw of L_simple per coordinate: t uniform, noise standard normal, mean square error on the noise."""
    t = torch.randint(len(LINEAR), (n, 1), generator=rng)
    bar, x0 = LINEAR.alpha_bar[t].float().to(DEVICE), p.sample(n, rng)
    noise = torch.randn(n, 2, generator=rng).to(DEVICE)
    return (noise_hat(weights, add_noise(x0, noise, bar), bar) - noise).square().mean()


def descend(rate: float, seed: int) -> list[float]:
    """The loss of fresh weights on a fixed batch, before and after each of 5 steps of `rate` times its gradient."""
    weights, losses = init(SMALL, generator(seed)).to(DEVICE), []
    for _ in range(6):
        weights.requires_grad_(True)
        loss = simple_loss(weights, gaussians(), 2048, generator(seed + 100))
        losses.append(loss.item())
        (slope,) = torch.autograd.grad(loss, weights)
        weights = weights.detach() + rate * slope
    return losses


def trained(p: Mixture, steps: int = 1000) -> Tensor:
    """The running average of the weights after so many Adam steps on L_simple, batches of 1024."""
    rng = generator(0)
    descent = Descent(init(SMALL, rng), steps, 2e-2)
    for _ in range(steps):
        descent(lambda weights: simple_loss(weights, p, 1024, rng))
    return descent.average


def wide_step(x: Tensor, noise_hat: Tensor, now: float, after: float, z: Tensor) -> Tensor:
    """The ancestral step with the larger variance of the two, 1 - alpha_t."""
    return ddpm_step(x, noise_hat, now, after, 0.0) + (1 - now / after) ** 0.5 * z


def printed_step(x: Tensor, noise_hat: Tensor, now: float, after: float, z: Tensor) -> Tensor:
    """The step as the sheet prints it: alpha_t in place of the product, and noise of size sqrt(alpha_t)."""
    alpha = now / after
    return (x - (1 - alpha) / (1 - alpha) ** 0.5 * noise_hat) / alpha**0.5 + alpha**0.5 * z


REVERSE = {"posterior": ddpm_step, "wide": wide_step, "printed": printed_step}


def backward(p: Mixture, step: str) -> tuple[float, float]:
    """Exact mean and variance of a coordinate after 1000 reverse steps with the exact noise prediction.

    For a Gaussian p every step is affine, x' = shift + gain x + kick z; three probes of it give the three numbers.
    """
    x, z = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)[:, :, None].expand(2, 3, 2)
    mean, variance = 0.0, 1.0
    for now, after in pairwise(LINEAR.levels(1000)):
        noise_hat = predict_noise(p.denoise, x, now)
        shift, there, shaken = REVERSE[step](x, noise_hat, now, after, z if after < 1 else 0 * z)[:, 0].tolist()
        gain, kick = there - shift, shaken - shift
        mean, variance = shift + gain * mean, gain**2 * variance + kick**2
    return mean, variance
