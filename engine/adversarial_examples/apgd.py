"""PGD that sets its own step size: it halves the step wherever the climb has stalled."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from engine.adversarial_examples.budget import within
from engine.adversarial_examples.goal import Goal, checked
from engine.adversarial_examples.threat import by_row, inside, steepest

MOMENTUM, RISING = 0.75, 0.75  # weight of the new step; share of steps that must rise


@checked()
def apgd(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "linf", steps: int = 40,
    restarts: int = 1, early_stop: bool = True,
) -> Tensor:  # fmt: skip
    """Auto-PGD (Croce and Hein 2020): momentum, and a step from 2 eps that is halved at checkpoints.

    loss="dlr" is the scale-free one. With early_stop a row rests as soon as it is fooled. torchattacks: APGD.
    """
    best, rows = x.clone(), torch.arange(len(x), device=x.device)
    for _ in range(restarts):
        climb = _Climb.begin(goal, x, rows, eps, norm, generator)
        for step, check in _plan(steps):
            climb.advance(step)
            if check:
                climb.halve(check)
            if early_stop:
                climb.retire(best)
            if not len(climb.rows):
                break
        best[climb.rows] = climb.best
        rows = climb.rows[~goal[climb.rows].reached(climb.best)] if len(climb.rows) else climb.rows
        if not len(rows):
            break
    return best


def _plan(steps: int) -> list[tuple[int, int]]:
    """Each step with the number of steps since the last checkpoint where it is one, else 0."""
    gap, least, fewer = ceil(0.22 * steps), max(ceil(0.06 * steps), 1), max(ceil(0.03 * steps), 1)
    plan, since = [], 0
    for step in range(steps):
        since += 1
        check = since if since == gap else 0
        if check:
            gap, since = max(gap - fewer, least), 0
        plan.append((step, check))
    return plan


@dataclass
class _Climb:
    """The rows that are still climbing, and what each needs to remember."""

    goal: Goal
    norm: str
    rows: Tensor
    origin: Tensor
    eps: Tensor
    size: Tensor  # of the step
    now: Tensor
    before: Tensor
    slope: Tensor
    best: Tensor
    best_slope: Tensor
    top: Tensor  # height of the best
    value: Tensor  # height of now
    rises: Tensor  # since the last checkpoint
    top_then: Tensor  # at the last checkpoint
    halved: Tensor  # whether the step was halved there
    hit: Tensor

    @classmethod
    def begin(cls, goal: Goal, x: Tensor, rows: Tensor, eps: Tensor, norm: str, rng: torch.Generator) -> "_Climb":
        """From a random place of the ball around each of the rows."""
        origin, room, aim = x[rows], eps[rows], goal[rows]
        now = (origin + inside(origin, room, norm, rng)).clamp(0, 1)
        logits, value, slope = aim.climb(now)
        zero = torch.zeros_like(value)
        return cls(aim, norm, rows, origin, room, 2 * room, now, now, slope, now, slope, value, value, zero, value,
                   zero.bool(), aim.fooled(logits))  # fmt: skip

    def advance(self, step: int) -> None:
        """One step with momentum."""
        size, share = by_row(self.size, self.now), MOMENTUM if step else 1.0
        moved = within(self.origin, self.now + size * steepest(self.slope, self.norm), self.eps, self.norm)
        mixed = self.now + share * (moved - self.now) + (1 - share) * (self.now - self.before)
        self.before, self.now = self.now, within(self.origin, mixed, self.eps, self.norm)
        logits, value, self.slope = self.goal.climb(self.now)
        self.rises = self.rises + (value > self.value)
        self.value, better, self.hit = value, value > self.top, self.goal.fooled(logits)
        self.top = torch.where(better, value, self.top)
        wide = by_row(better, self.now)
        self.best, self.best_slope = (
            torch.where(wide, new, old) for new, old in ((self.now, self.best), (self.slope, self.best_slope))
        )

    def halve(self, since: int) -> None:
        """Halve the step of rows that rose too seldom or neither halved nor improved, and return them to their best."""
        stalled = (self.rises < RISING * since) | (~self.halved & (self.top <= self.top_then))
        self.size = torch.where(stalled, self.size / 2, self.size)
        wide = by_row(stalled, self.now)
        self.now, self.slope = torch.where(wide, self.best, self.now), torch.where(wide, self.best_slope, self.slope)
        self.before = torch.where(wide, self.best, self.before)
        self.halved, self.top_then, self.rises = stalled, self.top, torch.zeros_like(self.rises)

    def retire(self, best: Tensor) -> None:
        """Keep what hits, and go on with the rest."""
        if not bool(self.hit.any()):
            return
        best[self.rows[self.hit]] = self.now[self.hit]
        left = ~self.hit
        for name, part in list(vars(self).items()):
            if isinstance(part, (Tensor, Goal)):
                setattr(self, name, part[left])
