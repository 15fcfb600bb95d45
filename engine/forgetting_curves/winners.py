"""Few units active at a time, other ones for every task: k winners take all, and dropout of those already in use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.forgetting_curves.pair import KINDS as PAIRS
from engine.forgetting_curves.pair import Pair, batch, pair
from engine.knob import knob
from engine.nets import Networks, cross_entropy

KINDS = {name: PAIRS[name] for name in ("rotated", "permuted")}
UNITS, SEEDS, COUNT, EVERY, BEFORE, STEP_SIZE = 300, 2, 32, 4, 6, 0.2  # units; networks a setting; steps a frame
NET = Networks((64, UNITS, 10))
SWEEPS = {"alpha": "strength of the dropout", "k": "number of winners"}
ALPHAS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
WINNERS = (5, 10, 20, 40, 100, UNITS)
LATE = 0.1  # how much the newest batch weighs in the mean of what the new task trains


@dataclass(frozen=True)
class Config:
    """The settings of a sweep: six values of one knob, the other one held."""

    data: str = knob("rotated", "tasks", choices=KINDS)
    sweep: str = knob("alpha", "along the sweep", choices=SWEEPS)
    k: int = knob(20, "winners", 1, UNITS, symbol="k", help="of 300 units; held where the dropout is swept")
    alpha: float = knob(4.0, "dropout", 0.0, 8.0, symbol=r"\alpha", help="held where the winners are swept; 0: none")
    steps: int = knob(200, "steps on each task", 40, 800, log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)

    @property
    def settings(self) -> tuple[tuple[int, float], ...]:
        """k and alpha of the six settings."""
        return tuple((self.k, a) for a in ALPHAS) if self.sweep == "alpha" else tuple((k, self.alpha) for k in WINNERS)

    @property
    def places(self) -> tuple[float, ...]:
        """Where the six settings stand on the axis of the sweep."""
        return ALPHAS if self.sweep == "alpha" else tuple(map(float, WINNERS))


class Frame(NamedTuple):
    """Six settings, two networks each, after some steps: first on the old task, then on the new one."""

    step: int
    task: int  # 0 while the old one is learned, then 1
    falls: float  # overlap of the first setting over that of the last
    together: float  # Spearman correlation of overlap and points forgotten, over the twelve networks; NaN at first
    components: np.ndarray  # (2,) principal components for 95 % of the activations' variance, first and last setting
    first: np.ndarray  # (2, 600, 2) how often units are active, first setting: up the old task, down the new one
    last: np.ndarray  # (2, 600, 2) last setting
    kept: np.ndarray  # (600, 2) the chance to be kept, last setting, in the order of `last`
    front: np.ndarray  # (6, 2) overlap in percent, points forgotten: means of two networks
    cloud: np.ndarray  # (12, 3) the same of each network, and its setting
    overlap: np.ndarray  # (6, 2) setting, percent; NaN while the old task is learned, as what is forgotten
    forgotten: np.ndarray  # (6, 2) setting, points
    new: np.ndarray  # (6, 2) setting, percent of the new task read right
    old: np.ndarray  # (6, 2) setting, percent of the old one


def winners(h: Tensor, k: int) -> Tensor:
    """All but the k largest activations of every example set to 0: (..., units) -> (..., units)

    Ties at the k-th place go to one of the two, so that never more than k are left (Ahmad & Scheinkman, 2019).
    Raises ValueError unless 1 <= k <= units.
    """
    units = h.shape[-1]
    if not 1 <= k <= units:
        raise ValueError(f"Saw k = {k} winners of {units} units, expected one from 1 to {units}.")
    if k == units:
        return h
    best = h.topk(k, -1)
    return torch.zeros_like(h).scatter(-1, best.indices, best.values)


def keep(frequency: Tensor, alpha: Tensor) -> Tensor:
    """Each unit’s chance to be kept, exp(-alpha a / max a) (Abbasi et al., 2022): (k, units), (k,) -> (k, units)"""
    top = frequency.amax(1, keepdim=True).clamp_min(1e-12)
    return torch.exp(-alpha[:, None] * frequency / top)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the smaller of two frequencies over the smaller of their sums, 0 to 1: (k, units), (k, units) -> (k,)"""
    least = torch.minimum(a.sum(1), b.sum(1)).clamp_min(1e-12)
    return torch.minimum(a, b).sum(1) / least


