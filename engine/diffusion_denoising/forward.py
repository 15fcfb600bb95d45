"""The forward process: the data drown in noise, and their density and score are known at every level of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data.points import Mixture, check_code, mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising.learn import SCHEDULES
from engine.diffusion_denoising.schedules import BETA_SCHEDULES, Schedule, add_noise, schedule
from engine.diffusion_denoising.score import DATA, arrow, half_width, lattice
from engine.distance import Truth
from engine.knob import knob

POINTS, FRAMES, PIXELS, GRID, TESTED = 800, 100, 64, 15, 4000


@dataclass(frozen=True)
class Config:
    """The settings of one forward process."""

    data: str = knob("swiss_roll", "data", choices=DATA)
    beta_schedule: str = knob(
        "log_linear", "noise schedule", choices=SCHEDULES, symbol=r"\beta_t", help="how the noise grows with t"
    )
    num_train_timesteps: int = knob(
        1000, "noise levels", 10, 1000, symbol="T", log=True, help="linear β with a short T never becomes pure noise"
    )
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other points, other noise")
    points: str = knob("", "your points", text=check_code)


class Frame(NamedTuple):
    """The process at one t: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise. All but the last three are exact."""

    t: int  # 0 .. T-1
    half: float  # the picture is [-half, half] squared
    alpha_bar: float
    signal_left: float  # sqrt(alpha_bar), the share of the amplitude
    sigma: float  # noise over signal
    snr: float  # signal over noise in variance
    cloud: np.ndarray  # (800, 2) the same points with the same noise in every frame
    density: np.ndarray  # (64, 64) of x_t over its peak; rows from low to high y
    score: np.ndarray  # (225, 4) x, y and sqrt(1 - alpha_bar) grad log p_t, its length compressed
    distance: float  # sliced W2 from 4000 draws of x_t to N(0, I), where sampling starts
    floor: float  # the same distance of 4000 draws of N(0, I), mean
    floor_spread: float  # and its standard deviation


def times(num_train_timesteps: int) -> list[int]:
    """The t that are shown: all of them, or 100 evenly spread; always the first and the last."""
    count = min(FRAMES, num_train_timesteps)
    return [round(i * (num_train_timesteps - 1) / (count - 1)) for i in range(count)]


def curves(num_train_timesteps: int) -> dict[str, np.ndarray]:
    """For every schedule (m, 3): t, sqrt(alpha_bar) and log10 of the signal-to-noise ratio, at most 100 rows."""
    shown = times(num_train_timesteps)
    return {name: _curve(schedule(name, num_train_timesteps), shown) for name in BETA_SCHEDULES}


def _curve(plan: Schedule, shown: list[int]) -> np.ndarray:
    columns = [torch.tensor(shown), plan.alpha_bar[shown].sqrt(), plan.snr[shown].log10()]
    return torch.stack([column.float() for column in columns], 1).numpy()


def picture(p: Mixture, alpha_bar: float, half: float) -> tuple[np.ndarray, np.ndarray]:
    """The exact density (64, 64) over its peak, and the score arrows (225, 4), of x_t."""
    noise = (1 - alpha_bar) ** 0.5
    noisy = p.noised(alpha_bar**0.5, noise)
    height = noisy.log_density(lattice(half, PIXELS))
    spots = lattice(half * (1 - 1 / GRID), GRID)
    density = (height - height.max()).exp().reshape(PIXELS, PIXELS)
    return density.cpu().numpy(), arrow(spots, noise * noisy.score(spots), 2 * half / GRID).cpu().numpy()


def gaussian(n: int, rng: torch.Generator) -> Tensor:
    """n draws of N(0, I): (n, 2)."""
    return torch.randn(n, 2, generator=rng).to(DEVICE)


@lru_cache(maxsize=16)
def pure(seed: int) -> Truth:
    """What x_T should be, N(0, I): the same for all schedules and data."""
    return Truth(gaussian, TESTED, generator(seed + 2000), times=4, repeats=4, along=16)


def run(cfg: Config) -> Iterator[Frame]:
    """One frame for each t shown, from the data to the noise. Raises ValueError for an empty drawing."""
    p, rng = mixture(cfg.data, cfg.points), generator(cfg.seed)
    plan, half = schedule(cfg.beta_schedule, cfg.num_train_timesteps), half_width(p)
    x0, noise = p.sample(TESTED, rng), gaussian(TESTED, rng)
    truth = pure(cfg.seed)
    for t in times(len(plan)):
        bar = float(plan.alpha_bar[t])
        x = add_noise(x0, noise, bar)
        density, score = picture(p, bar, half)
        yield Frame(
            t=t,
            half=half,
            alpha_bar=bar,
            signal_left=bar**0.5,
            sigma=float(plan.sigma[t]),
            snr=float(plan.snr[t]),
            cloud=x[:POINTS].cpu().numpy().copy(),
            density=density,
            score=score,
            distance=truth(x),
            floor=truth.floor,
            floor_spread=truth.spread,
        )
