"""Attacks within a budget: one signed step, several, and projected gradient descent with restarts."""

import torch
from torch import Tensor

from engine.adversarial_examples.goal import Goal, checked
from engine.adversarial_examples.threat import by_row, inside, project, steepest

LOOK = 4  # so often it is looked whether rows still move
FEW = 40  # rows that rest leave the batch once they are one in so many: to copy the others takes time


def within(x: Tensor, moved: Tensor, eps: Tensor, norm: str) -> Tensor:
    """The moved pictures brought back into the ball around x, then into the box: (n, *shape)."""
    return (x + project(moved - x, eps, norm)).clamp(0, 1)


def step_of(usual: Tensor, wanted: float | None, x: Tensor) -> Tensor:
    """The size of a step, shaped to multiply the rows of x: the usual one (n,), or the one that is wanted."""
    return by_row(usual if wanted is None else torch.full_like(usual, wanted), x)


@checked()
def fgsm(goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "linf") -> Tensor:
    """Fast gradient sign method: clip(x + eps · sign ∇L) (Goodfellow et al. 2015, sec. 4).

    Foolbox: LinfFastGradientAttack, L2FastGradientAttack. For ℓ2 the gradient is normalised, for ℓ1 its largest entry
    takes all.
    """
    _, _, slope = goal.climb(x)
    return (x + by_row(eps, x) * steepest(slope, norm)).clamp(0, 1)


@checked()
def bim(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "linf", steps: int = 10,
    abs_stepsize: float | None = None,
) -> Tensor:  # fmt: skip
    """Iterated FGSM: steps of abs_stepsize (a fifth of eps), each clipped to ball and box (Kurakin et al. 2017).

    Foolbox: LinfBasicIterativeAttack.
    """
    now, size = x, step_of(0.2 * eps, abs_stepsize, x)
    for _ in range(steps):
        now = within(x, now + size * steepest(goal.climb(now)[2], norm), eps, norm)
    return now


@checked()
def least_likely(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "linf", steps: int = 10,
    abs_stepsize: float | None = None,
) -> Tensor:  # fmt: skip
    """Steps that lower the loss of the class that is least likely at x (Kurakin et al. 2017, sec. 2.3)."""
    with torch.no_grad():
        least = goal.model(x).argmin(1)
    aim, now = Goal(goal.model, least, True, goal.loss), x
    size = step_of(0.2 * eps, abs_stepsize, x)
    for _ in range(steps):
        now = within(x, now + size * steepest(aim.climb(now)[2], norm), eps, norm)
    return now


@checked()
def pgd(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "linf", steps: int = 40,
    abs_stepsize: float | None = None, random_start: bool = True, restarts: int = 1, early_stop: bool = True,
    start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Projected gradient descent in the ball (Madry et al. 2018): the highest loss seen, or the first success.

    Steps are of abs_stepsize, or shrink from eps to 0 unless it is given. With early_stop a row rests as soon as it
    is fooled or stands still, so the batch shrinks; of a row that never is fooled the last place counts. `start` begins
    elsewhere: places (n, *shape), brought into the ball. Foolbox: LinfPGD, L2PGD. torchattacks: PGD, PGDL2; alpha is
    the step.
    """
    size = step_of(eps, abs_stepsize, x)
    climb = _Climb(goal, x, eps, norm, size, steps, abs_stepsize is not None, early_stop)
    for _ in range(restarts):
        origin, room = x[climb.rows], eps[climb.rows]
        if start is not None:
            moved = within(origin, start[climb.rows], room, norm)
        else:
            moved = (origin + inside(origin, room, norm, generator)).clamp(0, 1) if random_start else origin
        climb.ascend(moved)
        if not len(climb.rows):
            break
    return climb.best


class _Climb:
    """Rows that are still climbing, and the best place of every row."""

    def __init__(self, goal: Goal, x: Tensor, eps: Tensor, norm: str, size: Tensor, steps: int, constant: bool,
                 early_stop: bool) -> None:  # fmt: skip
        self.goal, self.x, self.eps, self.norm, self.size = goal, x, eps, norm, size
        self.steps, self.constant, self.early_stop = steps, constant, early_stop
        self.rows = torch.arange(len(x), device=x.device)
        self.best, self.top = x.clone(), torch.full((len(x),), -torch.inf, device=x.device)

    def ascend(self, now: Tensor) -> None:
        """From `now`, one place for each open row. With early_stop those rest that are fooled, and those that a step
        leaves where they are: every later step would leave them there, too. Once there are enough they leave the batch.
        """
        rows, aim, (low, high) = self.rows, self.goal[self.rows], self._room(self.rows)
        fooled = torch.zeros_like(self.top, dtype=torch.bool)  # of all rows
        for step in range(self.steps + 1):
            logits, value, slope = aim.climb(now) if step < self.steps else _level(aim, now)
            if not self.early_stop:
                self._keep(rows, now, value)
            elif bool((hit := aim.fooled(logits) & ~fooled[rows]).any()):
                self.best[rows[hit]], fooled[rows[hit]] = now[hit], True
            rest = fooled[rows]
            if step == self.steps or bool(rest.all()):
                break
            moved = self._moved(now, slope, rows, 1 if self.constant else 1 - step / self.steps).clamp_(low, high)
            if self.early_stop and step % LOOK == LOOK - 1:
                rest = rest | (moved == now).flatten(1).all(1)
            if FEW * int(rest.sum()) >= len(rows):
                ended, on = (rest & ~fooled[rows]).nonzero()[:, 0], (~rest).nonzero()[:, 0]
                self._keep(rows[ended], now[ended], value[ended])
                rows, moved, value, low, high = (part[on] for part in (rows, moved, value, low, high))
                aim = self.goal[rows]
            now = moved
            if not len(rows):
                break
        if self.early_stop:
            left = ~fooled[rows]
            self._keep(rows[left], now[left], value[left])
        self.rows = self.rows[~fooled[self.rows]]

    def _moved(self, now: Tensor, slope: Tensor, rows: Tensor, share: float) -> Tensor:
        """A step up from `now`, back into the ball; for ℓ∞ the clamp that follows does that."""
        moved = steepest(slope, self.norm).mul_(share * self.size[rows]).add_(now)  # which is nobody else's
        if self.norm == "linf":
            return moved
        return self.x[rows] + project(moved - self.x[rows], self.eps[rows], self.norm)

    def _room(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the largest shade of each pixel: of ball and box for ℓ∞, else of the box."""
        x = self.x[rows]
        if self.norm != "linf":
            return torch.zeros_like(x), torch.ones_like(x)
        room = by_row(self.eps[rows], x)
        return (x - room).clamp_min(0), (x + room).clamp_max(1)

    def _keep(self, rows: Tensor, now: Tensor, value: Tensor) -> None:
        """Keep places that are higher than any before."""
        better = value > self.top[rows]
        self.best[rows[better]], self.top[rows[better]] = now[better], value[better]


@torch.no_grad()
def _level(aim: Goal, now: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As climb, but without the gradient that the last look does not need."""
    logits = aim.model(now)
    return logits, aim.height(logits), now
