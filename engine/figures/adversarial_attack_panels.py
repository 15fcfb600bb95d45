"""One picture, a ball, a population and a pixel under attack, drawn: the panels of each view."""

import numpy as np

from engine.adversarial_examples import arsenal, ball, instance, pixel, population, shared
from engine.figures.panel import Axis, Layer, Panel, cloud, contours, curve, field, images, marks, path

Panels = tuple[Panel, ...]


def budget(cfg: instance.Config) -> Axis:
    """The axis of the budget, in the unit of the attack's norm."""
    return Axis(f"budget ε, {arsenal.UNITS[cfg.norm]}", 0, cfg.reach)


def bars(chances: np.ndarray, aside: float) -> np.ndarray:
    """A line from 0 to each of ten probabilities, a little aside of its class: (10,) -> (10, 2, 2)."""
    at = np.arange(len(chances), dtype=np.float32) + aside
    return np.stack([np.stack([at, 0 * chances], 1), np.stack([at, chances], 1)], 1)


def of_attack(cfg: instance.Config) -> Panels:
    """The picture, the change and their sum; probabilities before and after; a slice of the regions; the way there."""
    captions = ("picture", "change, scaled", "both")
    wide, unit = instance.span(cfg), arsenal.UNITS[cfg.norm or "l2"]
    slice_layers = (
        cloud("what it reads, by class", "data", lambda f: f.regions, size=4.5, opacity=0.55),
        path("the attack at every budget", "ink", lambda f: f.shadow, width=1.5),
        marks("now", "adversary", lambda f: f.spot),
    )
    classes = (
        path("before", "data", lambda f: bars(f.before, -0.17), width=5, dash="solid"),
        path("after", "adversary", lambda f: bars(f.after, 0.17), width=5, dash="solid"),
    )
    chances = (
        curve("what it shows", "data", lambda f: (f.eps, f.own)),
        curve("likeliest other", "adversary", lambda f: (f.eps, f.other)),
    )
    return (
        Panel("Picture, change, both together", (images("", "data", lambda f: f.shown, columns=3, captions=captions),),
              axes=False, name="pictures", draw="picture", weight=1.65,
              alt="The picture, the change scaled up around grey, and the attacked picture"),
        Panel("Around the picture", slice_layers, Axis(f"along the gradient, {unit}", -wide, wide),
              Axis("a random way", -wide, wide), equal=True, name="regions", weight=1.55,
              alt="A slice through the decision regions, with the way of the attack"),
        Panel("Class probabilities", classes, Axis("class", -0.5, 9.5), Axis("probability", 0, 1), name="classes",
              weight=1.1, stack="right", alt="Bars for the probability of each class before and after the attack"),
        Panel("As the budget grows", chances, budget(cfg), Axis("probability", 0, 1), name="growth", hall=False,
              weight=1.1, stack="right",
              alt="Probability of the true class and of the likeliest other class against the budget"),
    )  # fmt: skip


def of_ball(cfg: ball.Config) -> Panels:
    """The ball around the point, the way in it over the classifier's map; loss and length step by step."""
    frame, top = Axis("half steps", 0, 2 * cfg.steps), ball.ceiling(cfg)
    far = 1.1 * cfg.steps * cfg.eps if cfg.rule == "unclipped" else 2 * (cfg.eps + cfg.abs_stepsize)
    far = max(far, 0.05)
    space = (
        field("P(class 1)", "muted", lambda f: f.map, colours="diverging", low=-1, high=2),
        contours("the boundary", "ink", lambda f: f.map, levels=(0.5,)),
        cloud("points, by class", "data", lambda f: f.points, size=2.5, opacity=0.7),
        path("allowed: the ball", "truth", lambda f: f.ball, width=2),
        path("steps and ways back", "adversary", lambda f: f.trail, width=2, dash="solid"),
        marks("worst in the ball", "truth", lambda f: f.top),
        marks("", "adversary", lambda f: f.spot),
        marks("", "ink", lambda f: f.point, labels=("the point",), drag=("x", "y")),
    )
    half = lambda f: 2 * f.step - (0 if f.back else 1)  # noqa: E731
    loss = (
        curve("loss here", "adversary", lambda f: (half(f), min(f.loss, top)), dash="solid"),
        curve("worst in the ball", "truth", lambda f: (half(f), min(f.worst, top)), dash="dash"),
    )
    size = (
        curve("length of the change", "adversary", lambda f: (half(f), min(f.used, far)), dash="solid"),
        curve("budget", "truth", lambda f: (half(f), cfg.eps), dash="dash"),
    )
    return (
        Panel("Drag the point", space, Axis("first feature", 0, 1), Axis("second feature", 0, 1), equal=True,
              name="space", weight=1.3, alt="A ball around a point, the steps in it, and the map of the classifier"),
        Panel("Loss", loss, frame, Axis("nats", 0, top), name="loss", stack="right",
              alt="The loss after each half step, and the worst in the ball"),
        Panel("Length of the change", size, frame, Axis(f"norm ({arsenal.SIGNS[cfg.norm]})", 0, far), name="length",
              stack="right", hall=False, alt="The length of the change after each half step, and the budget"),
    )  # fmt: skip


