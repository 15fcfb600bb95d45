"""Attacks that look for the shortest change of all: Carlini and Wagner's, DDN, FMN and DeepFool."""

from math import cos, pi

import torch
from torch import Tensor

from engine.adversarial_examples.goal import Goal, checked, margin
from engine.adversarial_examples.threat import TINY, by_row, length, order, project, steepest

HALVINGS = 6  # looks at the way to what was found, in the end
EDGE = 0.999  # how near to the ends of the box the free variable of C&W begins


class Shortest:
    """The shortest change of each row that fooled so far; the row itself where none did."""

    def __init__(self, x: Tensor, norm: str) -> None:
        self.x, self.norm, self.found = x, norm, x.clone()
        self.length = torch.full((len(x),), torch.inf, device=x.device)

    def see(self, now: Tensor, hit: Tensor) -> Tensor:
        """Keep what is shorter and hits; now (n, *shape), hit (n,) -> lengths (n,) of now."""
        size = length(now - self.x, self.norm)
        better = hit & (size < self.length)
        self.found = torch.where(by_row(better, now), now, self.found)
        self.length = torch.where(better, size, self.length)
        return size

    def shortened(self, goal: Goal) -> Tensor:
        """What was found, and then as much less of it as still fools, by halving: (n, *shape)."""
        way, low, high = self.found - self.x, torch.zeros_like(self.length), torch.ones_like(self.length)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            hit = goal.reached(self.x + by_row(middle, way) * way)
            low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
        now = (self.x + by_row(high, way) * way).clamp(0, 1)
        self.see(now, goal.reached(now) & torch.isfinite(self.length))
        return self.found


@checked("l2", minimum=True)
def ddn(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, steps: int = 100, gamma: float = 0.05,
    init_eps: float = 0.5,
) -> Tensor:  # fmt: skip
    """Decoupled direction and norm, ℓ2 (Rony et al. 2019): a step along the gradient, then a length set anew.

    The length shrinks by the share gamma where the last look was fooled, and grows by it where not; here the share
    falls to a fiftieth. Foolbox: DDNAttack.
    """
    best, now = Shortest(x, "l2"), x
    room = torch.full_like(eps, init_eps)
    for step in range(steps):
        logits, _, slope = goal.climb(now)
        hit = goal.fooled(logits)
        best.see(now, hit)
        share = gamma * (0.02 + 0.98 * (1 - step / steps))
        room = torch.minimum(room * torch.where(hit, 1 - share, 1 + share), _corner(x))
        size = 0.01 + 0.99 * (0.5 + 0.5 * cos(pi * step / steps))
        delta = now - x + size * steepest(_open(slope, now), "l2")
        delta = delta * by_row(room / length(delta, "l2").clamp_min(TINY), delta)
        now = (x + delta).clamp(0, 1)
    best.see(now, goal.reached(now))
    return best.shortened(goal)


def _open(slope: Tensor, now: Tensor) -> Tensor:
    """The gradient without what points out of the box."""
    return slope * ~(((now <= 0) & (slope < 0)) | ((now >= 1) & (slope > 0)))


def _corner(x: Tensor) -> Tensor:
    """The ℓ2 distance to the farthest corner of the box: (n, *shape) -> (n,)."""
    return length(torch.maximum(x, 1 - x), "l2")


@checked(minimum=True)
def fmn(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "l2", steps: int = 100,
    gamma: float = 0.05,
) -> Tensor:  # fmt: skip
    """Fast minimum norm, ℓ2 or ℓ∞ (Pintor et al. 2021): as DDN, but the length begins at a linear guess.

    Until the first success it grows to where the margin, taken as linear, would be 0.
    """
    aim, dual = Goal(goal.model, goal.y, goal.targeted, "margin"), "l2" if norm == "l2" else "l1"
    best, now, room = Shortest(x, norm), x, torch.zeros_like(eps)
    for step in range(steps):
        logits, value, slope = aim.climb(now)
        slope = _open(slope, now)
        hit, fade = aim.fooled(logits), 0.5 + 0.5 * cos(pi * step / steps)
        size = best.see(now, hit)
        share, never = gamma * fade, torch.isinf(best.length)
        guess = size + 1.05 * value.abs() / length(slope, dual).clamp_min(TINY)
        grown = torch.where(never, guess, room * (1 + share))
        room = torch.where(hit, torch.minimum(room, best.length) * (1 - share), grown)
        moved = now + by_row(0.01 + 0.99 * fade * torch.ones_like(room), x) * _unit(slope, norm)
        now = (x + project(moved - x, room.clamp(max=x[0].numel() ** 0.5), norm)).clamp(0, 1)
    best.see(now, aim.reached(now))
    return best.shortened(aim)


