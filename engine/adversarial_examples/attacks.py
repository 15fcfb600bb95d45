"""Every attack by its name, and the whole curve of robust accuracy against the budget in one call."""

from collections.abc import Callable, Sequence
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

from engine.adversarial_examples.apgd import apgd
from engine.adversarial_examples.budget import bim, fgsm, least_likely, pgd
from engine.adversarial_examples.goal import Classifier, Goal, checked
from engine.adversarial_examples.minimum import cw, ddn, deepfool, fmn
from engine.adversarial_examples.query import noise, one_pixel, rotate, square
from engine.adversarial_examples.universal import universal
from engine.device import generator as fresh

__all__ = [
    "ATTACKS", "apgd", "bim", "cw", "ddn", "deepfool", "fgsm", "fmn", "least_likely", "noise", "one_pixel", "pgd",
    "robust_accuracy", "rotate", "sweep", "square", "transfer", "universal",
]  # fmt: skip


@checked()
def transfer(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, surrogate: Classifier,
    attack: Callable[..., Tensor] = pgd, norm: str = "linf", **settings: Any,
) -> Tensor:  # fmt: skip
    """What an attack finds on a model of the attacker's own, tried on this one (Papernot et al. 2017): a black box."""
    aims = {"targeted": goal.y} if goal.targeted else {}
    labels = surrogate(x).argmax(1) if goal.targeted else goal.y
    labels = torch.where(labels == goal.y, (goal.y + 1) % 10, labels) if goal.targeted else labels
    return attack(surrogate, x, labels, eps=eps, norm=norm, generator=generator, keep_failed=True, **aims, **settings)


ATTACKS: dict[str, Callable[..., Tensor]] = {
    "fgsm": fgsm,
    "bim": bim,
    "least_likely": least_likely,
    "pgd": pgd,
    "apgd": apgd,
    "cw": cw,
    "ddn": ddn,
    "fmn": fmn,
    "deepfool": deepfool,
    "universal": universal,
    "one_pixel": one_pixel,
    "transfer": transfer,
    "square": square,
    "rotate": rotate,
    "noise": noise,
}


def robust_accuracy(
    attack: Callable[..., Tensor], model: Classifier, x: Tensor, y: Tensor, epsilons: Sequence[float], **settings: Any
) -> list[float]:
    """Share of pictures that keep their label at each budget, in one call; epsilons must not fall.

    What is fooled within a budget is fooled within every larger one, so only the rest is attacked again.
    """
    left, shares = torch.nonzero(~Goal(model, y).reached(x))[:, 0], []
    for eps in rising(epsilons):
        if len(left) and eps > 0:
            found = attack(model, x[left], y[left], eps=eps, **settings)
            left = left[~Goal(model, y[left]).reached(found)]
        shares.append(len(left) / len(x))
    return shares


def rising(epsilons: Sequence[float]) -> Sequence[float]:
    """The budgets, if none is below 0 or the one before it. Raises ValueError otherwise."""
    for last, eps in zip([0.0, *epsilons], epsilons, strict=False):
        if not eps >= last:
            raise ValueError(f"saw a budget of {eps:.3g} after {last:.3g}; expected budgets that do not fall")
    return epsilons


def sweep(
    model: Classifier, x: Tensor, y: Tensor, epsilons: Sequence[float], *, norm: str = "linf", steps: int = 5,
    generator: torch.Generator | None = None,
) -> list[float]:  # fmt: skip
    """The same curve by PGD alone, faster: at each budget the climb goes on from where it ended at the last one."""
    goal, rng, how, shares = Goal(model, y), generator or fresh(0), dict(norm=norm, steps=steps), []
    left, ended = torch.nonzero(~goal.reached(x))[:, 0], None
    for eps in rising(epsilons):
        if len(left) and eps > 0:
            if ended is None:  # as everybody: what goes in is checked
                ended = pgd(model, x[left], y[left], eps=eps, keep_failed=True, generator=rng, **how)
            else:
                ended = unwrap(pgd)(goal[left], x[left], x.new_full((len(left),), eps), rng, start=ended, **how)
            still = ~goal[left].reached(ended)
            left, ended = left[still], ended[still]
        shares.append(len(left) / len(x))
    return shares
