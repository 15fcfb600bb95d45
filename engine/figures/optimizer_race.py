"""Paths on a surface, seen: a race of rules, a step taken apart, and basins; panels, views and scenes."""

from functools import lru_cache
from math import nan
from typing import Any

import numpy as np

from engine.figures.panel import Axis, Layer, Panel, arrows, contours, curve, field, marks, path, relief, trail
from engine.figures.view import Readout, Scene, View
from engine.optimizer_paths import basins, race, rules, terms
from engine.optimizer_paths.surfaces import Surface

Panels = tuple[Panel, ...]
LOOKS = {  # rule -> role and dash
    "gd": ("ink", "solid"),
    "momentum": ("data", "solid"),
    "nesterov": ("prior", "dash"),
    "adagrad": ("muted", "dash"),
    "rmsprop": ("third", "solid"),
    "adam": ("model", "solid"),
    "adamw": ("second", "dash"),
    "sam": ("truth", "solid"),
    "newton": ("adversary", "dot"),
}
GRID, LINES = 96, 11  # pixels along a surface; lines of equal height
BASINS = ("data", "model", "truth", "third", "second")  # roles of the named minima
LETTERS = "ABCDE"


def plane(ground: Surface) -> tuple[Axis, Axis]:
    """The axes of what is shown of a surface."""
    (left, low), (right, high) = ground.low, ground.high
    return Axis("x", left, right), Axis("y", low, high)


@lru_cache(32)
def grid_of(ground: Surface) -> tuple[np.ndarray, np.ndarray, float]:
    """Loss above the lowest on the grid, where it is a number, and what it is measured by: (h, w), (h, w), unit."""
    gap = ground.f(ground.grid(GRID)) - ground.lowest
    known = np.isfinite(gap)
    span = float(gap[known].max()) if known.any() else 0.0
    return gap, known, span if 1e-12 < span < 1e30 else 1.0


@lru_cache(32)
def land(ground: Surface) -> tuple[Layer, ...]:
    """A surface from above: log10 of the loss above its lowest, with lines at equal distances of it."""
    gap, known, unit = grid_of(ground)
    height = np.log10(np.clip(np.where(known, gap, unit), 1e-5 * unit, unit) / unit)
    low, high = float(np.quantile(height[known], 0.01)) if known.any() else -1.0, 0.0
    levels = tuple(np.linspace(low, high, LINES + 2)[1:-1].tolist()) if low < -1e-6 else ()
    layers = (
        field("log₁₀ loss", "muted", height, low=low, high=high - 1.2 * low if low < 0 else 1.0),
        contours("", "muted", height, levels=levels),
    )
    if known.all():
        return layers
    return (*layers, field("no loss here", "ink", (~known).astype(np.float32), low=0.0, high=1.6))


def rise(gap: np.ndarray, unit: float) -> np.ndarray:
    """Heights in space: the root of the loss above the lowest, so that a valley's floor can be seen; 0..1."""
    return np.sqrt(np.clip(np.nan_to_num(gap, nan=unit) / unit, 0, 1))


def lifted(ground: Surface, lines: np.ndarray) -> np.ndarray:
    """Lines on the surface in space: (k, m, 2) -> (k, m, 3)"""
    inside = np.clip(lines, ground.low, ground.high)
    return np.concatenate([inside, rise(ground.f(inside) - ground.lowest, grid_of(ground)[2])[..., None]], -1)


def in_space(cfg: race.Config, drawn: dict[str, float]) -> Panel:
    """The same surface and paths in space; heights are the root of the loss."""
    x, y = plane(cfg.loss)
    gap, known, unit = grid_of(cfg.loss)
    ground = relief("√loss", "muted", np.where(known, rise(gap, unit), np.nan).astype(np.float32))
    trails = [
        trail(rules.NAMES[name], LOOKS[name][0], lambda f, i=i: lifted(cfg.loss, nth(f.paths, i)), **drawn)
        for i, name in enumerate(cfg.names)
    ]
    return Panel("In space; drag to turn", (ground, *trails), x, y, axes=False, legend=False, hall=False, name="space",
                 alt="The surface and the paths on it in space")  # fmt: skip


