"""The places where a small network's slope is zero: how high they lie, and in how many directions they bend down."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.optimizer_paths.task import Network, Task

FLAT, NEGATIVE = 1e-8, -1e-6  # a gradient's length below which it is zero; a curvature below which it bends down


class Critical(NamedTuple):
    """m distinct critical points of the loss with weight decay."""

    loss: Tensor  # (m,) decay included
    index: Tensor  # (m,) share of the Hessian's eigenvalues that are negative


def teacher_task(net: Network, examples: int, rng: torch.Generator) -> Task:
    """Noisy outputs of a random network of the same kind on Gaussian inputs, square loss, float64."""
    x = torch.randn(net.sizes[0], examples, generator=rng, dtype=torch.float64)
    clean = net(2 * net.init(1, rng).to(x), x)[0]
    return Task(net, x, clean + 0.1 * torch.randn(clean.shape, generator=rng).to(x), "square")


def hessians(task: Task, weights: Tensor, decay: float = 0.0) -> Tensor:
    """The whole Hessian at each of k places, column by column: (k, size) -> (k, size, size)"""
    product, eye = task.curvature(weights), torch.eye(weights.shape[1]).to(weights)
    return torch.stack([product(one.expand_as(weights)) for one in eye], 1) + decay * eye


def descend_at_times(task: Task, starts: Tensor, decay: float, steps: int, step_size: float = 0.3) -> Tensor:
    """Gradient descent from every start (k, size), the i-th for i / k of `steps`: places at every height."""
    weights, k = starts.clone(), len(starts)
    for step in range(steps):
        some = weights[k * step // steps :]  # those that go on
        some -= step_size * (task.gradient(some) + decay * some)
    return weights


def settle(task: Task, weights: Tensor, decay: float, steps: int = 80) -> tuple[Tensor, Tensor]:
    """Go to where the slope is zero, up or down: Levenberg and Marquardt's method on the gradient's square.

    (k, size) -> the same, and the length of the gradient there (k,).
    """
    slope = lambda w: task.gradient(w) + decay * w  # noqa: E731
    eye, damping = torch.eye(weights.shape[1]).to(weights), weights.new_full((len(weights), 1, 1), 1e-2)
    g = slope(weights)
    for _ in range(steps):
        hessian = hessians(task, weights, decay)
        move = torch.linalg.solve(hessian @ hessian + damping * eye, hessian @ g[:, :, None])[:, :, 0]
        trial = weights - move
        after = slope(trial)
        better = after.norm(dim=1) < g.norm(dim=1)
        weights, g = torch.where(better[:, None], trial, weights), torch.where(better[:, None], after, g)
        damping = torch.where(better[:, None, None], damping / 3, damping * 4).clamp(1e-14, 1e4)
    return weights, g.norm(dim=1)


def critical_points(task: Task, starts: Tensor, decay: float = 0.01, steps: int = 1500) -> Critical:
    """The distinct critical points found from starts (k, size). Decay keeps them apart: without it they are valleys."""
    weights, slope = settle(task, descend_at_times(task, starts, decay, steps), decay)
    weights = weights[slope < FLAT]
    loss = task.loss(weights) + decay / 2 * weights.square().sum(1)
    index = (torch.linalg.eigvalsh(hessians(task, weights, decay)) < NEGATIVE).double().mean(1)
    distinct = torch.unique(torch.stack([(loss * 1e7).round() / 1e7, index], 1), dim=0)
    return Critical(distinct[:, 0], distinct[:, 1])
