"""Adapting to a task, meta-training live, and the two sets: views and scenes."""

from dataclasses import replace
from math import isnan, nan
from typing import Any

import numpy as np

from engine.figures import maml_sinusoids_panels as panels
from engine.figures.view import Readout, Scene, View
from engine.maml_adaptation import adapt, given, learning, meta, sets, sinusoids, train
from engine.maml_adaptation.meta import METHODS

ROWS = {name: i for i, name in enumerate(METHODS)}


def at(table: np.ndarray, name: str, *column: int) -> float:
    """A method's number in a table; NaN where there is none, or where it has run away."""
    value = float(table[(ROWS[name], *column)]) if len(table) else nan
    return value if value < adapt.FAR else nan


def first(values: np.ndarray) -> float:
    """The mean, which stands before the extremes; NaN where there is none."""
    return float(values[0]) if len(values) else nan


def given_at_all(cfg: Any) -> tuple[Any, str]:
    """Until the visitor has drawn a function, a sinusoid; and a sentence that says so."""
    if cfg.task == "yours" and not cfg.sketch:
        return replace(cfg, task="sinusoids"), "There is no drawing yet: draw a function. Until then it is a sinusoid."
    return cfg, ""


def number(value: float) -> str:
    """A loss in the formula."""
    return r"\infty" if isnan(value) else f"{value:.3f}"


ADAPT = View(
    "adapt", "What can be learned from ten examples?", adapt.Config, adapt.run, panels.of_adapt, fps=4, hold=True,
    seed="example", before=lambda cfg: (learning.learn, cfg.learning), progress=lambda f, cfg: f.progress,
    mend=given_at_all, events={"support": given.dragged, "drawn": given.drawn},
    readouts=(
        Readout("inner steps", lambda f: f.step),
        Readout("B, this task: MAML", lambda f: at(f.mine, "maml")),
        Readout("B, this task: joint", lambda f: at(f.mine, "joint")),
        Readout("A: MAML", lambda f: at(f.support, "maml")),
        Readout("B, mean of 200: MAML", lambda f: at(f.mean, "maml"), "estimate", error=lambda f: at(f.error, "maml"),
                help="Mean squared error on the query examples, mean over 200 tasks"),
        Readout("B, mean of 200: joint", lambda f: at(f.mean, "joint"), "estimate",
                error=lambda f: at(f.error, "joint")),
        Readout("diverged", lambda f: f.diverged or nan, help="Of six methods, on this task"),
    ),
    equation=lambda f, cfg: {
        "eps": f"{cfg.fast_lr:g}", "step": str(f.step), "set": cfg.inside, "maml": number(at(f.mine, "maml")),
        "joint": number(at(f.mine, "joint")),
    },
    code=(adapt.adapt, sinusoids.sinusoid_tasks, meta.Inner),
)  # fmt: skip
META = View(
    "meta", "What does learning to learn look like?", train.Config, train.run, panels.of_train, fps=15, follow=True,
    mend=given_at_all,
    readouts=(
        Readout("meta-iterations", lambda f: f.iteration),
        Readout("B after: MAML", lambda f: at(f.after, "maml", 0), "estimate", error=lambda f: at(f.error, "maml", 1),
                help="Mean squared error on 16 new tasks, mean over three seeds"),
        Readout("FOMAML", lambda f: at(f.after, "fomaml", 0), "estimate", error=lambda f: at(f.error, "fomaml", 1)),
        Readout("Reptile", lambda f: at(f.after, "reptile", 0), "estimate", error=lambda f: at(f.error, "reptile", 1)),
        Readout("ANIL", lambda f: at(f.after, "anil", 0), "estimate", error=lambda f: at(f.error, "anil", 1)),
        Readout("joint", lambda f: at(f.after, "joint", 0), "estimate", error=lambda f: at(f.error, "joint", 1)),
        Readout("before: MAML", lambda f: at(f.before, "maml", 0), "estimate", error=lambda f: at(f.error, "maml", 0),
                help="Loss on B of new tasks without any step"),
    ),
    equation=lambda f, cfg: {
        "k": str(cfg.adaptation_steps), "maml": number(at(f.after, "maml", 0)) if cfg.order != "first" else "–",
        "before": number(at(f.before, "maml", 0)) if cfg.order != "first" else "–",
        "iteration": str(f.iteration), "beta": f"{cfg.meta_lr:g}",
    },
    code=(meta.maml, meta.fomaml, meta.reptile, meta.anil, learning.meta_train),
)  # fmt: skip
SETS = View(
    "sets", "Which loss is on which set?", sets.Config, sets.run, panels.of_sets, fps=15, follow=True,
    readouts=(
        Readout("meta-iterations", lambda f: f.iteration),
        Readout("steps on A, loss on B", lambda f: first(f.right_says), "estimate", error=lambda f: first(f.error[0:])),
        Readout("A, then fresh ones", lambda f: first(f.right_true), "estimate", error=lambda f: first(f.error[1:]),
                help="20 others of each task"),
        Readout("steps on B, loss on B", lambda f: first(f.mixed_says), "estimate", error=lambda f: first(f.error[2:])),
        Readout("B, then fresh ones", lambda f: first(f.mixed_true), "estimate", error=lambda f: first(f.error[3:])),
        Readout("gradient off by", lambda f: first(f.apart), percent=True, help="Of the length of the right one"),
    ),
    equation=lambda f, cfg: {
        "says": f"{first(f.mixed_says):.2f}", "true": f"{first(f.mixed_true):.2f}",
    },
    code=(sinusoids.Tasks, meta.inner_loop, meta.judged),
)  # fmt: skip
VIEWS = (ADAPT, META, SETS)
SCENES = (
    Scene("one", "One step of MAML beats twenty of joint", "adapt", {},
          "Both were trained on the same tasks; only one of them to be a good place to begin."),
    Scene("lines", "On straight lines it pays to know nothing", "adapt", {"task": "lines", "example": 5},
          "What was learned on sinusoids bends every line; random weights have no such opinion."),
    Scene("runaway", "A step twenty times as long: all run away", "adapt", {"fast_lr": 0.2},
          "What is adapted well is steep, too: beyond a step size the loss grows at every step."),
    Scene("live", "What falls is the loss after the steps", "meta", {},
          "Below: before any step no method gets better than the best single function for all tasks, the dashed line."),
    Scene("work", "At equal work Reptile overtakes MAML", "meta", {"equal": "work", "meta_iterations": 200},
          "Going back through the inner steps costs MAML ten passes for Reptile's three: it sees fewer tasks."),
    Scene("single", "With one step Reptile is no better than joint", "meta", {"adaptation_steps": 1},
          "One step of one batch knows nothing of the next: both curves stay up."),
    Scene("printed", "It looks several times better than it is", "sets", {},
          "With the inner steps on B, the judge has seen the answers."),
    Scene("angle", "The printed gradient points elsewhere", "sets", {"shots": 3},
          "At the same weights and on the same tasks, the two gradients are nearly at right angles."),
)  # fmt: skip
