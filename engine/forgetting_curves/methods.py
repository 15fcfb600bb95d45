"""How to learn a new task without losing the old ones: each method as what it changes in plain training."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.forgetting_curves import fisher
from engine.forgetting_curves.memory import Coreset, Examples, Gaussians, Reservoir, of_task
from engine.forgetting_curves.tasks import Task
from engine.nets import Networks

XI, DECAY = 1e-3, 0.9  # SI's damping; how much of the old importance online EWC keeps at every task
WARMTH, STUDIED = 2.0, 300  # LwF's temperature; examples that importance, features and subspaces are taken from


class Recipe(NamedTuple):
    """A method with the numbers it needs."""

    method: str
    strength: float = 100.0  # of a penalty or a distillation, lambda
    memory: int = 200  # examples in a buffer
    threshold: float = 0.97  # share of the energy that gradient projection protects
    k: int = 25  # units of a hidden layer that win
    alpha: float = 1.0  # of heterogeneous dropout
    plain: bool = False  # a penalty as part of the gradient, in place of a proximal step
    chosen: tuple[tuple[int, int], ...] = ()  # task and place of the examples in a painted coreset


class Setting(NamedTuple):
    """What all methods share."""

    net: Networks
    tasks: tuple[Task, ...]
    masks: Tensor | None  # (tasks, classes) 0, or -1e4 where a label may not be asked for
    step_size: float
    seeds: int


class Method:
    """Plain training, task after task: nothing is done against forgetting. The others change a step or two of it."""

    replaces = False  # whether its stream takes the place of the new examples
    alone = False  # whether it trains in its own way from the first task on

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        self.on, self.recipe, self.rngs = on, recipe, rngs

    def begin(self, number: int, count: int) -> Examples | None:
        """Before a task: `count` examples (seeds, count) to rehearse along with it, if there are any."""
        return None

    def hidden(self, h: Tensor, layer: int, training: bool) -> Tensor:
        """The activations (seeds, n, units) of a hidden layer, as they are passed on."""
        return h

    def outputs(self, logits: Tensor, x: Tensor, slope: Tensor) -> None:
        """Adds to the derivative by the logits (seeds, n, classes), in place."""

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """The gradient to follow, from that of the new examples and that of the rehearsed ones: (seeds, size)"""
        return g

    def settle(self, weights: Tensor, before: Tensor, g: Tensor) -> None:
        """After a step of plain descent from `before` along g: changes weights (seeds, size) in place."""

    def finish(self, number: int, weights: Tensor) -> None:
        """After a task."""

    def sight(self, weights: Tensor, number: int) -> Tensor:
        """The weights, with the names that the task may not give out of reach."""
        if self.on.masks is None:
            return weights
        seen = weights.clone()
        self.on.net.parts(seen)[-1].add_(self.on.masks[number])
        return seen

    def studied(self, task: Task) -> Tensor:
        """Some examples spread over a task: (1, n, inputs)"""
        return task.x[None, :: max(1, len(task.y) // STUDIED)][:, :STUDIED]


class Joint(Method):
    """All tasks mixed from the beginning: what forgetting is measured against."""

    replaces = alone = True

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        every = [of_task(task, i, on.seeds) for i, task in enumerate(on.tasks)]
        self.every = every[0]
        for one in every[1:]:
            self.every = self.every.join(one)
        self.left = torch.empty(on.seeds, 0, dtype=torch.long)

    def begin(self, number: int, count: int) -> Examples:
        """The next `count` of endless passes over everything."""
        total = self.every.y.shape[1]
        while self.left.shape[1] < count:
            fresh = torch.stack([torch.randperm(total, generator=rng) for rng in self.rngs])
            self.left = torch.cat([self.left, fresh], 1)
        rows, self.left = self.left[:, :count], self.left[:, count:]
        return self.every.take(rows.to(self.every.y.device))


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
        rows = torch.stack([torch.randint(kept.y.shape[1], (count,), generator=rng) for rng in self.rngs])
        return kept.take(rows.to(kept.y.device))

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """The mean of both."""
        return g if old is None else (g + old) / 2

    def finish(self, number: int, weights: Tensor) -> None:
        """The task passes by the reservoir."""
        self.buffer.add(of_task(self.on.tasks[number], number, self.on.seeds))


class Herding(Replay):
    """Rehearsal of a coreset: the examples that are most typical in the network's own features."""

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


