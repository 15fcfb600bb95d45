"""Four ways back from noise to data, each a walk whose every state can be watched."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from engine.diffusion_denoising.model import Denoise, predict_noise
from engine.diffusion_denoising.schedules import ALL_NOISE, Schedule

Noise = Callable[[Tensor], Tensor]  # x -> fresh standard normal noise, shaped like x


class State(NamedTuple):
    """Where a walk stands. Coordinates are those of x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise."""

    x: Tensor  # (n, d)
    denoised: Tensor  # (n, d) the guess of x0 that led here; x itself before the first call
    alpha_bar: float  # the share of signal at which x now stands
    calls: int  # network calls so far


def normal(generator: torch.Generator) -> Noise:
    """Noise drawn from a generator on the CPU, so that every device sees the same numbers."""
    return lambda x: torch.randn(x.shape, generator=generator).to(x)


def ddpm_step(x: Tensor, noise_hat: Tensor, now: float, after: float, z: Tensor | float) -> Tensor:
    """One ancestral step from alpha_bar = now to after > now, with fresh noise z (Ho et al. 2020, Alg. 2).

    x: (n, d) -> (n, d). The variance is the posterior's, (1 - after) / (1 - now) beta: zero at the last step.
    """
    alpha = now / after
    mean = (x - (1 - alpha) / (1 - now) ** 0.5 * noise_hat) / alpha**0.5
    return mean + ((1 - after) / (1 - now) * (1 - alpha)) ** 0.5 * z


def ddim_step(x: Tensor, noise_hat: Tensor, now: float, after: float, z: Tensor | float, eta: float = 0.0) -> Tensor:
    """One step of Song et al. (2021, DDIM, eq. 12): x: (n, d) -> (n, d); eta 0 draws no noise, 1 is DDPM."""
    spread = eta * ((1 - after) / (1 - now) * (1 - now / after)) ** 0.5
    x0 = (x - (1 - now) ** 0.5 * noise_hat) / now**0.5
    return after**0.5 * x0 + max(1 - after - spread**2, 0.0) ** 0.5 * noise_hat + spread * z


def ddpm(denoise: Denoise, schedule: Schedule, num_inference_steps: int, x_T: Tensor, noise: Noise) -> Iterator[State]:
    """Ancestral sampling (Ho et al. 2020): one call a step, fresh noise in all steps but the last."""
    return _walk(denoise, schedule, num_inference_steps, x_T, noise, ddpm_step)


def ddim(
    denoise: Denoise, schedule: Schedule, num_inference_steps: int, x_T: Tensor, noise: Noise, *, eta: float = 0.0
) -> Iterator[State]:
    """DDIM (Song et al. 2021): one call a step; eta between 0 (no noise at all) and 1 (DDPM)."""
    return _walk(denoise, schedule, num_inference_steps, x_T, noise, lambda *now: ddim_step(*now, eta=eta))


def _walk(
    denoise: Denoise, schedule: Schedule, steps: int, x: Tensor, noise: Noise, step: Callable[..., Tensor]
) -> Iterator[State]:
    bars = schedule.levels(steps)
    yield State(x, x, bars[0], 0)
    for i, (now, after) in enumerate(pairwise(bars)):
        noise_hat = predict_noise(denoise, x, now)
        clean = (x - (1 - now) ** 0.5 * noise_hat) / now**0.5
        x = step(x, noise_hat, now, after, noise(x) if after < 1 else 0.0)
        yield State(x, clean, after, i + 1)


def heun(
    denoise: Denoise, schedule: Schedule, num_inference_steps: int, x_T: Tensor, noise: Noise | None = None
) -> Iterator[State]:
    """The probability-flow ODE dx/dsigma = (x - D(x)) / sigma by Heun's rule (Karras et al. 2022, Alg. 1).

    Noise levels have a constant ratio. Two calls a step; one in the last, where sigma becomes zero, and above
    sigma = 20, where Euler's rule is exact. Draws no noise.
    """
    bars = schedule.levels(num_inference_steps, "geometric")
    x, calls = x_T / bars[0] ** 0.5, 0
    yield State(x_T, x_T, bars[0], 0)
    for now, after in pairwise(bars):
        here, there = ((1 - now) / now) ** 0.5, ((1 - after) / after) ** 0.5
        clean = denoise(x, here)
        slope = (x - clean) / here
        ahead = x + (there - here) * slope
        second = there > 0 and here <= ALL_NOISE
        if second:
            ahead = x + (there - here) * (slope + (ahead - denoise(ahead, there)) / there) / 2
        x, calls = ahead, calls + 1 + second
        yield State(x * after**0.5, clean, after, calls)


def annealed_langevin(
    denoise: Denoise,
    schedule: Schedule,
    num_inference_steps: int,
    x_T: Tensor,
    noise: Noise,
    *,
    repeats: int = 2,
    step_size: float = 0.8,
) -> Iterator[State]:
    """Langevin steps at ever lower noise, then one jump to the clean guess (Song & Ermon 2019, Alg. 1).

    Noise levels have a constant ratio. At each, `repeats` steps x += r sigma^2 score + sqrt(2 r) sigma z with
    r = `step_size`; one call a step.
    """
    bars = schedule.levels(num_inference_steps, "geometric")[:-1]
    x, calls = x_T / bars[0] ** 0.5, 0
    yield State(x_T, x_T, bars[0], 0)
    for bar in bars:
        sigma = ((1 - bar) / bar) ** 0.5
        for _ in range(repeats):
            clean, calls = denoise(x, sigma), calls + 1
            x = x + step_size * (clean - x) + (2 * step_size) ** 0.5 * sigma * noise(x)
            yield State(x * bar**0.5, clean, bar, calls)
    clean = denoise(x, ((1 - bars[-1]) / bars[-1]) ** 0.5)
    yield State(clean, clean, 1.0, calls + 1)


Sampler = Callable[..., Iterator[State]]  # (denoise, schedule, num_inference_steps, x_T, noise, **knobs)
SAMPLERS: dict[str, Sampler] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "heun": heun,
    "annealed_langevin": annealed_langevin,
}


def steps_within(name: str, calls: int, repeats: int = 2) -> int:
    """How many num_inference_steps of that sampler fit into a budget of network calls, at least one."""
    fits = {"heun": (calls + 1) // 2, "annealed_langevin": (calls - 1) // repeats}
    return max(1, fits.get(name, calls))


def last(walk: Iterator[State]) -> State:
    """Walk to the end."""
    *_, state = walk
    return state