def minima(ground: Surface) -> tuple[Layer, ...]:
    """The known minima, if there are any."""
    return (marks("minimum", "truth", np.array(ground.minima)),) if ground.minima else ()


def nth(values: np.ndarray, i: int) -> Any:
    """Row i, or zeros where a frame holds none."""
    return values[i] if i < len(values) else np.zeros(values.shape[1:])[()]


def start(cfg: Any, of: Any = None) -> Layer:
    """The place that a visitor drags."""
    return marks("start, to drag", "ink", of or cfg.start[None], drag=("start_x", "start_y"))


def of_race(cfg: race.Config) -> Panels:
    """The paths from above, and the loss of each rule against its steps and against the gradients it paid."""
    x, y = plane(cfg.loss)
    many, unit = cfg.spread > 0, race.scale(cfg)
    drawn = dict(width=1.2, opacity=0.5) if many else dict(width=2.2)
    paths = [
        path(rules.NAMES[name], LOOKS[name][0], lambda f, i=i: nth(f.paths, i), dash=LOOKS[name][1], head=True, **drawn)
        for i, name in enumerate(cfg.names)
    ]
    space = (*land(cfg.loss), *minima(cfg.loss), *paths, *_crosses(cfg), start(cfg))
    loss = Axis("loss above the lowest", race.DEPTH * unit, 30 * unit, log=True)
    most = max(rules.RULES[name].cost() for name in cfg.names) * cfg.steps
    return (
        Panel("Downhill", space, x, y, equal=True, name="plane", weight=1.3,
              alt="The paths of the rules on the surface, seen from above"),
        in_space(cfg, drawn),
        Panel("Loss against steps", _losses(cfg, lambda f, i: f.step), Axis("step", 0, max(1, cfg.steps)), loss,
              name="loss", stack="loss", alt="The loss of each rule above the lowest over its steps"),
        Panel("Loss against gradients paid", _losses(cfg, lambda f, i: nth(f.cost, i)),
              Axis("gradients", 0, max(1, most)), loss, name="cost", stack="loss", legend=False,
              alt="The loss of each rule over the gradients it has paid: two a step for SAM, three for Newton"),
    )  # fmt: skip


def _losses(cfg: race.Config, x: Any) -> tuple[Layer, ...]:
    """A curve for each rule, with the band of the middle eight tenths where there are many starts."""
    shown = slice(0, 3 if cfg.spread > 0 else 1)
    return tuple(
        curve(rules.NAMES[name], LOOKS[name][0], lambda f, i=i: (x(f, i), *nth(f.gap, i)[shown]), dash=LOOKS[name][1])
        for i, name in enumerate(cfg.names)
    )


def _crosses(cfg: race.Config) -> list[Layer]:
    """Where runs have left for good, with the step at which they were lost, for rules that lose any."""
    foreseen = race.foreseen(cfg) or (None,) * len(cfg.names)
    layers = []
    for i, step in enumerate(foreseen):
        if step is None or step >= 0:
            label = "diverged" if step is None else f"diverged at step {step}"
            layers.append(marks("", "adversary", lambda f, i=i: f.crosses[f.crosses[:, 2] == i, :2], labels=(label,)))
    return layers


def of_terms(cfg: terms.Config) -> Panels:
    """The next step as a chain of arrows, what the rule remembers, and how long its parts are."""
    x, y = plane(cfg.loss)
    first = next(iter(terms.run(cfg)))
    names, roles = terms.PARTS[cfg.rule], ("data", "second", "third")
    chain = [
        arrows(name, role, lambda f, i=i: nth(f.parts, i), width=2.6)
        for i, (name, role) in enumerate(zip(names, roles, strict=False))
    ]
    space = (
        *land(cfg.loss), *minima(cfg.loss),
        path("the way here", "ink", lambda f: f.path, width=1.4, dash="solid", opacity=0.7),
        arrows("straight downhill", "muted", lambda f: f.slope, width=1.2),
        arrows("the step", "model", lambda f: f.whole, width=4.5), *chain,
        start(cfg),
    )  # fmt: skip
    steps = Axis("step", 0, max(1, cfg.steps))
    lengths = [first.length, *first.sizes]
    return (
        Panel("The next step, magnified", space, x, y, equal=True, name="plane", weight=1.3,
              alt="The next step on the surface as a chain of arrows, one for each of its parts"),
        Panel("What the rule knows", *_memory(cfg, first, steps), name="memory", stack="terms",
              alt="The length of the gradient and of what the rule remembers, over the steps"),
        Panel("How long its parts are", *_lengths(names, roles, lengths, steps), name="lengths", stack="terms",
              hall=False, alt="The length of the step and of each of its parts, over the steps"),
    )  # fmt: skip