def _unit(slope: Tensor, norm: str) -> Tensor:
    """The gradient at ℓ2 length 1; for ℓ∞ its sign at a length of at most the box."""
    return steepest(slope, "l2") if norm == "l2" else slope / by_row(length(slope, "linf"), slope).clamp_min(TINY)


@checked(minimum=True)
def deepfool(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "l2", steps: int = 50,
    overshoot: float = 0.02,
) -> Tensor:  # fmt: skip
    """Step to the nearest boundary of the linearised classifier, again and again (Moosavi-Dezfooli et al. 2016).

    All classes' gradients are taken at each step. Foolbox: L2DeepFoolAttack, LinfDeepFoolAttack.
    """
    best, now, total = Shortest(x, norm), x, torch.zeros_like(x)
    dual = "l2" if norm == "l2" else "l1"
    order(norm)
    for _ in range(steps):
        logits, slopes = _jacobian(goal, now)
        hit = goal.fooled(logits)
        best.see(now, hit)
        if bool(hit.all()):
            break
        total = total + by_row(~hit, x) * _nearest(goal, logits, slopes, norm, dual)
        now = (x + (1 + overshoot) * total).clamp(0, 1)
    best.see(now, goal.reached(now))
    return best.shortened(goal)


def _jacobian(goal: Goal, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, c) and the gradient of each: (n, c, *shape)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = goal.model(x)
    slopes = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in logits.unbind(1)]
    return logits.detach(), torch.stack(slopes, 1)


def _nearest(goal: Goal, logits: Tensor, slopes: Tensor, norm: str, dual: str) -> Tensor:
    """The shortest change to a boundary of the linearised classifier: (n, *shape)."""
    rows = torch.arange(len(logits), device=logits.device)
    start = logits.argmax(1) if goal.targeted else goal.y
    gap, way = logits - logits[rows, start][:, None], slopes - slopes[rows, start][:, None]
    weight = length(way.flatten(0, 1), dual).view_as(gap)
    far = gap.abs() / weight.clamp_min(TINY)
    far[rows, start] = torch.inf
    pick = goal.y if goal.targeted else far.argmin(1)
    chosen, reach = way[rows, pick], far[rows, pick].clamp(max=1e3) + 1e-4
    return by_row(reach, chosen) * steepest(chosen, norm)


@checked("l2", minimum=True)
def cw(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, binary_search_steps: int = 9, steps: int = 100,
    stepsize: float = 5e-2, confidence: float = 0.0, initial_const: float = 1e-1, abort_early: bool = True,
) -> Tensor:  # fmt: skip
    """min over w of ‖x' − x‖² + c · max(margin short of κ, 0) with x' = (tanh w + 1)/2 (Carlini and Wagner 2017, f6).

    c is found by binary search, κ is `confidence`; Adam on w. Foolbox: L2CarliniWagnerAttack. torchattacks: CW, kappa.
    """
    best = Shortest(x, "l2")
    low, high = torch.zeros_like(eps), torch.full_like(eps, torch.inf)
    const = torch.full_like(eps, initial_const)
    for _ in range(binary_search_steps):
        hit = _descend(goal, x, const, best, steps, stepsize, confidence, abort_early)
        high, low = torch.where(hit, torch.minimum(high, const), high), torch.where(hit, low, const)
        const = torch.where(torch.isinf(high), const * 10, (low + high) / 2).clamp(max=1e10)
    return best.found


def _descend(
    goal: Goal, x: Tensor, const: Tensor, best: Shortest, steps: int, stepsize: float, confidence: float, early: bool
) -> Tensor:
    """Adam from x at one c for each row; which rows were fooled on the way. Plateaus end it early."""
    w = torch.atanh((2 * x - 1) * EDGE).requires_grad_()
    rule = torch.optim.Adam([w], lr=stepsize, fused=True)
    reached, last = torch.zeros_like(const, dtype=torch.bool), float("inf")
    for step in range(steps):
        now = (w.tanh() + 1) / 2
        logits = goal.model(now)
        short = confidence + margin(logits, goal.y) * (1.0 if goal.targeted else -1.0)
        loss = ((now - x).flatten(1).square().sum(1) + const * short.clamp_min(0)).sum()
        hit = goal.fooled(logits.detach()) & (short.detach() <= 0)
        best.see(now.detach(), hit)
        reached |= hit
        (w.grad,) = torch.autograd.grad(loss, w)
        rule.step()
        if early and step % max(1, steps // 10) == 0:
            if loss.item() > 0.9999 * last:
                break
            last = loss.item()
    return reached
