"""Between remembering and learning: one number of a method at eight values, all in one batch, each a run to open."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from engine.forgetting_curves.course import Course, Snap, band, watch
from engine.forgetting_curves.methods import Recipe
from engine.forgetting_curves.tasks import KINDS
from engine.knob import knob
from engine.tape import record

NETWORKS, LOOKED, READ = 3, 12, 100  # networks at each value; looks at a task; test examples for a look
SWEEPS = {
    "ewc": "EWC: strength λ",
    "ewc_plain": "EWC by plain gradient: strength λ",
    "si": "synaptic intelligence: strength λ",
    "lwf": "LwF: strength λ",
    "replay": "rehearsal: size of the buffer",
    "gpm": "GPM: energy protected",
    "sparse": "few winners: how many of 100",
}
POWERS = np.logspace(0, 7, 8)
VALUES: dict[str, np.ndarray] = {
    "ewc": POWERS / 10,
    "ewc_plain": POWERS / 10,
    "si": POWERS / 1e4,
    "lwf": POWERS / 1e3,
    "replay": np.array([2, 5, 10, 20, 50, 100, 200, 600]),
    "gpm": np.array([0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995, 1.0]),
    "sparse": np.array([2, 4, 8, 16, 25, 40, 65, 100]),
}
FIELDS = {"replay": "memory", "gpm": "threshold", "sparse": "k"}  # of a recipe; the strength for the others


@dataclass(frozen=True)
class Config(Course):
    """The settings of a sweep."""

    kind: str = knob("permuted", "tasks", choices=KINDS)
    tasks: int = knob(4, "number of tasks", 1, 6, help="split digits have at most five")
    sweep: str = knob("ewc", "along the sweep", choices=SWEEPS)
    index: int = knob(3, "run opened", 0, 7, help="or click a point")

    @property
    def values(self) -> np.ndarray:
        """The eight values."""
        return VALUES[self.sweep]

    @property
    def recipes(self) -> list[Recipe]:
        """The method at each value."""
        name, cast = FIELDS.get(self.sweep, "strength"), float if self.sweep not in ("replay", "sparse") else int
        start = Recipe(self.sweep.removesuffix("_plain"), plain=self.sweep.endswith("plain"))
        return [start._replace(**{name: cast(value)}) for value in self.values]


class Frame(NamedTuple):
    """Eight values, three networks each, at one time. Accuracies in percent; NaN where a network has diverged."""

    time: float  # tasks learned, and the part of the present one
    value: float  # of the run opened
    points: np.ndarray  # (8, 2) plasticity, stability: means over the networks
    lost: np.ndarray  # (≤ 8, 2) where the diverged ones are marked
    spot: np.ndarray  # (1, 2) the run opened
    old: np.ndarray  # (8, 2) value, accuracy on the tasks before the last learned, now: stability
    new: np.ndarray  # (8, 2) value, accuracy on each task just after it: plasticity
    average: np.ndarray  # (8, 2) value, accuracy on all tasks learned
    tasks: np.ndarray  # (T, 3) of the run opened: accuracy on each task, mean, least, most
    best: float  # the value with the highest average
    diverged: int  # values at which a network's weights are no numbers any more


def sweep(cfg: Config) -> Iterator[Snap]:
    """The sweep itself; which run is opened does not matter."""
    yield from watch(cfg.training(cfg.recipes, seeds=NETWORKS), LOOKED, READ, most=4)


def run(cfg: Config) -> Iterator[Frame]:
    """The frames of the one recorded sweep, with the chosen run opened."""
    tape, at = record(sweep, replace(cfg, index=0)), 0
    while at < len(tape.frames) or not tape.done:
        if at == len(tape.frames):
            tape.wind(0)
            continue
        yield opened(cfg, tape.frames[at])
        at += 1


def balance(snap: Snap) -> tuple[np.ndarray, np.ndarray]:
    """Stability and plasticity in percent: (8,) each; NaN before there is an old task.

    Stability is the mean accuracy now on the tasks learned before the present one, plasticity the mean accuracy on
    those tasks and the present one just after each was learned, or now.
    """
    present, now = snap.present, snap.now.mean(1)
    just = np.diagonal(snap.matrix, axis1=2, axis2=3).mean(1)[:, :present]
    plastic = np.concatenate([just, now[:, present : present + 1]], 1)[:, 1 if present else 0 :]
    stable = now[:, :present].mean(1) if present else np.full(len(now), np.nan)
    return 100 * stable, 100 * plastic.mean(1)


def opened(cfg: Config, snap: Snap) -> Frame:
    """What a frame shows."""
    stable, plastic = balance(snap)
    values, average = cfg.values, 100 * snap.average().mean(1)
    gone = np.isnan(average)
    points = np.stack([plastic, stable], 1).astype(np.float32)
    return Frame(
        time=snap.time,
        value=float(values[cfg.index]),
        points=points,
        lost=np.array([[4.0 + 6 * i, 4.0] for i in range(int(gone.sum()))], np.float32).reshape(-1, 2),
        spot=points[cfg.index : cfg.index + 1],
        old=np.stack([values, stable], 1).astype(np.float32),
        new=np.stack([values, plastic], 1).astype(np.float32),
        average=np.stack([values, average], 1).astype(np.float32),
        tasks=band(snap.now[cfg.index : cfg.index + 1])[0],
        best=float(values[np.nanargmax(average)]) if not gone.all() else float("nan"),
        diverged=int(gone.sum()),
    )
