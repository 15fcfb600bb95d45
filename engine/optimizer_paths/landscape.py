"""The loss of a real network on a plane through its weights, and the way that its training took."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.plane import Plane, losses, path_directions, random_directions, shadow, sharp_directions
from engine.optimizer_paths.task import Task
from engine.optimizer_paths.training import Training, learned

COARSE, FINE, ROWS = 13, 51, 5  # places along an edge; fine rows for each frame
LOWEST, HIGHEST = 1e-6, 1e6  # losses are drawn within
DIRECTIONS = {"path": "of the path (PCA)", "random": "random, filter-normalised", "sharp": "two sharpest (Hessian)"}


@dataclass(frozen=True)
class Config(Training):
    """The settings of one training run and of the plane that it is seen on."""

    directions: str = knob("path", "plane", choices=DIRECTIONS, help="which two directions span the picture")
    half: float = knob(
        1.3,
        "half-width",
        0.05,
        3.0,
        log=True,
        help="1 is the length of the path, from start to end, or that of the weights for the other planes",
    )


class Frame(NamedTuple):
    """The network after some steps, and the plane as far as it is computed. All losses are over the training set."""

    step: int
    height: np.ndarray  # (13, 13), then (51, 51): log10 of the loss on the plane, rows from low to high b
    finished: float  # share of the fine rows that are computed
    path: np.ndarray  # (61, 2) where the path falls on the plane; its future is drawn as its present
    spot: np.ndarray  # (1, 2) where the network falls on the plane
    true_loss: float  # of the network itself
    plane_loss: float  # of the point of the plane that lies under it
    accuracy: float  # of the network on the test set
    residual: float  # how far it is off the plane, as a share of its distance from the end, NaN there
    explained: float  # share of the path's squared distances from its end that lies in the plane
    diverged: int  # step at which the weights ran away, -1 if they did not


def places(count: int, half: float) -> Tensor:
    """The middles of `count` cells that cover [-half, half]: (count,)"""
    return half * ((torch.arange(count, dtype=torch.float64) + 0.5) * 2 / count - 1)


def height(loss: Tensor) -> np.ndarray:
    """log10 of losses for the picture, finite whatever they are: float32"""
    clean = torch.nan_to_num(loss.double(), nan=HIGHEST, posinf=HIGHEST).clamp(LOWEST, HIGHEST)
    return clean.log10().float().cpu().numpy()


def finite(loss: float) -> float:
    """The loss, or 10^6 where it is larger or no number."""
    return loss if loss < HIGHEST else HIGHEST


def plane_of(kind: str, task: Task, path: Tensor, rng: torch.Generator) -> Plane:
    """The plane through the end of a path (m, size), spanned by one of DIRECTIONS."""
    make = {
        "path": lambda: path_directions(path),
        "random": lambda: random_directions(task.net, path[-1], rng),
        "sharp": lambda: sharp_directions(task, path[-1], rng),
    }
    return Plane(path[-1], make[kind]())


class Picture:
    """The plane's picture: coarse at once, then finer row by row."""

    def __init__(self, task: Task, plane: Plane, half: float) -> None:
        coarse = places(COARSE, half)
        self.image = height(torch.stack(list(losses(task, plane, coarse, coarse))))
        fine = places(FINE, half)
        self._rows, self.done = losses(task, plane, fine, fine), 0

    def refine(self, rows: int) -> np.ndarray:
        """Some more of the 51 rows; those to come are drawn from the coarse picture."""
        if self.done == FINE:
            return self.image
        if self.done == 0:
            nearest = (np.arange(FINE) * COARSE) // FINE
            self.image = self.image[nearest][:, nearest]
        fresh = self.image.copy()
        for row in range(self.done, min(self.done + rows, FINE)):
            fresh[row] = height(next(self._rows))
        self.done = min(self.done + rows, FINE)
        self.image = fresh
        return fresh


def run(cfg: Config) -> Iterator[Frame]:
    """Walk along the path of a training over the plane; the first frame has the coarse picture.

    The training itself is a run of its own, waited for here if it has not been watched.
    """
    task, test = cfg.tasks
    kept, path = learned(cfg)
    plane = plane_of(cfg.directions, task, path, generator(cfg.seed + 1000))
    seen, picture = shadow(plane, path), Picture(task, plane, cfg.half)
    spots = seen.spots.float().numpy()
    for i, now in enumerate(kept):
        pair = torch.stack([path[i], plane.at(seen.spots[i : i + 1])[0]])
        true, under = task.loss(pair).tolist()
        yield Frame(
            step=now.step,
            height=picture.refine(ROWS) if i else picture.image,
            finished=picture.done / FINE,
            path=np.concatenate([spots[:i], np.repeat(spots[i : i + 1], len(spots) - i, 0)]),
            spot=spots[i : i + 1],
            true_loss=finite(true),
            plane_loss=finite(under),
            accuracy=float(test.accuracy(path[i : i + 1])),
            residual=float(seen.residual[i] / seen.distance[i]) if seen.distance[i] else nan,
            explained=seen.explained,
            diverged=now.diverged,
        )
