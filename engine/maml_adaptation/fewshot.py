"""Few-shot glyphs: a network meta-trained on alphabets adapts to one that it has never seen, or that you draw."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import cos, pi
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.knob import knob, part
from engine.maml_adaptation import alphabets
from engine.maml_adaptation.alphabets import Episodes, Shown, interval, right
from engine.maml_adaptation.classifier import FAST_LR, HIDDEN, STEPS, adapt, fresh, learner
from engine.maml_adaptation.learner import Layers, Learner, Pass, back, gradient, product
from engine.maml_adaptation.meta import METHODS, Adam, Inner, meta_step
from engine.tape import record

META_LR, BATCH, QUERY = 0.005, 8, 5  # tasks of a meta-iteration; query examples of a class
TRIED, UNSEEN = 16, 200  # tasks tried on in training; and at its end
CLASSES, CHUNK, TUNED = 100, 2, 8  # of the ordinary training; iterations a frame; tasks to tune on
RATES = tuple(10 ** (e / 3) for e in range(-9, -2))  # inner step sizes tried for a network without meta-training
LEARNED = {name: METHODS[name].label for name in ("maml", "fomaml", "anil")}
STARTS = ("meta", "ordinary", "random")


@dataclass(frozen=True)
class Learning:
    """The settings that the initial weights depend on."""

    method: str = knob("maml", "meta-trained by", choices=LEARNED)
    ways: int = knob(5, "classes", 2, 5, symbol="N", help="the ways of a task")
    shots: int = knob(5, "examples of each", 1, 5, symbol="K", help="the shots, to adapt on")
    meta_iterations: int = knob(200, "meta-iterations", 50, 2000, log=True)
    adaptation_steps: int = knob(3, "inner steps in meta-training", 1, 5, symbol="k", folded=True)
    fast_lr: float = knob(FAST_LR, "inner step size", 0.01, 0.3, symbol=r"\varepsilon", log=True, folded=True)
    meta_lr: float = knob(META_LR, "outer step size", 0.0005, 0.02, symbol=r"\beta", log=True, folded=True)
    shake: float = knob(1.0, "how shaky the hand is", 0.3, 1.2, step=0.05, folded=True, help="that writes the examples")
    seed: int = knob(0, "seed of the meta-training", 0, 999, folded=True)

    @property
    def learning(self) -> "Learning":
        """The part of the settings that the initial weights depend on."""
        return part(Learning, self)

    @property
    def net(self) -> Learner:
        """The network."""
        return learner(self.ways)

    def episodes(self, count: int, rng: torch.Generator, query: int = QUERY) -> Episodes:
        """Tasks of classes that no other draw has."""
        return alphabets.glyph_tasks(count, self.ways, self.shots, rng, query=query, jitter=self.shake)

    def shown(self, example: int, code: str) -> Shown:
        """The task in the picture."""
        return Shown(self.net, self.shots, QUERY, 60_000 + example, code, self.shake)

    def right(self, at: Layers, tasks: Episodes) -> Tensor:
        """Share of each task's query pictures that adapted weights read right: (t,)"""
        return right(self.net(at, tasks.query_x), tasks.query_y)

    def layers(self, start: str) -> int:
        """How many layers adapt from a start."""
        return 1 if start == "meta" and METHODS[self.method].head_only else len(HIDDEN) + 1

    def adapted(self, start: str, weights: Tensor, rate: float, tasks: Episodes, steps: int) -> Iterator[Layers]:
        """The inner steps from a start."""
        layers = self.layers(start)
        return adapt(self.net, weights, tasks.x, tasks.y, fast_lr=rate, steps=steps, layers=layers)


@dataclass(frozen=True)
class Asked(Learning):
    """The same where a query was drawn, for which the picture has one column more."""


class Student:
    """Initial weights (1, size) that one method trains on alphabets without end."""

    def __init__(self, cfg: Learning) -> None:
        self.cfg, self.rng = cfg, generator(2 * cfg.seed + 1)
        self.rule = Adam(fresh(cfg.net, generator(2 * cfg.seed)), cfg.meta_lr)

    def teach(self, share: float = 1.0) -> None:
        """One meta-iteration, on tasks of new classes, with `share` of the outer step size."""
        cfg = self.cfg
        tasks: Any = cfg.episodes(BATCH, self.rng)
        meta_step(cfg.net, cfg.method, self.rule, tasks, Inner(cfg.fast_lr, cfg.adaptation_steps), share)


