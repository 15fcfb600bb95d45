"""A function on the line, as one task after another bends it, with a method against forgetting and without."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE
from engine.forgetting_curves.course import SEEDS, band, watch
from engine.forgetting_curves.curves import NAMES, Chosen, Numbers
from engine.forgetting_curves.methods import How, Recipe
from engine.forgetting_curves.rehearsing import Replay
from engine.forgetting_curves.tasks import HALF, LINES, ORDERS, Task, on_the_line, waves, wavy
from engine.forgetting_curves.training import Training
from engine.knob import knob

SIDE, HIDDEN, LOOKED, SHOWN = 121, (64, 64), 24, 60  # places drawn; units; looks at a task; points shown of each
METHODS = {name: label for name, label in NAMES.items() if name not in ("naive", "generative", "gaussians", "sparse")}


@dataclass(frozen=True)
class Config(Numbers, Chosen):
    """The settings of tasks on the line."""

    kind: str = knob("pieces", "tasks", choices=LINES)
    method: str = knob("replay", "method", choices=METHODS)
    tasks: int = knob(3, "number of tasks", 1, 5)
    strength: float = knob(100.0, "strength of a penalty", 0.1, 1e6, symbol=r"\lambda", log=True,
                           help="for EWC and SI; for LwF a hundredth of it")  # fmt: skip
    memory: int = knob(20, "buffer, examples", 0, 600)
    fair: str = "buffer"
    apart: str = "kl"
    order: str = knob("given", "order of the tasks", choices=ORDERS, folded=True)
    noise: float = knob(0.05, "noise of the examples", 0.0, 0.5, folded=True)
    step_size: float = knob(0.05, "step size", 0.01, 0.1, symbol=r"\eta", log=True, folded=True)
    epochs: int = knob(40, "passes over a task", 1, 80, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)

    @property
    def sequence(self) -> tuple[Task, ...]:
        """The tasks."""
        return on_the_line(self.kind, self.tasks, self.seed, self.order, self.noise)


class Frame(NamedTuple):
    """A method and none, four networks each, at one time."""

    time: float  # tasks learned, and the part of the present one
    present: int  # number of the task being learned, from 0
    method: np.ndarray  # (4, 121, 2) the functions of the four networks with the method
    naive: np.ndarray  # (4, 121, 2) of those without
    truth: np.ndarray  # (121, 2) the function to learn; of the present task where they differ
    old_points: np.ndarray  # (n, 2) examples of the tasks before this one
    new_points: np.ndarray  # (m, 2) of this one
    kept: np.ndarray  # (k, 2) what the first network's memory holds, if it has one
    tasks: np.ndarray  # (2, T, 3) R² on each task in percent, method and none: mean, least, most
    average: np.ndarray  # (2, 3) over the tasks met so far


def run(cfg: Config) -> Iterator[Frame]:
    """Both learn from the same batches; 24 looks at every task."""
    tasks, recipes = cfg.sequence, [cfg.recipe(cfg.method), Recipe("naive")]
    how = How(cfg.epochs, step_size=cfg.step_size, hidden=HIDDEN)
    training = Training(tasks, recipes, range(cfg.seed, cfg.seed + SEEDS), how)
    for snap in watch(training, LOOKED):
        lines, old = functions(training), [placed(task.x, task.y)[:SHOWN] for task in tasks[: snap.present]]
        yield Frame(
            time=snap.time,
            present=snap.present,
            method=lines[0],
            naive=lines[1],
            truth=truth(cfg, tasks[snap.present]),
            old_points=np.concatenate(old) if old else np.empty((0, 2), np.float32),
            new_points=placed(tasks[snap.present].x, tasks[snap.present].y)[:SHOWN],
            kept=held(training),
            tasks=band(snap.now),
            average=band(snap.average()),
        )


def placed(x: Tensor, y: Tensor) -> np.ndarray:
    """Examples as points of the plane: x (n, 7), y (n,) -> (n, 2)"""
    return torch.stack([HALF * x[:, 0], y], 1).float().cpu().numpy()


def places() -> Tensor:
    """Where the functions are drawn: (121,)"""
    return torch.linspace(-HALF, HALF, SIDE, device=DEVICE)


@torch.no_grad()
def functions(training: Training) -> np.ndarray:
    """What every network makes of the line: (2, 4, 121, 2)"""
    x = places()
    y = training.outputs(training.every, waves(x)[None])[..., 0].view(2, SEEDS, -1)
    return torch.stack([x.expand_as(y), y], -1).float().cpu().numpy()


def truth(cfg: Config, task: Task) -> np.ndarray:
    """The function without noise: (121, 2)"""
    x = places()
    return torch.stack([x, wavy(x, 0 if cfg.kind == "pieces" else "ABCDEFGH".index(task.name))], 1).cpu().numpy()


def held(training: Training) -> np.ndarray:
    """The memory of the first network with the method: (k, 2)"""
    learner = training.learners[0]
    kept = learner.kept if isinstance(learner, Replay) else None
    return placed(kept.x[0], kept.y[0]) if kept is not None else np.empty((0, 2), np.float32)
