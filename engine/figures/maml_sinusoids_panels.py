"""Adapting to a task, meta-training and the two sets, drawn: the panels of each view."""

from collections.abc import Callable
from math import nan
from typing import Any

import numpy as np

from engine.figures.panel import Axis, Layer, Panel, adapted, cloud, curve, path
from engine.maml_adaptation import adapt, sets, sinusoids, train
from engine.maml_adaptation.given import HEIGHT, Given, flat
from engine.maml_adaptation.learner import REACH, Learner
from engine.maml_adaptation.meta import METHODS

Panels = tuple[Panel, ...]
LOOKS = {  # role, dash and width of each method
    "maml": ("model", "solid", 3.0),
    "fomaml": ("second", "dash", 2.0),
    "reptile": ("third", "solid", 2.0),
    "anil": ("prior", "dash", 2.0),
    "joint": ("ink", "dot", 2.0),
    "random": ("muted", "dot", 2.0),
}
A, B = "A, to adapt on", "B, to judge by"
X, Y = Axis("x", -REACH, REACH), Axis("y", -HEIGHT, HEIGHT)
LOSS = Axis("loss on B", 0.03, 30, log=True)


def places(given: Given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The examples A and B of the task shown, and its function: (K, 2), (10, 2), (201, 2)"""
    tasks = given.tasks(1)
    return flat(tasks.x, tasks.y), flat(tasks.query_x, tasks.query_y), flat(*given.truth())


def learners(
    cfg: Any, names: tuple[str, ...], steps: int, a: np.ndarray, b: np.ndarray, draws: str = "function", trail: str = ""
) -> tuple[Layer, ...]:
    """Every method, adapted by the stage to the examples where they lie."""
    inner, judge = ((A, a), (B, b)) if getattr(cfg, "inside", "A") == "A" else ((B, b), (B, b))
    return tuple(
        adapted(
            METHODS[name].label, LOOKS[name][0], lambda f, name=name: getattr(f, name), sizes=Learner().sizes,
            fast_lr=cfg.fast_lr, steps=steps, head=METHODS[name].head_only, inner=inner, judge=judge, draws=draws,
            trail=name == trail, dash=LOOKS[name][1], width=LOOKS[name][2],
        )
        for name in names
    )  # fmt: skip


def curves(
    names: tuple[str, ...], x: Callable[[Any], float], table: str, banded: tuple[str, ...] = tuple(METHODS)
) -> tuple[Layer, ...]:
    """A curve for each method, some with their band; `table` is (6, 3) in the frame."""

    def layer(name: str) -> Layer:
        i, n = list(METHODS).index(name), 3 if name in banded else 1
        role, dash, width = LOOKS[name]
        of = lambda f: (x(f), *numbers(getattr(f, table)[i : i + 1, :n], n))  # noqa: E731
        return curve(METHODS[name].label, role, of, dash=dash, width=width)

    return tuple(map(layer, names))


def numbers(values: np.ndarray, count: int) -> tuple[float, ...]:
    """So many numbers; NaN where there are none."""
    return tuple(map(float, values.ravel())) if values.size else (nan,) * count


def examples(given: Given, a: np.ndarray, b: np.ndarray, truth: np.ndarray, drag: str) -> tuple[Layer, ...]:
    """The task's function, its examples to drag, and those that judge."""
    return (
        path("the task", "truth", truth, width=2, dash="dash"),
        cloud(B, "truth", b, size=8, opacity=1, hollow=True),
        cloud(A, "data", a, size=11, opacity=1, drag=drag, tag=given.tag),
    )


def of_adapt(cfg: adapt.Config) -> Panels:
    """The task with its examples and every adapted function; the loss on this task and on two hundred others."""
    a, b, truth = places(cfg)
    names, steps = tuple(METHODS), Axis("inner steps", 0, adapt.STEPS)
    task = examples(cfg, a, b, truth, "support")
    inside = f"inner steps on {'A' if cfg.inside == 'A' else 'B, the judge itself'}"
    return (
        Panel(f"Drag the examples: {inside}", (task[0], *learners(cfg, names, -1, a, b, trail=cfg.trail), *task[1:]),
              X, Y, name="task", weight=1.35, draw="points", hint="A function, from left to right",
              alt="A function with a few examples of it, and what six networks make of them after some steps"),
        Panel("This task: loss on B", learners(cfg, names, -1, a, b, "loss"), steps, LOSS, name="mine", stack="right",
              legend=False, hall=False, alt="The loss on the query examples of this task after each inner step"),
        Panel("200 other tasks: median loss on B", curves(names, lambda f: f.step, "others", ("maml", "joint")),
              steps, LOSS, name="others", stack="right", legend=False,
              alt="The loss on the query examples of other tasks after each inner step"),
    )  # fmt: skip


def of_train(cfg: train.Config) -> Panels:
    """What the weights at the cursor make of a task, and the loss on new tasks over the meta-training."""
    a, b, truth = places(cfg)
    names = (*train.RACED[cfg.order], "random")
    task, k = examples(cfg, a, b, truth, "here"), cfg.adaptation_steps
    if cfg.equal == "work":
        x, axis = (lambda f: f.work), Axis("passes through the network", 0, cfg.work * cfg.meta_iterations)
    else:
        x, axis = (lambda f: f.iteration), Axis("meta-iterations", 0, cfg.meta_iterations)
    loss, level = Axis("loss on B", 0.05, 10, log=True), sinusoids.best_single(cfg.family)
    least = path("best single function", "truth", np.array([[0, level], [axis.high, level]]), width=2, dash="dash")
    return (
        Panel(f"At the cursor: {k} step{'s' * (k > 1)} on A",
              task[:1] + learners(cfg, names, k, a, b) + task[1:], X, Y, name="task", weight=1.1,
              alt="A function with a few examples, and what the networks trained so far make of them"),
        Panel("New tasks: B after steps on A", curves(names, x, "after"), axis, loss, name="after", stack="right",
              legend=False, alt="The loss on new tasks after adaptation, over the meta-training"),
        Panel("New tasks: B before any step", (*curves(names, x, "before"), least), axis, Axis("loss on B", 0, 6),
              name="before", stack="right", share=0.75, legend=False, hall=False,
              alt="The loss on new tasks without adaptation, over the meta-training"),
    )  # fmt: skip


def of_sets(cfg: sets.Config) -> Panels:
    """What both trainings say of themselves and what is true, and how far their gradients are apart."""
    steps, loss = (
        Axis("meta-iterations", 0, cfg.meta_iterations),
        Axis("loss after the inner steps", 0.05, 10, log=True),
    )

    def row(name: str, label: str, role: str, dash: str) -> Layer:
        return curve(label, role, lambda f: (f.iteration, *numbers(getattr(f, name), 3)), dash=dash)

    return (
        Panel("Inner steps on A: judged on B", (row("right_says", "on B", "model", "solid"),
              row("right_true", "on fresh examples", "truth", "dash")), steps, loss, name="right",
              alt="The loss on B and on fresh examples after steps on A"),
        Panel("Inner steps on B, as printed: judged on B", (row("mixed_says", "on B", "adversary", "solid"),
              row("mixed_true", "on fresh examples", "truth", "dash")), steps, loss, name="mixed",
              alt="The loss on B and on fresh examples after steps on B"),
        Panel("The printed gradient against the right one", (row("turned", "angle", "adversary", "solid"),),
              steps, Axis("degrees", 0, 150), name="apart", hall=False,
              alt="The angle between the meta-gradient with inner steps on B and the right one"),
    )  # fmt: skip
