"""Many pictures under many attacks: how many keep their label within each budget, and how short a change can be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples.attacks import ATTACKS
from engine.adversarial_examples.classifiers import DATA, KINDS, Learning, array, examples, trained
from engine.adversarial_examples.goal import Goal, unwarned
from engine.adversarial_examples.threat import length
from engine.device import generator
from engine.knob import knob

STEPS, PICTURES, CARRIED = 20, 100, 50  # of the budget after 0; held-out pictures at most; tried on other classifiers
REACH = {"linf": {"digits": 0.3, "glyphs": 0.2}, "l2": {"digits": 1.6, "glyphs": 2.4}}
NORMS = {"linf": "ℓ∞: each pixel by ε", "l2": "ℓ2: the length of all"}
CURVES = ("noise", "fgsm", "pgd", "shortest", "robust")  # rows of Frame.kept
SHORTEST = {"linf": "fmn", "l2": "ddn"}


@dataclass(frozen=True)
class Config:
    """The settings of a comparison on held-out pictures."""

    data: str = knob("digits", "pictures", choices=DATA)
    model: str = knob("mlp", "classifier", choices=KINDS)
    norm: str = knob("linf", "ball", choices=NORMS)
    steps: int = knob(20, "steps of PGD", 2, 100, log=True)
    n: int = knob(60, "pictures", 20, PICTURES)
    seed: int = knob(0, "seed", 0, 99, folded=True)

    @property
    def needed(self) -> tuple[Learning, ...]:
        """The trainings that this view begins with: both ways, and all kinds to carry changes between."""
        own = Learning(self.data, self.model, "standard", self.seed)
        others = (replace(own, model=kind) for kind in KINDS)
        return tuple(dict.fromkeys((own, replace(own, training="robust"), *others)))

    @property
    def reach(self) -> float:
        """The largest budget."""
        return REACH[self.norm][self.data]


class Frame(NamedTuple):
    """All curves up to one budget. Accuracies are shares of the held-out pictures."""

    eps: float
    kept: np.ndarray  # (5,) share that keeps its label under noise, FGSM, PGD, within the shortest change; PGD, robust
    lines: np.ndarray  # (5, 21, 2) budget and share; those to come are drawn as this one
    transfer: np.ndarray  # (4, 3) share at half the range: noise, or made on a row's classifier; tried on a column's
    clean: float  # accuracy without an attack
    median: float  # the shortest change found, median over pictures
    sheet: np.ndarray  # (10, h, w) the same five pictures, and under PGD
    fooled: int  # of the pictures, by PGD


class Attacker:
    """One curve: the pictures that are still right, attacked again at each budget."""

    def __init__(self, name: str, cfg: Config, model: Callable, x: Tensor, y: Tensor) -> None:
        self.name, self.cfg, self.model, self.x, self.y = name, cfg, model, x, y
        self.found, self.rng = x.clone(), generator(cfg.seed)
        self.left = torch.nonzero(~Goal(model, y).reached(x))[:, 0]

    def at(self, eps: float) -> float:
        """The share that keeps its label within eps, which never falls from call to call."""
        if len(self.left) and eps:
            steps = {"steps": self.cfg.steps} if self.name == "pgd" else {}
            x, y = self.x[self.left], self.y[self.left]
            with unwarned():
                moved = ATTACKS[self.name](self.model, x, y, eps=eps, norm=self.cfg.norm, generator=self.rng, **steps)
            self.found[self.left] = moved
            self.left = self.left[~Goal(self.model, y).reached(moved)]
        return len(self.left) / len(self.x)


def shortest(cfg: Config, model: Callable, x: Tensor, y: Tensor) -> Tensor:
    """The length of the shortest change found for each picture: (n,); 0 where it is wrong as it stands."""
    settings = {"norm": "linf"} if cfg.norm == "linf" else {}
    with unwarned():
        found = ATTACKS[SHORTEST[cfg.norm]](model, x, y, steps=60, **settings)
    size = length(found - x, cfg.norm)
    return torch.where(Goal(model, y).reached(found), size, torch.inf)


def carried(cfg: Config, models: list[Callable], x: Tensor, y: Tensor, eps: float) -> np.ndarray:
    """Noise, and changes made on each classifier, tried on each: (4, 3) share that loses its label, of those right."""
    made = []
    with unwarned():
        for name, model in [("noise", models[0]), *(("pgd", m) for m in models)]:
            steps = {"steps": 10, "early_stop": False} if name == "pgd" else {}
            made.append(ATTACKS[name](model, x, y, eps=eps, norm=cfg.norm, keep_failed=True, **steps))
    rows = []
    for moved in made:
        for model in models:
            right, wrong = ~Goal(model, y).reached(x), Goal(model, y).reached(moved)
            rows.append(float((right & wrong).sum() / right.sum().clamp_min(1)))
    return np.array(rows, np.float32).reshape(len(made), len(models))


def run(cfg: Config) -> Iterator[Frame]:
    """A frame for each of 21 budgets; the first waits for the trainings."""
    seen = examples(cfg.data)
    x, y = seen.test[: cfg.n], seen.test_labels[: cfg.n]
    own, robust, *_ = (trained(one) for one in cfg.needed)
    models: list[Callable] = [trained(replace(cfg.needed[0], model=kind)) for kind in KINDS]
    chasers = [Attacker(name, cfg, own, x, y) for name in ("noise", "fgsm", "pgd")]
    chasers.append(Attacker("pgd", cfg, robust, x, y))
    least = shortest(cfg, own, x, y)
    clean, finite = chasers[0].at(0.0), least[torch.isfinite(least)]
    moved = carried(cfg, models, x[:CARRIED], y[:CARRIED], cfg.reach / 2)
    lines: list[np.ndarray] = []
    for step in range(STEPS + 1):
        eps = cfg.reach * step / STEPS
        *three, hardened = (chaser.at(eps) for chaser in chasers)
        kept = np.array([*three, float((least > eps).double().mean()), hardened], np.float32)
        lines.append(np.stack([np.full(len(CURVES), eps, np.float32), kept], 1))
        yield Frame(
            eps=eps,
            kept=kept,
            lines=np.stack(lines + lines[-1:] * (STEPS + 1 - len(lines)), 1),
            transfer=moved,
            clean=clean,
            median=float(finite.median()) if len(finite) else 0.0,
            sheet=array(torch.cat([x[:5], chasers[2].found[:5]])),
            fooled=len(x) - len(chasers[2].left),
        )
