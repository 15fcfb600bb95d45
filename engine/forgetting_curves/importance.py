"""How much each weight matters to the old task: four Fishers of one network, and how far the quadratic form holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.forgetting_curves import fisher
from engine.forgetting_curves.pair import Task, accuracy, batch, gradient, numerals
from engine.knob import knob
from engine.nets import Networks

UNITS, ACROSS = 24, 5  # hidden units, and how many stand in a row of the map
NET = Networks((64, UNITS, 10))
EVERY, COUNT, STEP_SIZE, KEPT, DOTS = (
    10,
    32,
    0.2,
    400,
    400,
)  # steps a frame; of the training; examples of F; weights drawn
LENGTHS = np.logspace(-2, 1, 19)  # how far one goes
WAYS, WALKED = 6, 200  # directions that one goes in, and examples on the way
GAP = 1  # cells between the tiles of the map
ROWS, COLUMNS = 5 * 9 - GAP, 5 * 9 - GAP + 3 + 10  # cells of the map
DIRECTIONS = {
    "steep": "where outputs change most",
    "random": "at random",
    "important": "at random, the weightiest half only",
    "idle": "at random, the other half only",
}


@dataclass(frozen=True)
class Config:
    """The settings of the training and of the Fisher."""

    kind: str = knob("exact", "Fisher on the map", choices=fisher.KINDS)
    batch: int = knob(32, "batch of the mini-batch Fisher", 1, 200, symbol="B")
    wrong: float = knob(
        0.0,
        "wrong labels under the Fisher",
        0.0,
        0.6,
        step=0.05,
        help="this share of the labels that F is taken with is drawn at random; training sees none",
    )
    direction: str = knob("random", "way through the weights", choices=DIRECTIONS)
    steps: int = knob(400, "training steps", 20, 1500, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)


class Frame(NamedTuple):
    """A network after some steps on the old task. Everything is exact but `sampled`, which depends on a draw."""

    step: int
    right: float  # share of test digits read right
    ratio: float  # sum of the chosen Fisher's diagonal over that of the exact one
    alike: float  # correlation of the two diagonals
    top_half: float  # smallest share of the weights that holds half of the exact diagonal's sum
    slope: float  # of the remainder of the KL over the length, both in logarithms, where both are small
    half: float  # KL over d^T F d at the shortest length
    map: np.ndarray  # (44, 57) log10 of the chosen diagonal: tiles of 8 x 8 inputs of 24 units; 24 units x 10 classes
    dots: np.ndarray  # (3, 400, 2) exact diagonal and the sampled, empirical and mini-batch one, of some weights
    apart: np.ndarray  # (19, 2) length, KL of the outputs, mean over the ways
    form: np.ndarray  # (19, 2) length, half d^T F d, mean
    rest: np.ndarray  # (19, 2) length, root mean square of KL - form


def under(cfg: Config) -> Task:
    """The digits that the Fisher is taken on, a share of their labels drawn anew."""
    task, rng = numerals(KEPT), generator(cfg.seed + 7)
    hit = torch.rand(KEPT, generator=rng) < cfg.wrong
    drawn = torch.randint(10, (KEPT,), generator=rng)
    return task._replace(x=task.x.double(), y=torch.where(hit.to(DEVICE), drawn.to(DEVICE), task.y))


def ways(cfg: Config, weights: Tensor, x: Tensor, count: int = WAYS) -> Tensor:
    """Directions of length 1 to walk in, one where it is the steepest: weights (1, size) float64 -> (ways, size)"""
    drawn = torch.randn(count, NET.size, generator=generator(cfg.seed + 3), dtype=torch.float64).to(DEVICE)
    if cfg.direction == "steep":
        drawn = steepest(weights, x, drawn[0])[None]
    if cfg.direction in ("important", "idle"):
        diagonal = fisher.exact(NET, weights, x)[0]
        above = diagonal > diagonal.median()
        drawn = drawn * (above if cfg.direction == "important" else ~above)
    return drawn / drawn.norm(dim=1, keepdim=True)


def steepest(weights: Tensor, x: Tensor, start: Tensor, rounds: int = 12) -> Tensor:
    """The top eigenvector of F, nearly, by the power method on F v = R^T (R v): (1, size), start (size,) -> (size,)"""
    found, v = fisher.Slopes(NET, weights, x), start
    for _ in range(rounds):
        v = product(found, weights, v / v.norm(), x)
    return v


def product(found: fisher.Slopes, weights: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """F v: (size,) -> (size,)"""
    speed = fisher.moved(NET, weights, v[None], x)[0]  # (n, c)
    pull = found.p[0] * (speed - (found.p[0] * speed).sum(-1, keepdim=True))
    pieces = []
    for a, g in zip(found.inputs, found.outer, strict=True):
        at = torch.einsum("nc,cno->no", pull, g[0]) / len(speed)
        pieces += [(a[0].T @ at).flatten(), at.sum(0)]
    return torch.cat(pieces)


def run(cfg: Config) -> Iterator[Frame]:
    """Ten steps a frame; the Fisher of every frame is taken anew, on the same 400 examples."""
    task, below, rng = numerals(), under(cfg), generator(cfg.seed)
    weights = NET.init(1, rng)
    drawn = torch.randperm(NET.size, generator=generator(cfg.seed + 5))[:DOTS].to(DEVICE)
    for step in range(cfg.steps + 1):
        if step % EVERY == 0 or step == cfg.steps:
            yield look(cfg, weights, below, float(accuracy(NET, weights, task)), step, drawn)
        weights = weights - STEP_SIZE * gradient(NET, weights, *batch(task, COUNT, rng))


def look(cfg: Config, weights: Tensor, task: Task, right: float, step: int, drawn: Tensor) -> Frame:
    """What a frame shows of one network (1, size)."""
    weights, x, y = weights.double(), task.x[None], task.y[None]
    true = fisher.exact(NET, weights, x)[0]
    every = {kind: fisher.diagonal(kind, NET, weights, x, y, cfg.batch, cfg.seed + 11)[0] for kind in fisher.KINDS}
    chosen, *others = every[cfg.kind], *(every[kind] for kind in list(fisher.KINDS)[1:])
    apart, form = walk(cfg, weights, x[:, :WALKED])
    rest = (apart - form).square().mean(0).sqrt()
    apart, form = apart.mean(0), form.mean(0)
    order = true.sort(descending=True).values.cumsum(0)
    return Frame(
        step=step,
        right=right,
        ratio=float(chosen.sum() / true.sum()),
        alike=float(torch.corrcoef(torch.stack([true, chosen]))[0, 1]),
        top_half=float((order < order[-1] / 2).sum() + 1) / len(order),
        slope=order_of(rest),
        half=float(apart[0] / (2 * form[0])),
        map=map_of(chosen),
        dots=torch.stack([torch.stack([true, one], 1)[drawn] for one in others]).clamp_min(1e-12).float().cpu().numpy(),
        apart=against(apart),
        form=against(form),
        rest=against(rest),
    )


@torch.no_grad()
def walk(cfg: Config, weights: Tensor, x: Tensor, count: int = WAYS) -> tuple[Tensor, Tensor]:
    """KL of the outputs, and half d^T F d, at each length along each way: (ways, 19), (ways, 19) float64"""
    along = ways(cfg, weights, x, count)
    lengths = torch.from_numpy(LENGTHS).to(DEVICE)
    places = weights + (lengths[:, None] * along[:, None]).flatten(0, 1)
    apart = fisher.divergence(NET, weights, places, x).view(len(along), -1)
    return apart, lengths.square() * fisher.restricted(NET, weights, along, x).diagonal()[:, None] / 2


def order_of(rest: Tensor) -> float:
    """The slope of the first seven remainders, lengths 0.01 to 0.1, both in logarithms, by least squares: (19,) ->"""
    return float(np.polyfit(np.log(LENGTHS[:7]), np.log(np.maximum(rest[:7].cpu().numpy(), 1e-300)), 1)[0])


def against(values: Tensor) -> np.ndarray:
    """Length and value, (19, 2), no smaller than 1e-13 as the axis is logarithmic."""
    return np.stack([LENGTHS, values.clamp_min(1e-13).cpu().numpy()], 1).astype(np.float32)


def map_of(diagonal: Tensor) -> np.ndarray:
    """The importance of each weight, log10: a tile for what each hidden unit sees, then units x classes; no biases.

    diagonal: (size,) -> (44, 57), the first row at the bottom, NaN between the tiles.
    """
    first, _, last, _ = (part[0].clamp_min(1e-12).log10().cpu().numpy() for part in NET.parts(diagonal[None]))
    side = 8 + GAP
    sheet = np.full((ROWS, COLUMNS), np.nan, np.float32)
    for unit in range(UNITS):
        r, c = ROWS - 8 - unit // ACROSS * side, unit % ACROSS * side
        sheet[r : r + 8, c : c + 8] = first[:, unit].reshape(8, 8)[::-1]
    low = (ROWS - UNITS) // 2
    sheet[low : low + UNITS, -10:] = last[::-1]
    return sheet
