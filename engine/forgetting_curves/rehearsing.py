"""Methods that go on training on old examples, kept or made up, or ask them whether a step may be taken."""

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.optimize import nnls
from torch import Tensor

from engine.forgetting_curves.backprop import backward, forward, misfit
from engine.forgetting_curves.dreams import Dreams
from engine.forgetting_curves.memory import Coreset, Examples, Gaussians, Reservoir, of_task
from engine.forgetting_curves.methods import Method, Recipe, Setting

MARGIN = 0.5  # of GEM's dual, as its authors and Avalanche have it


class Replay(Method):
    """Rehearsal of a uniform sample: as many old examples as new ones in every step (Robins, 1995)."""

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.buffer = Reservoir(recipe.memory, rngs)

    @property
    def kept(self) -> Examples | None:
        """What the memory holds now."""
        return self.buffer.kept

    def begin(self, number: int, count: int) -> Examples | None:
        """Draws from the memory, with replacement."""
        kept = self.kept
        if kept is None or not kept.y.shape[1]:
            return None
        return kept.take(self.draws(kept.y.shape[1], count).to(kept.y.device))

    def draws(self, among: int, count: int) -> Tensor:
        """Numbers below `among`, of each seed its own: (seeds, count)"""
        return torch.stack([torch.randint(among, (count,), generator=rng) for rng in self.rngs])

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """The mean of both."""
        return g if old is None else (g + old) / 2

    def finish(self, number: int, weights: Tensor) -> None:
        """The task passes by the reservoir."""
        self.buffer.add(of_task(self.on.tasks[number], number, self.on.seeds))


class Herding(Replay):
    """Rehearsal of a coreset: the examples that are most typical in the network's own features."""

    effort = 1.0

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.coreset = Coreset(recipe.memory)

    @property
    def kept(self) -> Examples | None:
        """What the memory holds now."""
        return self.coreset.kept

    def finish(self, number: int, weights: Tensor) -> None:
        """The most typical of each class join."""
        new = of_task(self.on.tasks[number], number, self.on.seeds)
        self.coreset.add(new, self.on.net.activations(weights, new.x)[-2])


class Painted(Replay):
    """Rehearsal of the examples that a visitor has chosen."""

    def finish(self, number: int, weights: Tensor) -> None:
        """Those chosen from the task join."""
        task = self.on.tasks[number]
        rows = [place % len(task.y) for at, place in self.recipe.chosen if at == number]
        new = of_task(task, number, self.on.seeds)
        fresh = Examples(*(part[:, rows] for part in new))
        kept = self.buffer.kept
        self.buffer.kept = fresh if kept is None else kept.join(fresh)


class Classwise(Replay):
    """Rehearsal of what a plain generator makes up: a Gaussian for every class of every task."""

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.generator = Gaussians()

    def begin(self, number: int, count: int) -> Examples | None:
        """New examples, made up."""
        return self.generator.sample(count, self.rngs) if self.generator.labels else None

    def finish(self, number: int, weights: Tensor) -> None:
        """The generator learns the task."""
        self.generator.add(self.on.tasks[number], number)


class Generative(Replay):
    """Generative replay (Shin et al., 2017): a VAE makes up old examples, the network as it was gives them labels.

    The VAE learns along with the network, the new task and what it made up of the old ones itself.
    """

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.dreams = Dreams(on.net.sizes[0], len(on.tasks), rngs, on.tasks[0].x)
        self.number, self.step = 0, 0
        self.old: Examples | None = None  # made up for this pass, for both to rehearse
        self.teacher, self.known = torch.empty(0), torch.empty(0)

    def begin(self, number: int, count: int) -> Examples | None:
        """Made up by the VAE and labelled by the network, both as they were before the task."""
        if number != self.number:
            self.number, self.step = number, 0
            self.dreams.keep()
        self.old = self.labelled(*self.dreams.sample(count, number, kept=True)) if number else None
        return self.old

    def labelled(self, x: Tensor, task: Tensor) -> Examples:
        """Examples with what the network said before the present task; only names that it has learned."""
        told = self.on.net(self.teacher, x)
        if self.on.numbers:
            return Examples(x, told[..., 0], task)
        told = told + (self.known if self.on.masks is None else self.on.masks[task])
        return Examples(x, told.argmax(-1), task)

    def settle(self, weights: Tensor) -> None:
        """After a step of the network some of the VAE."""
        x, steps = self.on.tasks[self.number].x, self.on.steps(self.number)
        for _ in range(self.dreams.due(self.step, steps)):
            self.dreams.study(x, self.number, self.old)
        self.step += 1

    def finish(self, number: int, weights: Tensor) -> None:
        """The network as it is will give the labels."""
        self.teacher, self.known = weights.clone(), known(self.on, number)


