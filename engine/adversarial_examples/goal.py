"""What an attacker wants, how it is measured, and the audit that every attack passes before it is believed."""

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from engine.adversarial_examples.threat import by_row, length
from engine.device import generator as fresh

Classifier = Callable[[Tensor], Tensor]  # pictures (n, *shape) in 0..1 -> logits (n, classes)
SLACK = 1e-6


class MaskedGradient(UserWarning):
    """The gradient is zero where an attack needs it, or the outputs are no logits: failure proves nothing."""


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Largest other logit less that of y: (n, c), (n,) -> (n,). Above 0 where the class is not y."""
    own = logits.gather(1, y[:, None])[:, 0]
    return logits.scatter(1, y[:, None], -torch.inf).amax(1) - own


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """The margin over the gap between the first and the third logit (Croce and Hein 2020): free of scale."""
    ranked = logits.sort(1, descending=True).values
    third = ranked[:, min(2, ranked.shape[1] - 1)]
    return margin(logits, y) / (ranked[:, 0] - third).clamp_min(1e-12)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": lambda logits, y: cross_entropy(logits, y, reduction="none"),
    "margin": margin,
    "dlr": dlr,
}


@dataclass(frozen=True, eq=False)
class Goal:
    """Leave the classes y, or reach them if targeted; what is climbed is `loss`, or down it if targeted."""

    model: Classifier
    y: Tensor  # (n,)
    targeted: bool = False
    loss: str = "ce"
    known: tuple[Tensor, tuple[Tensor, Tensor, Tensor]] | None = None  # a place and what was found there

    def __getitem__(self, rows: Tensor) -> "Goal":
        return replace(self, y=self.y[rows], known=None)

    def fooled(self, logits: Tensor) -> Tensor:
        """Which rows are where the attacker wants them: (n, c) -> (n,) bool."""
        return (logits.argmax(1) == self.y) == self.targeted

    def height(self, logits: Tensor) -> Tensor:
        """What the attacker wants large: (n, c) -> (n,)."""
        value = LOSSES[self.loss](logits, self.y)
        return -value if self.targeted else value

    def climb(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n, c), height (n,) and its gradient (n, *shape) at x; no weight's gradient is touched."""
        if self.known and self.known[0] is x:
            return self.known[1]
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = self.model(x)
            value = self.height(logits)
            (slope,) = torch.autograd.grad(value.sum(), x)
        return logits.detach(), value.detach(), slope

    @torch.no_grad()
    def reached(self, x: Tensor) -> Tensor:
        """Whether a forward pass says so: (n, *shape) -> (n,) bool."""
        return self.fooled(self.model(x))


def checked(
    norm: str | None = None, *, minimum: bool = False
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Make an attack of a search: what goes in is checked, what comes out is audited.

    A search takes (goal, x, eps, generator, **settings), with eps (n,), and returns one candidate a row. The attack
    takes one eps for all or (n,); a `minimum` one needs none. It returns the candidates that fool the model within
    eps, by a forward pass, and x itself elsewhere, or every candidate with `keep_failed`. `norm` is the one that eps
    bounds, "" for none; by default that of the setting `norm`.
    """

    def decorate(search: Callable[..., Tensor]) -> Callable[..., Tensor]:
        usual = signature(search).parameters["norm"].default if norm is None else norm

        @wraps(search)
        def attack(model: Classifier, x: Tensor, y: Tensor, *, eps: Tensor | float | None = None, targeted: Any = None,
                   generator: torch.Generator | None = None, loss: str = "ce", keep_failed: bool = False,
                   **settings: Any) -> Tensor:  # fmt: skip
            goal = aimed(model, x, y, targeted, loss)
            room = _budget(x, float("inf") if eps is None and minimum else eps)
            _check(model, x)
            if not len(x):
                return x.clone()
            goal = replace(goal, known=(x, goal.climb(x)))
            open_ = _warn(goal, x)
            found = search(goal, x, room, generator or fresh(0), **settings).detach()
            bound = settings.get("norm", usual) if norm is None else norm
            short = length(found - x, bound) <= room + SLACK if bound else torch.ones_like(room, dtype=torch.bool)
            audit(found, bool(short.all()) or minimum)
            return found if keep_failed else torch.where(by_row(open_ & goal.reached(found) & short, x), found, x)

        return attack

    return decorate


def aimed(model: Classifier, x: Tensor, y: Tensor, targeted: Any, loss: str) -> Goal:
    """The goal for labels y (n,), or for targets: one class for all or (n,). Raises ValueError for a target that is y.

    Where x is not classified as y to begin with, it is fooled as it stands.
    """
    if loss not in LOSSES:
        raise ValueError(f"saw the loss {loss!r}; expected one of {', '.join(LOSSES)}")
    if y.shape != (len(x),):
        raise ValueError(f"saw {len(x)} pictures and labels of shape {tuple(y.shape)}; expected one label each")
    if targeted is None:
        return Goal(model, y, False, loss)
    aims = torch.as_tensor(targeted, device=y.device).expand(len(y)).to(y)
    if same := int((aims == y).sum()):
        raise ValueError(f"saw {same} of {len(y)} targets equal to the label; expected another class")
    return Goal(model, aims, True, loss)


def audit(found: Tensor, short: bool) -> None:
    """Raises RuntimeError where a candidate is out of the box or the ball; that would be an error of this engine."""
    if not bool(torch.isfinite(found).all()) or float(found.amin()) < 0 or float(found.amax()) > 1:
        raise RuntimeError(
            f"an attack left the box: {float(found.amin()):.3g} to {float(found.amax()):.3g}, not 0 to 1"
        )
    if not short:
        raise RuntimeError("an attack went beyond its budget; expected every change within eps")


def _budget(x: Tensor, eps: Tensor | float | None) -> Tensor:
    """The budget of each row: (n,)."""
    if eps is None:
        raise ValueError("saw no budget; expected eps, a number from 0 up")
    room = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
    if room.shape not in ((), (len(x),)) or not bool((room >= 0).all()):
        raise ValueError(f"saw a budget of {eps}; expected a number from 0 up, or one for each of {len(x)} pictures")
    return room.expand(len(x))


def _check(model: Classifier, x: Tensor) -> None:
    if isinstance(model, nn.Module) and model.training:
        raise ValueError("saw a model in training mode; expected model.eval(): an attack never changes a model")
    if len(x) and not (bool(torch.isfinite(x).all()) and float(x.amin()) >= 0 and float(x.amax()) <= 1):
        raise ValueError(f"saw pixels from {float(x.amin()):.3g} to {float(x.amax()):.3g}; expected 0 to 1")


def _warn(goal: Goal, x: Tensor) -> Tensor:
    """Say so where gradients that are zero, or outputs that are probabilities, would let an attack fail silently.

    Returns which rows are not fooled as they stand: (n,) bool.
    """
    logits, _, slope = goal.climb(x)
    open_ = ~goal.fooled(logits)
    blind = open_ & (slope.flatten(1).abs().amax(1) == 0)
    if blind.any():
        text = f"the gradient of {goal.loss!r} is zero for {int(blind.sum())} of {len(x)} inputs; try loss='margin'"
        warnings.warn(text, MaskedGradient, stacklevel=3)
    if len(x) > 1 and bool(((logits >= 0).all(1) & ((logits.sum(1) - 1).abs() < 1e-4)).all()):
        warnings.warn("the outputs look like probabilities; expected logits", MaskedGradient, stacklevel=3)
    return open_


@contextmanager
def unwarned():
    """For pictures that show the share of zero gradients themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MaskedGradient)
        yield
