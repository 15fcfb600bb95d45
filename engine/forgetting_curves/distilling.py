"""Learning without forgetting: on new examples the outputs stay near to what they were, in a distance you choose."""

import torch
from torch import Tensor

from engine.forgetting_curves.methods import Method, Recipe, Setting
from engine.forgetting_curves.rehearsing import known

WARMTH = 2.0  # the temperature of both outputs
TINY = 1e-6  # a difference of probabilities that is rounding
DISTANCES = {
    "kl": "KL divergence",
    "tv": "W₁, all names equally far",
    "w1": "W₁, names on a line",
    "w2": "W₂², names on a line",
    "mmd": "MMD², equal names or not",
}


class LwF(Method):
    """Learning without forgetting (Li & Hoiem, 2016): on the new examples, keep saying what was said before."""

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.teacher: Tensor | None = None
        self.known: Tensor | None = None  # (1, 1, classes) 0 for the names of the old tasks, -1e4 for others

    def outputs(self, logits: Tensor, x: Tensor, slope: Tensor) -> None:
        """The distance from the old outputs over the old names; numbers: half of the squared difference."""
        if self.teacher is None or self.known is None:
            return
        told = self.on.net(self.teacher, x)
        if self.on.numbers:
            slope.add_(logits - told, alpha=self.recipe.strength / x.shape[1])
            return
        p, q = (((one + self.known) / WARMTH).softmax(-1) for one in (logits, told))
        slope.add_(pull(self.recipe.apart, p, q), alpha=self.recipe.strength / WARMTH / x.shape[1])

    def finish(self, number: int, weights: Tensor) -> None:
        """The weights as they are become the teacher."""
        self.teacher, self.known = weights.clone(), known(self.on, number)


def pull(kind: str, p: Tensor, q: Tensor) -> Tensor:
    """Derivative of the distance between softmax outputs by the logits of p: p, q (..., classes) -> (..., classes)

    A Wasserstein distance has its dual potential as derivative by p (Frogner et al., 2015); "tv" is W1 where all names
    are equally far, "w1" and the squared "w2" lay them evenly on a line from 0 to 1; "mmd" is the squared maximum mean
    discrepancy (Gretton et al., 2012) whose kernel is 1 for equal names and 0 for others. Raises KeyError for others.
    """
    if kind == "kl":
        return p - q
    by_p = {"tv": _total, "w1": _on_a_line, "w2": _on_a_line, "mmd": _discrepancy}[kind](p, q, 1 + (kind == "w2"))
    return p * (by_p - (p * by_p).sum(-1, keepdim=True))


def _total(p: Tensor, q: Tensor, power: int) -> Tensor:
    return 0.5 * torch.where((p - q).abs() > TINY, (p - q).sign(), 0.0)


def _discrepancy(p: Tensor, q: Tensor, power: int) -> Tensor:
    return 2 * (p - q)


def _on_a_line(p: Tensor, q: Tensor, power: int) -> Tensor:
    """The potential of W_power^power: what it costs to have mass at a name rather than at the last one."""
    low, high = p.cumsum(-1)[..., :-1].contiguous(), q.cumsum(-1)
    last = p.shape[-1] - 1
    at = torch.searchsorted(high.contiguous(), low).clamp_max(last)  # where the mass at the edge goes to
    edge = torch.arange(last, device=p.device)
    cost = ((edge - at).abs() ** power - (edge + 1 - at).abs() ** power).to(p) / max(1, last) ** power
    cost = torch.where((low - high[..., :-1]).abs() > TINY, cost, 0.0)
    return torch.nn.functional.pad(cost.flip(-1).cumsum(-1).flip(-1), (0, 1))