class AGEM(Replay):
    """Averaged gradient episodic memory (Chaudhry et al., 2019): no step may harm the memory, to first order."""

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """Where the two disagree, the new gradient loses its part along the old one."""
        if old is None:
            return g
        against = (g * old).sum(1, keepdim=True).clamp_max(0)
        return g - against / old.square().sum(1, keepdim=True).clamp_min(1e-30) * old


class GEM(Replay):
    """Gradient episodic memory (Lopez-Paz & Ranzato, 2017): no step may harm any one of the old tasks.

    Every old task has its part of the memory, and at every step a gradient over all of it. The step is the nearest
    one whose product with each of these is not negative: a quadratic program in as many unknowns as old tasks.
    """

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.share = recipe.memory // max(1, len(on.tasks) - 1)
        self.groups = 0

    def begin(self, number: int, count: int) -> None:
        """It reads its whole memory at every step."""

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """The nearest gradient that no old task objects to."""
        if not self.groups or self.kept is None:
            return g
        x, y, task = self.kept
        seen = forward(self.on.net, weights, x)
        logits = seen[-1] if self.on.masks is None else seen[-1] + self.on.masks[task]
        slope = misfit(logits, y) * self.groups
        past = backward(self.on.net, weights, seen[:-1], slope, self.groups).view(len(g), self.groups, -1)
        return g + (allowed(past, g)[:, None] @ past)[:, 0]

    def finish(self, number: int, weights: Tensor) -> None:
        """A uniform sample of the task joins, the same number of each task."""
        count = min(self.share, len(self.on.tasks[number].y))
        if not count or (self.kept is not None and count * self.groups != self.kept.y.shape[1]):
            return
        new = of_task(self.on.tasks[number], number, self.on.seeds)
        rows = torch.stack([torch.randperm(new.y.shape[1], generator=rng)[:count] for rng in self.rngs])
        fresh = new.take(rows.to(new.y.device))
        self.buffer.kept = fresh if self.kept is None else self.kept.join(fresh)
        self.groups += 1


def allowed(past: Tensor, g: Tensor, margin: float = MARGIN) -> Tensor:
    """How much of each old gradient to add to g: past (s, t, size), g (s, size) -> (s, t), 0 where none objects.

    v minimises v^T G G^T v / 2 + (G g)^T v over v >= margin (Lopez-Paz & Ranzato, 2017), solved as non-negative least
    squares in v - margin.
    """
    gram, along = (past @ past.transpose(1, 2)).double().cpu().numpy(), (past @ g[..., None])[..., 0]
    along, found = along.double().cpu().numpy(), np.zeros(past.shape[:2])
    for i in range(len(found)):
        size = np.trace(gram[i])
        if np.isfinite(size) and size > 0 and np.isfinite(along[i]).all() and (along[i] < 0).any():
            root = np.linalg.cholesky(gram[i] + 1e-9 * size * np.eye(len(gram[i])))
            goal = -solve_triangular(root, along[i] + margin * gram[i].sum(1), lower=True)
            found[i] = nnls(root.T, goal)[0] + margin
    return torch.from_numpy(found).to(g)


def known(on: Setting, number: int) -> Tensor:
    """0 for the names of the tasks up to `number`, -1e4 for others: (1, 1, classes)"""
    labels = torch.cat([task.y for task in on.tasks[: number + 1]]).unique()
    found = on.tasks[0].x.new_full((1, 1, on.net.sizes[-1]), 0.0 if on.numbers else -1e4)
    if not on.numbers:
        found[..., labels] = 0
    return found
