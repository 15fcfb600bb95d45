"""Points of the plane in two classes."""

from functools import cache

import torch
from torch import Tensor

from engine.data.points import Mixture, mixture
from engine.device import DEVICE

SETS = {"moons": "two moons", "circles": "two circles", "blobs": "two blobs", "spiral": "two arms"}


@cache
def _blobs() -> Mixture:
    return Mixture(torch.tensor([[-0.85, -0.35], [0.85, 0.35]]).double(), torch.full((2,), 0.5).double(),
                   torch.full((2,), 0.45).double())  # fmt: skip


def sample(name: str, n: int, rng: torch.Generator, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """n points (n, 2) float32 on DEVICE, and their classes (n,) 0 or 1, half of each.

    The first half of the components of the mixture is class 0. `noise` is a standard deviation added to every point.
    Raises ValueError for a name that is not in SETS.
    """
    if name not in SETS:
        raise ValueError(f"Saw a set of points called {name!r}, expected one of {', '.join(SETS)}.")
    found = _blobs() if name == "blobs" else mixture(name)
    labels = torch.arange(n) % 2
    half = len(found.centres) // 2
    k = torch.randint(half, (n,), generator=rng) + half * labels
    std = (found.std[k].square() + noise**2).sqrt()[:, None]
    x = found.centres[k] + std * torch.randn(n, 2, generator=rng, dtype=torch.float64)
    return x.float().to(DEVICE), labels.to(DEVICE)
