"""A boundary in the plane, as one task after another bends it, with a method against forgetting and without."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from engine.data import points
from engine.device import DEVICE
from engine.forgetting_curves.course import SEEDS, band, watch
from engine.forgetting_curves.curves import NAMES, Chosen, Numbers
from engine.forgetting_curves.methods import How, Recipe
from engine.forgetting_curves.tasks import POINTS, Task, drawn, in_the_plane
from engine.forgetting_curves.training import Training
from engine.knob import knob

REACH, SIDE, HIDDEN, LOOKED = 3.0, 41, (32, 32), 24  # half the map's width; its cells; units; looks at a task
METHODS = {name: label for name, label in NAMES.items() if name != "naive"}


@dataclass(frozen=True)
class Config(Numbers, Chosen):
    """The settings of tasks in the plane."""

    method: str = knob("replay", "method", choices=METHODS)
    tasks: int = knob(3, "number of tasks", 1, 5)
    angle: float = knob(
        90.0, "turned further by, degrees", 0.0, 180.0, help="from one task to the next; 0: all the same"
    )
    strength: float = knob(100.0, "strength of a penalty", 0.1, 1e6, symbol=r"\lambda", log=True, folded=True)
    memory: int = knob(20, "buffer, examples", 0, 600)
    fair: str = "buffer"
    sketch: str = knob("", "the points you drew", text=points.check_code)
    epochs: int = knob(20, "passes over a task", 1, 40, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)

    @property
    def sequence(self) -> tuple[Task, ...]:
        """The tasks, the drawn one last."""
        made = in_the_plane(self.tasks, self.seed, self.angle)
        if not self.sketch:
            return made
        return (*made, drawn(torch.from_numpy(points.decode(self.sketch)).float(), "ABCDEFGH"[len(made)], self.seed))


class Frame(NamedTuple):
    """A method and none, four networks each, at one time."""

    time: float  # tasks learned, and the part of the present one
    present: int  # number of the task being learned, from 0
    method: np.ndarray  # (41, 41) probability of the second class, first network with the method; bottom row first
    naive: np.ndarray  # (41, 41) first network without
    old_points: np.ndarray  # (n, 3) points of the tasks before this one, with their class
    new_points: np.ndarray  # (m, 3) of this one
    tasks: np.ndarray  # (2, T, 3) accuracy on each task in percent, method and none: mean, least, most
    average: np.ndarray  # (2, 3) over the tasks met so far


def run(cfg: Config) -> Iterator[Frame]:
    """Both learn from the same batches; 24 looks at every task."""
    tasks, recipes = cfg.sequence, [cfg.recipe(cfg.method), Recipe("naive")]
    training = Training(tasks, recipes, range(cfg.seed, cfg.seed + SEEDS), How(cfg.epochs, hidden=HIDDEN))
    for snap in watch(training, LOOKED):
        maps = map_of(training)
        old = [placed(task) for task in tasks[: snap.present]]
        yield Frame(
            time=snap.time,
            present=snap.present,
            method=maps[0],
            naive=maps[1],
            old_points=np.concatenate(old) if old else np.empty((0, 3), np.float32),
            new_points=placed(tasks[snap.present]),
            tasks=band(snap.now),
            average=band(snap.average()),
        )


def placed(task: Task) -> np.ndarray:
    """The first points of a task with their classes: (n, 3)"""
    return torch.cat([task.x, task.y[:, None].to(task.x)], 1)[:POINTS].cpu().numpy()


@torch.no_grad()
def map_of(training: Training) -> np.ndarray:
    """What the first network of each recipe says of the places of the map: (2, 41, 41)"""
    line = REACH * (2 * (torch.arange(SIDE) + 0.5) / SIDE - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y], -1).view(1, -1, 2).to(DEVICE)
    return training.outputs(training.every[:, 0], places).softmax(-1)[..., 1].view(-1, SIDE, SIDE).cpu().numpy()
