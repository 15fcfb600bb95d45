"""All the curvatures of a real network at once, and its sharpest one against the step size, as it trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.lanczos import density, lanczos
from engine.optimizer_paths.training import Training, learned

PLACES, EVERY, TOP = 240, 2, 8.0  # of the drawn density; checkpoints between frames; largest eigenvalue drawn
THINNEST, ROUNDING = 1e-6, 1.2e-7  # a density below is drawn as this; of one float32 number, relative


@dataclass(frozen=True)
class Config(Training):
    """The settings of one training run and of how closely its Hessian is looked at."""

    lanczos_steps: int = knob(30, "Lanczos steps", 10, 60, folded=True, help="products with the Hessian for each frame")
    probes: int = knob(2, "random probes", 1, 6, folded=True, help="the density is their mean")


class Frame(NamedTuple):
    """The Hessian of the loss over the training set, after some steps."""

    step: int
    largest: float  # lambda_max
    largest_error: float  # a bound on its error: what the Krylov space leaves of it, or the rounding of float32
    smallest: float  # lambda_min
    limit: float  # the sharpness beyond which the rule is unstable on a quadratic; NaN where no simple one is known
    density: np.ndarray  # (240, 2) eigenvalue, and share of the eigenvalues per unit there, smeared a little
    near_zero: float  # estimate: share of the eigenvalues within a fiftieth of the largest
    loss: float
    accuracy: float  # on the test set


def stability_limit(rule: str, step_size: float, mu: float) -> float:
    """The largest curvature at which the rule does not blow up on a quadratic; NaN for rules with moving scales.

    2 / eps for gradient descent, (2 + 2 mu) / eps with momentum, (2 + 2 mu) / (1 + 2 mu) / eps for Nesterov's
    (Cohen et al. 2021).
    """
    share = {"gd": 2.0, "momentum": 2 + 2 * mu, "nesterov": (2 + 2 * mu) / (1 + 2 * mu)}.get(rule, float("nan"))
    return share / step_size


def run(cfg: Config) -> Iterator[Frame]:
    """Every second checkpoint of a training: `probes` runs of Lanczos from random vectors give all of the frame."""
    (task, test), (kept, path), rng = cfg.tasks, learned(cfg), generator(cfg.seed + 1000)
    places = np.linspace(-0.15 * TOP, TOP, PLACES)
    for i in [*range(0, len(kept) - 1, EVERY), len(kept) - 1]:
        weights = path[i : i + 1]
        start = torch.randn(cfg.probes, task.net.size, generator=rng).to(weights)
        found = lanczos(task.curvature(weights), start, cfg.lanczos_steps)
        ends = [found.ritz(r) for r in range(cfg.probes)]
        best = max(range(cfg.probes), key=lambda r: ends[r][0][-1])
        largest = float(ends[best][0][-1])
        spread = density(found, places, TOP / 150)
        yield Frame(
            step=kept[i].step,
            largest=largest,
            largest_error=max(float(found.beta[best, -1] * abs(ends[best][1][-1, -1])), ROUNDING * abs(largest)),
            smallest=min(float(values[0]) for values, _ in ends),
            limit=stability_limit(cfg.rule, cfg.step_size, cfg.mu),
            density=np.stack([places, np.maximum(spread, THINNEST)], 1).astype(np.float32),
            near_zero=_near_zero(ends, largest),
            loss=float(task.loss(weights)),
            accuracy=float(test.accuracy(weights)),
        )


def _near_zero(ends: list[tuple[np.ndarray, np.ndarray]], largest: float) -> float:
    """Weight of the Ritz values within a fiftieth of the largest, mean over the probes."""
    shares = [float((vectors[0] ** 2)[np.abs(values) < abs(largest) / 50].sum()) for values, vectors in ends]
    return float(np.mean(shares))
