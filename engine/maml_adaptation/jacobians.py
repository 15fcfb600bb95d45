"""One task, step by step: what each inner step does to a gradient that goes back through it, and in which order."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.knob import knob
from engine.maml_adaptation.surface import (
    BOUND,
    EDGE,
    STEPS,
    TASKS,
    A,
    B,
    Ground,
    Valleys,
    cut,
    degrees,
    gone,
    places,
    walk,
)

ROUND = 65  # places on the circle


@dataclass(frozen=True)
class Config(Ground):
    """The settings of the surface, and which of its tasks is looked at."""

    task: int = knob(5, "task", 1, TASKS)


class Frame(NamedTuple):
    """The inner steps of one task so far, and what the product of their Jacobians I - eps H makes of a gradient."""

    step: int
    phi: np.ndarray  # (1, 2) the initial weights
    walk: np.ndarray  # (11, 2) the inner steps; the future is drawn as the present
    lost: np.ndarray  # (1, 2) where they first left the plot, if they have diverged by now, else NaN
    factor: np.ndarray  # (2,) eigenvalues of I - eps H at the weights reached, the next step's factor
    product: np.ndarray  # (2, 2) the transposed Jacobian of all steps: the first step's factor on the left
    stretch: np.ndarray  # (2,) its singular values, larger first
    circle: np.ndarray  # (65, 2) what it makes of the unit circle
    outer: np.ndarray  # (1, 2) the gradient of B at the adapted weights, over its length; NaN where it has none
    right: np.ndarray  # (1, 2) the product times that vector
    swapped: (
        np.ndarray
    )  # (1, 2) the same with the factors in the order of the steps reversed: the Jacobian untransposed
    miss: float  # length of the difference of the two, over that of the right one; NaN where steps have diverged
    turned: float  # the angle between the two in degrees
    error: float  # of the product against automatic differentiation through the steps, relative
    limit: float  # 2 / largest curvature of A at the initial weights
    diverged: int  # step at which the weights left for good, -1 if they did not


def factors(tasks: Valleys, path: Tensor, fast_lr: float) -> Tensor:
    """The Jacobian I - eps H_A of the inner step from each place: (k, t, 2) -> (k, t, 2, 2)"""
    return torch.eye(2, dtype=path.dtype) - fast_lr * tasks.hessian(A, path)


def product(steps: Tensor) -> Tensor:
    """The transposed Jacobian of a chain of steps, J_0 J_1 ... J_(k-1): (k, n, n) -> (n, n)

    Each J is symmetric, their product is not: DU = J_(k-1) ... J_0 is its transpose.
    """
    return reduce(torch.matmul, steps, torch.eye(steps.shape[-1], dtype=steps.dtype))


def through(tasks: Valleys, phi: Tensor, fast_lr: float, steps: int, inner: int = A) -> Tensor:
    """The gradient of each task's loss on B after the steps, by automatic differentiation: (2,) -> (t, 2)"""
    start = phi.expand(tasks.centre.shape[1], 2).clone().requires_grad_()
    at = start
    for _ in range(steps):
        at = at - fast_lr * tasks.gradient(inner, at)
    return torch.autograd.grad(tasks.loss(B, at).sum(), start)[0]


def run(cfg: Config) -> Iterator[Frame]:
    """One inner step a frame."""
    tasks, t, phi = cfg.tasks, cfg.task - 1, cfg.phi
    path = walk(tasks, phi, cfg.fast_lr, STEPS)
    jacobians, left = factors(tasks, path, cfg.fast_lr)[:, t], gone(path)
    whole, (shown, exits) = int(left[t]), cut(path, left)
    limit = float(2 / torch.linalg.eigvalsh(tasks.hessian(A, phi.expand(TASKS, 2)))[t].max())
    for k in range(STEPS + 1):
        over = 0 <= whole <= k
        auto = through(tasks, phi, cfg.fast_lr, k)[t] if not over else None
        yield Frame(
            step=k,
            phi=phi[None].numpy().copy(),
            walk=shown[t, np.minimum(np.arange(STEPS + 1), k)],
            lost=exits[t : t + 1] if over else np.full((1, 2), nan),
            factor=torch.linalg.eigvalsh(jacobians[k]).clamp(-BOUND, BOUND).numpy(),
            **orders(jacobians[:k], tasks.gradient(B, path[k])[t], auto),
            limit=limit,
            diverged=whole if over else -1,
        )


def orders(steps: Tensor, v: Tensor, auto: Tensor | None) -> dict:
    """What the product makes of the gradient v in the right order and in the other, by its names in Frame.

    steps: (k, 2, 2), v: (2,), auto: (2,) or None where the steps have diverged and there is no gradient.
    """
    if auto is None or v.norm() < 1e-12:
        empty = np.full((1, 2), nan)
        blank = dict(product=np.full((2, 2), nan), stretch=np.full(2, nan), circle=np.full((ROUND, 2), nan))
        return blank | dict(outer=empty, right=empty, swapped=empty, miss=nan, turned=nan, error=nan)
    made, outer = product(steps), v / v.norm()
    right, swapped = made @ outer, made.T @ outer
    angle = torch.linspace(0, 2 * torch.pi, ROUND, dtype=v.dtype)
    return {
        "product": made.numpy(),
        "stretch": torch.linalg.svdvals(made).numpy(),
        "circle": (torch.stack([angle.cos(), angle.sin()], 1) @ made.T).numpy(),
        "outer": outer[None].numpy(),
        "right": right[None].numpy(),
        "swapped": swapped[None].numpy(),
        "miss": float((right - swapped).norm() / right.norm().clamp_min(1e-300)),
        "turned": degrees(right, swapped),
        "error": float((made @ v - auto).norm() / auto.norm().clamp_min(1e-300)),
    }


def diverges(cfg: Config) -> bool:
    """Whether the steps of the task leave for good."""
    return bool(gone(walk(cfg.tasks, cfg.phi, cfg.fast_lr, STEPS))[cfg.task - 1] >= 0)


def ground(tasks: Valleys, t: int) -> np.ndarray:
    """log10 of a task's loss on A over the plot: (72, 72)"""
    at = places()[:, :, None].expand(EDGE, EDGE, TASKS, 2)
    return tasks.loss(A, at)[..., t].log10().float().numpy()