class Generative(Replay):
    """Rehearsal of what a generator makes up: a Gaussian for every class of every task (after Shin et al., 2017)."""

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.generator = Gaussians()

    def begin(self, number: int, count: int) -> Examples | None:
        """New examples, made up."""
        return self.generator.sample(count, self.rngs) if self.generator.labels else None

    def finish(self, number: int, weights: Tensor) -> None:
        """The generator learns the task."""
        self.generator.add(self.on.tasks[number], number)


class AGEM(Replay):
    """Averaged gradient episodic memory (Chaudhry et al., 2019): no step may harm the memory, to first order."""

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """Where the two disagree, the new gradient loses its part along the old one."""
        if old is None:
            return g
        against = (g * old).sum(1, keepdim=True).clamp_max(0)
        return g - against / old.square().sum(1, keepdim=True).clamp_min(1e-30) * old


class EWC(Method):
    """Elastic weight consolidation (Kirkpatrick et al., 2017): lambda / 2 sum F (theta - theta_t)^2 for every old task.

    F is the exact diagonal of the Fisher matrix. The penalty is a proximal step, which no lambda can make diverge.
    """

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.importance = self.anchor = torch.zeros(())  # sum of F, and sum of F theta

    @property
    def pull(self) -> float:
        """How far one step pulls, for an importance of 1."""
        return self.on.step_size * self.recipe.strength

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """With a plain penalty its own gradient is added here."""
        if not self.recipe.plain or not self.importance.ndim:
            return g
        return g + self.recipe.strength * (self.importance * weights - self.anchor)

    def settle(self, weights: Tensor, before: Tensor, g: Tensor) -> None:
        """The exact minimum of the penalty and of the squared distance from here over twice the step size."""
        if self.importance.ndim and not self.recipe.plain:
            weights.add_(self.anchor, alpha=self.pull).div_(1 + self.pull * self.importance)

    def finish(self, number: int, weights: Tensor) -> None:
        """One more importance, around where the weights are now."""
        f = fisher.exact(self.on.net, self.sight(weights, number), self.studied(self.on.tasks[number]))
        self.importance, self.anchor = self.importance + f, self.anchor + f * weights


class OnlineEWC(EWC):
    """The same with one running importance around the latest weights (Schwarz et al., 2018)."""

    def finish(self, number: int, weights: Tensor) -> None:
        """The old importance fades, and all of it is moved to where the weights are now."""
        f = fisher.exact(self.on.net, self.sight(weights, number), self.studied(self.on.tasks[number]))
        self.importance = DECAY * self.importance + f
        self.anchor = self.importance * weights


class SI(EWC):
    """Synaptic intelligence (Zenke et al., 2017): importance is how much a weight's way has lowered the loss."""

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.path, self.start = torch.zeros(()), torch.zeros(())

    def settle(self, weights: Tensor, before: Tensor, g: Tensor) -> None:
        """After the penalty: minus slope times way, summed along the path."""
        if not self.start.ndim:
            self.start = before.clone()
        super().settle(weights, before, g)
        self.path = self.path - g * (weights - before)

    def finish(self, number: int, weights: Tensor) -> None:
        """The path's share of each weight, by the square of how far it went."""
        gained = self.path.clamp_min(0) / ((weights - self.start).square() + XI)
        self.importance = self.importance + gained
        self.anchor = self.importance * weights
        self.path, self.start = torch.zeros(()), weights.clone()


class LwF(Method):
    """Learning without forgetting (Li & Hoiem, 2016): on the new examples, keep saying what was said before."""

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.teacher: Tensor | None = None
        self.known: Tensor | None = None  # (1, 1, classes) 0 for the names of the old tasks, -1e4 for others

    def outputs(self, logits: Tensor, x: Tensor, slope: Tensor) -> None:
        """The divergence from the old outputs, both at temperature 2, over the old names."""
        if self.teacher is None or self.known is None:
            return
        told = self.on.net(self.teacher, x) + self.known
        apart = ((logits + self.known) / WARMTH).softmax(-1) - (told / WARMTH).softmax(-1)
        slope.add_(apart, alpha=self.recipe.strength / WARMTH / x.shape[1])

    def finish(self, number: int, weights: Tensor) -> None:
        """The weights as they are become the teacher."""
        self.teacher = weights.clone()
        labels = torch.cat([task.y for task in self.on.tasks[: number + 1]]).unique()
        self.known = weights.new_full((1, 1, self.on.net.sizes[-1]), -1e4)
        self.known[..., labels] = 0
