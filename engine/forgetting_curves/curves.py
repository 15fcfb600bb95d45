"""Forgetting, watched: accuracy on every task while the next ones are learned, with a method against none."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.forgetting_curves.course import FAIR, Course, band, watch
from engine.forgetting_curves.distilling import DISTANCES
from engine.forgetting_curves.methods import Recipe
from engine.knob import knob

NAMES = {
    "naive": "naive: nothing against it",
    "replay": "rehearsal, reservoir",
    "herding": "rehearsal, herded coreset",
    "generative": "generative replay, a VAE",
    "gaussians": "generative replay, Gaussians",
    "ewc": "EWC",
    "ewc_online": "EWC, online",
    "si": "synaptic intelligence",
    "lwf": "learning without forgetting",
    "agem": "A-GEM",
    "gem": "GEM",
    "gpm": "gradient projection (GPM)",
    "sparse": "few winners, with dropout",
}
DISTILLED = 100.0  # LwF's weight is the knob's lambda over this


@dataclass(frozen=True)
class Numbers:
    """What the methods need."""

    strength: float = knob(100.0, "strength of a penalty", 0.1, 1e6, symbol=r"\lambda", log=True,
                           help="for EWC and SI; for LwF a hundredth of it")  # fmt: skip
    memory: int = knob(100, "buffer, examples", 0, 600, help="for rehearsal, A-GEM and GEM; more than there are: all")
    fair: str = knob("buffer", "fairness", choices=FAIR,
                     help="memory: as many numbers as EWC keeps; compute: half of a batch is old, "
                     "and GEM still reads its whole memory")  # fmt: skip
    threshold: float = knob(0.97, "energy protected", 0.5, 1.0, symbol=r"\epsilon", folded=True, help="for GPM")
    k: int = knob(25, "winners of 100 units", 1, 100, symbol="k", folded=True)
    alpha: float = knob(1.0, "dropout of used units", 0.0, 8.0, symbol=r"\alpha", folded=True)
    apart: str = knob("kl", "LwF: distance of outputs", choices=DISTANCES, folded=True)

    def recipe(self, method: str) -> Recipe:
        """A method with these numbers."""
        strength = self.strength / (DISTILLED if method == "lwf" else 1)
        return Recipe(method, strength, self.memory, self.threshold, self.k, self.alpha, apart=self.apart)


@dataclass(frozen=True)
class Chosen:
    """One method of all."""

    method: str = knob("replay", "method", choices=NAMES)


@dataclass(frozen=True)
class Config(Numbers, Chosen, Course):
    """The settings of one method on a sequence of tasks."""


class Frame(NamedTuple):
    """Three methods (the chosen one, naive, joint), four networks each, at one time. Accuracies in percent."""

    time: float  # tasks learned, and the part of the present one
    tasks: np.ndarray  # (3, T, 3) accuracy on each task: mean, least, most
    average: np.ndarray  # (3, 3) over the tasks met so far
    matrix: np.ndarray  # (T, T) R[i, j] of the chosen method, mean of the networks, NaN where not yet
    accuracy: float  # after the last task learned, 0 to 1; NaN before the first, as are the next three
    backward: float
    forward: float
    forgetting: float
    naive: float  # forgetting without a method
    bound: float  # accuracy of joint training
    spread: float  # standard deviation of the accuracy over the four networks
    diverged: int  # networks whose weights are no numbers any more


def run(cfg: Config) -> Iterator[Frame]:
    """The chosen method between no method and joint training, all in one batch."""
    training = cfg.training([cfg.recipe(cfg.method), Recipe("naive"), Recipe("joint")], cfg.fair)
    for snap in watch(training):
        told = snap.measured()
        yield Frame(
            time=snap.time,
            tasks=band(snap.now),
            average=band(snap.average()),
            matrix=100 * snap.matrix[0].mean(0).astype(np.float32),
            accuracy=float(told["average"][0].mean()),
            backward=float(told["backward"][0].mean()),
            forward=float(told["forward"][0].mean()),
            forgetting=float(told["forgetting"][0].mean()),
            naive=float(told["forgetting"][1].mean()),
            bound=float(told["average"][2].mean()),
            spread=float(told["average"][0].std(ddof=1)),
            diverged=int(np.isnan(snap.now[0]).any(-1).sum()),
        )
