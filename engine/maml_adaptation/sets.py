"""Which loss is on which set: the inner step on A as it should be, and on B as the sheet prints it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.maml_adaptation.adapt import adapt, losses
from engine.maml_adaptation.learner import Learner
from engine.maml_adaptation.learning import FAST_LR, META_LR, Student
from engine.maml_adaptation.meta import Inner, maml
from engine.maml_adaptation.sinusoids import FAMILIES, Tasks, batches, sinusoid_tasks

SEEDS, TESTED, COMPARED = 3, 30, 8  # initialisations; new tasks that each is tried on; those of the gradients
LOOKS = 140  # frames, about


@dataclass(frozen=True)
class Config:
    """The settings of two meta-trainings that differ in the set on which the inner steps are taken."""

    shots: int = knob(5, "examples in each set", 1, 20, symbol="K")
    adaptation_steps: int = knob(3, "inner steps", 1, 5, symbol="k")
    fast_lr: float = knob(FAST_LR, "inner step size", 0.001, 0.03, symbol=r"\varepsilon", log=True)
    meta_batch_size: int = knob(10, "tasks per batch", 1, 40)
    meta_iterations: int = knob(400, "meta-iterations", 50, 2000, log=True, folded=True)
    family: str = knob("sinusoids", "tasks", choices={k: f.label for k, f in FAMILIES.items()}, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)


class Frame(NamedTuple):
    """Two meta-trainings by MAML after as many iterations. Losses on new tasks: mean over three seeds, least, most."""

    iteration: int
    right_says: np.ndarray  # (3,) what the right training minimises: B after steps on A
    right_true: np.ndarray  # (3,) the same measured on new examples of the task
    mixed_says: np.ndarray  # (3,) what the mixed-up training minimises: B after steps on B
    mixed_true: np.ndarray  # (3,) new examples after steps on B
    apart: np.ndarray  # (3,) length of the difference of both gradients, over that of the right one, at its weights
    turned: np.ndarray  # (3,) the angle between them in degrees
    error: np.ndarray  # (4,) standard errors of the four losses over tasks
    flattery: float  # mixed_true over mixed_says


def run(cfg: Config) -> Iterator[Frame]:
    """Both trainings side by side from the same weights, on the same tasks."""
    net, how = Learner(), Inner(cfg.fast_lr, cfg.adaptation_steps)
    start, count = net.init(SEEDS, generator(cfg.seed)), SEEDS * cfg.meta_batch_size
    right, mixed = (
        Student(
            "maml", start, batches(count, cfg.shots, generator(cfg.seed + 1), family=cfg.family, even=False), META_LR
        )
        for _ in range(2)
    )
    judges = dict(query=cfg.shots + 20, family=cfg.family, even=True)
    tried = sinusoid_tasks(TESTED, cfg.shots, generator(cfg.seed + 2), **judges)  # type: ignore[arg-type]
    tried = Tasks(*(part.repeat(SEEDS, *[1] * (part.ndim - 1)) for part in tried))
    chunk = max(1, min(8, cfg.meta_iterations // LOOKS))
    for upto in [*range(0, cfg.meta_iterations, chunk), cfg.meta_iterations]:
        right.teach(upto, cfg.meta_iterations, how)
        mixed.teach(upto, cfg.meta_iterations, how, mixed_up=True)
        yield look(net, how, upto, right.rule.weights, mixed.rule.weights, tried)


def look(net: Learner, how: Inner, upto: int, right: Tensor, mixed: Tensor, tried: Tasks) -> Frame:
    """Everything that a frame shows of both weights (4, size), judged on K examples B and on 20 others."""
    k = tried.x.shape[1]
    b, others = (tried.query_x[:, :k], tried.query_y[:, :k]), (tried.query_x[:, k:], tried.query_y[:, k:])
    *_, good = adapt(net, right, tried.x, tried.y, fast_lr=how.fast_lr, adaptation_steps=how.adaptation_steps)
    *_, bad = adapt(net, mixed, *b, fast_lr=how.fast_lr, adaptation_steps=how.adaptation_steps)
    pairs = ((good, b), (good, others), (bad, b), (bad, others))
    tables = [losses(net, at, *one).view(SEEDS, -1).double() for at, one in pairs]
    says_a, true_a, says_b, true_b = (over(table.mean(1)) for table in tables)
    error = np.array([float(table.mean(0).std() / table.shape[1] ** 0.5) for table in tables])
    some = (part.view(SEEDS, TESTED, *part.shape[1:])[:, :COMPARED].flatten(0, 1) for part in tried)
    judged = Tasks(*some)
    judged = judged._replace(query_x=judged.query_x[:, :k], query_y=judged.query_y[:, :k])
    g, wrong = (flat(maml(net, net.layers(right), tasks, how)) for tasks in (judged, judged.mixed_up()))
    apart = (g - wrong).norm(dim=1) / g.norm(dim=1).clamp_min(1e-12)
    turned = torch.cosine_similarity(g, wrong).clamp(-1, 1).arccos().rad2deg()
    worse = float(true_b[0] / max(says_b[0], 1e-12))
    return Frame(upto, says_a, true_a, says_b, true_b, over(apart), over(turned), error, worse)


def flat(layers: tuple[Tensor, ...]) -> Tensor:
    """(s, i, o) each -> (s, size)"""
    return torch.cat([one.flatten(1) for one in layers], 1)


def over(values: Tensor) -> np.ndarray:
    """Mean, least and most over the seeds: (s,) -> (3,)"""
    return torch.stack([values.mean(), values.min(), values.max()]).double().cpu().numpy()
