"""A sequence of tasks with its settings, and what is read off a training while it runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.forgetting_curves import metrics
from engine.forgetting_curves.methods import How, Recipe
from engine.forgetting_curves.tasks import KINDS, ORDERS, Task, sequence
from engine.forgetting_curves.training import Training, outputs
from engine.knob import knob

SEEDS, LOOKS, TESTED = 4, 16, 150  # networks of each method; looks at a task; test examples for a look
STRIDE = 5  # steps between two looks, at most
FAIR = {"buffer": "buffer as set", "memory": "equal memory", "compute": "equal compute"}


@dataclass(frozen=True)
class Course:
    """The tasks, and how they are learned."""

    kind: str = knob("split", "tasks", choices=KINDS)
    tasks: int = knob(5, "number of tasks", 1, 6, help="split digits have at most five")
    angle: float = knob(
        36.0, "turned further by, degrees", 0.0, 90.0, folded=True, help="for turned digits; 0: all the same"
    )
    length: int = knob(280, "examples of a task", 20, 1400, log=True, folded=True)
    order: str = knob("given", "order of the tasks", choices=ORDERS, folded=True)
    epochs: int = knob(5, "passes over a task", 1, 12, folded=True)
    step_size: float = knob(0.1, "step size", 0.01, 0.4, symbol=r"\eta", log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other first weights, other batches")

    @property
    def sequence(self) -> tuple[Task, ...]:
        """The tasks themselves."""
        return sequence(self.kind, self.tasks, self.seed, angle=self.angle, most=self.length, order=self.order)

    @property
    def count(self) -> int:
        """How many tasks there are."""
        return min(self.tasks, 5) if self.kind.startswith("split") else self.tasks

    def how(self, fair: str = "buffer") -> How:
        """How all networks are trained."""
        return How(self.epochs, step_size=self.step_size, share=fair == "compute")

    def training(self, recipes: Sequence[Recipe], fair: str = "buffer", seeds: int = SEEDS) -> Training:
        """The networks of these methods, ready to learn; with equal memory every buffer holds what EWC keeps."""
        tasks, how = self.sequence, self.how(fair)
        if fair == "memory":
            size = even(tasks, how)
            recipes = [one._replace(memory=size) for one in recipes]
        return Training(tasks, recipes, range(self.seed, self.seed + seeds), how)


def even(tasks: Sequence[Task], how: How) -> int:
    """How many examples take as much memory as EWC's importances and anchors: two numbers for every weight."""
    sizes = (tasks[0].x.shape[1], *how.hidden, outputs(tasks))
    weights = sum((i + 1) * o for i, o in zip(sizes, sizes[1:], strict=False))
    return 2 * weights // (sizes[0] + 1)


class Snap(NamedTuple):
    """Accuracies at one time, 0 to 1: NaN where a network has diverged."""

    time: float  # tasks learned, and the part of the present one
    now: np.ndarray  # (recipes, seeds, tasks)
    start: np.ndarray  # the same before training
    matrix: np.ndarray  # (recipes, seeds, tasks, tasks) R[i, j] after task i on task j; NaN where not yet

    @property
    def done(self) -> int:
        """Tasks learned."""
        return int(self.time)

    @property
    def present(self) -> int:
        """The number of the task that was just trained on."""
        return max(0, min(self.now.shape[-1], int(np.ceil(self.time))) - 1)

    def average(self) -> np.ndarray:
        """Mean accuracy on the tasks met so far: (recipes, seeds)"""
        return self.now[..., : self.present + 1].mean(-1)

    def measured(self) -> dict[str, np.ndarray]:
        """The four summaries of the finished rows of R: (recipes, seeds) each; NaN before the first."""
        r = self.matrix[..., : self.done, : self.done]
        if not self.done:
            return dict.fromkeys(("average", "backward", "forward", "forgetting"), np.full(self.now.shape[:2], np.nan))
        return {
            "average": metrics.average_accuracy(r),
            "backward": metrics.backward_transfer(r),
            "forward": metrics.forward_transfer(r, self.start[..., : self.done]),
            "forgetting": metrics.forgetting(r),
        }


def watch(
    training: Training, looks: int = LOOKS, tested: int = TESTED, most: int = STRIDE, ahead: bool = True
) -> Iterator[Snap]:
    """A look at the start, `looks` in every task and one at least every `most` steps, the last when it is learned.

    That one comes again while methods do what they have to do after a task. Unless one looks `ahead`, tasks not met
    are only read when one is learned, and NaN in between.
    """
    start = matrix = now = None
    for time in training.run(looks, most):
        if now is None or not training.settling:
            whole = ahead or time == int(time)
            now = training.accuracy(tested, 0 if whole else int(time) + 1)
        if start is None or matrix is None:
            start, matrix = now, np.full((*now.shape, now.shape[-1]), np.nan)
        if time == int(time) and time:
            matrix = matrix.copy()
            matrix[:, :, int(time) - 1] = now
        yield Snap(time, now, start, matrix)


def band(values: np.ndarray) -> np.ndarray:
    """Mean, least and most of the seeds, in percent: (recipes, seeds, ...) -> (recipes, ..., 3)"""
    return 100 * np.stack([values.mean(1), values.min(1), values.max(1)], -1).astype(np.float32)
