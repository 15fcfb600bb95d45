"""How fast the forward process drowns the data in noise, and the one line that adds it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import log, pi

import torch
from torch import Tensor

SIGMA_MIN, SIGMA_MAX = 0.02, 8.0  # of the log-linear schedule, in units of the data's standard deviation
ALL_NOISE = 20.0  # noise over signal at which a sampler need not look closely


def linear(num_train_timesteps: int) -> Tensor:
    """Betas (T,) from 1e-4 to 0.02 whatever T is (Ho et al. 2020): a short T leaves most of the signal."""
    return torch.linspace(1e-4, 0.02, num_train_timesteps, dtype=torch.float64)


def scaled_linear(num_train_timesteps: int) -> Tensor:
    """Betas (T,) linear in their square root, 0.00085 to 0.012 (Rombach et al. 2022)."""
    return torch.linspace(0.00085**0.5, 0.012**0.5, num_train_timesteps, dtype=torch.float64) ** 2


def squaredcos_cap_v2(num_train_timesteps: int) -> Tensor:
    """Betas (T,) of the cosine schedule, capped at 0.999 (Nichol & Dhariwal 2021)."""
    time = torch.linspace(0, 1, num_train_timesteps + 1, dtype=torch.float64)
    left = torch.cos((time + 0.008) / 1.008 * pi / 2) ** 2
    return (1 - left[1:] / left[:-1]).clamp(max=0.999)


def log_linear(num_train_timesteps: int) -> Tensor:
    """Betas (T,) whose sigma = sqrt((1 - alpha_bar) / alpha_bar) is log-spaced from 0.02 to 8."""
    ends = log(SIGMA_MIN), log(SIGMA_MAX)
    sigma = torch.linspace(*ends, num_train_timesteps, dtype=torch.float64).exp()
    alpha_bar = 1 / (1 + sigma**2)
    return 1 - alpha_bar / torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])


BETA_SCHEDULES: dict[str, Callable[[int], Tensor]] = {
    "log_linear": log_linear,
    "linear": linear,
    "scaled_linear": scaled_linear,
    "squaredcos_cap_v2": squaredcos_cap_v2,
}


@dataclass(frozen=True, eq=False)
class Schedule:
    """The noise levels of a forward process; every field is (T,) float64, index t = 0..T-1 as in diffusers.

    Ho et al. (2020) and the sheet count from 1: their t is our t + 1, and alpha_bar before t = 0 is 1.
    """

    betas: Tensor
    alphas: Tensor  # 1 - betas
    alpha_bar: Tensor  # running product of alphas: the share of the data's variance left in x_t
    sigma: Tensor  # noise over signal, sqrt((1 - alpha_bar) / alpha_bar)
    snr: Tensor  # signal over noise in variance, alpha_bar / (1 - alpha_bar)

    def __len__(self) -> int:
        return len(self.betas)

    def timesteps(self, num_inference_steps: int, spacing: str = "even") -> list[int]:
        """That many t (never more than T) from T-1 down to 0, nearest to the noise levels of a rule of SPACINGS."""
        count, last = min(num_inference_steps, len(self)), len(self) - 1
        if count == 1:
            return [last]
        wanted = SPACINGS[spacing](self.sigma, count)
        found = [-1]
        for i, t in enumerate((self.sigma.log()[:, None] - wanted.log()).abs().argmin(0).tolist()):
            found.append(min(max(t, found[-1] + 1), last - (count - 1 - i)))
        return found[:0:-1]

    def levels(self, num_inference_steps: int, spacing: str = "even") -> list[float]:
        """alpha_bar at those t, and 1 (no noise) at the end."""
        return [float(self.alpha_bar[t]) for t in self.timesteps(num_inference_steps, spacing)] + [1.0]


def even(sigma: Tensor, count: int) -> Tensor:
    """Noise levels evenly spread over t: sigma (T,) -> (count,)."""
    return sigma[torch.linspace(0, len(sigma) - 1, count).round().long()]


def geometric(sigma: Tensor, count: int) -> Tensor:
    """Noise levels with a constant ratio between neighbours (Song & Ermon 2019): sigma (T,) -> (count,).

    All that lies above sigma = 20, where hardly any signal is left to find, is one step.
    """
    low, high = float(sigma[0]), float(sigma[-1])
    if high <= ALL_NOISE or count < 3:
        return torch.linspace(log(low), log(high), count, dtype=torch.float64).exp()
    ladder = torch.linspace(log(low), log(ALL_NOISE), count - 1, dtype=torch.float64).exp()
    return torch.cat([ladder, sigma[-1:]])


SPACINGS = {"even": even, "geometric": geometric}


@cache
def schedule(beta_schedule: str, num_train_timesteps: int) -> Schedule:
    """The schedule of that name with T steps. Raises ValueError for another name or T < 1."""
    if beta_schedule not in BETA_SCHEDULES:
        raise ValueError(f"beta_schedule was {beta_schedule!r}; expected one of {', '.join(BETA_SCHEDULES)}")
    if num_train_timesteps < 1:
        raise ValueError(f"num_train_timesteps was {num_train_timesteps}; expected at least 1")
    return from_betas(BETA_SCHEDULES[beta_schedule](num_train_timesteps))


def from_betas(betas: Tensor) -> Schedule:
    """The schedule with these betas (T,), each in (0, 1)."""
    alphas = 1 - betas
    alpha_bar = alphas.cumprod(0)
    snr = alpha_bar / (1 - alpha_bar)
    return Schedule(betas, alphas, alpha_bar, snr.rsqrt(), snr)


def add_noise(x0: Tensor, noise: Tensor, alpha_bar: Tensor | float) -> Tensor:
    """x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise; alpha_bar a number or (n, 1) (Ho et al. 2020, eq. 4)."""
    bar = torch.as_tensor(alpha_bar, dtype=torch.float64)
    return bar.sqrt().to(x0) * x0 + (1 - bar).sqrt().to(x0) * noise