class Pupil:
    """The same network with a class for each of 100 glyphs, trained to name them, as classifiers usually are."""

    def __init__(self, cfg: Learning) -> None:
        self.cfg, self.rng = cfg, generator(2 * cfg.seed + 1)
        self.net, self.knots = (
            Learner((alphabets.PIXELS, *HIDDEN, CLASSES)),
            alphabets.invented(CLASSES, self.rng),
        )
        self.rule = Adam(fresh(self.net, generator(2 * cfg.seed), 1.0), META_LR / 2)

    def teach(self, share: float = 1.0) -> None:
        """One step on cross-entropy, on as many new pictures as a meta-iteration sees."""
        count = BATCH * self.cfg.ways * (self.cfg.shots + QUERY)
        y = torch.randint(0, CLASSES, (count,), generator=self.rng)
        pictures = alphabets.written(self.knots[y], 1, self.rng, self.cfg.shake)
        x, layers = alphabets.with_one(pictures).transpose(0, 1), self.net.layers(self.rule.weights)
        inputs, sums = self.net.forward(layers, x)
        top = product(inputs[-1], layers[-1]).softmax(2)
        top[0, torch.arange(count), y.to(DEVICE)] -= 1
        seen = Pass(inputs, sums, back(layers, top / count, sums), 1.0)
        self.rule(torch.cat([one.flatten(1) for one in gradient(seen, 1)], 1), share)

    @property
    def weights(self) -> Tensor:
        """Its body with a fresh head of zeros: (1, size)"""
        body = self.net.layers(self.rule.weights)[:-1]
        rows, columns = self.cfg.net.shapes[-1]
        return torch.cat([*(one.flatten(1) for one in body), body[0].new_zeros(1, rows * columns)], 1)


def tuned(cfg: Learning, weights: Tensor) -> float:
    """The inner step size of RATES that is best after `adaptation_steps` on tasks of their own."""
    tasks, found = cfg.episodes(TUNED, generator(40_000 + cfg.seed)), []
    for rate in RATES:
        *_, last = cfg.adapted("ordinary", weights, rate, tasks, cfg.adaptation_steps)
        found.append(float(cfg.right(last, tasks).mean()))
    return RATES[int(np.argmax(found))]


def share(step: float, total: float) -> float:
    """Of the outer step size, which falls along half a cosine."""
    return 0.5 + 0.5 * cos(pi * step / total)


def meta_train(method: str = "maml", **settings: float) -> Tensor:
    """Initial weights (1, size) that a method of LEARNED learns; the settings are those of Learning.

    Raises ValueError for an unknown method.
    """
    if method not in LEARNED:
        raise ValueError(f"saw a method called {method!r}; expected one of {', '.join(LEARNED)}")
    cfg = Learning(method, **settings)  # type: ignore[arg-type]
    student = Student(cfg)
    for step in range(cfg.meta_iterations):
        student.teach(share(step, cfg.meta_iterations))
    return student.rule.weights


@dataclass(frozen=True)
class Config(Learning):
    """The settings of a task to adapt to: glyphs of an alphabet never seen, or of your own."""

    alphabet: str = knob("unseen", "glyphs", choices={"unseen": "an unseen alphabet", "yours": "your drawings"})
    slot: str = knob(alphabets.NEXT, "you draw", choices=alphabets.DRAWN)
    example: int = knob(59, "which alphabet", 0, 999, folded=True, help="another number: other glyphs")
    yours: str = knob("", "your drawings", text=alphabets.check_yours)

    @property
    def opening(self) -> Learning:
        """The meta-training that the view begins with."""
        asked = Asked if "q" in {one[:1] for one in self.own.split(".")} else Learning
        return part(asked, self)

    @property
    def own(self) -> str:
        """The drawings in use."""
        return self.yours if self.alphabet == "yours" else ""


class Frame(NamedTuple):
    """After some meta-iterations, the task shown is adapted in k steps; after the last, step by step."""

    iteration: int
    step: int  # inner steps taken
    support: np.ndarray  # (K N, 14, 14) a row for each example, a column for each class
    query: np.ndarray  # (4 N, 14, 14) a row of query pictures; a row of answers from each start, wrong ones pale
    yours: np.ndarray  # (4 or 0, 14, 14) the same of the drawn query, of which nobody knows the answer
    says: np.ndarray  # (3,) the class, from 1, that each start reads in it; 0 without one
    own: np.ndarray  # (3,) share of the task's query pictures read right from each start: meta, ordinary, random
    diverged: int  # how many of the three networks have run away on this task
    learnt: np.ndarray  # (2, 3) the same on 16 unseen alphabets after k steps with 95 % interval: meta, ordinary
    unseen: np.ndarray  # (3, 3) on 200 unseen alphabets after `step` steps; () during the meta-training
    nearest: np.ndarray  # (3,) on the same, by the nearest picture, without a network
    rates: np.ndarray  # (3,) inner step sizes
    weights: np.ndarray  # (3, size) at the end of the meta-training; else (0, size)


