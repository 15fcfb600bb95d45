"""How far a cloud of samples is from the truth, and how far apart two true clouds already are."""

from collections.abc import Callable
from math import pi

import numpy as np
import torch
from torch import Tensor

from engine.data.points import Mixture


def directions(count: int, dim: int = 2, generator: torch.Generator | None = None) -> Tensor:
    """Unit vectors (count, dim) float32 on the CPU: evenly spaced half a turn in the plane, else drawn at random."""
    if dim == 2:
        angle = (torch.arange(count) + 0.5) * (pi / count)
        return torch.stack([angle.cos(), angle.sin()], 1)
    drawn = torch.randn(count, dim, generator=generator)
    return drawn / drawn.norm(dim=1, keepdim=True)


def project(x: Tensor, along: Tensor) -> Tensor:
    """Sorted shadows of a cloud: x: (n, d), along: (p, d) -> (p, n)."""
    shadows = along.to(x) @ x.T
    if shadows.is_cpu and not shadows.requires_grad:
        return torch.from_numpy(np.sort(shadows.numpy(), 1))  # 13 times as fast
    return shadows.sort(1).values


def sliced_w2(x: Tensor, y: Tensor, along: Tensor | int = 64) -> float:
    """Root mean square over directions of the exact one-dimensional 2-Wasserstein distance (Bonneel et al. 2015).

    x: (n, d), y: (m, d), n and m need not agree; `along` is (p, d) unit vectors, or how many in the plane.
    Moving a cloud by a gives |a| / sqrt(d).
    """
    along = directions(along) if isinstance(along, int) else along
    return _between(project(x, along), project(y, along))


def _between(a: Tensor, b: Tensor) -> float:
    if a.shape == b.shape:
        return float((a - b).square().mean().sqrt())
    n, m = a.shape[1], b.shape[1]
    cuts = torch.cat([torch.arange(1, n + 1).double() / n, torch.arange(1, m + 1).double() / m]).sort().values
    start = torch.cat([torch.zeros(1).double(), cuts[:-1]])
    middle = (start + cuts) / 2  # both quantile functions are constant between two cuts
    i, j = (middle * n).long().clamp(max=n - 1), (middle * m).long().clamp(max=m - 1)
    gaps = (a[:, i.to(a.device)] - b[:, j.to(b.device)]).square().mean(0)
    return float((gaps @ (cuts - start).to(gaps)).sqrt())


class Truth:
    """A large true cloud to measure others against, and the distance that fresh true samples have from it.

    `floor` and `spread` are the mean and the standard deviation of that distance over a few draws.
    """

    def __init__(
        self,
        sample: Callable[[int, torch.Generator], Tensor],
        n: int,
        generator: torch.Generator,
        *,
        times: int = 8,
        repeats: int = 8,
        along: Tensor | int = 64,
    ) -> None:
        """n: size of the clouds to come; the true cloud is `times` as large."""
        self.along = directions(along) if isinstance(along, int) else along
        self._shadows = project(sample(times * n, generator), self.along)
        floors = torch.tensor([self(sample(n, generator)) for _ in range(repeats)], dtype=torch.float64)
        self.floor, self.spread = float(floors.mean()), float(floors.std())

    def __call__(self, x: Tensor) -> float:
        """Sliced W2 from x: (n, d) to the true cloud."""
        shadows = project(x, self.along)
        times, left = divmod(self._shadows.shape[1], len(x))
        if left:
            return _between(shadows, self._shadows)
        facing = shadows.repeat_interleave(times, 1)
        return float((facing - self._shadows).square().mean().sqrt())


def off_manifold(x: Tensor, mixture: Mixture, stds: float = 3.0) -> float:
    """Share of x: (n, 2) that lies more than `stds` standard deviations from every component of the mixture.

    Of true samples of one Gaussian exp(-stds^2 / 2) do, 1.1 % at 3; where components overlap, fewer.
    """
    gaps = torch.cdist(x, mixture.centres.to(x)) / mixture.std.to(x)
    return 1 - float((gaps.amin(1) <= stds).double().mean())  # a lost point (NaN) is off it
