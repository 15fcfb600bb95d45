"""Many networks learn the same tasks one after another, each method with several seeds, all in one batch."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.forgetting_curves.backprop import backward, forward, misfit
from engine.forgetting_curves.distilling import LwF
from engine.forgetting_curves.memory import Examples
from engine.forgetting_curves.methods import EWC, SI, How, Joint, Method, OnlineEWC, Recipe, Setting
from engine.forgetting_curves.rehearsing import AGEM, GEM, Classwise, Generative, Herding, Painted, Replay
from engine.forgetting_curves.structure import GPM, Sparse
from engine.forgetting_curves.tasks import Task
from engine.nets import Networks

METHODS: dict[str, type[Method]] = {
    "naive": Method, "joint": Joint, "replay": Replay, "herding": Herding, "painted": Painted,
    "generative": Generative, "gaussians": Classwise, "ewc": EWC, "ewc_online": OnlineEWC, "si": SI, "lwf": LwF,
    "agem": AGEM, "gem": GEM, "gpm": GPM, "sparse": Sparse,
}  # fmt: skip
STRENGTHS = {"lwf": 1.0}  # where another lambda than a recipe's own is usual
USUAL = How()


class Training:
    """Every recipe with every seed, as rows of one batch of weights; the first task is trained once for all who can.

    Rows of one seed see the same batches, whatever the method, so that methods are compared in pairs.
    """

    def __init__(self, tasks: Sequence[Task], recipes: Sequence[Recipe], seeds: Sequence[int], how: How) -> None:
        check(tasks, recipes, seeds)
        self.tasks, self.recipes, self.seeds, self.how = tuple(tasks), tuple(recipes), tuple(seeds), how
        classes = outputs(tasks)
        self.net = Networks((tasks[0].x.shape[1], *how.hidden, classes))
        on = Setting(self.net, self.tasks, masks(self.tasks, classes), how, len(seeds))
        self.on, self.masks, self.rngs = on, on.masks, [generator(seed) for seed in seeds]
        self.learners = [METHODS[r.method](on, r, [generator(7919 + s) for s in seeds]) for r in recipes]
        first = torch.cat([self.net.init(1, rng) for rng in self.rngs]).to(tasks[0].x.dtype)
        keys = [(r.method, r.k, r.alpha) if one.alone else () for r, one in zip(recipes, self.learners, strict=True)]
        distinct = list(dict.fromkeys(keys))
        self.group = [distinct.index(key) for key in keys]  # whose rows are a recipe's during the first task
        self.weights = first.repeat(len(distinct), 1)
        self.task = self.step = 0
        self.settling = False  # whether the weights are as they were at the last stop

    def rows(self, i: int) -> slice:
        """Where the networks of recipe i stand in the weights."""
        at = self.group[i] if self.group else i
        return slice(at * len(self.seeds), (at + 1) * len(self.seeds))

    @property
    def every(self) -> Tensor:
        """The weights of every recipe: (recipes, seeds, size)"""
        return torch.stack([self.weights[self.rows(i)] for i in range(len(self.recipes))])

    @property
    def time(self) -> float:
        """Tasks done, and the part of the present one."""
        return self.task + self.step / self.steps if self.task < len(self.tasks) else float(len(self.tasks))

    @property
    def steps(self) -> int:
        """Steps on the present task."""
        return self.on.steps(self.task)

    def run(self, looks: int = 1, pauses: int = 0) -> Iterator[float]:
        """Trains; stops at the start and `looks` times in each task, more densely at its beginning, giving the time.

        With `pauses` it also stops after so many steps, and among methods that have much to do after a task.
        """
        yield self.time
        for number in range(len(self.tasks)):
            wanted = stops(self.steps, looks, pauses or self.steps)
            for step, batch in enumerate(self.batches(number), 1):
                self.step = step
                self.learn(*batch)
                if step in wanted and step < self.steps:
                    yield self.time
            for _ in self.finish():
                if pauses:
                    yield self.time
                    self.settling = True
            yield self.time
            self.settling = False

    def batches(self, number: int) -> Iterator[tuple[Examples, list[Examples | None]]]:
        """For every step the new examples (seeds, b), and what each learner brings along."""
        task, how = self.tasks[number], self.how
        count = len(task.y)
        sizes = [len(part) for part in torch.arange(count).split(how.batch)]
        half = how.batch // 2 if how.share else how.batch
        for _ in range(how.epochs):
            order = torch.stack([torch.randperm(count, generator=rng) for rng in self.rngs]).to(DEVICE)
            brought = [m.begin(number, count if m.replaces else half * len(sizes)) for m in self.learners]
            for i, size in enumerate(sizes):
                rows = order[:, i * how.batch :][:, :size]
                new = Examples(task.x[rows], task.y[rows], torch.full_like(rows, number))
                spans = [(i * how.batch, size) if m.replaces else (i * half, half) for m in self.learners]
                yield new, [cut(one, *span) for one, span in zip(brought, spans, strict=True)]

    def learn(self, new: Examples, brought: list[Examples | None]) -> None:
        """One step of every network."""
        blocks = self.blocks()
        main = [brought[i] if self.learners[i].replaces else new for i in blocks]
        g = self.gradient(self.weights, main, [self.learners[i] for i in blocks], [brought[i] for i in blocks])
        old = [i for i, one in enumerate(brought) if one is not None and not self.learners[i].replaces]
        back: dict[int, Tensor] = {}
        if old:
            rows = joined(self.weights, [self.rows(i) for i in old])
            found = self.gradient(rows, [brought[i] for i in old], [self.learners[i] for i in old], [None] * len(old))
            back = dict(zip(old, found.split(len(self.seeds)), strict=True))
        for i, one in enumerate(self.learners):
            one.note(self.weights[self.rows(i)], g[self.rows(i)])
        for i in blocks:
            own = g[self.rows(i)]
            bent = self.learners[i].bend(own, back.get(i), self.weights[self.rows(i)])
            if bent is not own:
                own.copy_(bent)
        self.weights.add_(g, alpha=-self.how.step_size)
        for i, one in enumerate(self.learners):
            one.settle(self.weights[self.rows(i)])

    def blocks(self) -> list[int]:
        """One recipe for every block of rows, in the order of the rows."""
        if not self.group:
            return list(range(len(self.recipes)))
        return [self.group.index(at) for at in range(max(self.group) + 1)]

    def gradient(self, weights: Tensor, blocks: list, learners: list[Method], brought: list[Examples | None]) -> Tensor:
        """Gradients (k, size) of blocks of rows, each on its own examples."""
        size = len(self.seeds)
        x, y = (torch.cat([getattr(one, name) for one in blocks]) for name in ("x", "y"))
        gate = (lambda h, layer: gated(h, layer, learners, size, True)) if any_gates(learners) else None
        seen = forward(self.net, weights, x, gate)
        logits = seen[-1]
        if self.masks is not None:
            logits = logits + self.masks[torch.cat([one.task for one in blocks])]
        slope = misfit(logits, y)
        for i, one in enumerate(learners):
            rows = slice(i * size, (i + 1) * size)
            one.outputs(seen[-1][rows], x[rows], slope[rows])
            if self.how.share and brought[i] is not None and not one.replaces:  # only half of the new ones
                kept = max(1, y.shape[1] // 2)
                slope[rows, kept:] = 0
                slope[rows] *= y.shape[1] / kept
        return backward(self.net, weights, seen[:-1], slope)

    def finish(self) -> Iterator[None]:
        """A task is over: everybody takes what they need of it, and after the first one the rows part.

        Stops on the way where there is much to do.
        """
        effort = 1.0
        for i, one in enumerate(self.learners):
            if one.effort and effort + one.effort > 1:
                yield
                effort = 0.0
            effort += one.effort
            one.finish(self.task, self.weights[self.rows(i)])
        if self.group:
            self.weights = self.every.flatten(0, 1)
            self.group = []
        self.task, self.step = self.task + 1, 0

    @torch.no_grad()
    def accuracy(self, tested: int = 0, met: int = 0) -> np.ndarray:
        """Share of the first `tested` test examples read right, 0 for all: (recipes, seeds, tasks).

        For tasks of numbers, the share of their variance that is explained. NaN where the weights have diverged, and
        for tasks after the first `met`; 0 for all.
        """
        met, blocks, found = met or len(self.tasks), self.blocks(), []
        rows = torch.stack([self.weights[self.rows(i)] for i in blocks])
        x = torch.cat([task.test_x[: tested or None] for task in self.tasks[:met]])
        every = self.outputs(rows, x[None], blocks).split(
            [len(t.test_y[: tested or None]) for t in self.tasks[:met]], 1
        )
        for i, logits in enumerate(every):
            y = self.tasks[i].test_y[: tested or None]
            logits = logits if self.masks is None else logits + self.masks[i]
            right = explained(logits[..., 0], y) if self.on.numbers else (logits.argmax(-1) == y).double().mean(-1)
            found.append(right)
        found += [torch.full_like(found[0], torch.nan)] * (len(self.tasks) - met)
        right = torch.stack(found, -1).view(len(blocks), len(self.seeds), -1)
        right[~rows.sum(-1).isfinite()] = torch.nan  # a sum shows every number that is none
        return torch.stack([right[blocks.index(self.alike(i))] for i in range(len(self.recipes))]).cpu().numpy()

    def alike(self, i: int) -> int:
        """The first recipe whose rows are those of recipe i."""
        return self.group.index(self.group[i]) if self.group else i

    def outputs(self, weights: Tensor, x: Tensor, recipes: Sequence[int] | None = None) -> Tensor:
        """Logits as at a test: weights (recipes, seeds, size) or (recipes, size), x (1, n, inputs) -> (k, n, c)"""
        chosen = range(len(self.recipes)) if recipes is None else recipes
        size, flat = weights[0].numel() // self.net.size, weights.reshape(-1, self.net.size)
        learners = [self.learners[i] for i in chosen]
        x = x.expand(len(flat), -1, -1)
        gate = (lambda h, layer: gated(h, layer, learners, size, False)) if any_gates(learners) else None
        return forward(self.net, flat, x, gate)[-1]


def stops(steps: int, looks: int, most: int) -> set[int]:
    """After which steps to look: `looks` times, more densely at the beginning, and never more than `most` apart."""
    found = {0}
    for i in range(1, looks + 1):
        wanted, last = max(1, round(steps * (i / looks) ** 1.5)), max(found)
        found |= {*range(last + most, wanted, most), wanted}
    return found


def gated(h: Tensor, layer: int, learners: list[Method], size: int, training: bool) -> Tensor:
    """Activations (k, n, units) with the blocks of those methods changed that change them."""
    for i, one in enumerate(learners):
        if one.alone and not one.replaces:
            rows = slice(i * size, (i + 1) * size)
            h[rows] = one.hidden(h[rows], layer, training)
    return h


def any_gates(learners: list[Method]) -> bool:
    """Whether one of them changes activations."""
    return any(one.alone and not one.replaces for one in learners)


def joined(weights: Tensor, rows: list[slice]) -> Tensor:
    """Those rows of the weights: a view where they follow one another."""
    if all(a.stop == b.start for a, b in zip(rows, rows[1:], strict=False)):
        return weights[rows[0].start : rows[-1].stop]
    return torch.cat([weights[one] for one in rows])


def explained(outputs: Tensor, y: Tensor) -> Tensor:
    """R^2, 1 - mean squared error / variance of y, at least 0: outputs (k, n), y (n,) -> (k,)"""
    error = (outputs - y).double().square().mean(-1)
    return (1 - error / y.double().var(correction=0).clamp_min(1e-12)).clamp_min(0)


def outputs(tasks: Sequence[Task]) -> int:
    """How many outputs a network needs: one for every label, or a single number."""
    return 1 if tasks[0].numbers else 1 + max(max(task.classes) for task in tasks)


def cut(stream: Examples | None, start: int, count: int) -> Examples | None:
    """A piece of a stream of examples."""
    return None if stream is None else Examples(*(part[:, start : start + count] for part in stream))


def masks(tasks: Sequence[Task], classes: int) -> Tensor | None:
    """Out of reach for the labels that a task may not give: (tasks, classes) 0 or -1e4; None where all may."""
    if tasks[0].numbers or all(len(task.classes) == classes for task in tasks):
        return None
    found = torch.full((len(tasks), classes), -1e4, dtype=tasks[0].x.dtype, device=tasks[0].x.device)
    for row, task in zip(found, tasks, strict=True):
        row[list(task.classes)] = 0
    return found


def check(tasks: Sequence[Task], recipes: Sequence[Recipe], seeds: Sequence[int]) -> None:
    """Raises ValueError for nothing to learn, an unknown method, or tasks that do not fit one network."""
    if not (tasks and recipes and seeds):
        raise ValueError(
            f"Saw {len(tasks)} tasks, {len(recipes)} methods and {len(seeds)} seeds, expected at least one of each."
        )
    unknown = [r.method for r in recipes if r.method not in METHODS]
    if unknown:
        raise ValueError(f"Saw a method called {unknown[0]!r}, expected one of {', '.join(METHODS)}.")
    widths = {task.x.shape[1] for task in tasks}
    if len(widths) > 1 or any(not len(task.y) or not len(task.test_y) for task in tasks):
        raise ValueError(f"Saw tasks with {sorted(widths)} inputs, expected one number, and examples in every task.")
    if len({task.numbers for task in tasks}) > 1:
        raise ValueError("Saw labels in some tasks and numbers in others, expected one of the two.")
    if tasks[0].numbers and any(r.method == "gaussians" for r in recipes):
        raise ValueError("Saw Gaussians for every class and tasks of numbers, expected labels.")


def train_sequence(
    tasks: Sequence[Task],
    methods: Sequence[str | Recipe] = ("naive", "joint", "replay"),
    seeds: Sequence[int] = (0, 1, 2, 3),
    how: How = USUAL,
    looks: int = 1,
) -> np.ndarray:
    """Accuracy on every task over time: (methods, seeds, tasks, time), time 0 before training.

    With looks = 1 there is one time after each task, so that [..., 1:] is the transpose of the matrix R.
    """
    training = Training(tasks, [recipe(m) for m in methods], seeds, how)
    return np.stack([training.accuracy() for _ in training.run(looks)], -1)


def recipe(method: str | Recipe) -> Recipe:
    """A method by its name, with the usual numbers."""
    if isinstance(method, Recipe):
        return method
    return Recipe(method, STRENGTHS[method]) if method in STRENGTHS else Recipe(method)
