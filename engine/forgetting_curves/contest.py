"""All methods on the same tasks, side by side in one batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.forgetting_curves.course import Course, band, watch
from engine.forgetting_curves.curves import Numbers

ENDS = {"joint": "joint", "naive": "naive"}
REHEARSING = {
    "replay": "reservoir", "herding": "herding", "generative": "VAE", "gaussians": "Gaussians", "agem": "A-GEM",
    "gem": "GEM",
}  # fmt: skip
OTHERS = {"ewc": "EWC", "ewc_online": "EWC online", "si": "SI", "lwf": "LwF", "gpm": "GPM", "sparse": "winners"}
METHODS = ENDS | REHEARSING | OTHERS  # short names, in the order of the rows
PLACES = {name: i for i, name in enumerate(METHODS)}
LOOKED, NETWORKS, READ = 20, 3, 60  # looks at a task; networks of each method; test examples for a look


@dataclass(frozen=True)
class Config(Numbers, Course):
    """The settings of all methods at once."""


class Frame(NamedTuple):
    """Fourteen methods, three networks each, at one time."""

    time: float  # tasks learned, and the part of the present one
    average: np.ndarray  # (14, 3) accuracy over the tasks met so far in percent: mean, least, most
    told: np.ndarray  # (14, 4) average accuracy, backward and forward transfer, forgetting, in percent
    best: float  # average accuracy now of the best method but joint training, 0 to 1
    bound: float  # of joint training
    naive: float


def run(cfg: Config) -> Iterator[Frame]:
    """All methods learn from the same batches."""
    training = cfg.training([cfg.recipe(name) for name in METHODS], cfg.fair, NETWORKS)
    for snap in watch(training, LOOKED, READ, most=2, ahead=False):
        average = band(snap.average())
        told = np.stack([value.mean(1) for value in snap.measured().values()], 1)
        yield Frame(
            time=snap.time,
            average=average,
            told=100 * told.astype(np.float32),
            best=float(np.nanmax(average[1:, 0])) / 100,
            bound=float(average[0, 0]) / 100,
            naive=float(average[1, 0]) / 100,
        )
