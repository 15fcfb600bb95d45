"""What the views on a surface share: which surface, where to begin, and what the rules are told."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.formula import check
from engine.optimizer_paths.rules import Hyper
from engine.optimizer_paths.schedule import LR_SCHEDULES, SCHEDULES
from engine.optimizer_paths.surfaces import TITLES, YOURS, Surface, surface

Array = np.ndarray
SCALED = ("adagrad", "rmsprop", "adam", "adamw")  # their step size is a length, the others' is one over a curvature


@dataclass(frozen=True)
class Ground:
    """Settings that every view on a surface shares: the surface, the start, and what the rules are told."""

    surface: str = knob("ravine", "surface", choices=TITLES)
    formula: str = knob(YOURS, "your formula", text=check, help="of x and y; shown where the surface is your formula")
    condition: float = knob(
        30.0, "condition number", 1.0, 1000.0, symbol=r"\kappa", log=True, help="of the ravine: its largest curvature"
    )
    step_size: float = knob(
        1.0, "step size × curvature", 1e-3, 4.0, symbol=r"\varepsilon\lambda", log=True,
        help="of the rules that do not rescale the gradient; λ is the largest curvature at the lowest minimum",
    )  # fmt: skip
    scaled_step: float = knob(
        0.05, "step of the rescaling rules", 1e-4, 2.0, symbol=r"\varepsilon_s", log=True,
        help="of Adagrad, RMSProp, Adam and AdamW: about the length of a step",
    )  # fmt: skip
    steps: int = knob(200, "steps", 0, 1000, folded=True)
    schedule: str = knob("constant", "step size over time", choices=SCHEDULES, folded=True)
    noise: float = knob(
        0.0, "gradient noise", 0.0, 2.0, step=0.01, folded=True, help="its standard deviation, in units of λ"
    )
    mu: float = knob(0.9, "momentum", 0.0, 0.999, symbol=r"\mu", step=0.001, folded=True)
    beta1: float = knob(0.9, "Adam's memory of the gradient", 0.0, 0.999, symbol=r"\beta_1", step=0.001, folded=True)
    beta2: float = knob(0.999, "Adam's memory of its square", 0.0, 0.9999, symbol=r"\beta_2", step=1e-4, folded=True)
    alpha: float = knob(0.99, "RMSProp's memory", 0.0, 0.9999, symbol=r"\alpha", step=1e-4, folded=True)
    eps: float = knob(1e-8, "added to the root", 1e-12, 1.0, symbol=r"\epsilon", log=True, folded=True)
    weight_decay: float = knob(0.01, "AdamW's weight decay", 0.0, 1.0, step=0.01, folded=True)
    rho: float = knob(0.05, "SAM's radius", 0.0, 2.0, symbol=r"\rho", step=0.01, folded=True)
    newton_step: float = knob(1.0, "Newton's step", 0.05, 2.0, step=0.05, folded=True)
    tilt: float = knob(0.0, "turn of the ravine, degrees", 0.0, 90.0, step=1, folded=True)
    start_x: float = knob(-1.7, "start, x", -5.0, 5.0, step=0.01, folded=True)
    start_y: float = knob(0.6, "start, y", -5.0, 5.0, step=0.01, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="of the gradient noise")

    @property
    def loss(self) -> Surface:
        """The surface chosen."""
        return surface(self.surface, self.condition, self.formula, self.tilt)

    @property
    def hyper(self) -> Hyper:
        """What the rules are told."""
        told = (self.mu, self.beta1, self.beta2, self.alpha, self.eps, self.weight_decay, self.rho)
        return Hyper(*told)

    @property
    def start(self) -> Array:
        """Where to begin, moved into the picture: (2,)"""
        return np.clip([self.start_x, self.start_y], self.loss.low, self.loss.high)

    def step_of(self, rule: str) -> float:
        """The step size of a rule, in the units of the surface."""
        if rule == "newton":
            return self.newton_step
        return self.scaled_step if rule in SCALED else self.step_size / self.loss.curvature


def noises(cfg: Ground, n: int) -> Array:
    """What is added to the gradients, the same for all rules: (steps, n, 2), or empty without noise."""
    if not cfg.noise:
        return np.zeros((0, n, 2))
    drawn = torch.randn(cfg.steps, n, 2, generator=generator(cfg.seed), dtype=torch.float64).numpy()
    return cfg.noise * cfg.loss.curvature * drawn


def step_sizes(cfg: Ground, names: Sequence[str]) -> Array:
    """Of each rule at each step: (steps, r)"""
    factors = [LR_SCHEDULES[cfg.schedule](k, cfg.steps) for k in range(cfg.steps)]
    return np.array(factors).reshape(-1, 1) * np.array([cfg.step_of(name) for name in names])
