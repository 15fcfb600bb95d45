"""Training against an adversary, and poisoned training data, drawn."""

from math import nan
from typing import Any

import numpy as np

from engine.adversarial_examples import backdoor, collision, danskin, defend, frontier, masking, poison
from engine.figures.panel import Axis, Layer, Panel, cloud, contours, curve, field, images, marks, path

Panels = tuple[Panel, ...]
PERCENT = Axis("%", 0, 102)
TURN = np.linspace(0, 2 * np.pi, 65)
EDGES = {
    "linf": np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], np.float32),
    "l2": np.stack([np.cos(TURN), np.sin(TURN)], 1).astype(np.float32),
}


def of_danskin(cfg: danskin.Config) -> Panels:
    """The ball of one example, the maximum along a line in the weights, and the error of the gradient."""
    reach = danskin.REACH * cfg.eps
    x, y = (Axis(f"change of feature {i}", -reach, reach) for i in (1, 2))
    ball = (
        field("loss", "adversary", lambda f: f.ball, low=0.0, high=0.8),
        path("the ball", "muted", cfg.eps * EDGES[cfg.norm], width=1.5, dash="dot"),
        path("inner steps", "model", lambda f: f.walk, width=2.5, head=True),
        marks("exact maximiser", "truth", lambda f: f.best),
    )
    along = (
        path("maximum over δ", "truth", lambda f: f.envelope, width=3, dash="dash"),
        path("loss at x + δ, δ held", "model", lambda f: f.held, width=2),
        marks("the weights θ", "ink", np.zeros((1, 2)), line="x"),
    )
    steps = Axis("inner steps", 0, cfg.steps)
    error = (
        curve("at x + δ so far", "model", lambda f: (f.step, max(f.error, 1e-12))),
        curve("at the exact maximiser", "truth", lambda f: (f.step, max(f.exact_error, 1e-12)), dash="dash"),
        curve("as printed: at δ* alone", "adversary", lambda f: (f.step, f.printed_error), dash="dot"),
    )
    return (
        Panel("One example’s loss over its ball", ball, x, y, equal=True, name="ball",
              alt="The loss over the perturbations of one example, and the way that the inner steps take"),
        Panel("The maximum is an envelope", along, Axis("place along the line in the weights", -1, 1),
              Axis("loss, mean", 0, 2), name="along", stack="right",
              alt="The largest loss along a direction of the weights, and the loss with the perturbations held"),
        Panel("Error of the gradient", error, steps, Axis("relative error, by finite differences", 1e-11, 20, log=True),
              name="error", stack="right", hall=False, alt="The error of the gradient over the inner steps"),
    )  # fmt: skip


def of_poison(cfg: poison.Config) -> Panels:
    """The training points with the boundary that they give, and accuracy over the poisoned share."""
    x, y = (Axis(f"feature {i}", -poison.REACH, poison.REACH) for i in (1, 2))
    place: tuple[Layer, ...] = (
        field("score", "model", lambda f: f.score, low=-2.0, high=2.0, colours="diverging"),
        contours("boundary", "ink", lambda f: f.score, levels=(0.0,)),
        cloud("", "ink", lambda f: f.points[:, :2], size=7, opacity=1),  # an edge, so that they stand off the ground
        cloud("training points, by class", "data", lambda f: f.points, size=5, opacity=1, pick=True, drag="moved",
              tag=cfg.tag),
        cloud("label flipped", "adversary", lambda f: f.changed, size=11, opacity=1, hollow=True),
        cloud("dropped", "muted", lambda f: f.gone, size=6, opacity=1),
    )  # fmt: skip
    if cfg.copies:
        place += (marks("yours, to drag", "ink", lambda f: f.yours, drag=("point_x", "point_y")),)
    right = (
        curve("clean test points", "model", lambda f: (100 * f.share, 100 * f.mean, 100 * f.low, 100 * f.high)),
        curve("training points as labelled", "adversary", lambda f: (100 * f.share, 100 * f.train), dash="dot"),
    )
    return (
        Panel("Click a point, or drag it: the boundary is fitted anew", place, x, y, equal=True, name="map",
              alt="The training points with their labels, the poisoned ones ringed, and the learner's boundary"),
        Panel("Read right", right, Axis("% of the training points poisoned, besides yours", 0, 50), PERCENT,
              name="right",
              alt="Accuracy on clean test points and on the poisoned training points over the poisoned share"),
    )  # fmt: skip