NONE = np.zeros((0, 3))


def learn(cfg: Learning) -> Iterator[Frame]:
    """The meta-training beside an ordinary one, two iterations a frame."""
    student, pupil, tasks = Student(cfg), Pupil(cfg), cfg.episodes(TRIED, generator(20_000 + cfg.seed))
    random = student.rule.weights.clone()
    rates = [cfg.fast_lr, RATES[0], tuned(cfg, random)]
    task, k = cfg.shown(Config().example, ""), cfg.adaptation_steps
    for i in [*range(0, cfg.meta_iterations, CHUNK), cfg.meta_iterations]:
        if i % (50 if i > 100 else 10) == 0 or i == cfg.meta_iterations:
            rates[1] = tuned(cfg, pupil.weights)
        every = student.rule.weights, pupil.weights, random
        ends = [[*cfg.adapted(*row, tasks, k)][-1] for row in zip(STARTS[:2], every, rates, strict=False)]
        at = [[*cfg.adapted(*row, task.tasks, k)][-1] for row in zip(STARTS, every, rates, strict=True)]
        learnt = [interval(cfg.right(one, tasks)) for one in ends]
        kept = torch.cat(every).cpu().numpy() if i == cfg.meta_iterations else np.zeros((0, random.shape[1]))
        facts: dict[str, Any] = dict(
            learnt=np.array(learnt), unseen=NONE, nearest=NONE, rates=np.array(rates), weights=kept.copy()
        )
        yield Frame(i, k, **task.look(at), **facts)
        for step in range(i, min(i + CHUNK, cfg.meta_iterations)):
            student.teach(share(step, cfg.meta_iterations))
            pupil.teach(share(step, cfg.meta_iterations))


def opening(cfg: Learning) -> Iterator[Frame]:
    """The frames of the meta-training, which all share whatever they drew."""
    tape, shown = record(learn, cfg.learning), 0
    while shown < len(tape.frames) or not tape.done:
        if shown == len(tape.frames):
            tape.wind(0)
        if shown < len(tape.frames):
            yield tape.frames[shown]
            shown += 1


def learned(cfg: Learning) -> Frame:
    """The last frame of the meta-training, which is gone through if nobody has yet."""
    return record(learn, cfg).wind().frames[-1]


def trial(cfg: Learning) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What each inner step makes of 200 unseen alphabets: (3, 3) from each start, (3,) by the nearest picture."""
    last, tasks = learned(cfg), cfg.episodes(UNSEEN, generator(10_000 + cfg.seed))
    floor = np.array(interval(alphabets.nearest(tasks)))
    for every in walks(cfg, last, tasks):
        yield np.array([interval(cfg.right(at, tasks)) for at in every]), floor


def walks(cfg: Learning, last: Frame, tasks: Episodes) -> Iterator[tuple[Layers, ...]]:
    """The inner steps from every start, side by side."""
    every = torch.tensor(last.weights, device=DEVICE, dtype=torch.float32).split(1)
    rates = last.rates.tolist()
    return zip(*(cfg.adapted(*row, tasks, STEPS) for row in zip(STARTS, every, rates, strict=True)), strict=True)


def run(cfg: Config) -> Iterator[Frame]:
    """One inner step a frame, on the task shown and on 200 others."""
    last, task, tape = learned(cfg.learning), cfg.shown(cfg.example, cfg.own), record(trial, cfg.learning)
    for step, every in enumerate(walks(cfg, last, task.tasks)):
        if len(tape.frames) <= step:
            tape.wind(0)
        unseen, floor = tape.frames[step]
        facts: dict[str, Any] = dict(unseen=unseen, nearest=floor, weights=last.weights[:0])
        yield last._replace(step=step, **task.look(list(every)), **facts)


def mended(cfg: Config) -> tuple[Config, str]:
    """An invented alphabet until one is drawn; and a sentence that says so, or that two classes are drawn alike."""
    if cfg.alphabet != "yours":
        return cfg, ""
    if not cfg.yours:
        note = "There is no drawing yet: draw a glyph for each class. Until then the alphabet is invented."
        return replace(cfg, alphabet="unseen"), note
    same = alphabets.twins(cfg.yours, cfg.ways)
    pairs = " and ".join(f"{a} = {b}" for a, b in same)
    return cfg, f"The same glyph for two classes ({pairs}): nobody can tell them apart. Draw one of them anew." * bool(
        same
    )
