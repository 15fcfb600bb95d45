"""Meta-training, live: what a few inner steps leave of the loss on new tasks, as each method learns where to begin."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
from torch import Tensor

from engine.device import generator
from engine.knob import knob, part
from engine.maml_adaptation.adapt import adapt, losses
from engine.maml_adaptation.given import KINDS, Given
from engine.maml_adaptation.learner import Learner
from engine.maml_adaptation.learning import FAST_LR, META_LR, TRAINED, Student
from engine.maml_adaptation.meta import METHODS, Inner
from engine.maml_adaptation.sinusoids import FAMILIES, Tasks, batches, sinusoid_tasks
from engine.tape import record

SEEDS, TESTED = 3, 16  # initialisations trained side by side; new tasks that each is tried on at every frame
ORDERS = {"all": "all methods", "second": "second order: MAML, ANIL", "first": "first order: FOMAML, Reptile"}
RACED = {"all": TRAINED, "second": ("maml", "anil", "joint"), "first": ("fomaml", "reptile", "joint")}
EQUAL = {"iterations": "equal meta-iterations", "work": "equal work"}
BUDGET, CALL, ROW = 30.0, 0.2, 0.015  # ms of a frame; of a pass through the network; of each task in it, about


@dataclass(frozen=True)
class Training:
    """The settings of a meta-training."""

    fast_lr: float = knob(FAST_LR, "inner step size", 0.001, 0.05, symbol=r"\varepsilon", log=True)
    adaptation_steps: int = knob(3, "inner steps", 1, 5, symbol="k")
    meta_lr: float = knob(
        META_LR, "outer step size", 0.001, 0.1, symbol=r"\beta", log=True, help="of Adam, at the start"
    )
    meta_batch_size: int = knob(8, "tasks per batch", 1, 40)
    equal: str = knob("iterations", "compare at", choices=EQUAL, help="work: passes through the network")
    order: str = knob("all", "who takes part", choices=ORDERS, help="joint training always does")
    family: str = knob("sinusoids", "tasks", choices={k: f.label for k, f in FAMILIES.items()}, folded=True)
    meta_iterations: int = knob(400, "meta-iterations of MAML", 50, 2000, log=True, folded=True)
    seed: int = knob(0, "seed", 0, 999, folded=True)

    @property
    def training(self) -> "Training":
        """The part of the settings that the weights depend on."""
        return part(Training, self)

    @property
    def how(self) -> Inner:
        """The inner loop."""
        return Inner(self.fast_lr, self.adaptation_steps)

    @property
    def work(self) -> float:
        """Passes through the network in one meta-iteration of MAML, or of FOMAML where there is no MAML."""
        return METHODS["fomaml" if self.order == "first" else "maml"].passes(self.adaptation_steps)

    def iterations(self, method: str, upto: int) -> int:
        """How many meta-iterations a method has done when the dearest one has done `upto`."""
        if self.equal == "iterations":
            return upto
        return int(upto * self.work / METHODS[method].passes(self.adaptation_steps))

    @property
    def chunk(self) -> int:
        """Meta-iterations a frame, so that a frame takes a few hundredths of a second."""
        each = CALL + ROW * SEEDS * self.meta_batch_size
        methods = RACED[self.order]
        passes = sum(self.work if self.equal == "work" else METHODS[m].passes(self.adaptation_steps) for m in methods)
        return max(1, min(self.meta_iterations // 50, int(BUDGET / (passes * each))))


@dataclass(frozen=True)
class Config(Given, Training):
    """The settings of a meta-training, and which task its weights are tried on in the picture."""

    task: str = knob("sinusoids", "task shown, from", choices=KINDS, folded=True)
    shots: int = knob(10, "examples, K", 1, 20, folded=True, help="of the task shown; in training always 10")
    noise: float = knob(0.0, "noise of the examples shown", 0.0, 2.0, step=0.05, folded=True)


class Frame(NamedTuple):
    """Where the methods are. Losses are mean squared errors on new tasks, after k steps unless it says otherwise."""

    iteration: int  # of MAML
    work: float  # passes through the network so far, of MAML
    maml: np.ndarray  # (size,) the initial weights of the first seed; (0,) of a method that takes no part
    fomaml: np.ndarray
    reptile: np.ndarray
    anil: np.ndarray
    joint: np.ndarray
    random: np.ndarray
    after: np.ndarray  # (6, 3) loss on B: mean over three seeds, least and most; NaN of a method that takes no part
    before: np.ndarray  # (6, 3) the same with no inner step
    error: np.ndarray  # (6, 2) standard errors over tasks, of `before` and of `after`
    done: np.ndarray  # (6,) meta-iterations of each method


def learn(cfg: Training) -> Iterator[Frame]:
    """Three initialisations of every method, all on the same batches of tasks, a few meta-iterations a frame."""
    start, names = Learner().init(SEEDS, generator(cfg.seed)), RACED[cfg.order]
    count = SEEDS * cfg.meta_batch_size
    students = {
        name: Student(name, start, batches(count, 10, generator(cfg.seed + 1), family=cfg.family), cfg.meta_lr)
        for name in names
    }
    tried = sinusoid_tasks(TESTED, 10, generator(cfg.seed + 2), query=10, family=cfg.family, even=True)
    tried = Tasks(*(part.repeat(SEEDS, *[1] * (part.ndim - 1)) for part in tried))
    total = {name: cfg.iterations(name, cfg.meta_iterations) for name in names}
    for upto in [*range(0, cfg.meta_iterations, cfg.chunk), cfg.meta_iterations]:
        for name, student in students.items():
            student.teach(cfg.iterations(name, upto), total[name], cfg.how)
        at = {name: students[name].rule.weights if name in students else None for name in TRAINED} | {"random": start}
        yield look(cfg, upto, at, tried)


def run(cfg: Config) -> Iterator[Frame]:
    """The frames of the meta-training, which all who only look at other tasks share."""
    tape, shown = record(learn, cfg.training), 0
    while shown < len(tape.frames) or not tape.done:
        if shown == len(tape.frames):
            tape.wind(0)
        if shown < len(tape.frames):
            yield tape.frames[shown]
            shown += 1


def look(cfg: Training, upto: int, at: dict[str, Tensor | None], tried: Tasks) -> Frame:
    """Everything that a frame shows."""
    tables = np.stack([tested(cfg, name, weights, tried) for name, weights in at.items()])
    weights = {
        name: np.zeros(0, np.float32) if one is None else one[0].cpu().numpy().copy() for name, one in at.items()
    }
    done = np.array(
        [0 if one is None else cfg.iterations(name, upto) if name in TRAINED else 0 for name, one in at.items()]
    )
    return Frame(
        iteration=upto, work=upto * cfg.work, **weights, before=tables[:, 0, :3], after=tables[:, 1, :3],
        error=tables[:, :, 3], done=done,
    )  # fmt: skip


def tested(cfg: Training, name: str, weights: Tensor | None, tried: Tasks) -> np.ndarray:
    """Loss before and after the inner steps: mean over seeds, least, most, and its standard error over tasks: (2, 4)"""
    if weights is None:
        return np.full((2, 4), nan)
    net = Learner()
    how = dict(fast_lr=cfg.fast_lr, adaptation_steps=cfg.adaptation_steps, head_only=METHODS[name].head_only)
    first, *_, last = adapt(net, weights, tried.x, tried.y, **how)  # type: ignore[arg-type]
    rows = []
    for layers in (first, last):
        loss = losses(net, layers, tried.query_x, tried.query_y).view(len(weights), -1).double().cpu().numpy()
        seeds = loss.mean(1)
        rows.append([seeds.mean(), seeds.min(), seeds.max(), loss.mean(0).std() / loss.shape[1] ** 0.5])
    return np.array(rows)


@dataclass(frozen=True)
class Glance(Config):
    """A short meta-training, for a thumbnail."""

    meta_iterations: int = 200
    order: str = "second"