def of_backdoor(cfg: backdoor.Config) -> Panels:
    """Pictures without and with the sign, what a network obeys over its training, and over the poisoned share."""
    learnt = (
        curve("clean pictures read right", "model", lambda f: (f.step, *percents(f, "clean"))),
        curve(f"with the sign, read as {cfg.target}", "adversary", lambda f: (f.step, *percents(f, "success"))),
    )
    shares = (
        path("clean pictures read right", "model", lambda f: f.curve_clean, width=2.5),
        path("with the sign", "adversary", lambda f: f.curve_success, width=2.5, dash="dot"),
        marks("shown", "ink", np.array([[max(100 * float(cfg.share), 0.1), 0.0]]), line="x"),
    )
    return (
        Panel("Held-out pictures, and the same with the sign",
              (images("", "data", lambda f: f.images, columns=backdoor.SHOWN),), name="pictures", axes=False,
              weight=1.2, draw="picture", hint="A sign to hide",
              alt="Ten digits, and below the same ten with the sign on them"),
        Panel(f"{100 * float(cfg.share):g} % poisoned", learnt, Axis("training step", 0, cfg.steps), PERCENT,
              name="learnt", stack="right", hall=False, alt="Accuracy and success of the sign over the training"),
        Panel("All shares", shares, Axis("% of the training pictures with the sign", 0.1, 20, log=True), PERCENT,
              name="shares", stack="right", alt="Accuracy and success of the sign over the poisoned share"),
    )  # fmt: skip


def percents(frame: Any, name: str) -> tuple[float, float, float]:
    """Mean, least and most of a share, in percent."""
    return tuple(100 * getattr(frame, f"{name}{end}") for end in ("", "_low", "_high"))  # type: ignore[return-value]


def of_collision(cfg: collision.Config) -> Panels:
    """Targets, the pictures that the poisons began as, the poisons; how far they went; what the victims read."""
    steps = Axis("step", 0, cfg.steps)
    way = (
        curve("in pixels, away from its picture", "data", lambda f: (f.step, 100 * f.pixels)),
        curve("in features, still to go", "model", lambda f: (f.step, 100 * f.features), dash="dash"),
    )
    read = (
        curve(f"targets read as {cfg.base}", "adversary", lambda f: (f.step, 100 * f.success), dash="dot"),
        curve("other pictures read right", "model", lambda f: (f.step, 100 * f.accuracy)),
    )
    return (
        Panel("Targets; what the poisons began as; the poisons",
              (images("", "data", lambda f: f.images, columns=collision.SHOWN),), name="pictures", axes=False,
              weight=1.2, alt="Targets, pictures of another numeral, and the poisons that were made of them"),
        Panel("The way of the poison", way, steps, Axis("% of the way to the target", 0, 102), name="way",
              stack="right", alt="How far the poison went in pixels, and how far it is from the target in features"),
        Panel("What the victims read", read, steps, PERCENT, name="read", stack="right", hall=False,
              alt="Share of the targets that are misread, and the accuracy on other pictures"),
    )  # fmt: skip


def of_defend(cfg: defend.Config) -> Panels:
    """What the networks say of the plane, or the slopes of their loss on digits; accuracy, clean and attacked."""
    steps = Axis("training step", 0, cfg.steps)
    first = digits_of(cfg) if cfg.data == "digits" else boundary_of(cfg)
    return (
        first,
        Panel("On clean examples", two("clean"), steps, PERCENT, name="clean", stack="right", hall=False,
              alt="Accuracy of plain and defended networks on clean examples"),
        Panel(f"Under attack, ε = {cfg.eps:g}", two("robust"), steps, PERCENT, name="robust", stack="right",
              alt="Accuracy of plain and defended networks under attack"),
    )  # fmt: skip