def _within(axis: Axis, value: float) -> float:
    return float(np.clip(np.nan_to_num(value), axis.low, axis.high))


def _memory(cfg: terms.Config, first: terms.Frame, steps: Axis) -> tuple[tuple[Layer, ...], Axis, Axis]:
    """The gradient, the velocity, and the roots of the squares as areas."""
    top = 30 * max(first.steepness, 1e-6)
    axis = Axis("length", 1e-7 * top, top, log=True)
    layers = [curve("gradient", "data", lambda f: (f.step, _within(axis, f.steepness)))]
    if cfg.rule in terms.VELOCITY:
        name = "velocity" if cfg.rule in ("momentum", "nesterov") else "mean gradient"
        layers.append(curve(name, "second", lambda f: (f.step, _within(axis, f.velocity))))
    for i, (side, role) in enumerate((("x", "third"), ("y", "truth")) if cfg.rule in terms.SQUARES else ()):
        area = lambda f, i=i: (f.step, v := _within(axis, nth(f.scales, i)), axis.low, v)  # noqa: E731
        layers.append(curve(f"root of the squares, {side}", role, area))
    return tuple(layers), steps, axis


def _lengths(
    names: tuple[str, ...], roles: tuple[str, ...], first: list[float], steps: Axis
) -> tuple[tuple[Layer, ...], Axis, Axis]:
    top = 10 * max(*first, 1e-9)
    axis = Axis("length", 1e-7 * top, top, log=True)
    parts = [
        curve(name, role, lambda f, i=i: (f.step, _within(axis, nth(f.sizes, i))), width=1.6)
        for i, (name, role) in enumerate(zip(names, roles, strict=False))
    ]
    return (*parts, curve("the step", "model", lambda f: (f.step, _within(axis, f.length)), width=3)), steps, axis


def of_basins(cfg: basins.Config) -> Panels:
    """Which minimum each place leads to, and in how many steps."""
    x, y = plane(cfg.loss)
    found = basins.minima_of(cfg.loss)
    named = found[: basins.NAMED]
    names = [f"{LETTERS[i]}  ({a:.2g}, {b:.2g})" for i, (a, b) in enumerate(named)]
    tints = [field(name, BASINS[i], lambda f, i=i: nth(f.tints, i)) for i, name in enumerate(names)]
    if len(found) > basins.NAMED:
        tints.append(field("another minimum", "prior", lambda f: nth(f.tints, basins.NAMED)))
    tints.append(field("no minimum", "ink", lambda f: nth(f.tints, len(named) + 1), high=1.6))
    places = (marks("", "ink", np.array(named), labels=tuple(LETTERS[: len(named)])),) if named else ()
    way = path("one path", "ink", lambda f: f.path, width=1.6, dash="solid", head=True)
    most = np.log10(1.0 + cfg.steps) or 1.0
    need = lambda f: np.log10(1 + np.nan_to_num(f.steps, nan=cfg.steps))  # noqa: E731
    return (
        Panel("Where it ends; paler where it takes longer", (*tints, *places, way, start(cfg)), x, y, equal=True,
              name="basins", alt="Each place of the plane in the colour of the minimum that the rule reaches from it"),
        Panel("Steps it takes", (field("log₁₀ of steps needed", "muted", need, low=0.0, high=most, colours="heat"),),
              x, y, equal=True, name="steps", alt="How many steps the rule needs from each place of the plane"),
    )  # fmt: skip


def _reached(f: race.Frame) -> float:
    """The fewest steps in which a rule has arrived."""
    return float(min((step for step in f.arrived if step >= 0), default=nan))


