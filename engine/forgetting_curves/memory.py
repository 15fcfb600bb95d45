"""What is kept of old tasks to rehearse it: a reservoir, a coreset, a generator."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.forgetting_curves.tasks import Task

SHARPEN = 0.05  # added to a generator's covariance, as a share of its mean variance


class Examples(NamedTuple):
    """Examples of s seeds, each with the number of its task."""

    x: Tensor  # (s, n, inputs)
    y: Tensor  # (s, n)
    task: Tensor  # (s, n)

    def take(self, rows: Tensor) -> "Examples":
        """The examples at rows (s, m), of each seed its own."""
        seeds = torch.arange(len(rows), device=rows.device)[:, None]
        return Examples(*(part[seeds, rows] for part in self))

    def join(self, other: "Examples") -> "Examples":
        """Both, one after the other."""
        return Examples(*(torch.cat(pair, 1) for pair in zip(self, other, strict=True)))


def of_task(task: Task, number: int, seeds: int) -> Examples:
    """All training examples of a task, the same for every seed."""
    x, y = (part[None].expand(seeds, *part.shape) for part in (task.x, task.y))
    return Examples(x, y, torch.full_like(y, number))


class Reservoir:
    """A uniform sample of at most `size` of everything seen so far, without knowing how much will come (Vitter, 1985).

    Every example gets a random key once, and the largest keys stay; that is the same law as Vitter's algorithm R.
    """

    def __init__(self, size: int, rngs: list[torch.Generator]) -> None:
        self.size, self.rngs = size, rngs
        self.kept: Examples | None = None
        self.keys = torch.empty(len(rngs), 0)

    def add(self, new: Examples) -> None:
        """Every example of `new` passes by once."""
        fresh = torch.stack([torch.rand(new.y.shape[1], generator=rng) for rng in self.rngs])
        keys = torch.cat([self.keys, fresh], 1)
        every = self.kept.join(new) if self.kept else new
        best = keys.topk(min(self.size, keys.shape[1]), 1)
        self.keys, self.kept = best.values, every.take(best.indices.to(new.x.device))


def herd(features: Tensor, count: int) -> Tensor:
    """The order in which examples keep their running mean nearest to the mean of all: (s, n, h) -> (s, count)

    Herding as in iCaRL (Rebuffi et al., 2017); no example is taken twice.
    """
    count = min(count, features.shape[1])
    mean, total = features.mean(1, keepdim=True), torch.zeros_like(features[:, :1])
    free, chosen = torch.zeros(features.shape[:2], dtype=features.dtype, device=features.device), []
    for step in range(count):
        gap = (mean - (total + features) / (step + 1)).square().sum(-1) + free
        best = gap.argmin(1, keepdim=True)
        chosen.append(best)
        free.scatter_(1, best, torch.inf)
        total = total + features.gather(1, best[..., None].expand(-1, -1, features.shape[-1]))
    return torch.cat(chosen, 1) if chosen else torch.empty(len(features), 0, dtype=torch.long)


class Coreset:
    """The same number of examples of every class of every task, the most typical ones first."""

    def __init__(self, size: int) -> None:
        self.size, self.groups = size, []

    def add(self, new: Examples, features: Tensor) -> None:
        """The classes of a task join; the ones before keep the first of theirs."""
        labels = new.y[0] if not new.y.is_floating_point() else torch.zeros_like(new.y[0])
        for label in labels.unique():
            rows = (labels == label).nonzero()[:, 0]
            best = herd(features[:, rows], self.size)
            self.groups.append(new.take(rows[best]))

    @property
    def kept(self) -> Examples | None:
        """What is in the memory now."""
        if not self.groups or not self.size:
            return None
        share, left = divmod(self.size, len(self.groups))
        parts = [Examples(*(part[:, : share + (i < left)] for part in group)) for i, group in enumerate(self.groups)]
        return Examples(*(torch.cat([one[j] for one in parts], 1) for j in range(3)))


class Gaussians:
    """A generator with one Gaussian for every class of every task: its mean and covariance are all that is kept."""

    def __init__(self) -> None:
        self.means: list[Tensor] = []
        self.roots: list[Tensor] = []  # Cholesky factors of the covariances
        self.labels: list[tuple[int, int]] = []
        self.low, self.high = torch.inf, -torch.inf

    def add(self, task: Task, number: int) -> None:
        """Fit the classes of a task."""
        self.low, self.high = min(self.low, float(task.x.min())), max(self.high, float(task.x.max()))
        for label in task.y.unique().tolist():
            x = task.x[task.y == label].double()
            spread = torch.cov(x.T, correction=0).reshape(x.shape[1], x.shape[1])
            room = SHARPEN * spread.diagonal().mean() + 1e-8
            eye = torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
            self.means.append(x.mean(0).to(task.x))
            self.roots.append(torch.linalg.cholesky(spread + room * eye).to(task.x))
            self.labels.append((label, number))

    def sample(self, count: int, rngs: list[torch.Generator]) -> Examples:
        """count new examples for each seed, classes uniform: pictures stay between the least and the most ink."""
        means, roots = torch.stack(self.means), torch.stack(self.roots)
        labels, found = torch.tensor(self.labels, device=means.device), []
        for rng in rngs:
            which = torch.randint(len(means), (count,), generator=rng).sort().values.to(means.device)
            noise = torch.randn(count, means.shape[1], generator=rng, dtype=torch.float32).to(means)
            sizes = torch.bincount(which, minlength=len(means)).tolist()
            bent = torch.cat([part @ root.T for part, root in zip(noise.split(sizes), roots, strict=True)])
            mixed = torch.randperm(count, generator=rng).to(means.device)
            x = (means[which] + bent).clamp(self.low, self.high)
            found.append((x[mixed], labels[which, 0][mixed], labels[which, 1][mixed]))
        return Examples(*(torch.stack(part) for part in zip(*found, strict=True)))
