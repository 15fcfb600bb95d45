"""One change for every picture: learned on some, tried on others and on other classifiers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from engine.adversarial_examples.classifiers import DATA, KINDS, TRAININGS, Learning, array, examples, trained
from engine.adversarial_examples.universal import ascend, fooling
from engine.device import generator
from engine.knob import knob

STEPS, EVERY, LEARNED, BATCH = 60, 2, 500, 100  # of the ascent; steps a frame; pictures learned from; of a step
TESTED = 150  # held-out pictures


@dataclass(frozen=True)
class Config:
    """The settings of the ascent."""

    data: str = knob("digits", "pictures", choices=DATA)
    model: str = knob("mlp", "classifier", choices=KINDS)
    training: str = knob("standard", "training", choices=TRAININGS)
    eps: float = knob(0.25, "budget, ℓ∞", 0.0, 0.5, symbol=r"\xi", step=0.01)
    seed: int = knob(0, "seed", 0, 99, folded=True)

    @property
    def all(self) -> tuple[Learning, ...]:
        """The three classifiers, all trained the same way."""
        own = Learning(self.data, self.model, self.training, self.seed)
        return tuple(replace(own, model=kind) for kind in KINDS)

    @property
    def needed(self) -> tuple[Learning, ...]:
        """The trainings that this view begins with."""
        return self.all


class Frame(NamedTuple):
    """The change after some steps, one for each of three classifiers."""

    step: int
    fooled: float  # share of held-out pictures whose class it alters
    learned: float  # of the pictures that it was learned from
    noise: float  # what random signs of the same size alter, of the held-out ones
    error: float  # standard error of `fooled`
    into: float  # share of the held-out pictures that end in the one class that draws most
    change: np.ndarray  # (1, h, w) the change, around middle grey
    shown: np.ndarray  # (10, h, w) five held-out pictures, and with the change
    matrix: np.ndarray  # (4, 3) made on a row's classifier, tried on a column's; noise in the first row


def run(cfg: Config) -> Iterator[Frame]:
    """Two steps a frame; the first frame waits for the trainings."""
    seen, models = examples(cfg.data), [trained(one) for one in cfg.all]
    x, test = seen.train[:LEARNED], seen.test[:TESTED]
    mine, eps = list(KINDS).index(cfg.model), max(cfg.eps, 1e-9)
    own = models[mine]
    with torch.no_grad():
        said = [model(x).argmax(1) for model in models]
    climbs = [
        ascend(model, x, y, eps, generator(cfg.seed), steps=STEPS, batch=BATCH)
        for model, y in zip(models, said, strict=True)
    ]

    signs = eps * torch.randn(test.shape[1:], generator=generator(cfg.seed)).to(test).sign()
    for step, changes in enumerate(zip(*climbs, strict=True), 1):
        if step % EVERY and step > 1:
            continue
        v = changes[mine]
        share = fooling(own, test, v)
        with torch.no_grad():
            drawn = own((test + v).clamp(0, 1)).argmax(1).bincount(minlength=10)
        rows = [[fooling(model, test, change) for model in models] for change in (signs, *changes)]
        yield Frame(
            step=step,
            fooled=share,
            learned=fooling(own, x, v),
            noise=fooling(own, test, signs),
            error=(share * (1 - share) / TESTED) ** 0.5,
            into=float(drawn.max() / len(test)),
            change=array(0.5 + 0.5 * v[None] / eps),
            shown=array(torch.cat([test[:5], (test[:5] + v).clamp(0, 1)])),
            matrix=np.array(rows, np.float32),
        )
