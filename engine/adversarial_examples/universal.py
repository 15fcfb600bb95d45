"""One change for all pictures, learned on some and tried on others."""

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.adversarial_examples.goal import Classifier, Goal, checked, margin
from engine.adversarial_examples.threat import inside, project, steepest

CAP = 1.0  # a picture whose margin is above this is fooled enough


def ascend(
    model: Classifier, x: Tensor, y: Tensor, eps: float, generator: torch.Generator, *, norm: str = "linf",
    steps: int = 60, batch: int = 256,
) -> Iterator[Tensor]:  # fmt: skip
    """The change v (*shape) after each step up the mean margin, capped, of x + v over a batch (Shafahi et al. 2020).

    y: the classes to leave, those that the model says of x for fooling as in Moosavi-Dezfooli et al. 2017.
    """
    room = torch.full((1,), eps, device=x.device)
    v = 0.1 * inside(x[:1], room, norm, generator)
    for step in range(steps):
        rows = torch.randint(0, len(x), (min(batch, len(x)),), generator=generator).to(x.device)
        v = v.detach().requires_grad_()
        with torch.enable_grad():
            gain = margin(model((x[rows] + v).clamp(0, 1)), y[rows]).clamp(max=CAP).mean()
        (slope,) = torch.autograd.grad(gain, v)
        size = eps * 0.3 * (1 - step / steps)
        v = project(v.detach() + size * steepest(slope, norm), room, norm)
        yield v[0]


@checked()
def universal(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "linf", steps: int = 60
) -> Tensor:
    """One change for all rows, learned on these rows. Needs one eps for all. For targets it goes down their margin."""
    if float(eps.amin()) != float(eps.amax()):
        raise ValueError(f"saw budgets from {float(eps.amin()):.3g} to {float(eps.amax()):.3g}; expected one for all")
    *_, v = ascend(_signed(goal), x, goal.y, float(eps[0]), generator, norm=norm, steps=steps)
    return (x + v).clamp(0, 1)


def _signed(goal: Goal) -> Classifier:
    return (lambda x: -goal.model(x)) if goal.targeted else goal.model


def fooling(model: Classifier, x: Tensor, v: Tensor) -> float:
    """Share of pictures whose class, whatever it was, the change v (*shape) alters."""
    with torch.no_grad():
        return float((model((x + v).clamp(0, 1)).argmax(1) != model(x).argmax(1)).double().mean())
