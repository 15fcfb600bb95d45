"""Methods that keep tasks apart inside the network: gradients projected, and few units that win."""

import torch
from torch import Tensor

from engine.forgetting_curves import subspace
from engine.forgetting_curves.methods import Method, Recipe, Setting
from engine.forgetting_curves.winners import winners

TINY = 1e-10  # share of the energy below which a direction is rounding


class GPM(Method):
    """Gradient projection memory (Saha et al., 2021): no step along what the layers saw on old tasks.

    A bias counts as the weight of a constant input. The threshold is the share of the energy that is protected.
    """

    effort = 1.0

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.bases: list[Tensor] = []  # (seeds, i + 1, m) orthonormal columns, or columns of 0

    def bend(self, g: Tensor, old: Tensor | None, weights: Tensor) -> Tensor:
        """The gradient less its part in the old subspace."""
        return subspace.project(self.on.net, g, self.bases) if self.bases else g

    def finish(self, number: int, weights: Tensor) -> None:
        """The directions that the task adds, most energy first, until the threshold is reached."""
        x = self.studied(self.on.tasks[number]).expand(len(weights), -1, -1)
        seen = [x, *self.on.net.activations(weights, x)[:-1]]
        old = self.bases or [h.new_zeros(len(h), h.shape[-1] + 1, 0) for h in seen]
        ones = [torch.cat([h, torch.ones_like(h[..., :1])], -1) for h in seen]
        self.bases = [grown(h, basis, self.recipe.threshold) for h, basis in zip(ones, old, strict=True)]


def grown(h: Tensor, basis: Tensor, threshold: float) -> Tensor:
    """A basis with as many new directions as it takes to hold the threshold of the energy of h.

    h (s, n, i), basis (s, i, m) -> (s, i, m')
    """
    inside = h @ basis
    rest = h - inside @ basis.transpose(1, 2)
    _, values, axes = torch.linalg.svd(rest, full_matrices=False)
    total = h.square().sum((1, 2))[:, None].clamp_min(1e-30)
    share = values.square() / total
    before = inside.square().sum((1, 2))[:, None] / total + share.cumsum(1) - share
    wanted = share > TINY if threshold >= 1 else (before < threshold) & (share > TINY)
    new = axes.transpose(1, 2) * wanted[:, None]
    room = h.shape[-1]
    return torch.cat([basis, new[..., : int(wanted.sum(1).max())]], 2)[..., : 2 * room]


class Sparse(Method):
    """Only k units of each hidden layer pass on their activation; those in use on old tasks are dropped more often.

    k winners take all (Ahmad & Scheinkman, 2019) and heterogeneous dropout: a unit is kept with probability
    exp(-alpha a / max a), a being how often it was active on old tasks (Abbasi et al., 2022).
    """

    alone = True

    def __init__(self, on: Setting, recipe: Recipe, rngs: list[torch.Generator]) -> None:
        super().__init__(on, recipe, rngs)
        self.used: list[Tensor] = []  # (seeds, units) how often each was active, summed over the old tasks

    def hidden(self, h: Tensor, layer: int, training: bool) -> Tensor:
        """The winners among those kept."""
        if training and self.used and self.recipe.alpha:
            used = self.used[layer]
            chance = torch.exp(-self.recipe.alpha * used / used.amax(1, keepdim=True).clamp_min(1e-12))
            draws = torch.stack([torch.rand(h.shape[1:], generator=rng) for rng in self.rngs])
            h = h * (draws.to(h) < chance[:, None])
        return winners(h, min(self.recipe.k, h.shape[-1]))

    def finish(self, number: int, weights: Tensor) -> None:
        """Count who was active."""
        h, parts = self.studied(self.on.tasks[number]).expand(len(weights), -1, -1), self.on.net.parts(weights)
        active = []
        for layer in range(len(parts) // 2 - 1):
            h = self.hidden(torch.baddbmm(parts[2 * layer + 1], h, parts[2 * layer]).relu(), layer, False)
            active.append((h > 0).to(h).mean(1))
        self.used = [a + b for a, b in zip(self.used or active, active, strict=True)] if self.used else active
