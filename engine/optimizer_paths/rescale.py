"""The same function, sharper: scaling one layer up and the next one down changes every curvature and no output."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.optimizer_paths.lanczos import sharpness
from engine.optimizer_paths.landscape import height
from engine.optimizer_paths.plane import Plane, losses, random_directions
from engine.optimizer_paths.task import Network
from engine.optimizer_paths.training import Training, learned

WAYS, PLACES = 41, 61  # factors on the slider; places on a cut through the loss


@dataclass(frozen=True)
class Config:
    """The settings of the trained network and of the cuts through its loss."""

    furthest: float = knob(20.0, "largest factor", 2.0, 100.0, log=True, help="the slider goes from 1/this to this")
    reach: float = knob(
        1.0, "reach of the cuts", 0.05, 3.0, log=True, help="1 is the length of the weights, as they were trained"
    )
    steps: int = knob(400, "training steps", 10, 2000, log=True)
    width: int = knob(32, "hidden units", 2, 64, log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)

    @property
    def training(self) -> Training:
        """The training run of the network."""
        return Training(steps=self.steps, width=self.width, seed=self.seed)


class Frame(NamedTuple):
    """The network after its first layer is multiplied by a factor and its second divided by it."""

    factor: float
    largest: float  # lambda_max of the Hessian over the training set
    ratio: float  # by how much it is larger than that of the network as trained
    flattest: float  # the least lambda_max over the factors of the slider
    output_change: float  # largest change of an output, relative to the largest output
    loss: float
    accuracy: float  # on the test set
    plain: np.ndarray  # (61, 2) place and log10 loss along a random direction as long as the trained weights
    fair: np.ndarray  # (61, 2) the same along a filter-normalised direction


def rescaled(net: Network, weights: Tensor, factor: float) -> Tensor:
    """The first layer and its biases times `factor`, the second layer's matrix divided by it: (k, size) -> (k, size).

    With relu units the outputs stay what they were, for relu(a z) = a relu(z) where a > 0 (Dinh et al. 2017).
    Raises ValueError for a factor that is not positive, or another activation.
    """
    if factor <= 0 or net.activation != "relu":
        raise ValueError(f"Saw a factor of {factor} and {net.activation} units, expected one above 0 and relu.")
    first, bias, second, *rest = net.parts(weights)
    pieces = [first * factor, bias * factor, second / factor, *rest]
    return torch.cat([piece.flatten(1) for piece in pieces], 1)


@cache
def factors(furthest: float) -> tuple[float, ...]:
    """The factors of the slider, evenly spaced in the logarithm, 1 in the middle."""
    return tuple(float(f) for f in np.geomspace(1 / furthest, furthest, WAYS))


def cuts(cfg: Config, weights: Tensor, drawn: Tensor, length: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The loss along one random direction twice: in the given length, and filter-normalised. (61, 2) each."""
    task, rng = cfg.training.tasks[0], generator(cfg.seed + 2000)
    fair = random_directions(task.net, weights[0], rng)
    steps, still = cfg.reach * torch.linspace(-1, 1, PLACES), torch.zeros(1)
    found = []
    for along in (drawn / drawn.norm() * length, fair[:1]):
        plane = Plane(weights[0], torch.cat([along, torch.zeros_like(along)]))
        (row,) = losses(task, plane, steps, still)
        found.append(np.stack([steps.numpy(), height(row)], 1))
    return found[0], found[1]


def run(cfg: Config) -> Iterator[Frame]:
    """One frame for every factor, from 1 / furthest to furthest."""
    (task, test), (_, path) = cfg.training.tasks, learned(cfg.training)
    trained, rng = path[-1:], generator(cfg.seed + 1000)
    before = task.net(trained, task.x)
    sharp = sharpness(task, trained, rng)
    drawn = torch.randn(1, task.net.size, generator=rng).to(trained)
    flattest = sharp
    for factor in factors(cfg.furthest):
        weights = rescaled(task.net, trained, factor)
        largest = sharpness(task, weights, rng)
        flattest = min(flattest, largest)
        plain, fair = cuts(cfg, weights, drawn, trained.norm())
        yield Frame(
            factor=factor,
            largest=largest,
            ratio=largest / sharp,
            flattest=flattest,
            output_change=float((task.net(weights, task.x) - before).abs().max() / before.abs().max()),
            loss=float(task.loss(weights)),
            accuracy=float(test.accuracy(weights)),
            plain=plain,
            fair=fair,
        )