ROWS = (
    ("random noise", "muted", "dot"), ("FGSM", "second", "dash"), ("PGD", "adversary", "solid"),
    ("shortest change is longer", "ink", "dot"), ("adversarially trained: PGD", "truth", "solid"),
)  # fmt: skip


def of_population(cfg: population.Config) -> Panels:
    """Robust accuracy against the budget, what carries over to others, and five of the pictures."""
    unit = arsenal.UNITS[cfg.norm]
    curves: tuple[Layer, ...] = tuple(
        path(name, role, lambda f, row=row: f.lines[row : row + 1], dash=dash, width=2.5)
        for row, (name, role, dash) in enumerate(ROWS)
    )
    now = marks("now", "ink", lambda f: [(f.eps, 0.0)], line="x")
    return (
        Panel("Who keeps the label?", (*curves, now), Axis(f"budget ε, {unit}", 0, cfg.reach),
              Axis("share right", 0, 1), name="kept", weight=1.4,
              alt="Curves of accuracy under several attacks against the budget"),
        Panel("Pictures, and under PGD", (images("", "data", lambda f: f.sheet, columns=5),), axes=False,
              name="pictures", stack="right", alt="Five pictures above, below them attacked at this budget"),
        Panel(f"What carries over, ε = {cfg.reach / 2:.2g}", (carried("transfer"),), MADE, TRIED, name="transfer",
              stack="right", hall=False, alt="Which classifiers are fooled by changes made on which"),
    )  # fmt: skip


MADE = Axis("tried on: 1 linear · 2 MLP · 3 CNN", 0.5, 3.5)
TRIED = Axis("made on; 0 is noise", -0.5, 3.5)


def carried(name: str) -> Layer:
    """The matrix of who is fooled by changes made on whom."""
    return field("share fooled", "adversary", lambda f: getattr(f, name), colours="heat", crisp=True)


def of_universal(cfg: shared.Config) -> Panels:
    """The one change, pictures without and with it, how many it fools, and on which classifiers."""
    step = Axis("step", 0, shared.STEPS)
    rates = (
        curve("held-out pictures", "adversary", lambda f: (f.step, f.fooled, f.fooled - f.error, f.fooled + f.error),
              dash="solid", width=3),
        curve("pictures it learned from", "muted", lambda f: (f.step, f.learned)),
        curve("noise of this size", "ink", lambda f: (f.step, f.noise), dash="dash"),
    )  # fmt: skip
    return (
        Panel("One change, scaled", (images("", "adversary", lambda f: f.change, columns=1),), axes=False,
              name="change", alt="The universal change around middle grey"),
        Panel("Held-out pictures, without and with it", (images("", "data", lambda f: f.shown, columns=5),),
              axes=False, name="pictures", weight=1.5, stack="middle",
              alt="Five pictures above, the same with the universal change below"),
        Panel("Share whose class it alters", rates, step, Axis("share", 0, 1), name="rates", weight=1.5,
              stack="middle", alt="Fooling rate over the steps, held-out, learned, and of noise"),
        Panel("On other classifiers", (carried("matrix"),), MADE, TRIED, name="matrix", hall=False,
              alt="Share fooled on each classifier by the change learned on each"),
    )  # fmt: skip


def of_pixel(cfg: pixel.Config) -> Panels:
    """The picture and the best change so far, the map of what each pixel can do, and the levels of the best one."""
    side = cfg.net.side
    heat = (
        field("highest margin", "adversary", lambda f: f.heat, colours="diverging", crisp=True, low=-pixel.CLIP,
              high=pixel.CLIP),
        marks("best so far", "ink", lambda f: f.spot),
    )  # fmt: skip
    levels = (
        path("margin of the best pixel", "adversary", lambda f: f.curve, width=2.5, dash="solid"),
        path("above: it fools", "ink", np.array([[0, 0], [1, 0]], np.float32), dash="dash", width=1.5),
    )
    captions = ("the picture", "one pixel changed")
    return (
        Panel("One pixel", (images("", "data", lambda f: f.shown, columns=2, captions=captions),), axes=False,
              name="pictures", weight=1.5, alt="The picture, and with the best single pixel changed"),
        Panel("What each pixel can do", heat, Axis("column", 0, side), Axis("row from below", 0, side), equal=True,
              name="heat", alt="A map of the highest margin that each pixel reaches at any grey level"),
        Panel("Every grey level of the best", levels, Axis("grey level", 0, 1), Axis("margin", -pixel.CLIP, pixel.CLIP),
              name="levels", hall=False, alt="The margin at each grey level of the best pixel"),
    )  # fmt: skip