def components(h: Tensor, share: float = 0.95) -> Tensor:
    """How many principal components hold a share of the variance of activations: (k, n, units) -> (k,)"""
    energy = torch.linalg.svdvals(h - h.mean(1, keepdim=True)).square()
    part = energy.cumsum(1) / energy.sum(1, keepdim=True).clamp_min(1e-30)
    return (part < share).sum(1) + 1


class Winners(NamedTuple):
    """Networks in groups of two, each group with a number of winners of its own."""

    ks: tuple[int, ...]

    def hidden(self, weights: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """weights (k, size), x (1 or k, n, inputs), mask (k, n, units) of what may win -> (k, n, units)"""
        first, bias = NET.parts(weights)[:2]
        h = torch.baddbmm(bias, x.expand(len(weights), -1, -1), first).relu()
        h = h if mask is None else h * mask
        if len(set(self.ks)) == 1:
            return winners(h, self.ks[0])
        return torch.cat([winners(part, k) for part, k in zip(h.split(SEEDS), self.ks, strict=True)])

    def logits(self, weights: Tensor, h: Tensor) -> Tensor:
        """(k, size), (k, n, units) -> (k, n, classes)"""
        last, bias = NET.parts(weights)[2:]
        return torch.baddbmm(bias, h, last)

    def step(self, weights: Tensor, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        """The weights after a step of gradient descent on one batch."""
        at = weights.detach().requires_grad_()
        loss = cross_entropy(self.logits(at, self.hidden(at, x, mask)), y).mean(1).sum()
        return weights - STEP_SIZE * torch.autograd.grad(loss, at)[0]

    @torch.no_grad()
    def look(self, weights: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Share read right (k,), how often each unit is active (k, units), and activations (k, n, units)."""
        h = self.hidden(weights, x[None])
        right = (self.logits(weights, h).argmax(-1) == y).float().mean(1)
        return right, (h > 0).float().mean(1), h


class Learnt(NamedTuple):
    """The networks after the old task, and how often each unit was active on it."""

    weights: Tensor  # (12, size)
    right: Tensor  # (12,) share read right
    frequency: Tensor  # (12, units)
    components: np.ndarray  # (2,)


def run(cfg: Config, looks: bool = True) -> Iterator[Frame]:
    """Six steps a frame on the old task, without dropout, then four on the new one; or only the last frame."""
    net, tasks, rng = Winners(tuple(k for k, _ in cfg.settings)), pair(cfg.data, 90.0, cfg.seed), generator(cfg.seed)
    weights = NET.init(SEEDS, rng).repeat(len(cfg.settings), 1)
    for step in range(cfg.steps):
        if looks and step % BEFORE == 0:
            yield look(cfg, net, weights, tasks, step, None, None)
        weights = net.step(weights, *batch(tasks.old, COUNT, rng), None)
    learnt = after(net, weights, tasks)
    strengths = torch.tensor([a for _, a in cfg.settings], device=DEVICE).repeat_interleave(SEEDS)
    chance, trained = keep(learnt.frequency, strengths), None
    for step in range(cfg.steps + 1):
        x, y = batch(tasks.new, COUNT, rng)
        mask = (torch.rand(1, COUNT, UNITS, generator=rng).to(DEVICE) < chance[:, None]).float()
        seen = (net.hidden(weights, x, mask).detach() > 0).float().mean(1)
        trained = seen if trained is None else trained.lerp(seen, max(LATE, 1 / (step + 1)))
        if (looks and step % EVERY == 0) or step == cfg.steps:
            yield look(cfg, net, weights, tasks, cfg.steps + step, learnt, trained)
        weights = net.step(weights, x, y, mask)


def after(net: Winners, weights: Tensor, tasks: Pair) -> Learnt:
    """What there is to know of the networks when the old task has been learned."""
    right, _, h = net.look(weights, tasks.old.test_x, tasks.old.test_y)
    _, frequency, _ = net.look(weights, tasks.old.x[:400], tasks.old.y[:400])
    ends = components(torch.cat([h[:1], h[-1:]])).float().cpu().numpy()
    return Learnt(weights, right, frequency, ends)


def look(
    cfg: Config, net: Winners, weights: Tensor, tasks: Pair, step: int, learnt: Learnt | None, trained: Tensor | None
) -> Frame:
    """What a frame shows; `trained` (12, units) is how often the new task's training activates each unit."""
    every = 1 if step == 2 * cfg.steps else 4
    old, active, _ = net.look(weights, tasks.old.test_x[::every], tasks.old.test_y[::every])
    new = net.look(weights, tasks.new.test_x[::every], tasks.new.test_y[::every])[0]
    before = active if learnt is None else learnt.frequency
    now = torch.zeros_like(before) if trained is None else trained
    unknown = torch.full_like(old, float("nan"))
    shared = unknown if trained is None else overlap(before, now)
    lost = unknown if learnt is None else learnt.right - old
    return Frame(
        step=step,
        task=int(learnt is not None),
        falls=float(shared[:SEEDS].mean() / shared[-SEEDS:].mean().clamp_min(1e-3)),
        together=rank_correlation(shared, lost),
        components=np.full(2, np.nan, np.float32) if learnt is None else learnt.components,
        **pyramids(before, now, cfg.settings[-1][1]),
        front=grouped(100 * shared, 100 * lost),
        cloud=torch.stack([100 * shared, 100 * lost, torch.arange(12, device=DEVICE) // SEEDS], 1).cpu().numpy(),
        overlap=over(cfg, shared),
        forgotten=over(cfg, lost),
        new=over(cfg, new),
        old=over(cfg, old),
    )


def grouped(a: Tensor, b: Tensor) -> np.ndarray:
    """Means of each setting's networks: (12,), (12,) -> (6, 2)"""
    return torch.stack([a.view(-1, SEEDS).mean(1), b.view(-1, SEEDS).mean(1)], 1).cpu().numpy()


def over(cfg: Config, values: Tensor) -> np.ndarray:
    """The place of each setting and its mean in percent: (12,) -> (6, 2)"""
    return np.stack([np.array(cfg.places), 100 * values.view(-1, SEEDS).mean(1).cpu().numpy()], 1).astype(np.float32)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's: the correlation of the ranks, ties in the order of appearance; NaN where one does not vary or is."""
    if not (float(a.std()) >= 1e-9 and float(b.std()) >= 1e-9):
        return float("nan")
    ranks = torch.stack([v.argsort().argsort().double() for v in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1])


def pyramids(old: Tensor, new: Tensor, alpha: float) -> dict[str, np.ndarray]:
    """How often the units of the first and the last network are active, most used on the old task first."""
    found: dict[str, np.ndarray] = {}
    for name, row in (("first", 0), ("last", -1)):
        order = by_use(old[row], new[row])
        found[name] = np.stack([steps_of(old[row][order]), steps_of(-new[row][order])])
    chance = keep(old[-1:], torch.tensor([alpha], device=old.device))[0][by_use(old[-1], new[-1])]
    return found | {"kept": steps_of(chance)}


def by_use(old: Tensor, new: Tensor) -> Tensor:
    """The units in the order of their use on the old task, then those of the new task alone: (units,), (units,) ->"""
    return torch.where(old >= 0.005, 1 + old, new).argsort(descending=True)


def steps_of(values: Tensor) -> np.ndarray:
    """A line that is flat over each unit: (units,) -> (2 units, 2)"""
    edges = np.repeat(np.arange(len(values) + 1), 2)[1:-1]
    return np.stack([edges, np.repeat(values.cpu().numpy(), 2)], 1).astype(np.float32)