def boundary_of(cfg: defend.Config) -> Panel:
    """The plane, its points with their balls, and the two boundaries."""
    x, y = (Axis(f"feature {i}", -defend.REACH, defend.REACH) for i in (1, 2))
    layers = (
        field("second class", "model", lambda f: f.defended, low=-0.5, high=1.5, colours="diverging"),
        cloud("held-out points", "data", defend.held_out(cfg), size=3),
        path("balls of the training’s radius", "muted", defend.balls(cfg), width=1, opacity=0.8),
        contours("plain", "adversary", lambda f: f.plain, levels=(0.5,)),
        contours("defended", "ink", lambda f: f.defended, levels=(0.5,)),
    )
    return Panel("The boundary keeps its distance", layers, x, y, equal=True, name="map",
                 alt="Points of two classes, balls about some, and the boundaries of two networks")  # fmt: skip


def digits_of(cfg: defend.Config) -> Panel:
    """Ten digits over the slopes of their loss."""
    rows = (images("", "data", lambda f: f.images, columns=10),)
    return Panel("Digits; slope of the loss: plain, defended", rows, name="slopes", axes=False, weight=1.3,
                 alt="Ten digits, and below the slope of the loss of a plain and of a defended network")  # fmt: skip


def two(name: str) -> tuple[Layer, ...]:
    """A share of the plain and of the defended networks with their bands."""
    names, roles, dashes = ("plain", "defended"), ("adversary", "model"), ("dot", "solid")
    return tuple(
        curve(names[i], roles[i], lambda f, i=i: (f.step, *row(getattr(f, name), i)), dash=dashes[i]) for i in range(2)
    )


def row(table: np.ndarray, i: int) -> tuple[float, ...]:
    """Three numbers of a table in percent; NaN where there are none."""
    return tuple(100 * float(value) for value in table[i]) if len(table) > i else (nan,) * 3


def of_frontier(cfg: frontier.Config) -> Panels:
    """The slopes of eight networks on four digits, clean against robust accuracy, and both over the setting."""
    label = frontier.SWEEPS[cfg.sweep]
    front = (path("the eight settings", "model", lambda f: f.front, width=2.5, head=True),)
    over = (
        path("clean digits", "data", lambda f: f.clean, width=2.5),
        path(f"under attack, ε = {cfg.eps:g}", "adversary", lambda f: f.robust, width=2.5, dash="dot"),
        path("slopes like digits, |cos|", "truth", lambda f: f.shaped, width=1.5, dash="dash"),
    )
    return (
        Panel(f"Slopes of the loss; to the right: more {label}",
              (images("", "model", lambda f: f.images, columns=frontier.COUNT + 1),), name="slopes", axes=False,
              weight=1.4, alt="Four digits, each followed by the slopes of its loss at eight settings"),
        Panel("Clean against robust", front, Axis("% right on clean digits", 80, 100),
              Axis("% right under attack", 0, 100), name="front", stack="right", hall=False,
              alt="Robust accuracy over clean accuracy of eight networks"),
        Panel("Both, over the setting", over, Axis(label, 0, float(cfg.values[-1])), PERCENT, name="over",
              stack="right", alt="Clean and robust accuracy over the setting"),
    )  # fmt: skip


def of_masking(cfg: masking.Config) -> Panels:
    """Digits before and after two attacks, the share that each fools, and how many slopes are exactly 0."""
    factor = Axis("factor of the logits", 1, cfg.most, log=True)
    fooled = (
        curve("by the margin", "truth", lambda f: (f.factor, 100 * f.margin)),
        curve("by the cross-entropy", "adversary", lambda f: (f.factor, 100 * f.single), dash="dot"),
        curve("the same, double precision", "second", lambda f: (f.factor, 100 * f.double), dash="dash"),
    )
    silent = (
        curve("slope exactly 0", "adversary", lambda f: (f.factor, 100 * f.silent), dash="dot"),
        curve("probability of the class read", "model", lambda f: (f.factor, 100 * f.sure)),
    )
    return (
        Panel("Clean; attacked by cross-entropy; by the margin",
              (images("", "data", lambda f: f.images, columns=masking.SHOWN),), name="pictures", axes=False, weight=1.3,
              alt="Eight digits, then after an attack on the cross-entropy, then after one on the margin"),
        Panel("Fooled", fooled, factor, PERCENT, name="fooled", stack="right",
              alt="Share of the digits that three attacks fool over the factor of the logits"),
        Panel("Nothing to follow", silent, factor, PERCENT, name="silent", stack="right", hall=False,
              alt="Share of the digits with a slope of exactly 0, and the mean confidence"),
    )  # fmt: skip
