"""The meta-gradient drawn: the panels of each view."""

from typing import Any

import numpy as np

from engine.figures.maml_sinusoids_panels import LOOKS
from engine.figures.panel import Axis, Layer, Panel, arrows, cell, contours, curve, field, marks, path
from engine.maml_adaptation import jacobians, surface, taylor
from engine.maml_adaptation.meta import METHODS

Panels = tuple[Panel, ...]
FIRST, SECOND = Axis("first weight", -surface.HALF, surface.HALF), Axis("second weight", -surface.HALF, surface.HALF)
LOW, HIGH = -2.0, 1.2  # log10 of a loss, from the darkest to the palest
LEVELS = tuple(np.arange(-2, 1.3, 0.2).round(2).tolist())
LEAST = 1e-8  # of a share that is drawn: what is less lies on the edge
LENGTHS = {"maml": 1.0, "fomaml": 0.85, "reptile": 0.7, "joint": 0.55}  # of the arrows, so that none hides another


def needle(name: str) -> Layer:
    """Where a method goes from the weights chosen."""
    role, _, _ = LOOKS[name]

    def of(f: Any) -> np.ndarray:
        way = getattr(f, name)
        return np.concatenate([f.phi, LENGTHS[name] * way], 1) if len(way) == len(f.phi) else np.zeros((0, 4))

    return arrows(METHODS[name].label, role, of, width=3)


def land(of: Any) -> tuple[Layer, ...]:
    """A loss from above."""
    return field("log₁₀ loss", "muted", of, low=LOW, high=HIGH + 1.0), contours("", "muted", of, levels=LEVELS)


def of_surface(cfg: surface.Config) -> Panels:
    """The loss after the steps over all initial weights, with the way of each method; angles and losses over steps."""
    steps, tasks = Axis("inner steps", 0, surface.STEPS), cfg.tasks
    away = marks("diverged", "adversary", lambda f: f.lost)
    plane = (
        *land(lambda f: f.height),
        path("inner steps of each task", "data", lambda f: f.walks, width=1.6),
        marks("minima of A", "data", tasks.centre[0].numpy()),
        *(needle(name) for name in surface.WAYS),
        marks("best start", "truth", lambda f: f.best),
        *((away,) if surface.diverges(cfg) else ()),
        marks("yours, to drag", "ink", lambda f: f.phi, drag=("phi_x", "phi_y")),
    )
    angles = tuple(
        curve(METHODS[name].label, LOOKS[name][0], lambda f, i=i: (f.step, cell(f.turned, i)), dash=LOOKS[name][1])
        for i, name in enumerate(surface.WAYS)
        if i
    )
    losses = (
        curve("from yours", "ink", lambda f: (f.step, f.loss), dash="solid"),
        curve("joint minimum", "muted", lambda f: (f.step, f.middle), dash="dot"),
        curve("best start", "truth", lambda f: (f.step, f.least)),
    )
    return (
        Panel("Loss on B after the steps on A", plane, FIRST, SECOND, equal=True, name="plane", weight=1.35,
              alt="The loss after some inner steps over all initial weights, with the way of four methods"),
        Panel("Angle to MAML's gradient", angles, steps, Axis("degrees", 0, 180), name="angles", stack="right",
              alt="The angle of each method's gradient to that of MAML after each number of steps"),
        Panel("Loss on B after the steps", losses, steps, Axis("mean loss", 0.01, 30, log=True), name="loss",
              stack="right", hall=False, alt="The loss after each number of steps from three initial weights"),
    )  # fmt: skip