RACE = View(
    "race", "Which rule is down first?", race.Config, race.run, of_race, fps=24, hold=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("lowest loss", lambda f: f.least, help="Above the surface's lowest, of the best rule now"),
        Readout("first to 1/1000 at", _reached, help="The step at which a rule was first at 1/1000 of the first loss"),
        Readout("most gradients paid", lambda f: max(f.cost, default=nan)),
        Readout("first diverged at", lambda f: min((s for s in f.lost if s >= 0), default=nan)),
        Readout("schedule", lambda f: f.factor, help="What the step size is multiplied by now"),
    ),
    equation=lambda f, cfg: {
        "eps": f"{cfg.step_of('gd'):.3g}", "lambda": f"{cfg.loss.curvature:.4g}", "scaled": f"{cfg.scaled_step:g}",
        "mu": f"{cfg.mu:g}",
    },
    code=(rules.gd, rules.momentum, rules.nesterov, rules.adagrad, rules.rmsprop, rules.adam, rules.adamw, rules.sam,
          rules.newton),
)  # fmt: skip
TERMS = View(
    "terms", "What is a step made of?", terms.Config, terms.run, of_terms, fps=8, hold=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("its length", lambda f: f.length),
        Readout("arrows magnified", lambda f: f.magnified, help="All arrows but “straight downhill” are, alike"),
        Readout("gradient", lambda f: f.steepness, help="Its length"),
        Readout("off straight downhill", lambda f: f.angle, help="Degrees between the step and straight downhill"),
        Readout("diverged at", lambda f: f.lost if f.lost >= 0 else nan),
    ),
    equation=lambda f, cfg: {"length": f"{f.length:.3g}", "lr": f"{cfg.step_of(cfg.rule):.3g}"},
    code=tuple(dict.fromkeys(terms.APART.values())),
)  # fmt: skip
BASINS_VIEW = View(
    "basins", "Where does it end, from where?", basins.Config, basins.run, of_basins, fps=12, follow=True,
    readouts=(
        Readout("worked out", lambda f: f.progress, percent=True),
        Readout("ends in A", lambda f: f.shares[0] if len(f.shares) > 2 else nan, "estimate", percent=True),
        Readout("ends in no minimum", lambda f: f.shares[-1] if len(f.shares) else nan, "estimate", percent=True),
        Readout("steps, median", lambda f: f.typical, "estimate"),
        Readout("frayed", lambda f: f.frayed, "estimate", percent=True,
                help="Share of neighbouring pixels that end differently"),
    ),
    equation=lambda f, cfg: {"frayed": f"{100 * f.frayed:.1f}", "steps": str(cfg.steps)},
    code=(basins.minima_of, basins.Flight, basins.run),
)  # fmt: skip
VIEWS = (RACE, TERMS, BASINS_VIEW)
SCENES = (
    Scene("ravine", "Momentum crosses the ravine 5× sooner", "race", {"condition": 100.0, "mu": 0.8, "steps": 240},
          "Same start, same step size. Gradient descent creeps along the floor; momentum adds its small slopes up."),
    Scene("tilt", "Turned by 45°, the ravine slows Adam", "race", {"condition": 1000.0, "tilt": 45.0},
          "Adam rescales x and y apart. Along the axes that undoes the ravine; turned, it no longer does."),
    Scene("landing", "Newton crosses the ravine in one step", "race", {"tilt": 30.0, "rules": "second", "steps": 60},
          "On a quadratic the local parabola is the loss itself: the first step ends at its lowest point."),
    Scene("saddle", "Newton walks to the saddle", "race",
          {"surface": "saddle", "rules": "second", "start_x": -1.5, "start_y": 0.4, "step_size": 0.3, "steps": 80},
          "It looks for where the slope is 0, and a saddle will do; the others go on to a minimum."),
    Scene("double", "SAM pays two gradients a step", "race",
          {"surface": "himmelblau", "rules": "ahead", "start_x": -0.5, "start_y": -0.8, "step_size": 0.3, "rho": 0.3,
           "steps": 60},
          "One where it is and one uphill: against gradients paid, its curve is twice as long."),
    Scene("first", "Adam takes the same first step everywhere", "terms", {"steps": 60},
          "Drag the start: whatever the slope, the first step is as long in x and in y as the step size."),
    Scene("frayed", "Basins of momentum are frayed", "basins", {},
          "It flies past minima. Set momentum to 0, and each basin is nearly one piece."),
)  # fmt: skip
