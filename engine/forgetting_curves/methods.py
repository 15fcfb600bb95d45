"""How to learn a new task without losing the old ones: each method as what it changes in plain training."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.forgetting_curves import fisher
from engine.forgetting_curves.memory import Examples, of_task
from engine.forgetting_curves.tasks import Task
from engine.nets import Networks

XI, DECAY = 1e-3, 0.9  # SI's damping; how much of the old importance online EWC keeps at every task
STUDIED = 300  # examples that importance, features and subspaces are taken from


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
    apart: str = "kl"  # LwF's distance between outputs


class How(NamedTuple):
    """How all networks are trained."""

    epochs: int = 5
    batch: int = 32
    step_size: float = 0.1
    hidden: tuple[int, ...] = (100, 100)
    share: bool = False  # equal compute: who rehearses takes half a batch of new examples and half of old ones


class Setting(NamedTuple):
    """What all methods share."""

    net: Networks
    tasks: tuple[Task, ...]
    masks: Tensor | None  # (tasks, classes) 0, or -1e4 where a label may not be asked for
    how: How
    seeds: int

    @property
    def numbers(self) -> bool:
        """Whether numbers are to be foretold, and not labels."""
        return self.tasks[0].numbers

    def steps(self, number: int) -> int:
        """Steps on a task; a last partial batch counts as one."""
        return self.how.epochs * -(-len(self.tasks[number].y) // self.how.batch)


class Method:
    """Plain training, task after task: nothing is done against forgetting. The others change a step or two of it."""

    replaces = False  # whether its stream takes the place of the new examples
    alone = False  # whether it trains in its own way from the first task on
    effort = 0.0  # what it has to do after a task, as a share of what one picture may take

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        self.on, self.recipe, self.rngs = on, recipe, rngs

    def begin(self, number: int, count: int) -> Examples | None:
        """Before each pass over a task: `count` examples (seeds, count) to rehearse along, if there are any."""
        return None

    def hidden(self, h: Tensor, layer: int, training: bool) -> Tensor:
        """The activations (seeds, n, units) of a hidden layer, as they are passed on."""
        return h

    def outputs(self, logits: Tensor, x: Tensor, slope: Tensor) -> None:
        """Adds to the derivative by the logits (seeds, n, classes), in place."""

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """The gradient to follow, from that of the new examples and that of the rehearsed ones: (seeds, size)"""
        return g

    def note(self, weights: Tensor, g: Tensor) -> None:
        """Before a step: the weights (seeds, size) and the gradient of the new examples there."""

    def settle(self, weights: Tensor) -> None:
        """After a step of plain descent: changes weights (seeds, size) in place."""

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


class EWC(Method):
    """Elastic weight consolidation (Kirkpatrick et al., 2017): lambda / 2 sum F (theta - theta_t)^2 for every old task.

    F is the exact diagonal of the Fisher matrix. The penalty is a proximal step, which no lambda can make diverge.
    """

    effort = 0.5

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.importance = self.anchor = torch.zeros(())  # sum of F, and sum of F theta

    @property
    def pull(self) -> float:
        """How far one step pulls, for an importance of 1."""
        return self.on.how.step_size * self.recipe.strength

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """With a plain penalty its own gradient is added here."""
        if not self.recipe.plain or not self.importance.ndim:
            return g
        return g + self.recipe.strength * (self.importance * weights - self.anchor)

    def settle(self, weights: Tensor) -> None:
        """The exact minimum of the penalty and of the squared distance from here over twice the step size."""
        if self.importance.ndim and not self.recipe.plain:
            weights.add_(self.anchor, alpha=self.pull).div_(1 + self.pull * self.importance)

    def weighed(self, number: int, weights: Tensor) -> Tensor:
        """How much each weight matters to the task: (seeds, size)"""
        task = self.on.tasks[number]
        kind = fisher.of_numbers if task.numbers else fisher.exact
        return kind(self.on.net, self.sight(weights, number), self.studied(task))

    def finish(self, number: int, weights: Tensor) -> None:
        """One more importance, around where the weights are now."""
        f = self.weighed(number, weights)
        self.importance, self.anchor = self.importance + f, self.anchor + f * weights


class OnlineEWC(EWC):
    """The same with one running importance around the latest weights (Schwarz et al., 2018)."""

    def finish(self, number: int, weights: Tensor) -> None:
        """The old importance fades, and all of it is moved to where the weights are now."""
        f = self.weighed(number, weights)
        self.importance = DECAY * self.importance + f
        self.anchor = self.importance * weights


class SI(EWC):
    """Synaptic intelligence (Zenke et al., 2017): importance is how much a weight's way has lowered the loss."""

    effort = 0.0

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.path = self.start = self.before = self.slope = torch.zeros(())

    def note(self, weights: Tensor, g: Tensor) -> None:
        """Keeps both."""
        self.before, self.slope = weights.clone(), g.clone()
        if not self.start.ndim:
            self.start = self.before

    def settle(self, weights: Tensor) -> None:
        """After the penalty: minus slope times way, summed along the path."""
        super().settle(weights)
        self.path = self.path - self.slope * (weights - self.before)

    def finish(self, number: int, weights: Tensor) -> None:
        """The path's share of each weight, by the square of how far it went."""
        gained = self.path.clamp_min(0) / ((weights - self.start).square() + XI)
        self.importance = self.importance + gained
        self.anchor = self.importance * weights
        self.path, self.start = torch.zeros(()), weights.clone()