def of_jacobians(cfg: jacobians.Config) -> Panels:
    """The steps of one task, what their Jacobians make of a gradient in either order, and each step's eigenvalues."""
    tasks, t = cfg.tasks, cfg.task - 1
    plane = (
        *land(jacobians.ground(tasks, t)),
        path("inner steps", "data", lambda f: f.walk, width=2.2),
        marks("minimum of A", "data", tasks.centre[0, t : t + 1].numpy()),
        marks("minimum of B", "truth", tasks.centre[1, t : t + 1].numpy()),
        *((marks("diverged", "adversary", lambda f: f.lost),) if jacobians.diverges(cfg) else ()),
        marks("yours, to drag", "ink", lambda f: f.phi, drag=("phi_x", "phi_y")),
    )
    turn = np.linspace(0, 2 * np.pi, jacobians.ROUND)
    space = (
        path("unit circle", "muted", np.stack([np.cos(turn), np.sin(turn)], 1), width=1.5, dash="dot"),
        path("circle, carried back", "model", lambda f: f.circle, width=1.5),
        arrows("gradient of B", "truth", lambda f: rooted(f.outer), width=3),
        arrows("the other order", "adversary", lambda f: rooted(f.swapped), width=3),
        arrows("carried back: MAML", "model", lambda f: rooted(f.right), width=3),
    )
    steps, one = (
        Axis("inner steps", 0, surface.STEPS),
        np.array([[[0, 1], [surface.STEPS, 1]], [[0, -1], [surface.STEPS, -1]]]),
    )
    values = (
        path("stable between", "muted", one, width=1.5, dash="dash"),
        curve("flat direction", "second", lambda f: (f.step, cell(f.factor, 1)), dash="dash"),
        curve("steep direction", "model", lambda f: (f.step, cell(f.factor, 0))),
    )
    return (
        Panel("The steps of one task on its loss A", plane, FIRST, SECOND, equal=True, name="plane", weight=1.1,
              alt="The loss of one task on its support set, with the inner steps from the weights chosen"),
        Panel("A gradient on its way back", space, Axis("first weight", -1.1, 1.1), Axis("second weight", -1.1, 1.1),
              equal=True, name="back", weight=1.1,
              alt="The unit circle and the gradient of B, and what the factors make of them in both orders"),
        Panel("Eigenvalues of I − εH", values, steps, Axis("of the next step", -2, 1.2), name="values", weight=0.8,
              hall=False, alt="Both eigenvalues of the Jacobian of each inner step"),
    )  # fmt: skip


def rooted(vectors: np.ndarray) -> np.ndarray:
    """Arrows from the middle: (n, 2) -> (n, 4)"""
    return np.concatenate([np.zeros_like(vectors), vectors], 1)


def of_taylor(cfg: taylor.Config) -> Panels:
    """What two terms leave of each method's gradient, and how much of each term is found in it, over step sizes."""
    low, k = cfg.longest * taylor.SPAN, cfg.adaptation_steps
    alpha, known = Axis("inner step size α", low, cfg.longest, log=True), taylor.theory(k)

    def three(of: Any) -> tuple[Layer, ...]:
        return tuple(
            curve(METHODS[name].label, LOOKS[name][0], lambda f, i=i: (f.size, cell(of(f), i)), dash=LOOKS[name][1])
            for i, name in sorted(enumerate(taylor.WAYS), key=lambda one: one[1] == "fomaml")
        )

    def lines(levels: np.ndarray) -> Layer:
        ends = np.array([[[low, level], [cfg.longest, level]] for level in sorted(set(levels.tolist()))])
        return path("theory", "truth", ends, width=1.5, dash="dash")

    rest = (
        *(
            path("slopes 1 and 2" if not i else "", "muted", guide(low, cfg.longest, i + 1), width=1.2, dash="dot")
            for i in (0, 1)
        ),
        *three(lambda f: np.maximum(f.rest, LEAST)),
        curve("FOMAML − MAML", "ink", lambda f: (f.size, max(f.gap, LEAST)), dash="dot"),
    )
    return (
        Panel("What the two terms leave", rest, alpha, Axis("share left", LEAST, 10, log=True),
              name="rest", weight=1.25, alt="What is left of each gradient without the two terms, over step sizes"),
        Panel("c₁: mean gradient", (lines(known[:, 0]), *three(lambda f: f.first)), alpha,
              Axis("amount", 0, k + 1), name="first", stack="right", legend=False, hall=False,
              alt="How much of the mean gradient is in each method's gradient"),
        Panel("c₂: α × agreement", (lines(known[:, 1]), *three(lambda f: f.second)), alpha,
              Axis("amount", min(-1.0, 1.3 * float(known.min())), 0.5), name="second", stack="right",
              alt="How much of the term that makes minibatches agree is in each method's gradient"),
    )  # fmt: skip


def guide(low: float, high: float, order: int) -> np.ndarray:
    """A line of a whole slope on logarithmic axes: (2, 2)"""
    return np.array([[low, 3 * (low / high) ** order], [high, 3.0]])
