"""What an attacker may do: a ball of allowed changes, and the nearest, the steepest and a random point of it."""

from math import inf

import torch
from torch import Tensor

NORMS = {"linf": inf, "l2": 2.0, "l1": 1.0}
TINY = 1e-12


def length(delta: Tensor, norm: str) -> Tensor:
    """The norm of each change: (n, *shape) -> (n,). Raises ValueError for a norm not in NORMS."""
    return torch.linalg.vector_norm(delta.flatten(1), order(norm), 1)


def order(norm: str) -> float:
    """The order p of the norm. Raises ValueError for one not in NORMS."""
    if norm not in NORMS:
        raise ValueError(f"saw the norm {norm!r}; expected one of {', '.join(NORMS)}")
    return NORMS[norm]


def by_row(numbers: Tensor, like: Tensor) -> Tensor:
    """One number for each row, shaped to multiply the rows: (n,) -> (n, 1, …)."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def project(delta: Tensor, eps: Tensor | float, norm: str) -> Tensor:
    """The nearest change of length ≤ eps: (n, *shape), one eps for all or (n,) -> (n, *shape).

    ℓ1: Duchi et al. 2008.
    """
    order(norm)
    room = by_row(torch.as_tensor(eps, dtype=delta.dtype, device=delta.device).expand(len(delta)), delta)
    if norm == "linf":
        return torch.maximum(torch.minimum(delta, room), -room)
    if norm == "l2":
        return delta * (room / by_row(length(delta, norm), delta).clamp_min(TINY)).clamp(max=1)
    return _onto_l1(delta.flatten(1), room.flatten(1)).view_as(delta)


def _onto_l1(delta: Tensor, eps: Tensor) -> Tensor:
    """delta: (n, d), eps: (n, 1) -> (n, d): soft thresholding by the level that leaves a sum of eps."""
    size = delta.abs()
    ranked = size.sort(1, descending=True).values
    level = (ranked.cumsum(1) - eps) / torch.arange(1, size.shape[1] + 1, device=delta.device)
    kept = (ranked > level).sum(1, keepdim=True).clamp_min(1)
    threshold = level.gather(1, kept - 1).clamp_min(0)
    outside = size.sum(1, keepdim=True) > eps
    return torch.where(outside, delta.sign() * (size - threshold).clamp_min(0), delta)


def steepest(gradient: Tensor, norm: str) -> Tensor:
    """The change of length 1 with the largest inner product with each gradient: (n, *shape) -> (n, *shape)."""
    order(norm)
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        return gradient / by_row(length(gradient, norm), gradient).clamp_min(TINY)
    flat = gradient.flatten(1)
    best = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, best, flat.gather(1, best).sign()).view_as(gradient)


def inside(like: Tensor, eps: Tensor | float, norm: str, generator: torch.Generator) -> Tensor:
    """Changes drawn uniformly from the ball, one for each row of like: (n, *shape)."""
    n, d = len(like), like[0].numel()
    room = by_row(torch.as_tensor(eps, dtype=like.dtype, device=like.device).expand(n), like)
    if norm == "linf":
        drawn = 2 * torch.rand(n, d, generator=generator) - 1
    else:
        drawn = torch.randn(n, d, generator=generator)
        if norm == "l1":
            drawn = drawn.sign() * -torch.rand(n, d, generator=generator).clamp_min(TINY).log()
        drawn /= torch.linalg.vector_norm(drawn, order(norm), 1, keepdim=True).clamp_min(TINY)
        drawn *= torch.rand(n, 1, generator=generator) ** (1 / d)
    return drawn.to(like).view_as(like) * room
