"""Batch size against step size: a grid of networks trained at once, and how sharp the minima are that they find."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.lanczos import lanczos
from engine.optimizer_paths.rules import RULES, Hyper
from engine.optimizer_paths.task import digit_tasks
from engine.optimizer_paths.training import batch

BATCHES = (4, 8, 16, 32, 64)
STEP_SIZES = (0.025, 0.05, 0.1, 0.2)
RADII = (0.0, 0.05, 0.1, 0.2)  # of SAM, in the row beside the grid
STAGES, LOOKS = 20, 10  # measurements of every row; Lanczos steps of each
PIECE = 2e7  # examples times weights in a piece of training: some 20 ms
EQUAL = {"flow": "equal step size × steps", "epochs": "equal epochs"}


@dataclass(frozen=True)
class Config:
    """The settings of one grid."""

    equal: str = knob("flow", "compare at", choices=EQUAL, help="at equal epochs, lr/B also sets how long one trains")
    flow: float = knob(25.0, "step size × steps", 5.0, 80.0, log=True, help="used where this is what is equal")
    epochs: int = knob(4, "epochs", 1, 10, help="used where this is what is equal")
    rho: float = knob(0.0, "SAM's radius", 0.0, 0.3, symbol=r"\rho", help="0 is plain gradient descent on batches")
    seeds: int = knob(2, "runs for each cell", 1, 4, folded=True)
    width: int = knob(16, "hidden units", 4, 32, log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)


class Frame(NamedTuple):
    """The grid as far as it is trained. Rows are batch sizes, columns step sizes."""

    stage: int  # 1 .. 20, of the row measured last
    done: float  # share of all the work
    largest: np.ndarray  # (5, 4) lambda_max, mean over the runs of a cell
    loss: np.ndarray  # (5, 4) over the training set, mean
    sharp: np.ndarray  # (20, 2) log10 of step size / batch size, and log10 of lambda_max
    trained: np.ndarray  # (20, 2) log10 of step size / batch size, and log10 of step size * steps
    sam: np.ndarray  # (4, 2) SAM's radius and lambda_max, at step size 0.1 and batches of 32
    rank: float  # Spearman's correlation of lambda_max with step size / batch size over the cells
    time_rank: float  # the same of step size * steps; 0 where all cells trained alike


class Row:
    """Networks of one batch size, trained side by side: `seeds` runs for every step size or radius of SAM."""

    def __init__(self, cfg: Config, size: int, step_sizes: tuple[float, ...], radii: tuple[float, ...]) -> None:
        self.task, self.size, self.runs = digit_tasks(cfg.width, 1)[0], size, cfg.seeds
        self.rng, n = generator(cfg.seed), self.task.x.shape[1]
        self.step_sizes, self.radii = self._each(step_sizes), self._each(radii)
        self.weights = self.task.net.init(cfg.seeds, self.rng).repeat(len(step_sizes), 1)
        self.steps = torch.zeros(len(self.weights), dtype=torch.long)
        flow = (cfg.flow / self.step_sizes[:, 0]).cpu()
        self.plan = flow if cfg.equal == "flow" else torch.full_like(flow, cfg.epochs * n / size)

    def _each(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values).repeat_interleave(self.runs)[:, None].to(self.task.x)

    @property
    def parts(self) -> int:
        """In how many pieces a stage of training is best done, so that none takes long."""
        twice = 2 if bool(self.radii.any()) else 1
        work = float(self.plan.sum()) / STAGES * (self.size + 64) * self.task.net.size * twice
        return 1 + int(work / PIECE)

    def advance(self, share: float) -> None:
        """Train every network until that share of its steps is done."""
        left = (share * self.plan).round().long() - self.steps
        while bool((left > 0).any()):
            active = torch.nonzero(left > 0)[:, 0]
            count = int(left[active].min())
            self.weights[active] = self._trained(active, count)
            left[active] -= count
            self.steps[active] += count

    def _trained(self, active: Tensor, count: int) -> Tensor:
        """The weights of some networks after so many steps, plain or SAM's."""
        w, step_sizes, radii = self.weights[active], self.step_sizes[active], self.radii[active]
        rule, hyper = RULES["sam" if bool(radii.any()) else "gd"], Hyper(rho=cast(float, radii))  # one for each network
        state = rule.init(w)
        for k in range(count):
            slope = batch(self.task, len(w), self.size, self.rng).gradient
            w, state = rule.step(slope, w, state, hyper, k, step_sizes)
        return w

    def sharpness(self) -> np.ndarray:
        """lambda_max of every network, by a few steps of Lanczos for all at once: (columns, runs)"""
        start = torch.randn(self.weights.shape, generator=self.rng).to(self.weights)
        found = lanczos(self.task.curvature(self.weights), start, LOOKS)
        values = [found.ritz(run)[0][-1] for run in range(len(self.weights))]
        return np.array(values).reshape(-1, self.runs)

    def loss(self) -> np.ndarray:
        """Over the whole training set: (columns, runs)"""
        return self.task.loss(self.weights).cpu().numpy().reshape(-1, self.runs)

    def time(self) -> np.ndarray:
        """Step size times steps: (columns,)"""
        return (self.step_sizes[:, 0].cpu() * self.steps).numpy().reshape(-1, self.runs)[:, 0]


def rows(cfg: Config) -> list[Row]:
    """A row for each batch size, and one for SAM's radius beside them."""
    grid = [Row(cfg, size, STEP_SIZES, (cfg.rho,) * len(STEP_SIZES)) for size in BATCHES]
    return [*grid, Row(cfg, 32, (0.1,) * len(RADII), RADII)]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the ranks of two arrays; 0 where one of them is the same throughout."""
    a, b = rankdata(a.ravel().round(9)), rankdata(b.ravel().round(9))
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0


def run(cfg: Config) -> Iterator[Frame]:
    """Twenty times a measurement of each row in turn; between two of them its networks train on."""
    every = rows(cfg)
    shape = (len(every), len(STEP_SIZES))  # at first all cells hold the same networks
    largest, loss = np.full(shape, every[0].sharpness().mean()), np.full(shape, every[0].loss().mean())
    for stage in range(STAGES):
        for i, row in enumerate(every):
            parts = row.parts
            for part in range(1, parts + 1):
                row.advance((stage + part / parts) / STAGES)
                if part == parts:
                    largest, loss = largest.copy(), loss.copy()
                    largest[i], loss[i] = row.sharpness().mean(1), row.loss().mean(1)
                done = (stage + (i + part / parts) / len(every)) / STAGES
                yield _frame(cfg, every, largest, loss, stage + 1, done)


def _frame(cfg: Config, every: list[Row], largest: np.ndarray, loss: np.ndarray, stage: int, done: float) -> Frame:
    ratio = np.array(STEP_SIZES) / np.array(BATCHES)[:, None]
    time = np.array([row.time() for row in every[:-1]])
    return Frame(
        stage=stage,
        done=done,
        largest=largest[:-1],
        loss=loss[:-1],
        sharp=_points(ratio, largest[:-1]),
        trained=_points(ratio, time),
        sam=np.stack([np.array(RADII), largest[-1]], 1),
        rank=spearman(ratio, largest[:-1]),
        time_rank=spearman(ratio, time) if cfg.equal == "epochs" else 0.0,
    )


def _points(ratio: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(np.stack([ratio.ravel(), values.ravel()], 1), 1e-6))
